//! Which pages are asked for, and where they begin.

use super::{Anchored, PagePosition, PageRequest, State, Window, page_over, rows_for};
use crate::Keyed;
use crate::report::Report;

impl<R: Keyed> Anchored<R> {
    /// Plans the page that comes next, and those ahead of it.
    pub(super) fn plan(&mut self, report: &Report) {
        if self.windows.is_empty() {
            let bridges = std::mem::take(&mut self.bridging);
            let catches_up = !self.at_last || bridges;
            let mut window = Window { catches_up, bridges, ..Window::at(self.rank) };
            self.begin(&mut window);
            self.windows.push_back(window);
        }
        // The first page goes alone: it shows how many rows the server gives.
        if self.stride == 0 || self.barren.pages > 0 || self.begins.is_by_key() {
            return;
        }
        while self.windows.len() <= self.ahead.now() {
            if let Some(back) = self.windows.len().checked_sub(1) {
                self.count_out(back);
            }
            let Some(rank) = self.windows.back().map(|window| match self.counted {
                Some(_) => window.rank.saturating_add(u64::from(window.rows.max(2)) - 1),
                None => window.rank.saturating_add(self.stride),
            }) else {
                return;
            };
            // Without a total nobody knows how far there is anything to fetch.
            let is_past = |end: u64| rank.saturating_add(1) >= end;
            let needed = self.left.map(|left| self.rank.saturating_add(left).saturating_add(2));
            if report.last_total().is_none_or(is_past) || needed.is_some_and(is_past) {
                return;
            }
            self.windows.push_back(Window::at(rank));
        }
    }

    /// Places a counted page that is not placed yet.
    fn count_out(&mut self, at: usize) {
        let largest = rows_for(self.size.current(), self.left, 2);
        if let (Some(ceiling), Some(window)) = (self.counted, self.windows.get_mut(at)) {
            if window.rows == 0 {
                let rows = page_over(window.rank, largest, ceiling);
                window.overlap = window.rank % u64::from(rows);
                (window.rank, window.rows) = (window.rank - window.overlap, rows);
            }
        }
    }

    /// The bytes of the pages at hand and on their way.
    fn held(&self) -> usize {
        let held = self.windows.iter().map(|window| match &window.state {
            State::Arrived(page) => page.bytes,
            State::InFlight => self.heaviest,
            State::Failed | State::Wanted => 0,
        });
        held.sum()
    }

    /// The next page that is wanted, the fence first.
    pub(super) fn next_ask(&mut self) -> Option<PageRequest> {
        let in_flight = |state: &State<R>| matches!(state, State::InFlight);
        let flights = self.windows.iter().filter(|window| in_flight(&window.state)).count()
            + usize::from(self.fence.state.as_ref().is_some_and(in_flight));
        if flights > self.ahead.now() {
            return None;
        }
        if matches!(self.fence.state, Some(State::Wanted)) {
            return Some(self.ask_fence());
        }
        if self.barren.pages > 0 && self.fence.state.is_some() {
            return None; // The fence may be what was reached.
        }
        let wanted = |window: &Window<R>| matches!(window.state, State::Wanted);
        let at = self.windows.iter().position(wanted)?;
        if at > 0 && self.held().saturating_add(self.heaviest) > self.bytes {
            return None;
        }
        self.next_id += 1;
        self.count_out(at);
        let (id, order) = (self.next_id, self.order);
        let window = &mut self.windows[at];
        if self.counted.is_none() {
            // One row more than the limit leaves, and the one in common.
            let besides = 1 + u64::from(window.rank > 0);
            let least = self.size.current().min(2);
            window.rows = rows_for(self.size.current(), self.left, besides).max(least);
        }
        (window.id, window.state) = (id, State::InFlight);
        let at = PagePosition::Rank { skip: window.rank, order, above: window.above.clone() };
        let mark = self.size.mark(window.rows, window.carried);
        Some(PageRequest { id, at, rows: window.rows, mark })
    }
}
