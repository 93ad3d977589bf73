//! The scan: a pure state machine that walks a collection. Pages or failures in, steps out.
//!
//! ```text
//!            ┌─▶ Fetch ──▶ (send it) ──▶ answer(page) · too_heavy() · failed() ─┐
//! step() ────┼─▶ Rows ─▶ (deliver them)                                       │
//!   ▲        ├─▶ Wait ─▶ (for an answer to an earlier PageRequest)                    │
//!   │        ├─▶ Failed ▶ (tell the caller; `retry_failed` goes on)           │
//!   │        └─▶ Done ─▶ (the report says how it ended)                       │
//!   └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`Pages`](crate::Pages) drives it over a tower service; a test or a loop of your own drives it as
//! well. It has no clock and does no I/O.

mod anchored;
mod circle;
mod cursor;
mod index;
mod rows;
mod seen;
mod single;
mod size;
#[cfg(test)]
mod tests;
mod window;

use core::time::Duration;
use std::sync::Arc;

use http::Request;
use retry_policy::Attempts;
use retry_policy::safety::Shrinkable;

use crate::checkpoint::Resume;
use crate::dialect::Method;
use crate::page::Page;
use crate::query::PagePosition;
use crate::report::Report;
use crate::{Checkpoint, InvalidCheckpoint, InvalidQuery, Key, Keyed, Order, Outcome, Query, Row};
use anchored::Anchored;
use cursor::Cursored;
use rows::Origin;
use seen::Seen;

pub use rows::Rows;

/// A scan of one query, whose pages hold rows of the type `R`.
#[derive(Debug)]
pub struct Scan<R = Row> {
    query: Arc<Query>,
    fingerprint: u64,
    walk: Walk<R>,
    report: Report,
    /// The rows that the query's limit leaves.
    left: Option<u64>,
    /// The place behind the last rows, where the walk is further.
    here: Option<Checkpoint>,
    end: Option<Outcome>,
}

/// How the next page is found.
#[derive(Debug)]
enum Walk<R> {
    Anchored(Box<Anchored<R>>),
    Cursor(Box<Cursored<R>>),
    Seen(Box<Seen<R>>),
}

/// What the scan needs next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<R = Row> {
    /// This page must be asked for.
    Fetch(PageRequest),
    /// The scan is over.
    Done,
    /// The page that comes next has failed.
    Failed {
        /// The number of its [`PageRequest`].
        id: u64,
    },
    /// These rows come next.
    Rows(Rows<R>),
    /// Nothing, until a page that was asked for is answered.
    Wait,
}

/// A page to ask for.
#[derive(Clone, Debug)]
pub struct PageRequest {
    pub(crate) id: u64,
    pub(crate) at: PagePosition,
    pub(crate) rows: u32,
    pub(crate) mark: Shrinkable,
}

impl PageRequest {
    /// Its number, by which the answer is handed in.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The rows to ask for.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// The cursor behind which the page begins, if it begins behind one.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        match &self.at {
            PagePosition::Cursor(cursor) => cursor.as_deref(),
            PagePosition::Rank { .. } => None,
        }
    }

    /// The rank at which the page begins and its order, unless it begins behind a cursor.
    #[must_use]
    pub const fn rank(&self) -> Option<(u64, Order)> {
        match self.at {
            PagePosition::Rank { skip, order, .. } => Some((skip, order)),
            PagePosition::Cursor(_) => None,
        }
    }

    /// The key that all its rows follow in the order of the scan, if it begins behind one.
    #[must_use]
    pub const fn above(&self) -> Option<&Key> {
        match &self.at {
            PagePosition::Rank { above, .. } => above.as_ref(),
            PagePosition::Cursor(_) => None,
        }
    }

    /// Whether the scan can ask for fewer rows instead.
    #[must_use]
    pub const fn is_shrinkable(&self) -> bool {
        self.mark.can_shrink()
    }
}

/// Every walk answers the same calls.
macro_rules! walk {
    ($walk:expr, $name:ident => $call:expr) => {
        match $walk {
            Walk::Anchored($name) => $call,
            Walk::Cursor($name) => $call,
            Walk::Seen($name) => $call,
        }
    };
}

impl<R: Keyed> Scan<R> {
    /// A scan from the beginning.
    #[must_use]
    pub fn new<G>(query: Query<G>) -> Self {
        let query = query.untyped();
        let terms = &query.terms;
        let walk = match terms.spec.method {
            Method::Offset | Method::PageIndex { .. } => {
                if terms.is_unstable || !terms.sorted.is_empty() {
                    Walk::Seen(Box::new(Seen::new(terms)))
                } else {
                    Walk::Anchored(Box::new(Anchored::new(terms)))
                }
            }
            Method::Cursor | Method::Link => Walk::Cursor(Box::new(Cursored::new(terms))),
        };
        let (fingerprint, left) = (query.fingerprint(), terms.limit);
        let end = (left == Some(0)).then_some(Outcome::LimitReached { more: None });
        Self {
            query: Arc::new(query),
            fingerprint,
            walk,
            report: Report::default(),
            left,
            here: None,
            end,
        }
    }

