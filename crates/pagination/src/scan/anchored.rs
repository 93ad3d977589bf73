//! Offset paging that no write can break: anchored pages, and a fence.
//!
//! Every page starts one row early. If it begins at or before the last row read, it is *covered*: it
//! continues what was read, whatever was written meanwhile. If not, rows before it have vanished, and
//! the scan steps back until a page is covered. The scan ends when the last row read is at or past
//! the *fence*, the greatest key that the reverse order showed; no owed row can be greater.
//!
//! Pages that are counted instead of ranked are placed so that they overlap ([`index`](super::index)).
//! Where a filter bounds the key, a page begins behind the last key and is covered by that.

mod barren;
mod fence;
mod keyset;
mod plan;

use std::collections::VecDeque;
use std::sync::Arc;

use retry_policy::safety::Shrinkable;

use super::index::page_over;
use super::size::PageSize;
use super::window::{Ahead, Barren, Fence, Nothing, Role, Window, out_of_order};
use super::{Origin, PageRequest, State, WalkStep, keyless, rows_for};
use crate::checkpoint::Resume;
use crate::dialect::Method;
use crate::page::Page;
use crate::query::{PagePosition, Range, Terms};
use crate::report::{Doubt, Inconsistency, Outcome, Report};
use crate::{Key, KeyRef, Keyed, Order};
use keyset::Begins;

/// The most that a total is believed to have grown between two answers, in rows. Our choice: no rank that is
/// counted with it leaves its range.
const GREATEST_GROWTH: u64 = 1 << 40;
/// A first page with fewer rows than this is short for another reason than the API's own size. Our choice.
const LEAST_CAP: u64 = 8;
/// No checkpoint is at a higher rank.
const GREATEST_RANK: u64 = 1 << 60;
/// How often one page is asked for again with fewer rows. Our choice: halving leads from 100,000 rows to two.
const SHRINKS: u32 = 16;

#[derive(Debug)]
pub(super) struct Anchored<R> {
    order: Order,
    range: Range,
    size: PageSize,
    /// The API's own ceiling, where pages are counted.
    counted: Option<u32>,
    ahead: Ahead,
    /// The bytes that may be held ahead, and those of the largest page so far.
    bytes: usize,
    heaviest: usize,
    /// The rows that the query's limit leaves.
    left: Option<u64>,
    next_id: u64,
    /// The pages that come next, by rank.
    windows: VecDeque<Window<R>>,
    fence: Fence<R>,
    begins: Begins<R>,
    /// The last row read, and the rows without a key behind it.
    last: Option<Arc<Key>>,
    beyond: u64,
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
    bad_rows: u64,
    /// The newest total, and by how much it had grown since the one before.
    total: Option<u64>,
    growth: u64,
    end: Option<Outcome>,
}

impl<R: Keyed> Anchored<R> {
    pub(super) fn new(query: &Terms) -> Self {
        let size = PageSize::new(query.rows_per_page(), query.spec.time_limit);
        let is_counted = matches!(query.spec.method, Method::PageIndex { .. });
        let ceiling = (query.spec.ceiling)(query.uri.path());
        Self {
            order: query.order(),
            range: query.range.clone(),
            size: if is_counted { size.counted() } else { size },
            counted: is_counted.then_some(ceiling),
            ahead: Ahead::new(query.ahead()),
            bytes: query.bytes_ahead(),
            heaviest: 0,
            left: None,
            next_id: 0,
            windows: VecDeque::new(),
            fence: Fence::new(query.rows_per_page(), query.spec.has_reverse),
            begins: Begins::of(query),
            last: None,
            beyond: 0,
            rank: 0,
            at_last: true,
            stride: 0,
            bridging: false,
            hidden: false,
            barren: Barren::default(),
            nothing: Nothing::default(),
            bad_rows: 0,
            total: None,
            growth: 0,
            end: None,
        }
    }

    pub(super) fn resume(&mut self, place: Resume) -> bool {
        let Resume::Anchored { last, skip, beyond, bad, fence, hidden } = place else {
            return false;
        };
        (self.last, self.rank) = (last.map(Arc::new), skip.min(GREATEST_RANK));
        (self.beyond, self.bad_rows) = (beyond, bad);
        (self.fence.key, self.hidden) = (fence.map(Arc::new), hidden);
        self.end_at_fence();
        true
    }

