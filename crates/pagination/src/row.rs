//! One row of a page, as the server wrote it.

use core::hash::{Hash, Hasher};
use std::time::SystemTime;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::page::{at_path, members};
use crate::{Key, KeyRef};

/// What a scan must know of a row.
pub trait Keyed {
    /// The unique key; `None` for a row that has none.
    fn key(&self) -> Option<KeyRef<'_>>;

    /// The row as an error shows it: its key alone by default.
    fn to_row(&self) -> Row {
        let key = self.key().map_or(RowKey::None, |key| RowKey::of(key.to_key()));
        Row::new(Bytes::new(), key, 0)
    }

    /// Hashes the values of these fields, by which the list is sorted before the key; whether the row shows all of
    /// them. By default it shows none, so a scan that is sorted by other fields is best effort.
    fn sort_values<H: Hasher>(&self, fields: &[String], hasher: &mut H) -> bool {
        let _ = (fields, hasher);
        false
    }

    /// Hashes what tells the row from others, its key by default; whether there is anything.
    fn identify<H: Hasher>(&self, hasher: &mut H) -> bool {
        self.key().hash(hasher);
        self.key().is_some()
    }
}

/// What an item of a stream is made of a row.
///
/// Anything that `serde` reads is made of a [`Row`]'s JSON text, and a [`Row`] of itself, for those who pass
/// rows on as they are. A pair of a [`Key`] and anything gives that thing.
pub trait FromRow<R>: Sized {
    /// Makes an item of a row.
    ///
    /// # Errors
    ///
    /// What is wrong with the row.
    fn from_row(row: &R) -> Result<Self, serde_json::Error>;
}

impl<T: DeserializeOwned> FromRow<Row> for T {
    fn from_row(row: &Row) -> Result<Self, serde_json::Error> {
        row.decode()
    }
}

impl FromRow<Self> for Row {
    fn from_row(row: &Self) -> Result<Self, serde_json::Error> {
        Ok(row.clone())
    }
}

/// Somebody else's type and its key, for the rows of an SDK.
impl<T> Keyed for (Option<Key>, T) {
    fn key(&self) -> Option<KeyRef<'_>> {
        self.0.as_ref().map(Key::borrow)
    }
}

impl<T: Clone> FromRow<(Option<Key>, T)> for T {
    fn from_row(row: &(Option<Key>, T)) -> Result<T, serde_json::Error> {
        Ok(row.1.clone())
    }
}

/// One row: its JSON text as a part of the page's bytes, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    json: Bytes,
    key: RowKey,
    index: u32,
}

/// Where a row's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowKey {
    None,
    Signed(i64),
    Unsigned(u64),
    /// In the row's own bytes.
    Span {
        start: u32,
        end: u32,
    },
    /// It is escaped there, or made of several fields.
    Text(Box<str>),
}

impl Row {
    pub(crate) const fn new(json: Bytes, key: RowKey, index: u32) -> Self {
        Self { json, key, index }
    }

    /// A row with this JSON text and key, for tests and for APIs that are not asked over HTTP. A number
    /// that no 64 bits hold is no key.
    #[must_use]
    pub fn with_key(json: impl Into<Bytes>, key: Key) -> Self {
        Self { json: json.into(), key: RowKey::of(key), index: 0 }
    }

    /// The row's place in the list of its page, counted from zero.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The JSON text as the server wrote it.
    #[must_use]
    pub const fn json(&self) -> &Bytes {
        &self.json
    }

    /// The unique key; `None` for a row that has none.
    #[must_use]
    pub fn key(&self) -> Option<KeyRef<'_>> {
        match &self.key {
            RowKey::None => None,
            RowKey::Signed(number) => Some(KeyRef::Number(i128::from(*number))),
            RowKey::Unsigned(number) => Some(KeyRef::Number(i128::from(*number))),
            RowKey::Span { start, end } => {
                let text = self.json.get(*start as usize..*end as usize)?;
                core::str::from_utf8(text).ok().map(KeyRef::Text)
            }
            RowKey::Text(text) => Some(KeyRef::Text(text)),
        }
    }

    /// The time in a field (RFC 3339 in UTC), if it holds one.
    pub(crate) fn time(&self, field: &'static str) -> Option<SystemTime> {
        let json = core::str::from_utf8(&self.json).ok()?;
        let [raw] = members(json, [field]).ok()?;
        let text: String = serde_json::from_str(raw?.get()).ok()?;
        humantime::parse_rfc3339(&text).ok()
    }

    /// The row as a value of your own.
    ///
    /// # Errors
    ///
    /// If the row does not have the shape of a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.json)
    }

    /// Appends the row on one line: keys, numbers and texts as they are, without the white space
    /// between them.
    pub fn write_compact(&self, line: &mut Vec<u8>) {
        let mut in_text = false;
        let mut escaped = false;
        line.extend(self.json.iter().filter(|&&byte| {
            if in_text {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_text = false,
                    _ => {}
                }
                return true;
            }
            in_text = byte == b'"';
            !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
        }));
    }
}

impl RowKey {
    fn of(key: Key) -> Self {
        match key {
            Key::Number(number) => Self::number(number),
            Key::Text(text) => Self::Text(text.into()),
        }
    }

    pub(crate) fn number(number: i128) -> Self {
        i64::try_from(number)
            .map(Self::Signed)
            .or_else(|_| u64::try_from(number).map(Self::Unsigned))
            .unwrap_or(Self::None)
    }
}

impl Keyed for Row {
    fn key(&self) -> Option<KeyRef<'_>> {
        self.key()
    }

    fn to_row(&self) -> Row {
        self.clone()
    }

    fn sort_values<H: Hasher>(&self, fields: &[String], hasher: &mut H) -> bool {
        let json = core::str::from_utf8(&self.json).unwrap_or_default();
        let values = fields.iter().map(|field| at_path(json, field));
        let mut shows_all = true;
        for value in values {
            shows_all &= value.is_some();
            value.hash(hasher);
        }
        shows_all
    }

    fn identify<H: Hasher>(&self, hasher: &mut H) -> bool {
        match self.key() {
            Some(key) => key.hash(hasher),
            None => self.json.hash(hasher),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_goes() {
        for (json, compact) in [
            ("{ \"a\" : 1.50 ,\n\"b\":[ 1e3,\t-0 ] }", "{\"a\":1.50,\"b\":[1e3,-0]}"),
            (r#"{"a": "x \" y \\", "b": " " }"#, r#"{"a":"x \" y \\","b":" "}"#),
            (
                r#"{"z":12345678901234567890.10, "a":"\u00e9 "}"#,
                r#"{"z":12345678901234567890.10,"a":"\u00e9 "}"#,
            ),
        ] {
            let mut line = Vec::new();
            Row::new(Bytes::copy_from_slice(json.as_bytes()), RowKey::None, 0)
                .write_compact(&mut line);
            assert_eq!(String::from_utf8(line).unwrap(), compact);
        }
    }
}