    /// A scan that goes on behind a checkpoint of the same query.
    ///
    /// # Errors
    ///
    /// [`InvalidCheckpoint`] for a checkpoint of another query, or in a newer format.
    pub fn resume<G>(query: Query<G>, checkpoint: Checkpoint) -> Result<Self, InvalidCheckpoint> {
        checkpoint.fits(&query)?;
        let mut scan = Self::new(query);
        scan.report.rows = checkpoint.rows;
        scan.left = scan.left.map(|left| left.saturating_sub(checkpoint.rows));
        if scan.left == Some(0) {
            scan.end = Some(Outcome::LimitReached { more: None });
        }
        let is_accepted = match checkpoint.place.clone() {
            Resume::End => {
                scan.end = Some(Outcome::Complete);
                true
            }
            place => walk!(&mut scan.walk, walk => walk.resume(place)),
        };
        if !is_accepted {
            return Err(InvalidCheckpoint::OtherQuery);
        }
        scan.here = Some(checkpoint);
        Ok(scan)
    }

    /// No row with a greater key is owed.
    pub(crate) fn with_fence(mut self, key: Option<Key>) -> Self {
        if let (Walk::Anchored(walk), Some(key)) = (&mut self.walk, key) {
            // Of a scan in descending order it is the first row, not the last.
            if self.query.terms.order() == Order::Ascending {
                walk.fence_at(key);
            }
        }
        self
    }

    /// What the scan needs next.
    pub fn step(&mut self) -> Step<R> {
        if let Some(end) = &self.end {
            self.report.outcome = Some(end.clone());
            return Step::Done;
        }
        let left = self.left;
        walk!(&mut self.walk, walk => walk.needs(left));
        match walk!(&mut self.walk, walk => walk.step(&mut self.report)) {
            WalkStep::Fetch(ask) => Step::Fetch(ask),
            WalkStep::Rows { rows, origin, is_last } => self.rows(rows, origin, is_last),
            WalkStep::Wait => Step::Wait,
            WalkStep::Failed(id) => {
                self.report.outcome = Some(Outcome::Failed { at: self.report.rows });
                Step::Failed { id }
            }
            WalkStep::Done(outcome) => {
                if outcome == Outcome::Complete {
                    self.here = Some(self.checkpoint_at(Resume::End));
                }
                (self.report.outcome, self.end) = (Some(outcome.clone()), Some(outcome));
                Step::Done
            }
        }
    }