    pub(super) fn here(&self) -> Resume {
        Resume::Anchored {
            last: self.last.as_deref().cloned(),
            skip: self.rank,
            beyond: self.beyond,
            bad: self.bad_rows,
            fence: self.fence.key.as_deref().cloned(),
            hidden: self.hidden,
        }
    }

    pub(super) const fn needs(&mut self, left: Option<u64>) {
        self.left = left;
    }

    pub(super) const fn size(&mut self) -> &mut PageSize {
        &mut self.size
    }

    pub(super) const fn ahead(&mut self) -> &mut Ahead {
        &mut self.ahead
    }

    /// Whether the API has told of more rows than were read; `None` if it has not told.
    pub(super) fn has_more(&self, _: &Report) -> Option<bool> {
        if let Some(end) = &self.end {
            return (*end == Outcome::Complete).then_some(false);
        }
        if let (Some(last), Some(fence)) = (&self.last, &self.fence.key) {
            return Some(self.order.compare(last.borrow(), fence.borrow()).is_lt());
        }
        let total = self.total.filter(|_| !self.begins.is_by_key());
        let read = self.rank.saturating_add(1).saturating_add(self.beyond);
        total.is_some_and(|total| total > read).then_some(true)
    }

    pub(super) fn step(&mut self, report: &mut Report) -> WalkStep<R> {
        loop {
            if let Some(end) = &self.end {
                return WalkStep::Done(end.clone());
            }
            if matches!(self.fence.state, Some(State::Failed)) {
                return WalkStep::Failed(self.fence.id);
            }
            if let Some(id) = self.begins.failed() {
                return WalkStep::Failed(id);
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
            return self.ask(report).map_or(WalkStep::Wait, WalkStep::Fetch);
        }
    }

    pub(super) fn ask(&mut self, report: &Report) -> Option<PageRequest> {
        if self.end.is_some() {
            return None;
        }
        if let Some(ask) = self.ask_probe() {
            return Some(ask);
        }
        if self.begins.is_probing() {
            return None;
        }
        self.plan(report);
        self.next_ask()
    }

    /// Takes the first window's page, if it is covered.
    fn accept(&mut self, report: &mut Report) -> Option<WalkStep<R>> {
        let mut window = self.windows.pop_front()?;
        let State::Arrived(page) = std::mem::replace(&mut window.state, State::Wanted) else {
            return None;
        };
        if window.above.is_none() {
            self.totalled(page.total, report); // Behind a key it would be that of the rest.
        }
        if let Some(why) = self.contradiction(&window, &page.rows) {
            self.contradicts(why);
            return None;
        }
        let expected = usize::try_from(window.overlap).unwrap_or(usize::MAX);
        let last = self.last.as_deref().map(Key::borrow);
        let begins_at_last = last.is_some() && page.rows.get(expected).and_then(Keyed::key) == last;
        let known = match window.above {
            // Behind a key rows without one come again.
            Some(_) => self.leading_keyless(&page.rows),
            None => self.known(&page.rows),
        };
        let is_joined = window.rank == 0 || known > 0 || window.above.is_some();
        let is_bridged = window.bridges && !page.rows.is_empty();
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
        self.ahead.arrived();
        self.heaviest = self.heaviest.max(page.bytes);
        let (rows, places) = (u64::from(window.rows), page.places());
        let is_first = self.last.is_none() && window.rank == 0;
        if self.counted.is_some()
            && is_first
            && (LEAST_CAP..rows).contains(&places)
            && page.total.is_some_and(|total| total > places)
        {
            // The API gives fewer rows than asked for, and counts its pages by its own size.
            let most = u32::try_from(places).unwrap_or(u32::MAX);
            self.size.cap(most, window.rows);
            self.counted = Some(most);
        }
        if self.last.is_some() && !window.catches_up {
            report.shifts_repaired += u64::from(!begins_at_last);
            let expected = if begins_at_last {
                (expected as u64).saturating_add(1).saturating_add(self.beyond)
            } else {
                0
            };
            report.duplicates_dropped += (known as u64).saturating_sub(expected);
        }
        self.take(&window, page, known, report)
    }

    /// Takes the rows of a covered page of which the first `known` are read already.
    fn take(
        &mut self,
        window: &Window<R>,
        page: Page<R>,
        known: usize,
        report: &Report,
    ) -> Option<WalkStep<R>> {
        let (count, places) = (page.rows.len() as u64, page.places());
        let is_proved = !self.fence.has_reverse
            && window.above.is_none()
            && page.total.is_some_and(|total| window.rank.saturating_add(places) >= total)
            && count > 0;
        let shows_nothing = places == 0;
        let total = page.total.filter(|_| shows_nothing);
        let mut rows = page.rows;
        let last_keyed = rows.iter().rposition(|row| row.key().is_some());
        let first_rank = match window.above {
            Some(_) => self.rank.saturating_add(1),
            None => window.rank.saturating_add(known as u64),
        };
        if count > 0 {
            self.nothing = Nothing::default();
            let at = last_keyed.unwrap_or(rows.len() - 1) as u64;
            self.rank = match window.above {
                // Behind a key the rank is a guess, for the time when the key is not enough.
                Some(_) => self.rank.saturating_add(count),
                None => window.rank.saturating_add(at),
            };
        }
        let furthest = last_keyed.and_then(|at| rows[at].key().map(KeyRef::to_key));
        let behind = last_keyed.map_or(0, |at| (rows.len() - at - 1) as u64);
        let pair = self.begins.pair_of(&rows);
        rows.drain(..known);
        if rows.is_empty() {
            self.at_last = furthest.as_ref() == self.last.as_deref();
            if count == 0 {
                self.nothing_shown(total);
            }
            if is_proved {
                self.end = Some(self.all_read());
            } else {
                self.barren_page(window, count, furthest, report);
            }
            self.end_at_fence();
            return None;
        }
        let (before, beyond) = (self.last.clone(), self.beyond);
        if let Some(furthest) = furthest {
            (self.last, self.at_last, self.beyond) = (Some(Arc::new(furthest)), true, behind);
        }
        let bad = self.bad_rows;
        self.bad_rows = bad.saturating_add(keyless(&rows));
        self.stride = count.saturating_sub(1);
        self.barren = Barren::default();
        self.size.succeeded();
        self.begins.probe(pair);
        if self.fence.key.is_none() && self.fence.empty == 0 {
            self.want_fence();
        }
        if is_proved {
            self.end = Some(self.all_read());
        }
        self.end_at_fence();
        let fence = self.fence.key.clone();
        let hidden = self.hidden;
        let origin = Origin::Anchored { first_rank, last: before, beyond, bad, fence, hidden };
        let is_last = self.end == Some(Outcome::Complete);
        Some(WalkStep::Rows { rows, origin, is_last })
    }

    /// What in a page cannot be.
    fn contradiction(&self, window: &Window<R>, rows: &[R]) -> Option<Inconsistency> {
        if let Some((key, next)) = out_of_order(rows, self.order) {
            return Some(Inconsistency::KeysNotIncreasing { key, next });
        }
        if !rows.is_empty() && rows.iter().all(|row| row.key().is_none()) {
            return Some(Inconsistency::NoKeys);
        }
        let above = window.above.as_ref().map(Key::borrow);
        let is_excluded = |key: &KeyRef<'_>| {
            above.is_some_and(|above| self.order.compare(*key, above).is_le())
                || self.range.excludes(*key)
        };
        let key = rows.iter().filter_map(Keyed::key).find(is_excluded)?;
        Some(Inconsistency::FilterIgnored { key: key.to_key() })
    }

