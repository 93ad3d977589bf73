//! Pages that bring no new row, and pages that are not covered: where to look next.

use super::{Anchored, Begins, Role, State, Window};
use crate::page::Page;
use crate::report::{Doubt, Inconsistency, Outcome, Report};
use crate::{Key, Keyed};

/// Covered pages without a new row that do not even come further among the known rows: this many,
/// and this many rows. Our choice: each honest one needs a burst of a page of inserts before the scan.
const IDLE_PAGES: u32 = 8;
const IDLE_ROWS: u32 = 256;
/// How much more such a page counts if the total has not grown. Our choice.
const UNEXPLAINED: u32 = 8;
/// Pages in a row without a new row, whatever they show. Our choice: a million rows written at once.
const BARREN_PAGES: u32 = 10_000;
/// Steps back in a row. Doubling, 64 reach the beginning from anywhere.
const STEPS_BACK: u32 = 200;
/// How often a page that shows nothing new is asked for again before rows count as hidden.
const REPEATS: u32 = 2;
/// How many pages in a row are walked past without a row. Our choice.
const BRIDGES: u32 = 1_000;
/// How many pages beyond the total are looked through for hidden rows. Our choice.
const PAGES_BEYOND: u64 = 10;

impl<R: Keyed> Anchored<R> {
    /// The page begins behind the last row read, or is empty: rows before it have vanished.
    pub(super) fn uncovered(&mut self, mut window: Window<R>, page: Page<R>, report: &mut Report) {
        if window.bridges {
            // Nothing at all: look one page further, unless the end of the collection has moved here.
            self.want_fence();
            return self.bridge(
                window.rank.saturating_add(u64::from(window.rows)),
                window.rows,
                report,
            );
        }
        if !window.catches_up {
            report.shifts_repaired += 1;
            window.catches_up = true;
        }
        // Where the scan stands is the place to look, unless that is what was just looked at.
        let looked_there = match window.role {
            Role::FillsGap => true,
            Role::Kept => false,
            Role::Next => window.rank + window.overlap == self.rank,
        };
        let mut gap = Window { role: Role::FillsGap, catches_up: true, ..Window::at(self.rank) };
        gap.bridges = std::mem::take(&mut self.bridging);
        if looked_there {
            self.barren.steps_back += 1;
            if self.barren.steps_back > STEPS_BACK {
                return self.contradicts(Inconsistency::NoProgress { pages: STEPS_BACK });
            }
            let back = window.back.max(u64::from(self.size.current().saturating_sub(1))).max(1);
            gap.rank = window.rank.saturating_sub(back);
            gap.back = back.saturating_mul(2);
        }
        if window.role != Role::FillsGap && !page.rows.is_empty() {
            // What was read ahead is kept; only the gap before it is fetched.
            window.state = State::Arrived(page);
            window.role = Role::Kept;
            self.windows.push_front(window);
        }
        self.windows.push_front(gap);
    }

    /// A covered page without a new row is not the end: it says where to look next.
    pub(super) fn barren_page(
        &mut self,
        window: &Window<R>,
        count: u64,
        furthest: Option<Key>,
        report: &Report,
    ) {
        let barren = &mut self.barren;
        barren.pages += 1;
        let is_further = match (&furthest, &barren.before) {
            (Some(key), Some(before)) => self.order.compare(key.borrow(), before.borrow()).is_gt(),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if !is_further {
            // A total that grows explains why the scan was pushed back, but it may be wrong.
            barren.idle += if self.growth > 0 { 1 } else { UNEXPLAINED };
        }
        barren.before = furthest;
        let idle_pages = IDLE_PAGES + IDLE_ROWS / window.rows.saturating_sub(1).max(1);
        if barren.idle > idle_pages.saturating_mul(UNEXPLAINED) || barren.pages > BARREN_PAGES {
            let pages = barren.pages;
            return self.contradicts(Inconsistency::NoProgress { pages });
        }
        if count < u64::from(window.rows) {
            // The page is short: this may be the end, and the fence may be gone.
            self.want_fence();
        }
        // A full page that is counted shows what is behind its rank: rows were written before it.
        let is_short = window.overlap == 0 || count < u64::from(window.rows);
        if count <= 1 + window.overlap && is_short {
            // The window shows nothing behind its first row: larger, again, and then past it.
            self.barren.stalls += 1;
            let stalls = self.barren.stalls;
            self.size.enlarge();
            if stalls == 1 {
                self.barren.stalled_at = window.rank;
            }
            let is_by_key = window.above.is_some() && self.fence.empty == 0;
            if stalls > REPEATS && (!self.fence.has_reverse || is_by_key) {
                self.end_unseen();
            } else if window.above.is_some() {
                // The reverse order shows nothing either: what was not read may be gone.
                self.want_fence();
            } else if stalls > REPEATS && !self.windows.front().is_some_and(|next| next.bridges) {
                // What was kept lies behind the gap as well: it is asked for again when its rank comes.
                self.windows.clear();
                // One row further first: the server may give no more than one at a time.
                let looked_at = window.rank.saturating_add(window.overlap);
                self.bridge(looked_at.saturating_add(count.max(1)), window.rows, report);
            }
        } else if self.windows.is_empty() {
            // Rows were written before the scan, and by the next request there will be as many more.
            self.rank = self.rank.saturating_add(self.growth);
        }
    }

    /// Page after page shows nothing, and there is no other rank to look at.
    fn end_unseen(&mut self) {
        match (&self.fence.key, &self.begins) {
            (Some(fence), _) => {
                let fence = (**fence).clone();
                self.contradicts(Inconsistency::HiddenEnd { fence });
            }
            // The API's documents promise that nothing follows.
            (None, Begins::ByKey) if !self.fence.has_reverse => self.end = Some(self.all_read()),
            (None, _) => self.end = Some(Outcome::BestEffort { why: Doubt::ProbedEnd }),
        }
    }

    /// The next page begins here, past rows that the API counts and does not show.
    pub(super) fn bridge(&mut self, rank: u64, rows: u32, report: &Report) {
        let known = report.last_total().unwrap_or(0).max(self.barren.stalled_at).max(report.rows);
        self.barren.bridges += 1;
        let furthest = known.saturating_add(PAGES_BEYOND.saturating_mul(u64::from(rows)));
        if rank <= furthest && self.barren.bridges <= BRIDGES {
            (self.rank, self.bridging) = (rank, true);
        } else if let Some(fence) = self.fence.key.as_deref().cloned() {
            self.contradicts(Inconsistency::HiddenEnd { fence });
        } else {
            self.contradicts(Inconsistency::NothingShown { answers: self.fence.empty });
        }
    }

    /// This answer shows no row.
    pub(super) fn nothing_shown(&mut self, total: Option<u64>) {
        let has_seen_rows = self.has_seen_rows();
        let answers = self.nothing.shown(total);
        let empty_fences = if self.fence.has_reverse { self.fence.empty } else { u32::MAX };
        match self.nothing.believed(has_seen_rows, empty_fences) {
            None => {}
            Some(true) => self.end = Some(self.all_read()),
            Some(false) => self.contradicts(Inconsistency::NothingShown { answers }),
        }
    }
}
