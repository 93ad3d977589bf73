//! The wire formats: what a request means and how a page or an error is written.

use http::{HeaderMap, Uri};

use crate::collection::Row;
use crate::query::{Filter, pairs};

/// An API whose wire format is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Api {
    /// IXON's APIv2 lists: cursor, `page-size`, `page-after`, `moreAfter`.
    Ixon,
    /// JumpCloud's v1 lists: offset, `{"totalCount", "results"}`.
    JumpCloudV1,
    /// JumpCloud's v2 lists: offset, a bare array, `x-total-count`.
    JumpCloudV2,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Behind the row with this key.
    After(String),
    /// At this rank.
    Skip(usize),
}

/// A list request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) position: Position,
    pub(crate) limit: usize,
    pub(crate) reverse: bool,
    pub(crate) filters: Vec<Filter>,
}

/// A page's headers and its body.
pub(crate) type PageText = (Vec<(&'static str, String)>, String);

/// An error in the words of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) field: Option<&'static str>,
}

impl Refusal {
    fn bad_request(message: String) -> Self {
        Self { status: 400, message, field: None }
    }
}

impl Api {
    /// The path of the collection.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Ixon => "/api/agents",
            Self::JumpCloudV1 => "/api/systemusers",
            Self::JumpCloudV2 => "/api/v2/usergroups",
        }
    }

    /// The field that holds a row's key.
    #[must_use]
    pub const fn key_field(self) -> &'static str {
        match self {
            Self::Ixon => "publicId",
            Self::JumpCloudV1 => "_id",
            Self::JumpCloudV2 => "id",
        }
    }

    /// The largest page: the documented 100 of JumpCloud, our choice for IXON.
    pub(crate) const fn ceiling(self) -> usize {
        match self {
            Self::Ixon => 4000,
            Self::JumpCloudV1 | Self::JumpCloudV2 => 100,
        }
    }

    pub(crate) fn is_authorized(self, headers: &HeaderMap, key: &str) -> bool {
        match self {
            Self::Ixon => {
                headers.get("authorization").is_some_and(|value| *value == format!("Bearer {key}"))
            }
            Self::JumpCloudV1 | Self::JumpCloudV2 => {
                headers.get("x-api-key").is_some_and(|value| value == key)
            }
        }
    }

    pub(crate) fn unauthorized(self) -> Refusal {
        match self {
            Self::Ixon => Refusal {
                status: 401,
                message: "Invalid value".into(),
                field: Some("Authorization"),
            },
            Self::JumpCloudV1 | Self::JumpCloudV2 => {
                Refusal { status: 401, message: "Unauthorized".into(), field: None }
            }
        }
    }

    /// What the request asks for.
    pub(crate) fn list(self, uri: &Uri, headers: &HeaderMap) -> Result<List, Refusal> {
        if self == Self::Ixon && !headers.contains_key("api-version") {
            let message = "Required header".into();
            return Err(Refusal { status: 400, message, field: Some("Api-Version") });
        }
        let mut list = List {
            position: Position::Skip(0),
            limit: if self == Self::Ixon { 20 } else { 10 },
            reverse: false,
            filters: Vec::new(),
        };
        for (name, value) in pairs(uri.query().unwrap_or_default()) {
            let number = || {
                let message = format!("Bad Request: request parameter \"{name}\" is not a number");
                value.parse().map_err(|_| Refusal::bad_request(message))
            };
            let filter = |parsed: Option<Filter>| {
                let message = format!("Bad Request: filter \"{value}\" is not understood");
                parsed.ok_or_else(|| Refusal::bad_request(message))
            };
            match (self, name.as_str()) {
                (Self::Ixon, "page-size") | (Self::JumpCloudV1 | Self::JumpCloudV2, "limit") => {
                    list.limit = number()?;
                }
                (Self::Ixon, "page-after") => list.position = Position::After(value),
                (Self::Ixon, "filters") => list.filters.push(filter(Filter::function(&value))?),
                (Self::JumpCloudV1 | Self::JumpCloudV2, "skip") => {
                    list.position = Position::Skip(number()?);
                }
                (Self::JumpCloudV1 | Self::JumpCloudV2, "sort") => {
                    let field = value.strip_prefix('-').unwrap_or(&value);
                    if field != "_id" && field != "id" {
                        let message = format!("Bad Request: cannot sort by \"{field}\"");
                        return Err(Refusal::bad_request(message));
                    }
                    list.reverse = value.starts_with('-');
                }
                (Self::JumpCloudV1 | Self::JumpCloudV2, name) if name.starts_with("filter") => {
                    list.filters.push(filter(Filter::colons(&value))?);
                }
                _ => {}
            }
        }
        Ok(list)
    }

    /// A page: its headers and its body.
    pub(crate) fn page(self, rows: &[&Row], total: u64, next: Option<&str>) -> PageText {
        let rows = rows.iter().map(|row| row.json()).collect::<Vec<_>>().join(",\n ");
        match self {
            Self::Ixon => {
                let next = next.map_or("null".to_owned(), |key| format!("\"{key}\""));
                let body = format!(
                    "{{\"type\":\"Agent\",\"data\":[{rows}],\"moreAfter\":{next},\"status\":\"success\"}}"
                );
                (Vec::new(), body)
            }
            Self::JumpCloudV1 => {
                (Vec::new(), format!("{{\"totalCount\": {total}, \"results\": [{rows}]}}"))
            }
            Self::JumpCloudV2 => (vec![("x-total-count", total.to_string())], format!("[{rows}]")),
        }
    }

    /// An error's body.
    pub(crate) fn error(self, refusal: &Refusal) -> String {
        let message = serde_json::Value::from(refusal.message.as_str());
        match (self, refusal.field) {
            (Self::Ixon, Some(field)) => format!(
                "{{\"type\":\"Error\",\"data\":[{{\"message\":{message},\"propertyName\":\"{field}\"}}],\
                 \"moreAfter\":null,\"status\":\"error\"}}"
            ),
            (Self::Ixon, None) => format!(
                "{{\"type\":\"Error\",\"data\":[{{\"message\":{message}}}],\
                 \"moreAfter\":null,\"status\":\"error\"}}"
            ),
            (Self::JumpCloudV1 | Self::JumpCloudV2, _) => format!("{{\"message\": {message}}}"),
        }
    }
}
