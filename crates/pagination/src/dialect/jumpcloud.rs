//! JumpCloud's lists: v1 answers an object, v2 a bare array and a header.
//!
//! Sources: "Retry API requests" (sort by `_id` with skip and filter), "API errors and limits", and the
//! v1 and v2 API documents; the ceilings and the paths without `sort` or `x-org-id` from the latter.

use serde_json::Value;

use super::{Bound, Call, Dialect, Lists, Method, Spec};
use crate::filter::{Comparison, Field, Filter, plain};
use crate::page::{Answer, KeyField, Next, NotAPage, Page};
use crate::{InvalidQuery, KeyRef, Query, link};

/// The filters of JumpCloud's v1 lists: `field:$operator:value`, compared with regard to case.
#[derive(Debug)]
pub struct JumpCloudV1(());

/// The filters of JumpCloud's v2 lists: `field:operator:value`.
#[derive(Debug)]
pub struct JumpCloudV2(());

/// `GET /api/systemusers` and its like: `{"totalCount": 2, "results": [{"_id": …}, …]}`.
pub const JUMPCLOUD_V1: Dialect<JumpCloudV1> = Dialect::of(V1);

/// `GET /api/v2/usergroups` and its like: `[{"id": …}, …]` and the header `x-total-count`.
///
/// The document that asks for the sort by `_id` speaks of both versions, so that is what is sent;
/// `id`, the field's name in v2's rows, is accepted as well. Members, associations and what is reached
/// through them cannot be sorted, and rows of System Insights have no key of their own: they need
/// [`Query::unstable`], and the latter [`Query::key`].
pub const JUMPCLOUD_V2: Dialect<JumpCloudV2> = Dialect::of(V2);

/// The v2 lists that are paged by `Link: <…>; rel="next"` alone.
///
/// Lists that take `skip` are better read as [`JUMPCLOUD_V2`]: a link holds an offset, so rows are lost while rows are
/// deleted, and the scan is best effort.
pub const JUMPCLOUD_V2_LINK: Dialect<JumpCloudV2> = Dialect::of(V2_LINK);

pub(super) const V1: Spec = Spec {
    name: "jumpcloud-v1",
    ceiling: |_| 100,
    method: Method::Offset,
    key: KeyField { paths: &["_id"], is_required: true, is_unique: true },
    keys_in_order: true,
    sort_fields: &["_id"],
    sort_separator: Some(b' '),
    lists: Some(&Lists { is_list: is_list_v1, pages_by: PAGES_BY, parameter: "sort" }),
    is_sortable: |path| !path.contains("/files/command/"),
    fields: Some(("fields", " ")),
    own_parameters: &["skip", "limit", "sort"],
    organization: Some((
        "x-org-id",
        &[
            "/api/search/organizations",
            "/api/organizations",
            "/api/users",
            "/api/v2/organizations",
            "/api/v2/administrators",
            "/api/v2/providers",
            "/api/v2/integrations",
        ],
    )),
    call: call_v1,
    page: page_v1,
    bound: Some(Bound { filter: bound_v1, is_declared: false, beside_any: false }),
    ..Spec::PLAIN
};

const V2: Spec = Spec {
    name: "jumpcloud-v2",
    ceiling: |path| if path.contains("/systeminsights/") { 10_000 } else { 100 },
    key: KeyField { paths: &["id"], is_required: true, is_unique: true },
    sort_fields: &["_id", "id"],
    lists: Some(&Lists {
        is_list: |path| path.contains("/v2/"),
        pages_by: PAGES_BY,
        parameter: "sort",
    }),
    sort_separator: Some(b','),
    is_sortable: is_sortable_v2,
    fields: Some(("fields", ",")),
    call: call_v2,
    page: page_v2,
    bound: Some(Bound { filter: bound_v2, is_declared: false, beside_any: true }),
    ..V1
};

const V2_LINK: Spec = Spec {
    name: "jumpcloud-v2-link",
    method: Method::Link,
    key: KeyField { paths: &["id"], is_required: false, is_unique: true },
    call: call_v2_link,
    page: page_v2_link,
    bound: None,
    ..V2
};

