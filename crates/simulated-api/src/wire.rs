//! The wire formats: what a request means and how a page or an error is written.

mod list;

use http::{HeaderMap, Method};
use serde_json::json;

use crate::collection::Row;

pub(crate) use list::{List, Position, Told};

/// An API whose wire format is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Api {
    /// JumpCloud's Directory Insights: POST, a bare array, `search_after`, three headers.
    DirectoryInsights,
    /// IXON's APIv2 lists: cursor, `page-size`, `page-after`, `moreAfter`.
    Ixon,
    /// JumpCloud's v1 search: POST, offset, `{"totalCount", "results"}`.
    JumpCloudSearch,
    /// JumpCloud's v1 lists: offset, `{"totalCount", "results"}`.
    JumpCloudV1,
    /// JumpCloud's v2 lists: offset, a bare array, `x-total-count`.
    JumpCloudV2,
    /// JumpCloud's v2 lists that say where the next page is: `Link`.
    JumpCloudV2Link,
    /// A bare array and `Link`, by page number, as GitHub.
    Link,
    /// Operations1's lists: `pageIndex`, `pageSize`, `{"totalItemCount", "items"}`.
    Operations1,
    /// AIP-158: `pageToken`, `pageSize`, `nextPageToken`; errors as google.rpc.Status.
    PageToken,
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
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), field: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    pub(crate) fn about(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }
}

impl Api {
    /// The path of the collection.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::DirectoryInsights => "/insights/directory/v1/events",
            Self::Ixon => "/api/agents",
            Self::JumpCloudSearch => "/api/search/systemusers",
            Self::JumpCloudV1 => "/api/systemusers",
            Self::JumpCloudV2 => "/api/v2/usergroups",
            Self::JumpCloudV2Link => "/api/v2/systemgroups",
            Self::Link => "/repos/demo/demo/issues",
            Self::Operations1 => "/tenants/demo/orders",
            Self::PageToken => "/v1/users",
        }
    }

    /// The field that holds a row's key.
    #[must_use]
    pub const fn key_field(self) -> &'static str {
        match self {
            Self::Ixon => "publicId",
            Self::JumpCloudSearch | Self::JumpCloudV1 => "_id",
            Self::PageToken => "name",
            _ => "id",
        }
    }

    /// The largest page: the documented one, our choice for IXON and for page tokens.
    pub(crate) const fn ceiling(self) -> usize {
        match self {
            Self::DirectoryInsights => 10_000,
            Self::Ixon => 4000,
            Self::JumpCloudSearch | Self::PageToken => 1000,
            Self::JumpCloudV1 | Self::JumpCloudV2 | Self::JumpCloudV2Link | Self::Link => 100,
            Self::Operations1 => 200,
        }
    }

    /// Whether rows have a time.
    pub(crate) const fn is_stamped(self) -> bool {
        matches!(self, Self::DirectoryInsights)
    }

    pub(crate) const fn method(self) -> Method {
        match self {
            Self::DirectoryInsights | Self::JumpCloudSearch => Method::POST,
            _ => Method::GET,
        }
    }

    /// Whether the credential is an `x-api-key`; a bearer otherwise.
    const fn has_api_key(self) -> bool {
        matches!(
            self,
            Self::DirectoryInsights
                | Self::JumpCloudSearch
                | Self::JumpCloudV1
                | Self::JumpCloudV2
                | Self::JumpCloudV2Link
        )
    }

    pub(crate) fn is_authorized(self, headers: &HeaderMap, key: &str) -> bool {
        if self.has_api_key() {
            return headers.get("x-api-key").is_some_and(|value| value == key);
        }
        headers.get("authorization").is_some_and(|value| *value == format!("Bearer {key}"))
    }

    pub(crate) fn unauthorized(self) -> Refusal {
        match self {
            Self::Ixon => Refusal::new(401, "Invalid value").about("Authorization"),
            _ => Refusal::new(401, "Unauthorized"),
        }
    }

    /// A page: its headers and its body.
    pub(crate) fn page(self, rows: &[&Row], told: &Told<'_>) -> PageText {
        let list = rows.iter().map(|row| row.json()).collect::<Vec<_>>().join(",\n ");
        let (total, next) = (told.total, told.next);
        match self {
            Self::DirectoryInsights => {
                let mut headers = vec![
                    ("x-result-count", rows.len().to_string()),
                    ("x-limit", told.list.limit.to_string()),
                ];
                if let Some(last) = rows.last() {
                    // The vendor writes a time and a key, both of the last row.
                    headers.push(("x-search_after", json!([0, last.key()]).to_string()));
                }
                (headers, format!("[{list}]"))
            }
            Self::Ixon => {
                let next = next.map_or("null".to_owned(), |key| format!("\"{key}\""));
                let body = format!(
                    "{{\"type\":\"Agent\",\"data\":[{list}],\"moreAfter\":{next},\"status\":\"success\"}}"
                );
                (Vec::new(), body)
            }
            Self::JumpCloudV1 | Self::JumpCloudSearch => {
                (Vec::new(), format!("{{\"totalCount\": {total}, \"results\": [{list}]}}"))
            }
            Self::JumpCloudV2 => (vec![("x-total-count", total.to_string())], format!("[{list}]")),
            Self::JumpCloudV2Link | Self::Link => {
                let mut headers = vec![("x-total-count", total.to_string())];
                if self == Self::Link {
                    headers.clear(); // GitHub tells none.
                }
                headers.extend(told.link().map(|link| ("link", link)));
                (headers, format!("[{list}]"))
            }
            Self::Operations1 => {
                let (index, size) = (told.list.page_index(), told.list.limit);
                let body = format!(
                    "{{\"totalItemCount\":{total},\"pageIndex\":{index},\"pageSize\":{size},\
                     \"items\":[{list}]}}"
                );
                (Vec::new(), body)
            }
            Self::PageToken => {
                // As JSON made from protocol buffers: an empty list is left out.
                let list =
                    if rows.is_empty() { String::new() } else { format!("\"users\":[{list}],") };
                let token = next.unwrap_or_default();
                (Vec::new(), format!("{{{list}\"nextPageToken\":\"{token}\"}}"))
            }
        }
    }

    /// An error's body.
    pub(crate) fn error(self, refusal: &Refusal) -> String {
        let message = &refusal.message;
        match self {
            Self::Ixon => {
                let mut datum = json!({ "message": message });
                if let Some(field) = refusal.field {
                    datum["propertyName"] = field.into();
                }
                json!({ "type": "Error", "data": [datum], "moreAfter": null, "status": "error" })
            }
            Self::Operations1 => {
                let code = if refusal.field == Some("Accept-Version") { "PG3" } else { "PG0" };
                json!({ "message": message, "errorCode": code })
            }
            Self::PageToken => {
                // The codes of google.rpc.Code.
                let code = match refusal.status {
                    400 => 3,
                    401 => 16,
                    403 => 7,
                    404 => 5,
                    429 => 8,
                    503 => 14,
                    504 => 4,
                    _ => 13,
                };
                json!({ "code": code, "message": message, "details": [] })
            }
            _ => json!({ "message": message }),
        }
        .to_string()
    }
}
