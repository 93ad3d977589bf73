//! JumpCloud's v1 search: a list that is asked for with POST, with its conditions in the body.
//!
//! Sources: the v1 API documents, and the bodies that the vendor's own PowerShell module sends.

use serde_json::{Value, json};

use super::jumpcloud::V1;
use super::{Bound, Call, Carrier, Dialect, Spec};
use crate::filter::{Comparison, Field, Filter};
use crate::{KeyRef, Query};

/// The filters of JumpCloud's v1 search: objects, which can be nested.
#[derive(Debug)]
pub struct JumpCloudSearch(());

/// `POST /api/search/systemusers` and its like: the page of [`JUMPCLOUD_V1`](super::JUMPCLOUD_V1).
///
/// It only reads, so a layer below may send it again. `sort` in the body is what public clients
/// send; the API's documents do not list it, and an API that ignores it ends the scan as inconsistent.
pub const JUMPCLOUD_SEARCH: Dialect<JumpCloudSearch> = Dialect::of(Spec {
    name: "jumpcloud-search",
    carrier: Carrier::Body,
    // The vendor's module asks for 1000, and for command results for 100 since 1000 failed there.
    ceiling: |path| if path.ends_with("/commandresults") { 100 } else { 1000 },
    lists: None,
    is_sortable: |_| true,
    fields: Some(("fields", " ")),
    call,
    bound: Some(Bound { filter: bound, is_declared: false, beside_any: true }),
    ..V1
});

fn call(call: &mut Call<'_>) {
    let mut all = call.filters();
    match call.any_of() {
        [] => {}
        any if all.is_empty() => call.member("filter", json!({ "or": any })),
        any => all.push(json!({ "or": any })),
    }
    if !all.is_empty() {
        call.member("filter", json!({ "and": all }));
    }
    call.member("limit", call.rows());
    call.member("skip", call.skip());
    call.member("sort", call.sort());
}

fn bound(key: &str, comparison: Comparison, bound: KeyRef<'_>) -> Value {
    let operator = match comparison {
        Comparison::Greater => "$gt",
        Comparison::GreaterOrEqual => "$gte",
        Comparison::Less => "$lt",
    };
    json!({ key: { operator: bound.to_json() } })
}

impl Field<JumpCloudSearch> {
    fn with(&self, operator: &str, value: impl Into<Value>) -> Filter<JumpCloudSearch> {
        Filter::of(json!({ self.name(): { operator: value.into() } }))
    }

    /// Equal.
    #[must_use]
    pub fn eq(&self, value: impl Into<Value>) -> Filter<JumpCloudSearch> {
        Filter::of(json!({ self.name(): value.into() }))
    }

    /// Not equal.
    #[must_use]
    pub fn ne(&self, value: impl Into<Value>) -> Filter<JumpCloudSearch> {
        self.with("$ne", value)
    }

    /// Greater.
    #[must_use]
    pub fn gt(&self, value: impl Into<Value>) -> Filter<JumpCloudSearch> {
        self.with("$gt", value)
    }

    /// Greater or equal.
    #[must_use]
    pub fn gte(&self, value: impl Into<Value>) -> Filter<JumpCloudSearch> {
        self.with("$gte", value)
    }

    /// Less.
    #[must_use]
    pub fn lt(&self, value: impl Into<Value>) -> Filter<JumpCloudSearch> {
        self.with("$lt", value)
    }

    /// Less or equal.
    #[must_use]
    pub fn lte(&self, value: impl Into<Value>) -> Filter<JumpCloudSearch> {
        self.with("$lte", value)
    }

    /// Matching this regular expression.
    #[must_use]
    pub fn regex(&self, expression: impl Into<String>) -> Filter<JumpCloudSearch> {
        self.with("$regex", expression.into())
    }
}

impl Query<JumpCloudSearch> {
    /// Rows that match one of these at least.
    #[must_use]
    pub fn any_of(self, filters: impl IntoIterator<Item = Filter<JumpCloudSearch>>) -> Self {
        self.or(filters)
    }

    /// Rows with this term in one of these fields: `searchFilter`.
    #[must_use]
    pub fn search<'a>(self, term: &str, fields: impl IntoIterator<Item = &'a str>) -> Self {
        let fields: Vec<_> = fields.into_iter().collect();
        self.with("searchFilter", json!({ "searchTerm": term, "fields": fields }))
    }
}
