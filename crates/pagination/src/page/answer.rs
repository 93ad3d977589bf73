//! An answer as a dialect reads it: its parts, its rows and their keys.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{at_path, elements, every_member, members};
use super::{Next, NotAPage, Page};
use crate::row::RowKey;
use crate::{Key, Row};

/// The answer to a request for a page, as a dialect reads it.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
    pub(crate) key: KeyField,
}

/// Where the key of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyField {
    /// The fields that make it, from the row down: `to.id`. None of them: rows have no key.
    pub(crate) paths: &'static [&'static str],
    /// Whether a row without one is a bad row.
    pub(crate) is_required: bool,
    /// Whether the dialect or the caller states that no two rows share one.
    pub(crate) is_unique: bool,
}

/// A member of an answer's object, if it is there.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    name: &'static str,
    raw: Option<&'a RawValue>,
}

impl<'a> Answer<'a> {
    /// The answer's headers.
    #[must_use]
    pub const fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// A header as a count, if it is one.
    #[must_use]
    pub fn count_of(&self, header: &str) -> Option<u64> {
        self.headers.get(header)?.to_str().ok()?.trim().parse().ok()
    }

    /// The answer's body.
    #[must_use]
    pub const fn body(&self) -> &'a Bytes {
        self.body
    }

    /// The body as a text.
    fn text(&self) -> Result<&'a str, NotAPage> {
        core::str::from_utf8(self.body)
            .map_err(|error| NotAPage::NotJson { cause: error.to_string() })
    }

    /// The page whose rows are the body, a list.
    ///
    /// # Errors
    ///
    /// [`NotAPage`] for anything but a JSON list whose rows have keys.
    pub fn list(&self) -> Result<Page, NotAPage> {
        let text = self.text()?;
        if text.trim_ascii_start().starts_with('{') {
            members(text, [])?;
            return Err(NotAPage::NoList { part: "body" });
        }
        self.rows(text)
    }

    /// The members of the body, an object, in the order of `names`.
    ///
    /// # Errors
    ///
    /// [`NotAPage`] for anything but a JSON object.
    pub fn object<const N: usize>(
        &self,
        names: [&'static str; N],
    ) -> Result<[Part<'a>; N], NotAPage> {
        let mut at = 0;
        Ok(members(self.text()?, names)?.map(|raw| {
            at += 1;
            Part { name: names[at - 1], raw }
        }))
    }

    /// The page whose rows are in this part: a list, or one object instead of a list of one.
    ///
    /// # Errors
    ///
    /// [`NotAPage`] if the part is missing or something else.
    pub fn rows_in(&self, part: Part<'_>) -> Result<Page, NotAPage> {
        let raw = part.raw.ok_or(NotAPage::Lacks { part: part.name })?.get();
        match raw.as_bytes().first() {
            Some(b'[') => self.rows(raw),
            Some(b'{') => {
                let mut page = self.page_of(std::iter::once(raw))?;
                page.bytes = raw.len();
                Ok(page)
            }
            _ => Err(NotAPage::NoList { part: part.name }),
        }
    }

    /// The page whose rows are in the only member of the body that is a list, whatever its name; without
    /// one the page has no rows.
    ///
    /// # Errors
    ///
    /// [`NotAPage::NoList`] if there are several lists.
    pub fn only_list(&self) -> Result<Page, NotAPage> {
        self.only_list_but("")
    }

    /// The same, whatever the member with this name is.
    pub(crate) fn only_list_but(&self, other: &str) -> Result<Page, NotAPage> {
        let is_list = |(name, raw): &(_, &RawValue)| *name != other && raw.get().starts_with('[');
        let mut lists = every_member(self.text()?)?.into_iter().filter(is_list);
        match (lists.next(), lists.next()) {
            (None, _) => Ok(Page::default()),
            (Some((_, list)), None) => self.rows(list.get()),
            (Some(_), Some(_)) => Err(NotAPage::NoList { part: "body" }),
        }
    }

    /// Whether a member of the body that is a text looks like the cursor of a next page.
    pub(crate) fn has_other_token(&self) -> Result<bool, NotAPage> {
        let looks_like_one = |(name, raw): &(String, &RawValue)| {
            let name = name.to_ascii_lowercase();
            let is_named = ["token", "cursor", "next"].iter().any(|part| name.contains(part));
            is_named && raw.get().starts_with('"') && raw.get().len() > 2
        };
        Ok(every_member(self.text()?)?.iter().any(looks_like_one))
    }

    /// Whether a member of the body is a list.
    pub(crate) fn has_list(&self) -> Result<bool, NotAPage> {
        Ok(every_member(self.text()?)?.iter().any(|(_, raw)| raw.get().starts_with('[')))
    }

    fn rows(&self, list: &str) -> Result<Page, NotAPage> {
        let page = self.page_of(elements(list)?.into_iter().map(RawValue::get))?;
        Ok(Page { bytes: list.len(), ..page })
    }

    fn page_of<'r>(&self, elements: impl Iterator<Item = &'r str>) -> Result<Page, NotAPage> {
        let mut page = Page::default();
        let (mut keyless, mut keyed) = (None, false);
        for (index, raw) in elements.enumerate() {
            if raw == "null" {
                page.null_rows += 1;
                continue;
            }
            let key = self.key.of(raw);
            if matches!(key, RowKey::None) {
                keyless.get_or_insert(index);
            } else {
                keyed = true;
            }
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            page.rows.push(Row::new(self.body.slice_ref(raw.as_bytes()), key, index));
        }
        match keyless {
            // One row without a key is a bad row; a page of them is another list.
            Some(index) if self.key.is_required && !keyed => {
                let key_field = self.key.paths.first().copied().unwrap_or_default();
                Err(NotAPage::BadRow { index, key_field })
            }
            _ => Ok(page),
        }
    }
}

