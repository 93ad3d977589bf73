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
            _ => None,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Number(number) => i64::try_from(*number)
                .map(Value::from)
                .or_else(|_| u64::try_from(*number).map(Value::from))
                .unwrap_or(Value::Null),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The direction of a scan by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "there are two directions")]
pub enum Order {
    /// The smallest key first: new rows normally land behind the scan.
    #[default]
    Ascending,
    /// The greatest key first.
    Descending,
}

impl Order {
    /// Compares two keys as the scan meets them.
    #[must_use]
    pub fn compare(self, a: &Key, b: &Key) -> Ordering {
        match self {
            Self::Ascending => a.cmp(b),
            Self::Descending => b.cmp(a),
        }
    }
}