    /// How many of a page's rows were read before.
    fn known(&self, rows: &[R]) -> usize {
        let Some(last) = self.last.as_deref().map(Key::borrow) else { return 0 };
        let is_known = |row: &R| row.key().is_some_and(|key| self.order.compare(key, last).is_le());
        let Some(at) = rows.iter().rposition(is_known) else { return 0 };
        // Rows without a key are known by their place behind the last one that has one.
        let is_keyless = |row: &&R| row.key().is_none();
        let keyless = rows[at + 1..].iter().take_while(is_keyless).count();
        let beyond = usize::try_from(self.beyond).unwrap_or(usize::MAX);
        at + 1 + if rows[at].key() == Some(last) { keyless.min(beyond) } else { keyless }
    }

    /// Asks for the fence, if the API answers the reverse order.
    fn want_fence(&mut self) {
        if self.fence.has_reverse {
            self.fence.state.get_or_insert(State::Wanted);
        }
    }

    /// The rows without a key that were read behind the last one that has one.
    fn leading_keyless(&self, rows: &[R]) -> usize {
        let keyless = rows.iter().take_while(|row| row.key().is_none()).count();
        keyless.min(usize::try_from(self.beyond).unwrap_or(usize::MAX))
    }

    /// The scan is over when the last row read is at or past the fence.
    fn end_at_fence(&mut self) {
        if let (Some(last), Some(fence), None) = (&self.last, &self.fence.key, &self.end) {
            if self.order.compare(last.borrow(), fence.borrow()).is_ge() {
                self.end = Some(self.all_read());
            }
        }
    }