impl<'a> Part<'a> {
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it is there and says something: not null, false, zero or empty.
    pub(crate) fn is_set(&self) -> bool {
        let empty = ["null", "false", "0", "\"\"", "[]", "{}"];
        self.raw.is_some_and(|raw| {
            let compact: String = raw.get().split_whitespace().collect();
            !empty.contains(&compact.as_str())
        })
    }

    /// The JSON text; `None` if the member is missing.
    #[must_use]
    pub fn json(&self) -> Option<&'a str> {
        self.raw.map(RawValue::get)
    }

    /// A count that may be missing, null or of another type: a total is a hint.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.raw?.get().trim_matches('"').parse().ok()
    }

    /// The cursor in it: null and an empty text are the end.
    ///
    /// # Errors
    ///
    /// [`NotAPage::Lacks`] if it is missing, so that nobody says that this is the end, or is no cursor.
    pub fn cursor(&self) -> Result<Next, NotAPage> {
        let raw = self.raw.ok_or(NotAPage::Lacks { part: self.name })?;
        match serde_json::from_str(raw.get())? {
            Value::Null => Ok(Next::End),
            Value::String(cursor) if cursor.is_empty() => Ok(Next::End),
            Value::String(cursor) => Ok(Next::Cursor(cursor.into())),
            Value::Number(cursor) => Ok(Next::Cursor(cursor.to_string().into())),
            _ => Err(NotAPage::NoCursor { part: self.name }),
        }
    }

    /// The cursor in it, of an API that leaves the member out at the end.
    ///
    /// # Errors
    ///
    /// [`NotAPage::NoCursor`] if it is something else.
    pub fn cursor_or_end(&self) -> Result<Next, NotAPage> {
        if self.raw.is_none() { Ok(Next::End) } else { self.cursor() }
    }
}

impl KeyField {
    /// The key of a row.
    fn of(self, row: &str) -> RowKey {
        match self.paths {
            [] => RowKey::None,
            [path] => at_path(row, path).map_or(RowKey::None, |raw| single(row, raw)),
            paths => {
                let parts: Option<Vec<String>> = paths.iter().map(|path| part(row, path)).collect();
                match parts {
                    Some(parts) if !parts.is_empty() => RowKey::Text(parts.join(",").into()),
                    _ => RowKey::None,
                }
            }
        }
    }
}

