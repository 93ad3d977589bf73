//! The scan: a pure state machine that walks a collection. Pages or failures in, steps out.
//!
//! ```text
//!            ┌─▶ Fetch ──▶ (send it) ──▶ answer(page) · too_heavy() · failed() ─┐
//! step() ────┼─▶ Rows ─▶ (deliver them)                                       │
//!   ▲        ├─▶ Wait ─▶ (for an answer to an earlier PageRequest)            │
//!   │        ├─▶ Failed ▶ (tell the caller; `retry_failed` goes on)           │
//!   │        └─▶ Done ─▶ (the report says how it ended)                       │
//!   └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`Pages`](crate::Pages) drives it over a tower service; a test or a loop of your own drives it as
//! well. It has no clock and does no I/O.

mod context;
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
use crate::report::{Doubt, Doubts, Report};
use crate::{Checkpoint, InvalidCheckpoint, InvalidQuery, Keyed, Outcome, Query, Row};
use context::Context;
use cursor::Cursor;
use offset::Offset;
use rows::{Before, Origin};

pub use crate::query::PageRequest;
pub use rows::Rows;

/// A scan of one query, whose pages hold rows of the type `R`.
#[derive(Debug)]
pub struct Scan<R = Row> {
    context: Context<R>,
    walk: Walk<R>,
    fingerprint: u64,
    /// The checkpoint after the rows delivered, if the walk has read ahead of them.
    here: Option<Checkpoint>,
}

/// How the next page is found.
#[derive(Debug)]
enum Walk<R> {
    Cursor(Box<Cursor>),
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

/// The rows of an answer that come next, if any do.
type Accepted<R> = Option<(Vec<R>, Origin)>;

impl<R: Keyed> Scan<R> {
    /// A scan from the beginning.
    #[must_use]
    pub fn new<G>(query: Query<G>) -> Self {
        let query = query.untyped();
        let fingerprint = query.fingerprint();
        let context = Context::new(Arc::new(query));
        let terms = context.terms();
        let walk = match terms.spec.method {
            Method::Cursor | Method::Link => Walk::Cursor(Box::new(Cursor::new(terms))),
            Method::Offset | Method::PageIndex { .. } => Walk::Offset(Box::new(Offset::new(terms))),
        };
        Self { context, walk, fingerprint, here: None }
    }

    /// A scan that resumes after a checkpoint of the same query.
    ///
    /// # Errors
    ///
    /// [`InvalidCheckpoint`] for a checkpoint of another query, or in a newer format.
    pub fn resume<G>(query: Query<G>, checkpoint: Checkpoint) -> Result<Self, InvalidCheckpoint> {
        checkpoint.fits(&query)?;
        let mut scan = Self::new(query);
        let cx = &mut scan.context;
        cx.report.rows = checkpoint.rows;
        cx.left = cx.left.map(|left| left.saturating_sub(checkpoint.rows));
        if cx.left == Some(0) {
            cx.end(Outcome::LimitReached { more: None });
        }
        cx.report.doubts.clone_from(&checkpoint.doubts);
        let is_accepted = match (checkpoint.place.clone(), &mut scan.walk) {
            (Resume::End { proof }, _) => {
                cx.conclude(proof);
                true
            }
            (place, Walk::Cursor(walk)) => walk.resume(place, cx),
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
        loop {
            let cx = &mut self.context;
            if cx.end.is_some() {
                return self.done();
            }
            if let Some(id) = cx.requests.failed() {
                cx.report.outcome = Some(Outcome::Failed { at: cx.report.rows });
                return Step::Failed { id };
            }
            let Some((request, page)) = cx.requests.take() else {
                let ask = match &mut self.walk {
                    Walk::Cursor(walk) => walk.ask(cx),
                    Walk::Offset(walk) => walk.ask(cx),
                };
                return ask.map_or(Step::Wait, Step::Fetch);
            };
            if page.partial.is_some() {
                cx.report.doubt(Doubt::Partial);
            }
            let rows = match &mut self.walk {
                Walk::Cursor(walk) => walk.accept(&request, page, cx),
                Walk::Offset(walk) => walk.accept(request, page, cx),
            };
            if let Some((rows, origin)) = rows {
                return self.rows(rows, origin);
            }
        }
    }

    fn done(&mut self) -> Step<R> {
        let Context { end, proof, report, .. } = &mut self.context;
        if proof.is_some() && report.outcome != *end {
            self.here = None; // It is the end.
        }
        report.outcome.clone_from(end);
        Step::Done
    }

    /// The rows of a page, no more of them than the limit leaves.
    fn rows(&mut self, mut list: Vec<R>, origin: Origin) -> Step<R> {
        let cx = &mut self.context;
        let before = Before {
            query: self.fingerprint,
            rows: cx.report.rows,
            doubts: Doubts::of(&cx.report.doubts),
            proof: cx.proof,
        };
        let (of, mut more) = (list.len(), false);
        if let Some(left) = &mut cx.left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            more = list.len() > most;
            list.truncate(most);
            *left -= list.len() as u64;
        }
        cx.report.rows = before.rows.saturating_add(list.len() as u64);
        if cx.query.terms.key.is_required {
            cx.report.bad_rows += keyless(&list);
        }
        let rows = Rows::new(list, of, origin, before);
        self.here = None;
        let more = match &self.walk {
            _ if more => Some(true),
            _ if self.context.left != Some(0) || self.context.proof.is_some() => {
                return Step::Rows(rows);
            }
            Walk::Cursor(_) => Cursor::has_more(&self.context).then_some(true),
            Walk::Offset(walk) => walk.has_more(&self.context).then_some(true),
        };
        self.here = Some(rows.checkpoint());
        self.context.proof = None; // Of a list that goes on.
        self.context.end(Outcome::LimitReached { more });
        Step::Rows(rows)
    }

