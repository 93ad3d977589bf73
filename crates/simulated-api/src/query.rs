//! What a request asks for.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use serde_json::Value;

use crate::collection::Row;

/// The pairs of a query, decoded.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        (decode(name), decode(value))
    })
}

/// A value as it is compared: a text without quotes, anything else as JSON.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// One condition on a field of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    field: String,
    operator: String,
    value: String,
}

impl Filter {
    /// `department:$eq:IT` (JumpCloud v1) or `department:eq:IT` (v2).
    pub(crate) fn colons(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (field, operator, value) = (parts.next()?, parts.next()?, parts.next()?);
        let known = ["eq", "ne", "gt", "gte", "ge", "lt", "lte", "le", "in", "between", "search"];
        if !known.contains(&operator.trim_start_matches('$')) {
            return None;
        }
        Some(Self {
            field: field.to_owned(),
            operator: operator.trim_start_matches('$').to_owned(),
            value: value.to_owned(),
        })
    }

    /// `eq(department,"IT")` (IXON).
    pub(crate) fn function(text: &str) -> Option<Self> {
        let (operator, rest) = text.split_once('(')?;
        let (field, value) = rest.strip_suffix(')')?.split_once(',')?;
        Some(Self {
            field: field.to_owned(),
            operator: operator.to_owned(),
            value: value.trim_matches('"').to_owned(),
        })
    }

    /// `{"department": "IT"}` or `{"created": {"$gt": "…"}}` (JumpCloud's search).
    pub(crate) fn object(json: &Value) -> Option<Self> {
        let (field, value) = json.as_object()?.iter().next()?;
        let (operator, value) = match value.as_object().and_then(|inner| inner.iter().next()) {
            Some((operator, value)) => (operator.trim_start_matches('$'), value),
            None => ("eq", value),
        };
        Some(Self { field: field.clone(), operator: operator.to_owned(), value: plain(value) })
    }

    /// A field that is at least, or at most, this.
    pub(crate) fn bound(field: &str, operator: &str, value: &str) -> Self {
        let [field, operator, value] = [field, operator, value].map(str::to_owned);
        Self { field, operator, value }
    }

    pub(crate) fn matches(&self, row: &Row, key_field: &str) -> bool {
        let text = if self.field == key_field {
            Cow::Borrowed(row.key())
        } else {
            Cow::Owned(row.field(&self.field))
        };
        let order = (*text).cmp(&self.value);
        match self.operator.as_str() {
            "eq" => order.is_eq(),
            "ne" => order.is_ne(),
            "gt" => order.is_gt(),
            "gte" | "ge" => order.is_ge(),
            "lt" => order.is_lt(),
            "lte" | "le" => order.is_le(),
            "in" => self.value.split(['|', ',']).any(|value| value.trim_matches('"') == text),
            "between" => self.value.split_once(',').is_some_and(|(from, to)| {
                (from.trim_matches('"')..=to.trim_matches('"')).contains(&&*text)
            }),
            "search" | "contains" => text.contains(&self.value),
            _ => false,
        }
    }
}

/// The conditions of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    /// A row matches all of these,
    pub(crate) all: Vec<Filter>,
    /// and one of these, if there are any.
    pub(crate) any: Vec<Filter>,
}

impl Filters {
    pub(crate) fn match_row(&self, row: &Row, key_field: &str) -> bool {
        let matches = |filter: &Filter| filter.matches(row, key_field);
        self.all.iter().all(matches) && (self.any.is_empty() || self.any.iter().any(matches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_filter_of_each_api() {
        let filter =
            Filter { field: "department".into(), operator: "eq".into(), value: "R&D: x".into() };
        assert_eq!(Filter::colons("department:$eq:R&D: x"), Some(filter.clone()));
        assert_eq!(Filter::colons("department:eq:R&D: x"), Some(filter.clone()));
        assert_eq!(Filter::function("eq(department,\"R&D: x\")"), Some(filter));
        assert_eq!(Filter::colons("department"), None);
    }

    #[test]
    fn a_query_is_decoded() {
        let all: Vec<_> = pairs("a=%24eq%3A1&b=x+y&c").collect();
        let expected =
            [("a", "$eq:1"), ("b", "x y"), ("c", "")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(all, expected);
    }
}
