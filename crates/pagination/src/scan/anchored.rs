//! Offset paging that no write can break: anchored pages, and a fence.
//!
//! Every page starts one row early. If it begins at or before the last row read, it is *covered*: it
//! continues what was read, whatever was written meanwhile. If not, rows before it have vanished, and
//! the scan steps back until a page is covered. The scan ends when the last row read is at or past
//! the *fence*, the greatest key that the reverse order showed; no owed row can be greater.

use std::collections::VecDeque;

use retry_policy::safety::Shrinkable;

use super::size::PageSize;
use super::window::{
    Barren, FENCE_ROWS, FENCE_ROWS_AFTER_A_FAILURE, Fence, Nothing, Role, Window, out_of_order,
};
use super::{Ask, Origin, State, WalkStep};
use crate::page::Page;
use crate::query::Place;
use crate::report::{Inconsistency, Outcome, Report};
use crate::{Key, Order, Query, Row};

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
/// How many pages beyond the total are looked through for hidden rows. Our choice.
const PAGES_BEYOND: u64 = 10;
/// How often the reverse order may show nothing while the order of the scan shows rows.
const EMPTY_FENCES: u32 = 12;

#[derive(Debug)]
pub(super) struct Anchored {
    order: Order,
    size: PageSize,
    ahead: usize,
    next_id: u64,
    /// The pages that come next, by rank.
    windows: VecDeque<Window>,
    fence: Fence,
    /// The last row read.
    last: Option<Key>,
    /// The rank at which the next page begins: that of the last row of the page before.
    rank: u64,
    /// Whether that row is `last`, so that the next page should begin with it.
    at_last: bool,
    /// The rows of the newest page, less the one that overlaps.
    stride: u64,
    /// Whether the next page is joined without proof, past rows that the API hides.
    bridging: bool,
    /// Whether any page was.
    hidden: bool,
    barren: Barren,
    nothing: Nothing,
    /// The most rows that any page had.
    widest: u64,
    /// The newest total, and by how much it had grown since the one before.
    total: Option<u64>,
    growth: u64,
    end: Option<Outcome>,
}

impl Anchored {
    pub(super) fn new(query: &Query) -> Self {
        Self {
            order: query.order(),
            size: PageSize::new(query.rows_per_page()),
            ahead: query.ahead(),
            next_id: 0,
            windows: VecDeque::new(),
            fence: Fence {
                id: 0,
                rows: FENCE_ROWS.min(query.rows_per_page()),
                carried: Shrinkable::new(),
                state: None,
                key: None,
                empty: 0,
            },
            nothing: Nothing::default(),
            widest: 0,
            total: None,
            growth: 0,
            last: None,
            rank: 0,
            at_last: true,
            stride: 0,
            bridging: false,
            hidden: false,
            barren: Barren::default(),
            end: None,
        }
    }

    pub(super) fn resume(
        &mut self,
        last: Option<Key>,
        rank: u64,
        fence: Option<Key>,
        hidden: bool,
    ) {
        (self.last, self.rank, self.fence.key, self.hidden) = (last, rank, fence, hidden);
        self.end_at_fence();
    }

    pub(super) fn finish(&mut self) {
        self.end = Some(Outcome::Complete);
    }

    pub(super) fn step(&mut self, report: &mut Report) -> WalkStep {
        loop {
            if let Some(end) = &self.end {
                return WalkStep::Done(end.clone());
            }
            if matches!(self.fence.state, Some(State::Failed)) {
                return WalkStep::Failed(self.fence.id);
            }
            match self.windows.front().map(|window| &window.state) {
                Some(State::Failed) => return WalkStep::Failed(self.windows[0].id),
                Some(State::Arrived(_)) => {
                    if let Some(step) = self.accept(report) {
                        return step;
                    }
                    continue;
                }
                _ => {}
            }
            return self.ask(report).map_or(WalkStep::Wait, WalkStep::Ask);
        }
    }

    pub(super) fn ask(&mut self, report: &Report) -> Option<Ask> {
        if self.end.is_some() {
            return None;
        }
        self.plan(report);
        self.next_ask()
    }

