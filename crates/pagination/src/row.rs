//! One row of a page, as the server wrote it.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::Key;

/// One row: its JSON text as a part of the page's bytes, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    json: Bytes,
    key: Option<Key>,
}

impl Row {
    pub(crate) const fn new(json: Bytes, key: Option<Key>) -> Self {
        Self { json, key }
    }

    /// The JSON text as the server wrote it.
    #[must_use]
    pub const fn json(&self) -> &Bytes {
        &self.json
    }

    /// The unique key; `None` in a list whose rows have none.
    #[must_use]
    pub const fn key(&self) -> Option<&Key> {
        self.key.as_ref()
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
            Row::new(Bytes::copy_from_slice(json.as_bytes()), None).write_compact(&mut line);
            assert_eq!(String::from_utf8(line).unwrap(), compact);
        }
    }
}
