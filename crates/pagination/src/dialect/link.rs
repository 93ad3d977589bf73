//! APIs that say where the next page is: `Link: <…>; rel="next"` (RFC 8288), as GitHub's.

use super::{Call, Dialect, Method, Spec};
use crate::link;
use crate::page::{Answer, KeyField, Next, NotAPage, Page};

/// A bare array, and the next page's address in a header. A page without one is the last.
///
/// A link is followed only to the origin that was asked. One that holds a page number or an offset loses rows while
/// rows are deleted, so the scan is best effort; so is one that ends with a full page, which may lack its link.
pub const LINK: Dialect = Dialect::of(Spec {
    name: "link",
    method: Method::Link,
    // GitHub's largest page.
    ceiling: |_| 100,
    key: KeyField { paths: &["id"], is_required: false, is_unique: false },
    has_reverse: false,
    own_parameters: &["per_page", "page"],
    call,
    page,
    ..Spec::PLAIN
});

fn call(call: &mut Call<'_>) {
    for filter in call.filters() {
        call.parameter("q", filter);
    }
    call.parameter("per_page", call.rows());
}

fn page(answer: &Answer<'_>) -> Result<Page, NotAPage> {
    let next = link::next(answer.headers())?;
    Ok(answer.list()?.with_next(next.map_or(Next::End, |next| Next::Cursor(next.into()))))
}