    /// Plans the page that comes next, and those ahead of it.
    fn plan(&mut self, report: &Report) {
        if self.windows.is_empty() {
            let rank = self.rank;
            let bridges = std::mem::take(&mut self.bridging);
            let catches_up = !self.at_last || bridges;
            self.windows.push_back(Window { catches_up, bridges, ..Window::at(rank) });
        }
        // The first page goes alone: it shows how many rows the server gives.
        if self.stride == 0 || self.barren.pages > 0 {
            return;
        }
        while self.windows.len() <= self.ahead {
            let Some(rank) =
                self.windows.back().map(|window| window.rank.saturating_add(self.stride))
            else {
                return;
            };
            // Without a total nobody knows how far there is anything to fetch.
            if report.last_total.is_none_or(|total| rank.saturating_add(1) >= total) {
                return;
            }
            self.windows.push_back(Window::at(rank));
        }
    }

    /// The next page that is wanted, the fence first.
    fn next_ask(&mut self) -> Option<Ask> {
        let in_flight = |state: &State| matches!(state, State::InFlight);
        let flights = self.windows.iter().filter(|window| in_flight(&window.state)).count()
            + usize::from(self.fence.state.as_ref().is_some_and(in_flight));
        if flights > self.ahead {
            return None;
        }
        self.next_id += 1;
        let id = self.next_id;
        if matches!(self.fence.state, Some(State::Wanted)) {
            (self.fence.id, self.fence.state) = (id, Some(State::InFlight));
            let order = match self.order {
                Order::Ascending => Order::Descending,
                Order::Descending => Order::Ascending,
            };
            let place = Place::Rank { skip: 0, order };
            let rows = self.fence.rows;
            let mark = PageSize::mark(rows, self.fence.carried);
            return Some(Ask { id, place, rows, mark });
        }
        if self.barren.pages > 0 && self.fence.state.is_some() {
            return None; // The fence may be what was reached.
        }
        let (rows, order) = (self.size.current(), self.order);
        let wanted = |window: &&mut Window| matches!(window.state, State::Wanted);
        let window = self.windows.iter_mut().find(wanted)?;
        (window.id, window.rows, window.state) = (id, rows, State::InFlight);
        let place = Place::Rank { skip: window.rank, order };
        let mark = PageSize::mark(rows, window.carried);
        Some(Ask { id, place, rows, mark })
    }

    /// Takes the first window's page, if it is covered.
    fn accept(&mut self, report: &mut Report) -> Option<WalkStep> {
        let mut window = self.windows.pop_front()?;
        let State::Arrived(page) = std::mem::replace(&mut window.state, State::Wanted) else {
            return None;
        };
        self.totalled(page.total, report);
        if let Some((key, next)) = out_of_order(&page.rows, self.order) {
            self.contradicts(Inconsistency::KeysNotIncreasing { key, next });
            return None;
        }
        let first = page.rows.first().and_then(Row::key);
        let begins_at_last = first.is_some() && first == self.last.as_ref();
        let known = self.known(&page.rows);
        let is_joined = window.rank == 0 || known > 0;
        let is_bridged = window.bridges && first.is_some();
        if !is_joined && !is_bridged {
            self.uncovered(window, page, report);
            return None;
        }
        if !is_joined && !self.barren.looked_twice {
            // Rows behind a gap: what lies in the gap is looked at once more before it counts as hidden.
            self.barren.looked_twice = true;
            let gap = Window { catches_up: true, ..Window::at(self.barren.stalled_at) };
            window.state = State::Arrived(page);
            window.role = Role::Kept;
            self.windows.push_front(window);
            self.windows.push_front(Window { role: Role::FillsGap, ..gap });
            return None;
        }
        self.hidden |= !is_joined;
        report.pages += 1;
        report.null_rows += page.null_rows;
        if self.last.is_some() && !window.catches_up {
            report.shifts_repaired += u64::from(!begins_at_last);
            report.duplicates_dropped += known.saturating_sub(usize::from(begins_at_last)) as u64;
        }

        let count = page.rows.len() as u64;
        self.widest = self.widest.max(count);
        if count > 0 {
            self.nothing = Nothing::default();
            self.rank = window.rank.saturating_add(count - 1);
        }
        let shows_nothing = count == 0 && page.null_rows == 0;
        let total = page.total.filter(|_| shows_nothing);
        let mut rows = page.rows;
        let furthest = rows.last().and_then(Row::key).cloned();
        let rows = rows.split_off(known);
        if rows.is_empty() {
            self.at_last = furthest == self.last;
            if count == 0 {
                self.nothing_shown(total);
            }
            self.barren_page(&window, count, furthest, report);
            self.end_at_fence();
            return None;
        }
        (self.last, self.at_last) = (furthest, true);
        self.stride = count.saturating_sub(1);
        self.barren = Barren::default();
        self.size.succeeded();
        if self.fence.key.is_none() && self.fence.state.is_none() && self.fence.empty == 0 {
            self.fence.state = Some(State::Wanted);
        }
        self.end_at_fence();
        let origin = Origin::Anchored {
            first_rank: window.rank.saturating_add(known as u64),
            fence: self.fence.key.clone(),
            hidden: self.hidden,
        };
        let is_last = self.end == Some(Outcome::Complete);
        Some(WalkStep::Rows { rows, origin, is_last })
    }

