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
    /// gRPC over HTTP/2, unary: each call, whatever its method, answers with the message that it was sent. Its
    /// faults are answers without a body, by [`Fault::grpc`](crate::Fault::grpc).
    Grpc,
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
    /// Kubernetes' lists: `limit`, `continue`, `remainingItemCount`; errors as `Status`.
    Kubernetes,
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
    /// The token behind which the list goes on.
    goes_on: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), field: None, goes_on: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// The code of google.rpc.Code.
    const fn code(&self) -> u8 {
        match self.status {
            400 => 3,
            401 => 16,
            403 => 7,
            404 => 5,
            429 => 8,
            503 => 14,
            504 => 4,
            _ => 13,
        }
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
            Self::Grpc => "/",
            Self::Ixon => "/api/agents",
            Self::JumpCloudSearch => "/api/search/systemusers",
            Self::JumpCloudV1 => "/api/systemusers",
            Self::JumpCloudV2 => "/api/v2/usergroups",
            Self::JumpCloudV2Link => "/api/v2/systemgroups",
            Self::Kubernetes => "/api/v1/namespaces/demo/configmaps",
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
            Self::Kubernetes | Self::PageToken => "name",
            _ => "id",
        }
    }

    /// The largest page: the documented one, our choice for IXON and page tokens.
    pub(crate) const fn ceiling(self) -> usize {
        match self {
            Self::DirectoryInsights => 10_000,
            Self::Ixon => 4000,
            // A call has no page, and Kubernetes no limit.
            Self::Grpc | Self::Kubernetes => usize::MAX,
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
            Self::DirectoryInsights | Self::Grpc | Self::JumpCloudSearch => Method::POST,
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

    /// The content type of its answers.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            _ => "application/json",
        }
    }

    pub(crate) fn unauthorized(self) -> Refusal {
        match self {
            Self::Ixon => Refusal::new(401, "Invalid value").about("Authorization"),
            _ => Refusal::new(401, "Unauthorized"),
        }
    }

    /// A page: its headers and its body.
    pub(crate) fn page(self, rows: &[&Row], told: &Told<'_>) -> PageText {
        let list = rows.iter().map(|row| self.row(row)).collect::<Vec<_>>().join(",\n ");
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
            // A call answers with its own message, and has no rows.
            Self::Grpc => (Vec::new(), String::new()),
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
                headers.extend(told.link(self).map(|link| ("link", link)));
                (headers, format!("[{list}]"))
            }
            Self::Kubernetes => {
                let mut metadata = json!({ "resourceVersion": "1" });
                if let Some(key) = next {
                    metadata["continue"] = key.into();
                    metadata["remainingItemCount"] = told.left.into();
                }
                let body = format!(
                    "{{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{metadata},\
                     \"items\":[{list}]}}"
                );
                (Vec::new(), body)
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

    /// A row as it stands in a page.
    fn row(self, row: &Row) -> String {
        if self != Self::Kubernetes {
            return row.json().to_owned();
        }
        // The object's name is the key; etcd lists in that order.
        let metadata = json!({ "name": row.key(), "namespace": "demo", "uid": row.key() });
        json!({ "metadata": metadata, "data": { "row": row.json() } }).to_string()
    }

    /// The answer to a position that is too old: 410, and for Kubernetes a token that leads on all the same.
    pub(crate) fn expired(self, position: &Position) -> Refusal {
        let mut refusal = Refusal::new(410, "The provided continue parameter is too old");
        if let (Self::Kubernetes, Position::After(key)) = (self, position) {
            refusal.goes_on = Some(key.clone());
        }
        refusal
    }

    /// An answer of its own that is no page: its status, its headers and its body.
    pub(crate) fn refused(self, refusal: &Refusal) -> (u16, Vec<(&'static str, String)>, String) {
        if self == Self::Grpc {
            return (200, vec![("grpc-status", refusal.code().to_string())], String::new());
        }
        (refusal.status, Vec::new(), self.error(refusal))
    }

    /// An error's body.
    pub(crate) fn error(self, refusal: &Refusal) -> String {
        let message = &refusal.message;
        match self {
            Self::Grpc => return String::new(),
            Self::Ixon => {
                let mut datum = json!({ "message": message });
                if let Some(field) = refusal.field {
                    datum["propertyName"] = field.into();
                }
                json!({ "type": "Error", "data": [datum], "moreAfter": null, "status": "error" })
            }
            Self::Kubernetes => {
                // The words of metav1.StatusReason.
                let reason = match refusal.status {
                    400 => "BadRequest",
                    401 => "Unauthorized",
                    403 => "Forbidden",
                    404 => "NotFound",
                    405 => "MethodNotAllowed",
                    410 => "Expired",
                    429 => "TooManyRequests",
                    503 => "ServiceUnavailable",
                    504 => "Timeout",
                    _ => "InternalError",
                };
                let mut metadata = json!({});
                if let Some(token) = &refusal.goes_on {
                    metadata["continue"] = token.as_str().into();
                }
                json!({
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": metadata,
                    "status": "Failure",
                    "message": message,
                    "reason": reason,
                    "code": refusal.status,
                })
            }
            Self::Operations1 => {
                let code = if refusal.field == Some("Accept-Version") { "PG3" } else { "PG0" };
                json!({ "message": message, "errorCode": code })
            }
            Self::PageToken => {
                json!({ "code": refusal.code(), "message": message, "details": [] })
            }
            _ => json!({ "message": message }),
        }
        .to_string()
    }
}

#[cfg(test)]
mod tests;
