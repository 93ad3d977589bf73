//! The scan: a pure state machine that walks a collection. Pages or failures in, steps out.
//!
//! ```text
//!            ┌─▶ Ask ──▶ (send it) ──▶ answer(page) · too_heavy() · failed() ─┐
//! step() ────┼─▶ Rows ─▶ (deliver them)                                       │
//!   ▲        ├─▶ Wait ─▶ (for an answer to an earlier Ask)                    │
//!   │        ├─▶ Failed ▶ (tell the caller; `retry_failed` goes on)           │
//!   │        └─▶ Done ─▶ (the report says how it ended)                       │
//!   └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`Pages`](crate::Pages) drives it over a tower service; a test or a loop of your own drives it as
//! well. It has no clock and does no I/O.

mod anchored;
mod cursor;
mod size;
#[cfg(test)]
mod tests;
mod window;

use http::Request;
use retry_policy::Attempts;
use retry_policy::safety::Shrinkable;

use crate::checkpoint::Resume;
use crate::dialect::Method;
use crate::page::Page;
use crate::query::Place;
use crate::report::Report;
use crate::{Checkpoint, InvalidQuery, Key, Outcome, Query, Row};
use anchored::Anchored;
use cursor::Cursored;

/// A scan of one query.
#[derive(Debug)]
pub struct Scan {
    query: Query,
    walk: Walk,
    report: Report,
    here: Option<Checkpoint>,
}

/// How the next page is found.
#[derive(Debug)]
enum Walk {
    Anchored(Anchored),
    Cursor(Cursored),
}

/// What the scan needs next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// This page must be asked for.
    Ask(Ask),
    /// The scan is over.
    Done,
    /// The page that comes next has failed.
    Failed {
        /// The number of its [`Ask`].
        id: u64,
    },
    /// These rows come next.
    Rows(Rows),
    /// Nothing, until a page that was asked for is answered.
    Wait,
}

/// A page to ask for.
#[derive(Clone, Debug)]
pub struct Ask {
    pub(crate) id: u64,
    pub(crate) place: Place,
    pub(crate) rows: u32,
    pub(crate) mark: Shrinkable,
}

impl Ask {
    /// Its number, by which the answer is handed in.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Whether the scan can ask for fewer rows instead.
    #[must_use]
    pub const fn is_shrinkable(&self) -> bool {
        self.mark.can_shrink()
    }
}

/// Rows that no other step delivers, in the scan's order.
#[derive(Clone, Debug)]
pub struct Rows {
    list: Vec<Row>,
    origin: Origin,
    query: String,
    /// The rows delivered before these.
    before: u64,
    /// Whether the scan is complete with them.
    is_last: bool,
}

/// Where the rows come from.
#[derive(Clone, Debug)]
enum Origin {
    Anchored { first_rank: u64, fence: Option<Key>, hidden: bool },
    Cursor { page: Option<String>, next: Option<String>, repeats: bool, taken: Vec<Option<Key>> },
}

impl Rows {
    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.list
    }

    /// The place behind the last of them.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint_after(self.list.len())
    }

    /// The place behind the first `count` of them.
    #[must_use]
    pub fn checkpoint_after(&self, count: usize) -> Checkpoint {
        let count = count.min(self.list.len());
        let all = count == self.list.len();
        let place = match &self.origin {
            _ if all && self.is_last => Resume::End,
            Origin::Anchored { first_rank, fence, hidden } => Resume::Anchored {
                last: count.checked_sub(1).and_then(|at| self.list[at].key().cloned()),
                skip: first_rank.saturating_add((count as u64).saturating_sub(1)),
                fence: fence.clone(),
                hidden: *hidden,
            },
            Origin::Cursor { next: Some(next), repeats: true, .. } if all => {
                Resume::Circle { cursor: next.clone() }
            }
            Origin::Cursor { next, .. } if all => {
                Resume::Cursor { cursor: next.clone(), taken: Vec::new() }
            }
            Origin::Cursor { page, taken, .. } => {
                let keys = self.list[..count].iter().map(|row| row.key().cloned());
                let taken = taken.iter().cloned().chain(keys).collect();
                Resume::Cursor { cursor: page.clone(), taken }
            }
        };
        let rows = self.before.saturating_add(count as u64);
        Checkpoint { query: self.query.clone(), rows, place }
    }
}