    /// How many of a page's rows were read before.
    fn known(&self, rows: &[Row]) -> usize {
        let Some(last) = &self.last else { return 0 };
        rows.partition_point(|row| {
            row.key().is_some_and(|key| self.order.compare(key, last).is_le())
        })
    }

    /// The page begins behind the last row read, or is empty: rows before it have vanished.
    fn uncovered(&mut self, mut window: Window, page: Page, report: &mut Report) {
        if window.bridges {
            // Nothing at all: look one page further, unless the end of the collection has moved here.
            self.fence.state.get_or_insert(State::Wanted);
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
            Role::Next => window.rank == self.rank,
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
    fn barren_page(&mut self, window: &Window, count: u64, furthest: Option<Key>, report: &Report) {
        let barren = &mut self.barren;
        barren.pages += 1;
        let is_further = match (&furthest, &barren.before) {
            (Some(key), Some(before)) => self.order.compare(key, before).is_gt(),
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
            self.fence.state.get_or_insert(State::Wanted);
        }
        if count <= 1 {
            // The window shows nothing behind its first row: larger, again, and then past it.
            barren.stalls += 1;
            let stalls = barren.stalls;
            self.size.enlarge();
            if stalls == 1 {
                barren.stalled_at = window.rank;
            }
            if stalls > REPEATS && self.windows.is_empty() {
                // One row further first: the server may give no more than one at a time.
                self.bridge(window.rank.saturating_add(count.max(1)), window.rows, report);
            }
        } else if self.windows.is_empty() {
            // Rows were written before the scan, and by the next request there will be as many more.
            self.rank = self.rank.saturating_add(self.growth);
        }
    }

    /// The next page begins here, past rows that the API counts and does not show.
    fn bridge(&mut self, rank: u64, rows: u32, report: &Report) {
        let known = report.last_total.unwrap_or(0).max(self.rank).max(report.rows);
        let furthest = known.saturating_add(PAGES_BEYOND.saturating_mul(u64::from(rows)));
        if rank <= furthest {
            (self.rank, self.bridging) = (rank, true);
        } else if let Some(fence) = self.fence.key.clone() {
            self.contradicts(Inconsistency::HiddenEnd { fence });
        } else {
            self.contradicts(Inconsistency::NothingShown { answers: self.fence.empty });
        }
    }

    /// The scan is over when the last row read is at or past the fence.
    fn end_at_fence(&mut self) {
        if let (Some(last), Some(fence), None) = (&self.last, &self.fence.key, &self.end) {
            if self.order.compare(last, fence).is_ge() {
                self.end = Some(if self.hidden { Outcome::BestEffort } else { Outcome::Complete });
            }
        }
    }

    /// This answer shows no row.
    fn nothing_shown(&mut self, total: Option<u64>) {
        let has_seen_rows = self.has_seen_rows();
        let answers = self.nothing.shown(total);
        match self.nothing.believed(has_seen_rows, self.fence.empty) {
            None => {}
            Some(true) => self.end = Some(Outcome::Complete),
            Some(false) => self.contradicts(Inconsistency::NothingShown { answers }),
        }
    }

    fn totalled(&mut self, total: Option<u64>, report: &mut Report) {
        if let (Some(before), Some(now)) = (self.total, total) {
            self.growth = now.saturating_sub(before);
        }
        self.total = total.or(self.total);
        report.total(total);
    }

    fn contradicts(&mut self, why: Inconsistency) {
        self.end = Some(Outcome::Inconsistent(why));
    }

    pub(super) fn answer(&mut self, id: u64, page: Page, report: &mut Report) {
        if self.fence.state.is_some() && self.fence.id == id {
            self.fence_arrived(&page, report);
        } else if let Some(window) = self.windows.iter_mut().find(|window| window.id == id) {
            window.state = State::Arrived(page);
        }
    }

    fn fence_arrived(&mut self, page: &Page, report: &mut Report) {
        self.fence.state = None;
        self.totalled(page.total, report);
        let keys: Vec<&Key> = page.rows.iter().filter_map(Row::key).collect();
        if let [first, second, ..] = keys[..] {
            if self.order.compare(first, second).is_le() {
                return self.contradicts(Inconsistency::ReverseIgnored);
            }
        }
        if let Some(&first) = keys.first() {
            (self.nothing, self.fence.empty) = (Nothing::default(), 0);
            // Every fence bounds the owed rows; the nearest one is the best.
            if self.fence.key.as_ref().is_none_or(|key| self.order.compare(first, key).is_lt()) {
                self.fence.key = Some(first.clone());
            }
            return self.end_at_fence();
        }
        // No row. Where rows were seen the last ones may be hidden, so more are asked for; else the
        // order of the scan is asked in turn, and its page has this one asked again.
        self.fence.empty += 1;
        let answers = self.fence.empty;
        if answers > EMPTY_FENCES {
            return self.contradicts(Inconsistency::NothingShown { answers });
        }
        self.nothing_shown(page.total.filter(|_| page.null_rows == 0));
        if self.has_seen_rows() && self.fence.rows < self.size.current() {
            self.fence.rows = self.fence.rows.saturating_mul(4).min(self.size.current());
            self.fence.state = Some(State::Wanted);
        }
    }

    fn has_seen_rows(&self) -> bool {
        self.last.is_some() || self.fence.key.is_some() || self.nothing.says_rows
    }

    pub(super) fn too_heavy(&mut self, id: u64, carried: Shrinkable) -> bool {
        if self.fence.state.is_some() && self.fence.id == id {
            if !PageSize::can_shrink(self.fence.rows) {
                return false;
            }
            (self.fence.state, self.fence.carried) = (Some(State::Wanted), carried);
            self.fence.rows = FENCE_ROWS_AFTER_A_FAILURE;
            return true;
        }
        let Some(window) = self.windows.iter_mut().find(|window| window.id == id) else {
            return false;
        };
        if !PageSize::can_shrink(window.rows) {
            return false;
        }
        self.size.shrink(window.rows);
        (window.state, window.carried) = (State::Wanted, carried);
        // What is ahead was planned for larger pages: what is not sent is planned again, and a gap
        // before the rest tells of no write.
        self.windows.retain(|window| window.id != 0);
        self.windows.iter_mut().for_each(|window| window.catches_up = true);
        true
    }

    pub(super) fn failed(&mut self, id: u64) {
        if self.fence.state.is_some() && self.fence.id == id {
            self.fence.state = Some(State::Failed);
        } else if let Some(window) = self.windows.iter_mut().find(|window| window.id == id) {
            window.state = State::Failed;
        }
    }

    pub(super) fn retry_failed(&mut self) {
        let windows = self.windows.iter_mut().map(|window| &mut window.state);
        for state in windows.chain(&mut self.fence.state) {
            if matches!(state, State::Failed) {
                *state = State::Wanted;
            }
        }
    }
}