/// A first page may name its limit only, and must have the order of those that follow.
const PAGES_BY: &[&str] = &["skip", "limit", "filter"];

/// The v1 lists that take `sort`.
fn is_list_v1(path: &str) -> bool {
    let list = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    matches!(
        list,
        "application-templates"
            | "applications"
            | "commandresults"
            | "commands"
            | "organizations"
            | "radiusservers"
            | "systems"
            | "systemusers"
            | "users"
    ) && !path.contains("/v2/")
        && !path.contains("/search/")
}

/// The kinds of things that v2's graph joins: a list of these below one of these has no `sort`.
const GRAPH: [&str; 13] = [
    "activedirectories",
    "applications",
    "commands",
    "directories",
    "gsuites",
    "ldapservers",
    "office365s",
    "policies",
    "policygroups",
    "radiusservers",
    "systemgroups",
    "systems",
    "usergroups",
];

fn is_sortable_v2(path: &str) -> bool {
    let mut segments = path.trim_end_matches('/').rsplit('/');
    let last = segments.next().unwrap_or_default();
    let owner = segments.nth(1).unwrap_or_default();
    let is_graph = |kind: &str| kind == "users" || GRAPH.contains(&kind);
    let is_traversal = is_graph(last) && is_graph(owner);
    // Rows of System Insights have no key of their own.
    !path.contains("/systeminsights/")
        && !matches!(last, "associations" | "members" | "memberof")
        && !is_traversal
}

fn call_v1(call: &mut Call<'_>) {
    let filters = call.filters();
    match &filters[..] {
        [one] => call.parameter("filter", one.clone()),
        several => {
            for (at, filter) in several.iter().enumerate() {
                call.parameter(&format!("filter[{at}]"), filter.clone());
            }
        }
    }
    for (at, filter) in call.any_of().iter().enumerate() {
        call.parameter(&format!("filter[or][{at}]"), filter.clone());
    }
    position(call);
}

fn call_v2(call: &mut Call<'_>) {
    for filter in call.filters() {
        call.parameter("filter", filter);
    }
    position(call);
}

fn call_v2_link(call: &mut Call<'_>) {
    for filter in call.filters() {
        call.parameter("filter", filter);
    }
    call.parameter("limit", call.rows());
    call.parameter("sort", call.sort());
}

fn position(call: &mut Call<'_>) {
    call.parameter("limit", call.rows());
    call.parameter("skip", call.skip());
    if !call.sort().is_empty() {
        call.parameter("sort", call.sort());
    }
}

fn bound_v1(key: &str, comparison: Comparison, bound: KeyRef<'_>) -> Value {
    let operator = match comparison {
        Comparison::Greater => "$gt",
        Comparison::GreaterOrEqual => "$gte",
        Comparison::Less => "$lt",
    };
    format!("{key}:{operator}:{bound}").into()
}

fn bound_v2(key: &str, comparison: Comparison, bound: KeyRef<'_>) -> Value {
    let operator = match comparison {
        Comparison::Greater => "gt",
        Comparison::GreaterOrEqual => "ge",
        Comparison::Less => "lt",
    };
    format!("{key}:{operator}:{bound}").into()
}

fn page_v1(answer: &Answer<'_>) -> Result<Page, NotAPage> {
    let [results, total] = answer.object(["results", "totalCount"])?;
    if results.json().is_some_and(|results| !results.starts_with('[')) {
        return Err(NotAPage::NoList { part: "results" });
    }
    Ok(answer.rows_in(results)?.with_total(total.count()))
}

fn page_v2(answer: &Answer<'_>) -> Result<Page, NotAPage> {
    Ok(answer.list()?.with_total(answer.count_of("x-total-count")))
}

fn page_v2_link(answer: &Answer<'_>) -> Result<Page, NotAPage> {
    // Some lists of v2 page by `skip` alone and send no link, which is not their end: the total tells.
    let next = link::next(answer.headers())?;
    Ok(page_v2(answer)?.with_next(next.map_or(Next::Unsaid, |link| Next::Cursor(link.into()))))
}