impl IntoIterator for Rows {
    type Item = Row;
    type IntoIter = std::vec::IntoIter<Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl Scan {
    /// A scan from the beginning.
    #[must_use]
    pub fn new(query: Query) -> Self {
        let walk = match query.dialect.method {
            Method::Offset { .. } => Walk::Anchored(Anchored::new(&query)),
            Method::Cursor { .. } => Walk::Cursor(Cursored::new(&query)),
        };
        Self { query, walk, report: Report::default(), here: None }
    }

    /// A scan that goes on behind a checkpoint of the same query.
    #[must_use]
    pub fn resume(query: Query, checkpoint: Checkpoint) -> Self {
        let mut scan = Self::new(query);
        scan.report.rows = checkpoint.rows;
        match (&mut scan.walk, &checkpoint.place) {
            (Walk::Anchored(walk), Resume::Anchored { last, skip, fence, hidden }) => {
                walk.resume(last.clone(), *skip, fence.clone(), *hidden);
            }
            (Walk::Cursor(walk), Resume::Cursor { cursor, taken }) => {
                walk.resume(cursor.clone(), taken.clone());
            }
            (Walk::Cursor(walk), Resume::Circle { cursor }) => walk.circle(cursor.clone()),
            (Walk::Anchored(walk), Resume::End) => walk.finish(),
            (Walk::Cursor(walk), Resume::End) => walk.finish(),
            // `Checkpoint::from_json` has compared the queries, so only a forged one comes here;
            // its scan starts anew.
            (Walk::Anchored(_) | Walk::Cursor(_), _) => {}
        }
        scan.here = Some(checkpoint);
        scan
    }

    /// What the scan needs next.
    pub fn step(&mut self) -> Step {
        let step = match &mut self.walk {
            Walk::Anchored(walk) => walk.step(&mut self.report),
            Walk::Cursor(walk) => walk.step(&mut self.report),
        };
        match step {
            WalkStep::Ask(ask) => Step::Ask(ask),
            WalkStep::Rows { rows, origin, is_last } => {
                let before = self.report.rows;
                self.report.rows = before.saturating_add(rows.len() as u64);
                let query = self.query.fingerprint();
                let rows = Rows { list: rows, origin, query, before, is_last };
                self.here = Some(rows.checkpoint());
                Step::Rows(rows)
            }
            WalkStep::Wait => Step::Wait,
            WalkStep::Failed(id) => Step::Failed { id },
            WalkStep::Done(outcome) => {
                let place = match (&outcome, &self.walk) {
                    (Outcome::Complete, _) => Some(Resume::End),
                    // A scan that goes on has forgotten what it saw, and would not see the circle.
                    (Outcome::Inconsistent(why), Walk::Cursor(_)) => {
                        why.cursor().map(|cursor| Resume::Circle { cursor: cursor.to_owned() })
                    }
                    _ => None,
                };
                if let Some(place) = place {
                    let (query, rows) = (self.query.fingerprint(), self.report.rows);
                    self.here = Some(Checkpoint { query, rows, place });
                }
                self.report.outcome = Some(outcome);
                Step::Done
            }
        }
    }

    /// A page to ask for ahead of the rows at hand; `None` if there is none to be asked now.
    pub fn ask(&mut self) -> Option<Ask> {
        match &mut self.walk {
            Walk::Anchored(walk) => walk.ask(&self.report),
            Walk::Cursor(walk) => walk.ask(),
        }
    }

    /// The request for a page.
    ///
    /// # Errors
    ///
    /// [`InvalidQuery::TooLong`] if filters and cursor make an address that no request can carry.
    pub fn request<B: From<bytes::Bytes>>(&self, ask: &Ask) -> Result<Request<B>, InvalidQuery> {
        let mut request = self.query.request(&ask.place, ask.rows)?;
        request.extensions_mut().insert(ask.mark);
        Ok(request)
    }

    /// The page that an ask brought.
    pub fn answer(&mut self, id: u64, page: Page) {
        match &mut self.walk {
            Walk::Anchored(walk) => walk.answer(id, page, &mut self.report),
            Walk::Cursor(walk) => walk.answer(id, page),
        }
    }

    /// The page was too heavy for the server: whether the scan asks for a smaller one instead.
    pub fn too_heavy(&mut self, id: u64, attempts: Option<&Attempts>) -> bool {
        let carried = attempts.map_or_else(Shrinkable::new, Shrinkable::following);
        match &mut self.walk {
            Walk::Anchored(walk) => walk.too_heavy(id, carried),
            Walk::Cursor(walk) => walk.too_heavy(id, carried),
        }
    }

    /// The page could not be had. It is asked for again after [`retry_failed`](Self::retry_failed).
    pub fn failed(&mut self, id: u64) {
        match &mut self.walk {
            Walk::Anchored(walk) => walk.failed(id),
            Walk::Cursor(walk) => walk.failed(id),
        }
    }

    /// Asks again for the pages that failed.
    pub fn retry_failed(&mut self) {
        match &mut self.walk {
            Walk::Anchored(walk) => walk.retry_failed(),
            Walk::Cursor(walk) => walk.retry_failed(),
        }
    }

    /// The query.
    #[must_use]
    pub const fn query(&self) -> &Query {
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

    /// The place behind the last [`Step::Rows`]; `None` before the first.
    #[must_use]
    pub const fn checkpoint(&self) -> Option<&Checkpoint> {
        self.here.as_ref()
    }
}

/// What a walk needs next.
enum WalkStep {
    Ask(Ask),
    Done(Outcome),
    Failed(u64),
    Rows { rows: Vec<Row>, origin: Origin, is_last: bool },
    Wait,
}

/// What became of an ask.
#[derive(Debug)]
enum State {
    Arrived(Page),
    Failed,
    InFlight,
    Wanted,
}
