//! IXON's APIv2 lists: an opaque cursor in both directions.
//!
//! Sources: "Common errors" and the OpenAPI document; `page-size` and `page-after` are documented on
//! the developer pages only.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::{ApiWords, Dialect, Method};
use crate::page::{Keys, Next, NotAPage, Page, members};

/// `{"type": …, "data": [{"publicId": …}, …], "moreAfter": null, "status": "success"}`.
pub const IXON: Dialect = Dialect {
    name: "ixon",
    method: Method::Cursor { position: "page-after", size: "page-size" },
    // No ceiling is documented; the vendor's own code asks for 250 to 4000 rows. Our choice.
    ceiling: 1000,
    filter_parameter: "filters",
    own_parameters: &["page-after", "page-size"],
    headers: &[("accept", "application/json"), ("api-version", "2")],
    page,
    words,
};

fn page(_: &HeaderMap, body: &Bytes) -> Result<Page, NotAPage> {
    let [data, more_after, status] = members(body, ["data", "moreAfter", "status"])?;
    if status.is_some_and(|status| status.get() == "\"error\"") {
        return Err(NotAPage::SaysError);
    }
    let data = data.ok_or(NotAPage::Lacks { part: "`data`" })?.get();
    let page = match data.as_bytes().first() {
        Some(b'[') => Page::of_rows(body, data.as_bytes(), "publicId", Keys::Optional)?,
        // "data" is an object when one value is returned.
        Some(b'{') => {
            let list = Bytes::from(format!("[{data}]"));
            Page::of_rows(&list, &list, "publicId", Keys::Optional)?
        }
        _ => {
            return Err(NotAPage::Lacks { part: "list in `data`" });
        }
    };
    // Without the member nobody says that this is the end.
    let more_after = more_after.ok_or(NotAPage::Lacks { part: "`moreAfter`" })?;
    let next = match serde_json::from_str(more_after.get())? {
        Value::Null => Next::End,
        Value::String(cursor) if cursor.is_empty() => Next::End,
        Value::String(cursor) => Next::Cursor(cursor),
        Value::Number(cursor) => Next::Cursor(cursor.to_string()),
        _ => {
            return Err(NotAPage::Lacks { part: "cursor in `moreAfter`" });
        }
    };
    Ok(Page { next, ..page })
}

/// `{"data": [{"message": "Invalid value", "propertyName": "Api-Company"}], …}`
fn words(body: &[u8]) -> Option<ApiWords> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let first = json.get("data")?.get(0)?;
    let text = |name| first.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(ApiWords { message: text("message")?, field: text("propertyName") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &'static str) -> Result<Page, NotAPage> {
        page(&HeaderMap::new(), &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn data_is_a_list_or_one_object() {
        for body in [
            r#"{"data":[{"publicId":"a"}],"moreAfter":null,"status":"success"}"#,
            r#"{"data":{"publicId":"a"},"moreAfter":null,"status":"success"}"#,
        ] {
            let page = parse(body).unwrap();
            assert_eq!(page.rows[0].json(), r#"{"publicId":"a"}"#);
            assert_eq!((page.rows.len(), page.next), (1, Next::End));
        }
    }

    #[test]
    fn only_null_ends_a_list_and_nothing_said_is_no_end() {
        for (more_after, next) in [
            ("null", Ok(Next::End)),
            ("\"\"", Ok(Next::End)),
            ("\"x\"", Ok(Next::Cursor("x".into()))),
            ("7", Ok(Next::Cursor("7".into()))),
            ("{}", Err(NotAPage::Lacks { part: "cursor in `moreAfter`" })),
        ] {
            let body = format!(r#"{{"data":[],"moreAfter":{more_after}}}"#);
            let page = page(&HeaderMap::new(), &Bytes::from(body)).map(|page| page.next);
            assert_eq!(page, next, "{more_after}");
        }
        assert_eq!(parse(r#"{"data":[]}"#).unwrap_err(), NotAPage::Lacks { part: "`moreAfter`" });
    }

    #[test]
    fn an_error_with_status_200_is_an_error() {
        let body = r#"{"type":"Error","data":[{"message":"m"}],"moreAfter":null,"status":"error"}"#;
        assert_eq!(parse(body).unwrap_err(), NotAPage::SaysError);
    }

    #[test]
    fn says_which_header_is_wrong() {
        let body = br#"{"data":[{"message":"Required header","propertyName":"Api-Company"}]}"#;
        let words = words(body).unwrap();
        assert_eq!((words.message(), words.field()), ("Required header", Some("Api-Company")));
    }
}