    /// The rows of a page, no more of them than the limit leaves.
    fn rows(&mut self, mut list: Vec<R>, origin: Origin, mut is_last: bool) -> Step<R> {
        let (before, of) = (self.report.rows, list.len());
        let mut more = false;
        if let Some(left) = &mut self.left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            more = list.len() > most;
            is_last &= !more;
            list.truncate(most);
            *left -= list.len() as u64;
        }
        self.report.rows = before.saturating_add(list.len() as u64);
        if self.query.terms.key.is_required {
            self.report.bad_rows += keyless(&list);
        }
        let rows = Rows::new(list, of, origin, self.fingerprint, before, is_last);
        self.here = None;
        if more {
            self.here = Some(rows.checkpoint());
            self.end = Some(Outcome::LimitReached { more: Some(true) });
        } else if self.left == Some(0) && !is_last {
            let more = walk!(&self.walk, walk => walk.has_more(&self.report));
            self.here = Some(rows.checkpoint());
            self.end = Some(Outcome::LimitReached { more });
        }
        Step::Rows(rows)
    }

    /// A page to ask for ahead of the rows at hand; `None` if there is none to be asked now.
    pub fn ask(&mut self) -> Option<PageRequest> {
        if self.end.is_some() || self.left == Some(0) {
            return None;
        }
        let left = self.left;
        walk!(&mut self.walk, walk => walk.needs(left));
        walk!(&mut self.walk, walk => walk.ask(&self.report))
    }

    /// The request for a page.
    ///
    /// # Errors
    ///
    /// As [`Query::request`].
    pub fn request<B: From<bytes::Bytes>>(
        &self,
        ask: &PageRequest,
    ) -> Result<Request<B>, InvalidQuery> {
        self.query.request(ask)
    }

    /// The page that an ask brought.
    pub fn answer(&mut self, id: u64, page: Page<R>) {
        walk!(&mut self.walk, walk => walk.answer(id, page, &mut self.report));
    }

    /// The page was too heavy for the server: whether the scan asks for a smaller one instead.
    pub fn too_heavy(&mut self, id: u64, attempts: Option<&Attempts>) -> bool {
        let carried = attempts.map_or_else(Shrinkable::new, Shrinkable::following);
        let shrinks = walk!(&mut self.walk, walk => walk.too_heavy(id, carried));
        self.report.shrinks += u64::from(shrinks);
        shrinks
    }

    /// The API has said that it gives no more rows than this: whether the scan asks for as many instead.
    pub fn at_most(&mut self, id: u64, ceiling: u32) -> bool {
        let shrinks = walk!(&mut self.walk, walk => walk.at_most(id, ceiling));
        self.report.shrinks += u64::from(shrinks);
        shrinks
    }

    /// A page of this many rows took this long: the next is smaller if that is near the API's limit.
    /// Whether it is.
    pub fn took(&mut self, rows: u32, time: Duration) -> bool {
        let shrinks = walk!(&mut self.walk, walk => walk.size().took(rows, time));
        self.report.shrinks += u64::from(shrinks);
        shrinks
    }

    /// The API has asked for a wait: fewer pages are asked for ahead.
    pub fn throttled(&mut self) {
        walk!(&mut self.walk, walk => walk.ahead().throttled());
    }

    /// The API refuses what was asked: whether the scan can do without.
    pub fn refused(&mut self, id: u64) -> bool {
        match &mut self.walk {
            Walk::Anchored(walk) => walk.refused(id),
            Walk::Cursor(_) | Walk::Seen(_) => false,
        }
    }

    /// The page could not be had. It is asked for again after [`retry_failed`](Self::retry_failed).
    pub fn failed(&mut self, id: u64) {
        walk!(&mut self.walk, walk => walk.failed(id));
    }

    /// Asks again for the pages that failed.
    pub fn retry_failed(&mut self) {
        if matches!(self.report.outcome, Some(Outcome::Failed { .. })) {
            self.report.outcome = None;
        }
        walk!(&mut self.walk, walk => walk.retry_failed());
    }

    /// Ends the scan where it is.
    pub fn cancel(&mut self) {
        if self.end.is_none() {
            self.here = Some(self.checkpoint());
            self.end = Some(Outcome::Cancelled);
            self.report.outcome = Some(Outcome::Cancelled);
        }
    }

    /// The caller has taken rows up to here only.
    pub(crate) fn stay_at(&mut self, here: Checkpoint) {
        self.here = Some(here);
    }

    /// The query.
    #[must_use]
    pub const fn query(&self) -> &Arc<Query> {
        &self.query
    }

    /// How it went so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    pub(crate) const fn report_mut(&mut self) -> &mut Report {
        &mut self.report
    }

    /// The place behind the last [`Step::Rows`], or the beginning.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.here
            .clone()
            .unwrap_or_else(|| self.checkpoint_at(walk!(&self.walk, walk => walk.here())))
    }

    fn checkpoint_at(&self, place: Resume) -> Checkpoint {
        Checkpoint { query: self.fingerprint, rows: self.report.rows, place }
    }
}

impl Query {
    /// The request for a page.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::TooLong`] if filters and cursor make an address that no request can carry,
    /// [`InvalidQuery::FiltersNotSent`] if the dialect has not written the filters.
    pub fn request<B: From<bytes::Bytes>>(
        &self,
        ask: &PageRequest,
    ) -> Result<Request<B>, InvalidQuery> {
        let mut request = self.terms.request(&ask.at, ask.rows)?;
        request.extensions_mut().insert(ask.mark);
        Ok(request)
    }
}

/// What a walk needs next.
enum WalkStep<R> {
    Fetch(PageRequest),
    Done(Outcome),
    Failed(u64),
    Rows { rows: Vec<R>, origin: Origin, is_last: bool },
    Wait,
}

/// What became of an ask.
#[derive(Debug)]
enum State<R> {
    Arrived(Page<R>),
    Failed,
    InFlight,
    Wanted,
}

/// The rows without a key.
fn keyless<R: Keyed>(rows: &[R]) -> u64 {
    rows.iter().filter(|row| row.key().is_none()).count() as u64
}

/// As many rows as the size allows, and no more than the limit leaves, with one that tells whether there are
/// more.
fn rows_for(size: u32, left: Option<u64>, besides: u64) -> u32 {
    let needed = left.map_or(u64::MAX, |left| left.saturating_add(besides));
    u32::try_from(needed).map_or(size, |needed| size.min(needed))
}
