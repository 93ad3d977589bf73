//! Cursor paging: the API says where the next page is, and the scan sees that it does not go in circles.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use retry_policy::safety::Shrinkable;

use super::size::PageSize;
use super::{Ask, Origin, State, WalkStep};
use crate::page::{Next, Page};
use crate::query::Place;
use crate::report::{Inconsistency, Outcome, Report};
use crate::{Key, Query, Row};

/// Pages in a row without a new row. Our choice: far more than any list that is filtered afterwards.
const BARREN_PAGES: u32 = 1_000;
/// The newest rows that are remembered, by a mark of 128 bits of their keys, against pages that overlap.
/// Our choice: 16 MiB at most.
const REMEMBERED_ROWS: usize = 262_144;
/// The newest cursors and pages that are remembered exactly. Our choice: 256 KiB each.
const REMEMBERED_PAGES: usize = 16_384;

#[derive(Debug)]
pub(super) struct Cursored {
    size: PageSize,
    next_id: u64,
    /// The cursor of the next page.
    cursor: Option<String>,
    window: Option<Window>,
    cursors: Circle,
    pages: Circle,
    recent: Recent,
    /// The rows of the first page that were taken before the checkpoint.
    taken: Vec<Option<Key>>,
    barren: u32,
    end: Option<Outcome>,
}

#[derive(Debug)]
struct Window {
    id: u64,
    rows: u32,
    state: State,
    carried: Shrinkable,
}

impl Cursored {
    pub(super) fn new(query: &Query) -> Self {
        Self {
            size: PageSize::new(query.rows_per_page()),
            next_id: 0,
            cursor: None,
            window: None,
            cursors: Circle::default(),
            pages: Circle::default(),
            recent: Recent::default(),
            taken: Vec::new(),
            barren: 0,
            end: None,
        }
    }

    pub(super) fn resume(&mut self, cursor: Option<String>, taken: Vec<Option<Key>>) {
        (self.cursor, self.taken) = (cursor, taken);
    }

    /// The scan had ended because this cursor repeats; it has no other.
    pub(super) fn circle(&mut self, cursor: String) {
        self.end = Some(Outcome::Inconsistent(Inconsistency::CursorRepeats { cursor }));
    }

    pub(super) fn finish(&mut self) {
        self.end = Some(Outcome::Complete);
    }

    pub(super) fn step(&mut self, report: &mut Report) -> WalkStep {
        loop {
            match self.window.as_ref().map(|window| &window.state) {
                Some(State::Arrived(_)) => {
                    if let Some(step) = self.accept(report) {
                        return step;
                    }
                    continue;
                }
                Some(State::Failed) => {
                    return WalkStep::Failed(self.window.as_ref().map_or(0, |window| window.id));
                }
                Some(State::InFlight) => return WalkStep::Wait,
                Some(State::Wanted) | None => {}
            }
            if let Some(end) = &self.end {
                return WalkStep::Done(end.clone());
            }
            return self.ask().map_or(WalkStep::Wait, WalkStep::Ask);
        }
    }

    pub(super) fn ask(&mut self) -> Option<Ask> {
        let is_wanted = |window: &Window| matches!(window.state, State::Wanted);
        if self.end.is_some() || !self.window.as_ref().is_none_or(is_wanted) {
            return None;
        }
        self.next_id += 1;
        let (id, rows) = (self.next_id, self.size.current());
        let carried = self.window.take().map_or_else(Shrinkable::new, |window| window.carried);
        self.window = Some(Window { id, rows, state: State::InFlight, carried });
        let place = Place::After(self.cursor.clone());
        let mark = PageSize::mark(rows, carried);
        Some(Ask { id, place, rows, mark })
    }

    fn accept(&mut self, report: &mut Report) -> Option<WalkStep> {
        let Some(Window { state: State::Arrived(page), .. }) = self.window.take() else {
            return None;
        };
        if page_mark(&page.rows).is_some_and(|mark| self.pages.closes_at(mark)) {
            let cursor = self.cursor.clone().unwrap_or_default();
            self.end = Some(Outcome::Inconsistent(Inconsistency::PageRepeats { cursor }));
            return None;
        }
        report.pages += 1;
        report.null_rows += page.null_rows;
        report.total(page.total);
        let asked_by = self.cursor.take();
        let next = match page.next {
            Next::Cursor(next) => {
                let repeats =
                    asked_by.as_ref() == Some(&next) || self.cursors.closes_at(mark(&next));
                if repeats {
                    // The rows of this page are new; only what would follow is not.
                    let cursor = next.clone();
                    let why = Inconsistency::CursorRepeats { cursor };
                    self.end = Some(Outcome::Inconsistent(why));
                }
                Some(next)
            }
            Next::End | Next::Unsaid => {
                self.end = Some(Outcome::Complete);
                None
            }
        };
        self.cursor.clone_from(&next);

        let mut to_skip = std::mem::take(&mut self.taken);
        let mut skipped = Vec::new();
        let rows: Vec<Row> = page
            .rows
            .into_iter()
            .filter(|row| {
                let key = row.key().cloned();
                if let Some(at) = to_skip.iter().position(|taken| *taken == key) {
                    skipped.push(to_skip.swap_remove(at));
                    return false;
                }
                let is_new = key.is_none_or(|key| self.recent.insert(&key));
                report.duplicates_dropped += u64::from(!is_new);
                is_new
            })
            .collect();
        // What was taken and is not in this page may be in the next: pages may be smaller now.
        self.taken = to_skip;
        if rows.is_empty() {
            self.barren += 1;
            if self.barren > BARREN_PAGES && self.end.is_none() {
                let why = Inconsistency::NoProgress { pages: self.barren };
                self.end = Some(Outcome::Inconsistent(why));
            }
            return None;
        }
        self.barren = 0;
        self.size.succeeded();
        let repeats = matches!(self.end, Some(Outcome::Inconsistent(_)));
        let origin = Origin::Cursor { page: asked_by, next, repeats, taken: skipped };
        let is_last = self.end == Some(Outcome::Complete);
        Some(WalkStep::Rows { rows, origin, is_last })
    }