/// The values with what separates them, which none of them may hold.
fn joined(values: impl IntoIterator<Item = Value>, separator: &str) -> Result<Value, InvalidQuery> {
    let values: Vec<String> = values.into_iter().map(|value| plain(&value)).collect();
    match values.iter().find(|value| value.contains(separator)) {
        Some(value) => Err(InvalidQuery::Separator { value: value.clone() }),
        None => Ok(values.join(separator).into()),
    }
}

impl Field<JumpCloudV1> {
    /// Equal.
    #[must_use]
    pub fn eq(&self, value: impl Into<Value>) -> Filter<JumpCloudV1> {
        self.colons("$eq", &value.into())
    }

    /// Not equal.
    #[must_use]
    pub fn ne(&self, value: impl Into<Value>) -> Filter<JumpCloudV1> {
        self.colons("$ne", &value.into())
    }

    /// Greater.
    #[must_use]
    pub fn gt(&self, value: impl Into<Value>) -> Filter<JumpCloudV1> {
        self.colons("$gt", &value.into())
    }

    /// Greater or equal.
    #[must_use]
    pub fn gte(&self, value: impl Into<Value>) -> Filter<JumpCloudV1> {
        self.colons("$gte", &value.into())
    }

    /// Less.
    #[must_use]
    pub fn lt(&self, value: impl Into<Value>) -> Filter<JumpCloudV1> {
        self.colons("$lt", &value.into())
    }

    /// Less or equal.
    #[must_use]
    pub fn lte(&self, value: impl Into<Value>) -> Filter<JumpCloudV1> {
        self.colons("$lte", &value.into())
    }
}

impl Query<JumpCloudV1> {
    /// Rows that match one of these at least: `filter[or][0]=…`.
    #[must_use]
    pub fn any_of(self, filters: impl IntoIterator<Item = Filter<JumpCloudV1>>) -> Self {
        self.or(filters)
    }
}

impl Field<JumpCloudV2> {
    /// Equal.
    #[must_use]
    pub fn eq(&self, value: impl Into<Value>) -> Filter<JumpCloudV2> {
        self.colons("eq", &value.into())
    }

    /// Not equal.
    #[must_use]
    pub fn ne(&self, value: impl Into<Value>) -> Filter<JumpCloudV2> {
        self.colons("ne", &value.into())
    }

    /// Greater.
    #[must_use]
    pub fn gt(&self, value: impl Into<Value>) -> Filter<JumpCloudV2> {
        self.colons("gt", &value.into())
    }

    /// Greater or equal.
    #[must_use]
    pub fn ge(&self, value: impl Into<Value>) -> Filter<JumpCloudV2> {
        self.colons("ge", &value.into())
    }

    /// Less.
    #[must_use]
    pub fn lt(&self, value: impl Into<Value>) -> Filter<JumpCloudV2> {
        self.colons("lt", &value.into())
    }

    /// Less or equal.
    #[must_use]
    pub fn le(&self, value: impl Into<Value>) -> Filter<JumpCloudV2> {
        self.colons("le", &value.into())
    }

    /// From the first value to the second.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::Separator`] for a value with a comma.
    pub fn between(
        &self,
        from: impl Into<Value>,
        to: impl Into<Value>,
    ) -> Result<Filter<JumpCloudV2>, InvalidQuery> {
        Ok(self.colons("between", &joined([from.into(), to.into()], ",")?))
    }

    /// With this text in it.
    #[must_use]
    pub fn search(&self, text: impl Into<Value>) -> Filter<JumpCloudV2> {
        self.colons("search", &text.into())
    }

    /// One of these values.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::Separator`] for a value with a `|`.
    pub fn is_in<V: Into<Value>>(
        &self,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Filter<JumpCloudV2>, InvalidQuery> {
        Ok(self.colons("in", &joined(values.into_iter().map(Into::into), "|")?))
    }
}
