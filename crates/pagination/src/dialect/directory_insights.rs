//! JumpCloud's Directory Insights: events after a `search_after`, within a closed range of time.
//!
//! Source: the Directory Insights API document. Its page ends the list when fewer rows come than were
//! asked for, stated as numbers in two headers.

use std::time::{SystemTime, UNIX_EPOCH};

use core::time::Duration;

use serde_json::{Value, json};

use super::{Call, Carrier, Dialect, Method, Spec};
use crate::filter::{Field, Filter};
use crate::page::{Answer, KeyField, Next, NotAPage, Page};
use crate::{InvalidQuery, Order, Query};

/// The conditions of Directory Insights: `search_term`.
#[derive(Debug)]
pub struct DirectoryInsights(());

/// `POST /insights/directory/v1/events`: a bare array, with `X-Result-Count`, `X-Limit` and
/// `X-Search_after` in its headers. It needs [`Query::events`].
pub const DIRECTORY_INSIGHTS: Dialect<DirectoryInsights> = Dialect::of(Spec {
    name: "jumpcloud-directory-insights",
    method: Method::Cursor,
    carrier: Carrier::Body,
    ceiling: |_| 10_000,
    key: KeyField { paths: &["id"], is_required: false, is_unique: true },
    fields: Some(("fields", "")),
    own_parameters: &["limit", "sort", "skip", "search_after", "search_term"],
    organization: Some(("x-org-id", &[])),
    call,
    page,
    ..Spec::PLAIN
});

fn call(call: &mut Call<'_>) {
    let (all, any) = (call.filters(), call.any_of());
    let mut terms = serde_json::Map::new();
    if !all.is_empty() {
        terms.insert("and".into(), all.into());
    }
    if !any.is_empty() {
        terms.insert("or".into(), any.into());
    }
    if !terms.is_empty() {
        call.member("search_term", terms);
    }
    call.member("limit", call.rows());
    call.member("sort", if call.order() == Order::Descending { "DESC" } else { "ASC" });
    if let Some(cursor) = call.cursor() {
        // `page` has read it once already.
        call.member("search_after", serde_json::from_str(cursor).unwrap_or(Value::Null));
    }
}

fn page(answer: &Answer<'_>) -> Result<Page, NotAPage> {
    let page = answer.list()?;
    let count = answer.count_of("x-result-count").unwrap_or(page.places());
    let is_full = answer.count_of("x-limit").map_or(count > 0, |limit| count >= limit);
    if !is_full || count == 0 {
        return Ok(page.with_next(Next::End));
    }
    let after = answer.headers().get("x-search_after").and_then(|after| after.to_str().ok());
    let after = after.ok_or(NotAPage::Lacks { part: "X-Search_after" })?;
    if !serde_json::from_str::<Value>(after).is_ok_and(|after| after.is_array()) {
        return Err(NotAPage::NoCursor { part: "X-Search_after" });
    }
    Ok(page.with_next(Next::Cursor(after.into())))
}

impl Field<DirectoryInsights> {
    /// Equal.
    #[must_use]
    pub fn eq(&self, value: impl Into<Value>) -> Filter<DirectoryInsights> {
        Filter::of(json!({ self.name(): value.into() }))
    }
}

impl Query<DirectoryInsights> {
    /// Rows that match one of these at least.
    #[must_use]
    pub fn any_of(self, filters: impl IntoIterator<Item = Filter<DirectoryInsights>>) -> Self {
        self.or(filters)
    }

    /// The events of these services (`"all"` for every one) in this range of time, both ends included. A
    /// range that has an end cannot grow while it is read; events that arrive late need an end that
    /// lies far enough back.
    #[must_use]
    pub fn events<'a>(
        self,
        services: impl IntoIterator<Item = &'a str>,
        from: SystemTime,
        to: SystemTime,
    ) -> Self {
        let services: Vec<_> = services.into_iter().collect();
        self.with("service", json!(services)).spanning(from, to)
    }

    fn spanning(mut self, from: SystemTime, to: SystemTime) -> Self {
        // Whole milliseconds, as they are written: what is finer would be asked for by two slices.
        let whole = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            UNIX_EPOCH + Duration::from_millis(u64::try_from(since).unwrap_or(0))
        };
        let (from, to) = (whole(from), whole(to));
        let text = |time| humantime::format_rfc3339_millis(time).to_string();
        self.terms.span = Some((from, to));
        self.with("start_time", text(from)).with("end_time", text(to))
    }

    /// The same events in `slices` ranges of time of equal length, to be read side by side or one after the
    /// other, each with its own checkpoint.
    ///
    /// Two ranges that touch both ask for the moment between them, and only the later one delivers its
    /// events: nothing depends on whether the API counts an end as part of a range.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::NoRange`] before [`events`](Self::events), for a range that is empty or for no slices.
    pub fn slices(&self, slices: u32) -> Result<Vec<Self>, InvalidQuery> {
        let range =
            self.terms.span.and_then(|(from, to)| Some((from, to.duration_since(from).ok()?)));
        let Some((from, length)) = range.filter(|(_, length)| !length.is_zero() && slices > 0)
        else {
            return Err(InvalidQuery::NoRange);
        };
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let at = |slice: u32| {
            let part = u128::from(millis) * u128::from(slice) / u128::from(slices);
            from + Duration::from_millis(u64::try_from(part).unwrap_or(u64::MAX))
        };
        Ok((0..slices)
            .map(|slice| {
                let is_last = slice + 1 == slices;
                let end = if is_last { from + length } else { at(slice + 1) };
                let mut query = self.clone().spanning(at(slice), end);
                query.terms.before = (!is_last).then_some(("timestamp", end));
                // The events' time decides what a slice leaves to the next.
                for (_, names) in
                    query.terms.members.iter_mut().filter(|(name, _)| name == "fields")
                {
                    if let Some(names) = names.as_array_mut() {
                        if !names.iter().any(|name| name == "timestamp") {
                            names.push("timestamp".into());
                        }
                    }
                }
                query
            })
            .collect())
    }
}
