//! JumpCloud's lists: v1 answers an object, v2 a bare array and a header.
//!
//! Sources: "Retry API requests" (sort by `_id` with skip and filter) and the v1 and v2 API documents.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::{ApiWords, Dialect, Method};
use crate::page::{Keys, NotAPage, Page, count, members};

/// `GET /api/systemusers` and its like: `{"totalCount": 2, "results": [{"_id": …}, …]}`.
pub const JUMPCLOUD_V1: Dialect = Dialect {
    name: "jumpcloud-v1",
    method: Method::Offset { sort_fields: &["_id"] },
    ceiling: 100,
    filter_parameter: "filter",
    own_parameters: &["skip", "limit", "sort"],
    headers: &[("accept", "application/json")],
    page: page_v1,
    words,
};

/// `GET /api/v2/usergroups` and its like: `[{"id": …}, …]` and the header `x-total-count`.
///
/// The document that asks for the sort by `_id` speaks of both versions, so that is what is sent;
/// `id`, the field's name in v2's rows, is accepted as well.
pub const JUMPCLOUD_V2: Dialect = Dialect {
    name: "jumpcloud-v2",
    method: Method::Offset { sort_fields: &["_id", "id"] },
    page: page_v2,
    ..JUMPCLOUD_V1
};

fn page_v1(_: &HeaderMap, body: &Bytes) -> Result<Page, NotAPage> {
    let [results, total] = members(body, ["results", "totalCount"])?;
    let results = results.ok_or(NotAPage::Lacks { part: "`results`" })?;
    if !results.get().starts_with('[') {
        return Err(NotAPage::Lacks { part: "list of `results`" });
    }
    let page = Page::of_rows(body, results.get().as_bytes(), "_id", Keys::Required)?;
    Ok(Page { total: count(total), ..page })
}

fn page_v2(headers: &HeaderMap, body: &Bytes) -> Result<Page, NotAPage> {
    if body.trim_ascii_start().starts_with(b"{") {
        members(body, [])?;
        return Err(NotAPage::Lacks { part: "list of rows" });
    }
    let page = Page::of_rows(body, body, "id", Keys::Required)?;
    let total = headers.get("x-total-count").and_then(|total| total.to_str().ok()?.parse().ok());
    Ok(Page { total, ..page })
}

/// `{"message": "…"}`
fn words(body: &[u8]) -> Option<ApiWords> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let message = json.get("message").or_else(|| json.get("error"))?.as_str()?.to_owned();
    Some(ApiWords { message, field: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_v1_may_have_its_parts_in_any_order_and_no_total() {
        for (body, rows, total) in [
            (r#"{"totalCount":2,"results":[{"_id":"a"},{"_id":"b"}]}"#, 2, Some(2)),
            (r#"{ "results" : [ ] , "other": {} , "totalCount" : null }"#, 0, None),
            (r#"{"results":[{"_id":"a"},null]}"#, 1, None),
        ] {
            let page = page_v1(&HeaderMap::new(), &Bytes::from_static(body.as_bytes())).unwrap();
            assert_eq!((page.rows.len(), page.total), (rows, total), "{body}");
        }
    }

    #[test]
    fn what_is_no_page_is_told_what_it_lacks() {
        for (body, error) in [
            ("{}", NotAPage::Lacks { part: "`results`" }),
            (r#"{"results":null}"#, NotAPage::Lacks { part: "list of `results`" }),
            (r#"{"results":{}}"#, NotAPage::Lacks { part: "list of `results`" }),
        ] {
            let body = Bytes::from_static(body.as_bytes());
            assert_eq!(page_v1(&HeaderMap::new(), &body).unwrap_err(), error);
        }
        let object = Bytes::from_static(br#"{"message":"x"}"#);
        let error = page_v2(&HeaderMap::new(), &object).unwrap_err();
        assert_eq!(error, NotAPage::Lacks { part: "list of rows" });
    }

    #[test]
    fn a_page_of_v2_has_its_total_in_a_header() {
        let body = Bytes::from_static(br#" [{"id":"a"}]"#);
        for (header, total) in [("7", Some(7)), ("many", None)] {
            let headers =
                HeaderMap::from_iter([("x-total-count".parse().unwrap(), header.parse().unwrap())]);
            assert_eq!(page_v2(&headers, &body).unwrap().total, total);
        }
    }
}
