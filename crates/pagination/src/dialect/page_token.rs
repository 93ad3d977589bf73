//! APIs of Google's kind: page tokens (AIP-158) and errors as `google.rpc.Status`.

use serde_json::Value;

use super::{ApiWords, Call, Dialect, Method, Spec};
use crate::page::{Answer, KeyField, NotAPage, Page};

/// `{"users": [{"name": …}, …], "nextPageToken": "…"}`, whatever the list is called.
///
/// A page with a token may be short or empty; only an empty token, or none, is the end. `next_page_token` is read as
/// well, and any other member that looks like a token is an error. A list without rows may be left out, as JSON made
/// from protocol buffers does. An answer with `unreachable` or `incompleteSearch` is partial.
pub const PAGE_TOKEN: Dialect = Dialect::of(Spec {
    name: "page-token",
    method: Method::Cursor,
    // AIP-158 leaves it to the API, which may send fewer. Our choice.
    ceiling: |_| 1000,
    key: KeyField { paths: &["name"], is_required: false, is_unique: false },
    has_reverse: false,
    own_parameters: &["pageToken", "pageSize"],
    call,
    page,
    words,
    ..Spec::PLAIN
});

fn call(call: &mut Call<'_>) {
    for filter in call.filters() {
        call.parameter("filter", filter);
    }
    call.parameter("pageSize", call.rows());
    if let Some(token) = call.cursor() {
        call.parameter("pageToken", token);
    }
}

fn page(answer: &Answer<'_>) -> Result<Page, NotAPage> {
    let [token, same_token, total, error, code, unreachable, incomplete] = answer.object([
        "nextPageToken",
        "next_page_token",
        "totalSize",
        "error",
        "code",
        "unreachable",
        "incompleteSearch",
    ])?;
    if words(answer.body()).is_some() && (error.json().is_some() || code.json().is_some()) {
        return Err(NotAPage::SaysError);
    }
    let token = if token.json().is_some() { token } else { same_token };
    if token.json().is_none() && answer.has_other_token()? {
        // The end would be a guess.
        return Err(NotAPage::Lacks { part: "nextPageToken" });
    }
    let page = answer.only_list_but("unreachable")?;
    let is_bare = page.places() == 0 && token.json().is_none() && unreachable.json().is_none();
    if is_bare && answer.body().trim_ascii() != b"{}" && !answer.has_list()? {
        // A notice of maintenance, for one: `{}` alone is an empty list.
        return Err(NotAPage::NoList { part: "body" });
    }
    let page = page.with_partial(unreachable).with_partial(incomplete);
    Ok(page.with_total(total.count()).with_next(token.cursor_or_end()?))
}

/// `{"error": {"code": 5, "message": "…", "status": "NOT_FOUND"}}`, or the same without `error`.
fn words(body: &[u8]) -> Option<ApiWords> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let error = json.get("error").unwrap_or(&json);
    let message = error.get("message")?.as_str()?.to_owned();
    Some(ApiWords { message, field: None })
}