    pub(super) fn answer(&mut self, id: u64, page: Page) {
        if let Some(window) = self.asked(id) {
            window.state = State::Arrived(page);
        }
    }

    pub(super) fn too_heavy(&mut self, id: u64, carried: Shrinkable) -> bool {
        let Some(window) = self.asked(id) else {
            return false;
        };
        let rows = window.rows;
        if !PageSize::can_shrink(rows) {
            return false;
        }
        (window.state, window.carried) = (State::Wanted, carried);
        self.size.shrink(rows);
        true
    }

    pub(super) fn failed(&mut self, id: u64) {
        if let Some(window) = self.asked(id) {
            window.state = State::Failed;
        }
    }

    pub(super) fn retry_failed(&mut self) {
        if let Some(window) = &mut self.window {
            if matches!(window.state, State::Failed) {
                window.state = State::Wanted;
            }
        }
    }

    fn asked(&mut self, id: u64) -> Option<&mut Window> {
        self.window.as_mut().filter(|window| window.id == id)
    }
}

/// A page's mark, from the keys of its rows, or from the rows that have none.
fn page_mark(rows: &[Row]) -> Option<u64> {
    let marks: Vec<_> = rows.iter().map(|row| row.key().ok_or_else(|| row.json())).collect();
    (!marks.is_empty()).then(|| mark(&marks))
}

fn mark<T: Hash + ?Sized>(thing: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}

/// Notices a circle of any length in bounded memory.
///
/// The newest marks are remembered, so a circle of up to that length is noticed where it closes. A
/// longer one is noticed by Brent's rule: one older mark is kept and moved on at powers of two.
#[derive(Debug, Default)]
struct Circle {
    newest: VecDeque<u64>,
    set: HashSet<u64>,
    kept: Option<u64>,
    since_kept: u64,
    keep_for: u64,
}

impl Circle {
    /// Whether this mark was seen before.
    fn closes_at(&mut self, mark: u64) -> bool {
        if self.kept == Some(mark) || !self.set.insert(mark) {
            return true;
        }
        self.newest.push_back(mark);
        if self.newest.len() > REMEMBERED_PAGES {
            if let Some(oldest) = self.newest.pop_front() {
                self.set.remove(&oldest);
            }
        }
        if self.since_kept >= self.keep_for {
            self.kept = Some(mark);
            self.since_kept = 0;
            self.keep_for = self.keep_for.saturating_mul(2).max(1);
        }
        self.since_kept += 1;
        false
    }
}

/// The marks of the newest rows.
#[derive(Debug, Default)]
struct Recent {
    newest: VecDeque<u128>,
    set: HashSet<u128>,
}

impl Recent {
    /// Whether the key is not among them.
    fn insert(&mut self, key: &Key) -> bool {
        let mark = (u128::from(mark(key)) << 64) | u128::from(mark(&(key, key)));
        if !self.set.insert(mark) {
            return false;
        }
        self.newest.push_back(mark);
        if self.newest.len() > REMEMBERED_ROWS {
            if let Some(oldest) = self.newest.pop_front() {
                self.set.remove(&oldest);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_any_length_is_noticed() {
        let remembered = REMEMBERED_PAGES as u64;
        for (lead_in, length) in
            [(0, 1), (3, 2), (0, 7), (5, remembered), (100, remembered + 1), (1, 100_000)]
        {
            let mut circle = Circle::default();
            let marks = (0..lead_in).chain((0..).map(|at| lead_in + at % length));
            let noticed = marks.take(1_000_000).position(|mark| circle.closes_at(mark)).unwrap();
            let closes = usize::try_from(lead_in + length).unwrap();
            assert!(noticed >= closes, "{lead_in} + {length} noticed at {noticed}");
            if length <= remembered {
                assert_eq!(noticed, closes, "{lead_in} + {length}");
            }
            assert!(circle.newest.len() <= REMEMBERED_PAGES);
        }
    }
}