    /// A page to ask for ahead of the rows at hand; `None` if there is none to be asked now.
    pub fn ask(&mut self) -> Option<PageRequest> {
        let cx = &mut self.context;
        match &mut self.walk {
            _ if cx.end.is_some() || cx.left == Some(0) => None,
            Walk::Cursor(_) if cx.prefetch.now() == 0 => None,
            Walk::Cursor(walk) => walk.ask(cx),
            Walk::Offset(walk) => walk.ask(cx),
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
        self.query().request(ask)
    }

    /// The page that answers a request.
    pub fn answer(&mut self, id: u64, page: Page<R>) {
        self.context.requests.answer(id, page);
    }

    /// The page was too heavy for the server: whether the scan asks for a smaller one instead.
    pub fn too_heavy(&mut self, id: u64, attempts: Option<&Attempts>) -> bool {
        self.shrink(id, None, attempts.map_or_else(Shrinkable::new, Shrinkable::following))
    }

    /// The API states that it gives no more rows than this: whether the scan asks for as many instead.
    pub fn at_most(&mut self, id: u64, ceiling: u32) -> bool {
        let shrinks = self.shrink(id, Some(ceiling), Shrinkable::new());
        if let Walk::Offset(walk) = &mut self.walk {
            walk.counted = walk.counted.map(|most| if shrinks { most.min(ceiling) } else { most });
        }
        shrinks
    }

    fn shrink(&mut self, id: u64, ceiling: Option<u32>, carried: Shrinkable) -> bool {
        let cx = &mut self.context;
        let is_linked = matches!(&self.walk, Walk::Cursor(walk) if walk.is_linked());
        let shrinks = !is_linked && cx.requests.shrink(id, ceiling, carried, &mut cx.size);
        cx.report.shrinks += u64::from(shrinks);
        shrinks
    }

    /// Remembers no more rows than this.
    #[cfg(test)]
    fn remember(&mut self, rows: usize) {
        if let Walk::Offset(walk) = &mut self.walk {
            walk.memory.remember(rows);
        }
    }

    /// A page of this many rows took this long: the next is smaller if that is near the API's limit.
    /// Whether it is.
    pub fn took(&mut self, rows: u32, time: Duration) -> bool {
        let shrinks = self.context.size.took(rows, time);
        self.context.report.shrinks += u64::from(shrinks);
        shrinks
    }

    /// The API has asked for a wait: fewer pages are asked for ahead.
    pub fn throttled(&mut self) {
        self.context.prefetch.throttled();
    }

    /// The API refuses what was asked: whether the scan can do without.
    pub fn refused(&mut self, id: u64) -> bool {
        match &mut self.walk {
            Walk::Cursor(_) => false,
            Walk::Offset(walk) => walk.refused(id, &mut self.context.requests),
        }
    }

    /// The request failed. The scan sends it again after [`retry_failed`](Self::retry_failed).
    pub fn failed(&mut self, id: u64) {
        self.context.requests.fail(id);
    }

    /// Asks again for the pages that failed.
    pub fn retry_failed(&mut self) {
        if matches!(self.context.report.outcome, Some(Outcome::Failed { .. })) {
            self.context.report.outcome = None;
        }
        self.context.requests.retry_failed();
    }

    /// Ends the scan where it is.
    pub fn cancel(&mut self) {
        if matches!(self.context.report.outcome, None | Some(Outcome::Failed { .. })) {
            self.here = Some(self.checkpoint());
            self.context.end(Outcome::Cancelled);
            self.context.report.outcome = Some(Outcome::Cancelled);
        }
    }

    /// The caller has taken rows up to here only.
    pub(crate) fn stay_at(&mut self, here: Checkpoint) {
        self.here = Some(here);
    }

    /// The query.
    #[must_use]
    pub const fn query(&self) -> &Arc<Query> {
        &self.context.query
    }

    /// How it went so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.context.report
    }

    pub(crate) const fn report_mut(&mut self) -> &mut Report {
        &mut self.context.report
    }

    /// The place after the last [`Step::Rows`], or the beginning.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        if let Some(here) = &self.here {
            return here.clone();
        }
        let place = match (self.context.proof, &self.walk) {
            (Some(proof), _) => Resume::End { proof },
            (None, Walk::Cursor(walk)) => walk.here(&self.context),
            (None, Walk::Offset(walk)) => walk.here(),
        };
        let report = &self.context.report;
        let (rows, doubts) = (report.rows, report.doubts.clone());
        Checkpoint { query: self.fingerprint, rows, doubts, place }
    }
}

/// The rows without a key.
fn keyless<R: Keyed>(rows: &[R]) -> u64 {
    rows.iter().filter(|row| row.key().is_none()).count() as u64
}
