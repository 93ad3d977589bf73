//! The unique key of a row, and the order of a scan.

use core::cmp::Ordering;
use core::fmt;

use serde_json::Value;

/// The unique, immutable key by which a collection is sorted.
///
/// Texts compare by their bytes, as a database compares its ids; whole numbers by their value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Key {
    /// A whole number.
    Number(i128),
    /// A text.
    Text(String),
}

/// A [`Key`] that is part of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "a row's author makes one")]
pub enum KeyRef<'a> {
    /// A whole number.
    Number(i128),
    /// A text.
    Text(&'a str),
}

impl Key {
    /// The key in a JSON value: a text or a whole number.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => number
                .as_i64()
                .map(i128::from)
                .or_else(|| number.as_u64().map(i128::from))
                .map(Self::Number),
            Value::Object(wide) => wide.get("number")?.as_str()?.parse().ok().map(Self::Number),
            _ => None,
        }
    }

    /// As a checkpoint holds it: a number of more than 64 bits in digits.
    pub(crate) fn to_json(&self) -> Value {
        match self.borrow().to_json() {
            Value::Null => serde_json::json!({ "number": self.to_string() }),
            value => value,
        }
    }

    /// The key, borrowed.
    #[must_use]
    pub fn borrow(&self) -> KeyRef<'_> {
        match self {
            Self::Number(number) => KeyRef::Number(*number),
            Self::Text(text) => KeyRef::Text(text.as_str()),
        }
    }
}

impl KeyRef<'_> {
    /// The key by itself.
    #[must_use]
    pub fn to_key(self) -> Key {
        match self {
            Self::Number(number) => Key::Number(number),
            Self::Text(text) => Key::Text(text.to_owned()),
        }
    }

    /// The key as JSON: a text or a number; null for a number that JSON's readers do not hold.
    #[must_use]
    pub fn to_json(self) -> Value {
        match self {
            Self::Number(number) => i64::try_from(number)
                .map(Value::from)
                .or_else(|_| u64::try_from(number).map(Value::from))
                .unwrap_or(Value::Null),
            Self::Text(text) => Value::from(text),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(f)
    }
}

impl fmt::Display for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl PartialEq<Key> for KeyRef<'_> {
    fn eq(&self, other: &Key) -> bool {
        *self == other.borrow()
    }
}

/// The direction of a scan by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "there are two directions")]
pub enum Order {
    /// The smallest key first: new rows normally land after the place of the scan.
    #[default]
    Ascending,
    /// The greatest key first.
    Descending,
}

impl Order {
    /// Compares two keys as the scan meets them.
    #[must_use]
    pub fn compare(self, a: KeyRef<'_>, b: KeyRef<'_>) -> Ordering {
        match self {
            Self::Ascending => a.cmp(&b),
            Self::Descending => b.cmp(&a),
        }
    }

    /// The other direction.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Ascending => Self::Descending,
            Self::Descending => Self::Ascending,
        }
    }
}