    /// How a scan ends that has read all there is.
    const fn all_read(&self) -> Outcome {
        if self.hidden {
            Outcome::BestEffort { why: Doubt::HiddenRows }
        } else if self.bad_rows > 0 {
            Outcome::BestEffort { why: Doubt::BadRows { rows: self.bad_rows } }
        } else {
            Outcome::Complete
        }
    }

    fn totalled(&mut self, total: Option<u64>, report: &mut Report) {
        if let (Some(before), Some(now)) = (self.total, total) {
            self.growth = now.saturating_sub(before).min(GREATEST_GROWTH);
        }
        self.total = total.or(self.total);
        report.total(total);
    }

    fn contradicts(&mut self, why: Inconsistency) {
        self.end = Some(Outcome::Inconsistent { why });
    }

    pub(super) fn answer(&mut self, id: u64, page: Page<R>, report: &mut Report) {
        if self.fence.state.is_some() && self.fence.id == id {
            self.fence_arrived(&page, report);
        } else if self.begins.is_probe(id) {
            self.begins.probed(&page.rows, self.order);
        } else if let Some(window) = self.windows.iter_mut().find(|window| window.id == id) {
            window.state = State::Arrived(page);
        }
    }

    pub(super) fn too_heavy(&mut self, id: u64, carried: Shrinkable) -> bool {
        if self.fence.state.is_some() && self.fence.id == id {
            return self.fence.shrink(carried);
        }
        let Some(at) = self.windows.iter().position(|window| window.id == id) else {
            return false;
        };
        let rows = self.windows[at].rows;
        // A counted page may need more rows than the size says, so sizes alone do not come to an end.
        if !self.size.can_shrink(rows) || self.windows[at].shrunk >= SHRINKS {
            return false;
        }
        self.size.shrink(rows);
        self.again(at, carried);
        true
    }

    pub(super) fn at_most(&mut self, id: u64, ceiling: u32) -> bool {
        if self.fence.state.is_some() && self.fence.id == id {
            return self.fence.at_most(ceiling);
        }
        let Some(at) = self.windows.iter().position(|window| window.id == id) else {
            return false;
        };
        let shrinks =
            self.windows[at].shrunk < SHRINKS && self.size.cap(ceiling, self.windows[at].rows);
        if shrinks {
            self.counted = self.counted.map(|most| most.min(ceiling));
            self.again(at, Shrinkable::new());
        }
        shrinks
    }

    /// Asks for this page again, with fewer rows.
    fn again(&mut self, at: usize, carried: Shrinkable) {
        let window = &mut self.windows[at];
        (window.state, window.carried) = (State::Wanted, carried);
        window.shrunk += 1;
        (window.rank, window.overlap, window.rows) = (window.rank + window.overlap, 0, 0);
        // What is ahead was planned for larger pages: what is not sent is planned again, and a gap
        // before the rest tells of no write.
        self.windows.retain(|window| window.id != 0);
        self.windows.iter_mut().for_each(|window| window.catches_up = true);
    }

    pub(super) fn refused(&mut self, id: u64) -> bool {
        self.begins.refused(id)
    }

    pub(super) fn failed(&mut self, id: u64) {
        if self.fence.state.is_some() && self.fence.id == id {
            self.fence.state = Some(State::Failed);
        } else if self.begins.is_probe(id) {
            self.begins.set(State::Failed);
        } else if let Some(window) = self.windows.iter_mut().find(|window| window.id == id) {
            window.state = State::Failed;
        }
    }

    pub(super) fn retry_failed(&mut self) {
        if self.begins.failed().is_some() {
            self.begins.set(State::Wanted);
        }
        let windows = self.windows.iter_mut().map(|window| &mut window.state);
        for state in windows.chain(&mut self.fence.state) {
            if matches!(state, State::Failed) {
                *state = State::Wanted;
            }
        }
    }
}