/// A row's key, which stands in the row as this JSON.
fn single(row: &str, raw: &str) -> RowKey {
    if let Some(text) = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        if !text.contains('\\') {
            // The text is part of the row, which is no longer than a body may be.
            let start = text.as_ptr().addr() - row.as_ptr().addr();
            let (start, end) = (u32::try_from(start), u32::try_from(start + text.len()));
            if let (Ok(start), Ok(end)) = (start, end) {
                return RowKey::Span { start, end };
            }
        }
    }
    match serde_json::from_str(raw).ok().as_ref().and_then(Key::from_json) {
        Some(Key::Text(text)) => RowKey::Text(text.into()),
        Some(Key::Number(number)) => RowKey::number(number),
        None => RowKey::None,
    }
}

/// The text or number at a path of members.
fn part(row: &str, path: &str) -> Option<String> {
    let raw = at_path(row, path)?;
    let value: Value = serde_json::from_str(raw).ok()?;
    Key::from_json(&value).map(|_| raw.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyRef;

    fn page(list: &'static str, is_required: bool) -> Result<Page, NotAPage> {
        keyed(list, &["_id"], is_required)
    }

    fn keyed(
        list: &'static str,
        paths: &'static [&'static str],
        is_required: bool,
    ) -> Result<Page, NotAPage> {
        let (headers, body) = (HeaderMap::new(), Bytes::from_static(list.as_bytes()));
        let key = KeyField { paths, is_required, is_unique: true };
        Answer { headers: &headers, body: &body, key }.list()
    }

    #[test]
    fn rows_keep_their_text_and_give_their_key() {
        let list = r#"[ {"n":1.0, "_id":"\u0061b"} ,null,{"_id":7},{"x":{},"_id":"plain"}]"#;
        let page = page(list, true).unwrap();
        assert_eq!(page.null_rows, 1);
        assert_eq!(page.rows[0].json(), r#"{"n":1.0, "_id":"\u0061b"}"#);
        let keys: Vec<_> = page.rows.iter().map(|row| row.key().unwrap()).collect();
        assert_eq!(keys, [KeyRef::Text("ab"), KeyRef::Number(7), KeyRef::Text("plain")]);
        let indices: Vec<_> = page.rows.iter().map(Row::index).collect();
        assert_eq!(indices, [0, 2, 3], "nulls count");
    }

    #[test]
    fn a_key_may_be_made_of_several_fields_below_the_row() {
        let paths = &["to.type", "to.id"];
        let list = r#"[{"to":{"id":7,"type":"user"}},{"to":{"id":7}},{"to":7}]"#;
        let page = keyed(list, paths, false).unwrap();
        let keys: Vec<_> = page.rows.iter().map(Row::key).collect();
        assert_eq!(keys, [Some(KeyRef::Text("\"user\",7")), None, None]);
    }

    #[test]
    fn a_page_whose_rows_have_no_key_is_no_page_and_a_single_one_a_bad_row() {
        for row in [r"[{}]", r#"[{"_id":null}]"#, r#"[{"_id":1.5}]"#, r"[7]", r#"["x"]"#] {
            let bad_row = NotAPage::BadRow { index: 0, key_field: "_id" };
            assert_eq!(page(row, true).unwrap_err(), bad_row, "{row}");
        }
        assert_eq!(page("[{}]", false).unwrap().rows.len(), 1);
        let page = page(r#"[{"_id":"a"},7]"#, true).unwrap();
        assert_eq!((page.rows[1].key(), page.rows[1].json().as_ref()), (None, &b"7"[..]));
    }

    #[test]
    fn what_is_not_json_is_told_where() {
        assert_eq!(page("{}", false).unwrap_err(), NotAPage::NoList { part: "body" });
        assert!(matches!(page("7", false), Err(NotAPage::OtherShape { .. })));
        for text in ["", "<html>", "[1", "[]x", "\u{feff}[]"] {
            assert!(matches!(page(text, false), Err(NotAPage::NotJson { .. })), "{text}");
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
            assert_eq!(Part { name: "total", raw: Some(raw) }.count(), total, "{json}");
        }
    }

    #[test]
    fn deep_nesting_does_no_harm() {
        let deep =
            format!("[{{\"_id\":\"a\",\"x\":{}{}}}]", "[".repeat(100_000), "]".repeat(100_000));
        let (headers, body) = (HeaderMap::new(), Bytes::from(deep));
        let key = KeyField { paths: &["_id"], is_required: true, is_unique: true };
        let answer = Answer { headers: &headers, body: &body, key };
        assert_eq!(answer.list().unwrap().rows.len(), 1);
    }
}
