//! One page, taken out of an answer's body without building a tree.

use core::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Key, Row};

/// Rows and what the server says about the rest.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub(crate) rows: Vec<Row>,
    pub(crate) null_rows: u64,
    pub(crate) total: Option<u64>,
    pub(crate) next: Next,
}

/// What the server says comes next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Next {
    /// A cursor.
    Cursor(String),
    /// Nothing: this was the last page.
    End,
    /// It does not say.
    #[default]
    Unsaid,
}

/// Why a successful answer is not a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAPage {
    /// A row is no object, or has no usable key.
    BadRow {
        /// The row's place in the page, counted from zero.
        index: usize,
        /// The field that should hold the key.
        key_field: &'static str,
    },
    /// A part that every page has is not there.
    Lacks {
        /// The part's name.
        part: &'static str,
    },
    /// The body is not JSON.
    NotJson {
        /// Where and why.
        cause: String,
    },
    /// The body is JSON of another shape.
    OtherShape {
        /// What was found and what was expected.
        cause: String,
    },
    /// The body says that it is an error.
    SaysError,
}

impl fmt::Display for NotAPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRow { index, key_field } => {
                write!(f, "row {index} of the page has no usable `{key_field}`")
            }
            Self::Lacks { part } => write!(f, "the body has no {part}"),
            Self::NotJson { cause } => write!(f, "the body is not JSON: {cause}"),
            Self::OtherShape { cause } => write!(f, "the body has another shape: {cause}"),
            Self::SaysError => f.write_str("the body says that it is an error"),
        }
    }
}

impl std::error::Error for NotAPage {}

impl From<serde_json::Error> for NotAPage {
    fn from(error: serde_json::Error) -> Self {
        let cause = error.to_string();
        if error.is_data() { Self::OtherShape { cause } } else { Self::NotJson { cause } }
    }
}

/// The members of an object, by name, as they stand in the body. Of a name that comes twice the last counts.
pub(crate) fn members<'a, const N: usize>(
    body: &'a [u8],
    names: [&'static str; N],
) -> Result<[Option<&'a RawValue>; N], serde_json::Error> {
    struct Members<const N: usize>([&'static str; N]);

    impl<'de, const N: usize> Visitor<'de> for Members<N> {
        type Value = [Option<&'de RawValue>; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = [None; N];
            while let Some(name) = map.next_key::<Name>()? {
                match self.0.iter().position(|wanted| *wanted == name.0) {
                    Some(at) => found[at] = Some(map.next_value()?),
                    None => {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
            Ok(found)
        }
    }

    let mut json = serde_json::Deserializer::from_slice(body);
    let found = json.deserialize_map(Members(names))?;
    json.end()?;
    Ok(found)
}

/// The name of a member, unescaped.
struct Name(String);

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// The elements of an array, as they stand in the body.
pub(crate) fn elements(body: &[u8]) -> Result<Vec<&RawValue>, serde_json::Error> {
    struct Elements;

    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element()? {
                elements.push(element);
            }
            Ok(elements)
        }
    }

    let mut json = serde_json::Deserializer::from_slice(body);
    let elements = json.deserialize_seq(Elements)?;
    json.end()?;
    Ok(elements)
}

/// Whether a page can do with rows that have no key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    Optional,
    Required,
}

impl Page {
    /// The rows of a list that is a part of `body`; null rows are counted and left out.
    pub(crate) fn of_rows(
        body: &Bytes,
        list: &[u8],
        key_field: &'static str,
        keys: Keys,
    ) -> Result<Self, NotAPage> {
        let mut page = Self::default();
        for (index, raw) in elements(list)?.into_iter().enumerate() {
            if raw.get() == "null" {
                page.null_rows += 1;
                continue;
            }
            let bad_row = NotAPage::BadRow { index, key_field };
            let Ok([key]) = members(raw.get().as_bytes(), [key_field]) else {
                return Err(bad_row);
            };
            let key = key
                .and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok())
                .and_then(|value| Key::from_json(&value));
            if key.is_none() && keys == Keys::Required {
                return Err(bad_row);
            }
            page.rows.push(Row::new(body.slice_ref(raw.get().as_bytes()), key));
        }
        Ok(page)
    }
}

/// A count that may be missing, null or of another type: a total is a hint.
pub(crate) fn count(raw: Option<&RawValue>) -> Option<u64> {
    raw?.get().trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(list: &'static str, keys: Keys) -> Result<Page, NotAPage> {
        let body = Bytes::from_static(list.as_bytes());
        Page::of_rows(&body, &body.clone(), "_id", keys)
    }

    #[test]
    fn rows_keep_their_text_and_give_their_key() {
        let page =
            page(r#"[ {"n":1.0, "_id":"\u0061b"} ,null,{"_id":7}]"#, Keys::Required).unwrap();
        assert_eq!(page.null_rows, 1);
        assert_eq!(page.rows[0].json(), r#"{"n":1.0, "_id":"\u0061b"}"#);
        assert_eq!(page.rows[0].key(), Some(&Key::Text("ab".into())));
        assert_eq!(page.rows[1].key(), Some(&Key::Number(7)));
    }

    #[test]
    fn a_row_without_a_key_is_an_error_where_the_scan_needs_one() {
        for row in [r"[{}]", r#"[{"_id":null}]"#, r#"[{"_id":1.5}]"#, r"[7]", r#"["x"]"#] {
            let bad_row = NotAPage::BadRow { index: 0, key_field: "_id" };
            assert_eq!(page(row, Keys::Required).unwrap_err(), bad_row, "{row}");
        }
        assert_eq!(page("[{}]", Keys::Optional).unwrap().rows.len(), 1);
    }

    #[test]
    fn what_is_not_json_is_told_where() {
        assert!(matches!(page("{}", Keys::Optional), Err(NotAPage::OtherShape { .. })));
        for text in ["", "<html>", "[1", "[]x", "\u{feff}[]"] {
            assert!(matches!(page(text, Keys::Optional), Err(NotAPage::NotJson { .. })), "{text}");
        }
    }

    #[test]
    fn a_total_may_be_anything() {
        for (json, total) in [
            ("7", Some(7)),
            ("\"7\"", Some(7)),
            ("null", None),
            ("-1", None),
            ("1.5", None),
            ("{}", None),
            ("99999999999999999999999", None),
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            assert_eq!(count(Some(raw)), total, "{json}");
        }
    }

    #[test]
    fn deep_nesting_does_no_harm() {
        let deep =
            format!("[{{\"_id\":\"a\",\"x\":{}{}}}]", "[".repeat(100_000), "]".repeat(100_000));
        let body = Bytes::from(deep);
        assert_eq!(Page::of_rows(&body, &body, "_id", Keys::Required).unwrap().rows.len(), 1);
    }
}
