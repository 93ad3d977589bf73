//! Operations1's lists: pages by number.
//!
//! Source: the public API document: `pageIndex` from 0, `pageSize` up to 200, `orderBy=id`, `direction`.

use super::{Call, Dialect, Lists, Method, Place, Spec};
use crate::page::{Answer, KeyField, NotAPage, Page};
use crate::{Order, Query};

/// The parameters by which Operations1 selects rows; it has no operators.
#[derive(Debug)]
pub struct Operations1(());

/// `{"totalItemCount": 2, "pageIndex": 0, "pageSize": 30, "items": [{"id": …}, …]}`.
///
/// `Accept-Version`, which the API requires, is given by [`Query::header`].
pub const OPERATIONS1: Dialect<Operations1> = Dialect::of(Spec {
    name: "operations1",
    method: Method::PageIndex { first: 0 },
    ceiling: |_| 200,
    key: KeyField { paths: &["id"], is_required: true, is_unique: true },
    keys_in_order: true,
    sort_fields: &["id"],
    // One field only: any other order has no tie-breaker.
    lists: Some(&Lists {
        is_list: |path| path.contains("/tenants/"),
        pages_by: &["pageIndex", "pageSize"],
        parameter: "orderBy",
    }),
    own_parameters: &["pageIndex", "pageSize", "orderBy", "direction"],
    call,
    page,
    ..Spec::PLAIN
});

fn call(call: &mut Call<'_>) {
    for filter in call.filters() {
        call.parameter("search", filter);
    }
    if let Place::Page { index } = call.place() {
        call.parameter("pageIndex", index);
    }
    call.parameter("pageSize", call.rows());
    call.parameter("orderBy", call.sort().trim_start_matches('-'));
    call.parameter("direction", if call.order() == Order::Descending { "DESC" } else { "ASC" });
}

fn page(answer: &Answer<'_>) -> Result<Page, NotAPage> {
    let [items, total] = answer.object(["items", "totalItemCount"])?;
    Ok(answer.rows_in(items)?.with_total(total.count()))
}

impl Query<Operations1> {
    /// Rows that were changed at this time or later (`updatedAtMin`, RFC 3339).
    #[must_use]
    pub fn updated_since(self, time: &str) -> Self {
        self.with("updatedAtMin", time)
    }

    /// Rows that were changed at this time or before (`updatedAtMax`, RFC 3339).
    #[must_use]
    pub fn updated_until(self, time: &str) -> Self {
        self.with("updatedAtMax", time)
    }

    /// Rows in one of these states.
    #[must_use]
    pub fn states<'a>(self, states: impl IntoIterator<Item = &'a str>) -> Self {
        states.into_iter().fold(self, |query, state| query.with("states[]", state))
    }

    /// Only rows that are archived, or only those that are not.
    #[must_use]
    pub fn archived(self, archived: bool) -> Self {
        self.with("archived", archived)
    }

    /// Rows with this text of three characters or more.
    #[must_use]
    pub fn search(self, text: &str) -> Self {
        self.with("search", text)
    }
}
