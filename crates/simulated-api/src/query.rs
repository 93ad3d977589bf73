//! What a request asks for.

use percent_encoding::percent_decode_str;

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

    pub(crate) fn matches(&self, row: &Row) -> bool {
        let Ok(json) = serde_json::from_str::<serde_json::Value>(row.json()) else {
            return false;
        };
        let text = match &json[&self.field] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let order = text.as_str().cmp(&self.value);
        match self.operator.as_str() {
            "eq" => order.is_eq(),
            "ne" => order.is_ne(),
            "gt" => order.is_gt(),
            "gte" | "ge" => order.is_ge(),
            "lt" => order.is_lt(),
            "lte" | "le" => order.is_le(),
            _ => false,
        }
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
