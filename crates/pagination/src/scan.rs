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

mod cursor;
mod cycle;
mod fence;
mod index;
mod memory;
mod offset;
mod plain;
mod requests;
mod rows;
mod size;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::sync::Arc;

use http::Request;
use retry_policy::Attempts;
use retry_policy::safety::Shrinkable;

use crate::checkpoint::Resume;
use crate::dialect::Method;
use crate::page::Page;
use crate::report::{Doubts, Report};
use crate::{Checkpoint, InvalidCheckpoint, InvalidQuery, Keyed, Outcome, Query, Row};
use cursor::Cursor;
use offset::Offset;
use rows::{Before, Origin};

pub use crate::query::PageRequest;
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
    Cursor(Box<Cursor<R>>),
    Offset(Box<Offset<R>>),
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

/// Both walks answer the same calls.
macro_rules! walk {
    ($walk:expr, $name:ident => $call:expr) => {
        match $walk {
            Walk::Cursor($name) => $call,
            Walk::Offset($name) => $call,
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
            Method::Cursor | Method::Link => Walk::Cursor(Box::new(Cursor::new(terms))),
            Method::Offset | Method::PageIndex { .. } => Walk::Offset(Box::new(Offset::new(terms))),
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
        scan.report.doubts.clone_from(&checkpoint.doubts);
        let is_accepted = match (checkpoint.place.clone(), &mut scan.walk) {
            (Resume::End { proof }, _) => {
                scan.end = Some(scan.report.concluded(proof));
                true
            }
            (place, Walk::Cursor(walk)) => walk.resume(place, &mut scan.report),
            (place, Walk::Offset(walk)) => walk.resume(place, checkpoint.rows),
        };
        if !is_accepted {
            return Err(InvalidCheckpoint::OtherQuery);
        }
        scan.here = Some(checkpoint);
        Ok(scan)
    }

    /// What the scan needs next.
    pub fn step(&mut self) -> Step<R> {
        if let Some(end) = &self.end {
            self.report.outcome = Some(end.clone());
            return Step::Done;
        }
        let left = self.left;
        walk!(&mut self.walk, walk => walk.left = left);
        match walk!(&mut self.walk, walk => walk.step(&mut self.report)) {
            WalkStep::Fetch(ask) => Step::Fetch(ask),
            WalkStep::Rows { rows, origin } => self.rows(rows, origin),
            WalkStep::Wait => Step::Wait,
            WalkStep::Failed(id) => {
                self.report.outcome = Some(Outcome::Failed { at: self.report.rows });
                Step::Failed { id }
            }
            WalkStep::Done(outcome) => {
                if let Outcome::Complete { proof } = outcome {
                    self.here = Some(self.checkpoint_at(Resume::End { proof }));
                }
                (self.report.outcome, self.end) = (Some(outcome.clone()), Some(outcome));
                Step::Done
            }
        }
    }

    /// The rows of a page, no more of them than the limit leaves.
    fn rows(&mut self, mut list: Vec<R>, origin: Origin) -> Step<R> {
        let before = Before {
            query: self.fingerprint,
            rows: self.report.rows,
            doubts: Doubts::of(&self.report.doubts),
        };
        let (of, is_last) = (list.len(), matches!(origin, Origin::Last(..)));
        let mut more = false;
        if let Some(left) = &mut self.left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            more = list.len() > most;
            list.truncate(most);
            *left -= list.len() as u64;
        }
        self.report.rows = before.rows.saturating_add(list.len() as u64);
        if self.query.terms.key.is_required {
            self.report.bad_rows += keyless(&list);
        }
        let rows = Rows::new(list, of, origin, before);
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
        walk!(&mut self.walk, walk => walk.left = left);
        match &mut self.walk {
            Walk::Cursor(walk) => walk.ask(),
            Walk::Offset(walk) => walk.ask(&self.report),
        }
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
        walk!(&mut self.walk, walk => walk.requests.answer(id, page));
    }

    /// The page was too heavy for the server: whether the scan asks for a smaller one instead.
    pub fn too_heavy(&mut self, id: u64, attempts: Option<&Attempts>) -> bool {
        let carried = attempts.map_or_else(Shrinkable::new, Shrinkable::following);
        let shrinks = !self.is_linked()
            && walk!(&mut self.walk, walk => walk.requests.too_heavy(id, carried, &mut walk.size));
        self.report.shrinks += u64::from(shrinks);
        shrinks
    }

    /// The API states that it gives no more rows than this: whether the scan asks for as many instead.
    pub fn at_most(&mut self, id: u64, ceiling: u32) -> bool {
        let shrinks = !self.is_linked()
            && walk!(&mut self.walk, walk => walk.requests.at_most(id, ceiling, &mut walk.size));
        if let Walk::Offset(walk) = &mut self.walk {
            walk.counted = walk.counted.map(|most| if shrinks { most.min(ceiling) } else { most });
        }
        self.report.shrinks += u64::from(shrinks);
        shrinks
    }

    /// Remembers no more rows than this.
    #[cfg(test)]
    fn remember(&mut self, rows: usize) {
        if let Walk::Offset(walk) = &mut self.walk {
            walk.memory.remember(rows);
        }
    }

    fn is_linked(&self) -> bool {
        matches!(&self.walk, Walk::Cursor(walk) if walk.is_linked())
    }

    /// A page of this many rows took this long: the next is smaller if that is near the API's limit.
    /// Whether it is.
    pub fn took(&mut self, rows: u32, time: Duration) -> bool {
        let shrinks = walk!(&mut self.walk, walk => walk.size.took(rows, time));
        self.report.shrinks += u64::from(shrinks);
        shrinks
    }

    /// The API has asked for a wait: fewer pages are asked for ahead.
    pub fn throttled(&mut self) {
        walk!(&mut self.walk, walk => walk.prefetch.throttled());
    }

    /// The API refuses what was asked: whether the scan can do without.
    pub fn refused(&mut self, id: u64) -> bool {
        match &mut self.walk {
            Walk::Cursor(_) => false,
            Walk::Offset(walk) => walk.refused(id),
        }
    }

    /// The page could not be had. It is asked for again after [`retry_failed`](Self::retry_failed).
    pub fn failed(&mut self, id: u64) {
        walk!(&mut self.walk, walk => walk.requests.fail(id));
    }

    /// Asks again for the pages that failed.
    pub fn retry_failed(&mut self) {
        if matches!(self.report.outcome, Some(Outcome::Failed { .. })) {
            self.report.outcome = None;
        }
        walk!(&mut self.walk, walk => walk.requests.retry_failed());
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
        let doubts = self.report.doubts.clone();
        Checkpoint { query: self.fingerprint, rows: self.report.rows, doubts, place }
    }
}

/// What a walk needs next.
enum WalkStep<R> {
    Fetch(PageRequest),
    Done(Outcome),
    Failed(u64),
    Rows { rows: Vec<R>, origin: Origin },
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
