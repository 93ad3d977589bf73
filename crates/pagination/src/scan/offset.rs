//! The offset walk: every page overlaps the rows already read, and an answer in the reverse order shows the end.
//!
//! ```text
//!                        ┌──────── a page shows a row that was read ────────┐
//!                        ▼                                                  │
//! start ─────────────▶ Forward ── a page shows no row that was read ──▶ Search
//!   │                    ▲ │ │                                              │
//!   │                    │ │ └─ rows are hidden ─▶ Plain                    └─ no remembered row is left ─▶ LostPlace
//!   │                    │ │                         └─ nothing comes any more ─▶ BestEffort
//!   └─▶ AfterKey ────────┘ └─ the fence overlaps the rows read ─▶ Complete
//!          └ the filter shows no row that was read
//! ```
//!
//! A page begins with the row that was read last. If it shows a row that was read, it *joins*: the rows after that
//! one are contiguous in one answer, whatever was written meanwhile. If not, rows before it have gone or come, and
//! the walk searches for a page that joins. Rows are recognized by equality ([`Memory`]), so the order of the list
//! may be one that the client cannot compare.
//!
//! The *fence* is an answer in the reverse order. Two of its rows in one page show its direction. Where it overlaps
//! the rows read, the scan delivers the rows beyond and is complete, after a key as well. [`plain`](super::plain)
//! reads lists whose pages do not overlap.
//!
//! The state machine stays in one file, because each of its phases needs the others to be understood.

use std::sync::Arc;

use super::Accepted;
use super::context::Context;
use super::cycle::Repeats;
use super::fence::{Fence, Meeting};
use super::index::page_over;
use super::memory::{Memory, Shown};
use super::plain::Plain;
use super::requests::{PageStart, Purpose, Request, Requests, Role};
use super::rows::{Origin, Place, Tail};
use crate::checkpoint::Resume;
use crate::dialect::Method;
use crate::marks::{Mark, shows_sort};
use crate::page::{Next, Page};
use crate::query::{PagePosition, PageRequest, Terms};
use crate::report::{Doubt, Inconsistency, Outcome, Proof};
use crate::{Key, KeyRef, Keyed, Order};

/// No checkpoint is at a higher rank.
const GREATEST_RANK: u64 = 1 << 60;
/// A first page with fewer rows than this is short for another reason than the API's own size. Our choice.
const LEAST_CAP: u64 = 8;
/// Answers without a row, in both orders, before a list that has shown rows counts as empty. Our choice.
const EMPTY_ANSWERS: u32 = 12;
/// Pages of one search whose steps double, and of one that looks at every page. Our choice: 64 steps reach any rank,
/// and 200 pages show every row of a checkpoint.
const DOUBLING_SEARCHES: u32 = 64;
const SEARCHES: u32 = 200;
/// Turns of a search at its smallest step. Our choice: rows may come and go meanwhile.
const TURNS: u32 = 3;
/// How often a short page without a new row is asked for again before rows count as hidden. Our choice.
const REPEATS: u32 = 2;
/// How many more pages may repeat an earlier one if the total has grown meanwhile. Our choice.
const EXPLAINED: u32 = 8;
/// Pages in a row without a new row, whatever they show. Our choice: a million rows written at once.
const PAGES_WITHOUT_NEW: u32 = 10_000;
/// Keys after which a filter has shown no row that was read, before pages begin at ranks. Our choice.
const KEY_MISSES: u32 = 3;

#[derive(Debug)]
pub(super) struct Offset<R> {
    pub(super) order: Order,
    /// The fields that put rows in order before the key.
    fields: Arc<[String]>,
    /// Whether the keys are in the order that the dialect declares, as far as the answers show.
    is_ordered: bool,
    /// The greatest key read, in that order.
    pub(super) greatest: Option<Key>,
    /// The API's own ceiling, where pages are counted.
    pub(super) counted: Option<u32>,
    pub(super) phase: Phase,
    /// Whether a page after a key brought rows.
    by_key: bool,
    /// The bytes of the largest page so far.
    heaviest: usize,
    pub(super) memory: Memory,
    pub(super) read: Tail,
    /// The rank of the row that was read last, at which the next page begins.
    pub(super) rank: u64,
    /// The rows of the newest page, less the one that overlaps.
    stride: u64,
    /// The rows by which pages joined at another rank than the scan expected.
    writes: u64,
    /// The most rows that a page has shown.
    fullest: u64,
    /// The row of a list of one, if the newest page from its beginning shows one.
    single: Option<Mark>,
    pub(super) fence: Fence<R>,
    empty: Empty,
    no_progress: NoProgress,
    is_resumed: bool,
}

/// How the next page is asked for.
#[derive(Debug)]
pub(super) enum Phase {
    /// After a key: that of the row before the last one of the newest page, so that the row read last is shown again.
    AfterKey { misses: u32 },
    /// At the rank of the row that was read last.
    Forward,
    /// A page did not join: another one is looked for that does.
    Search(Search),
    /// After the rows of the page before: pages do not overlap.
    Plain(Plain),
}

/// Where a page that joins is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    step: u64,
    /// Whether the last page stood before the rows that are remembered, by the order of keys.
    is_before: bool,
    turns: u32,
}

/// What was seen since the last new row.
#[derive(Debug, Default)]
struct NoProgress {
    pages: u32,
    /// Short pages of one row or none, after which nothing more may come.
    stalls: u32,
    searches: u32,
    /// Whether the next page begins one row earlier, to show the direction of the list.
    looks_back: bool,
    /// Whether the total has grown, which explains that the walk was pushed back.
    has_grown: bool,
    repeats: Repeats,
}

/// The answers without any row, in both orders, since the last one with a row.
#[derive(Debug, Default)]
struct Empty {
    pages: u32,
    fences: u32,
    /// Whether one of them states that there are rows, and whether one states no total.
    states_rows: bool,
    lacks_total: bool,
}

/// How a page joins the rows read.
enum Join {
    /// The rows before this one stand before the new ones.
    At(usize),
    /// It stands before the rows that are remembered, by the order of keys.
    Before,
    /// It stands after the rows read, as far as the scan can tell.
    After,
    /// No row that is remembered is left.
    Lost,
}

impl<R: Keyed> Offset<R> {
    pub(super) fn new(query: &Terms) -> Self {
        let spec = &query.spec;
        let is_counted = matches!(spec.method, Method::PageIndex { .. });
        let ceiling = (spec.ceiling)(query.uri.path()).max(2);
        let fields: Arc<[String]> = query.sorted.iter().map(|(name, _)| name.clone()).collect();
        let phase = match Plain::of(query) {
            Some(plain) => Phase::Plain(plain),
            None if query.keyset && query.bound().is_ok() => Phase::AfterKey { misses: 0 },
            None => Phase::Forward,
        };
        let mut fence = Fence::new(spec.has_reverse, ceiling);
        if query.has_range() {
            fence.want(); // A range is read beside others, so its fence is asked for along with its first page.
        }
        Self {
            order: query.order(),
            is_ordered: spec.keys_in_order && fields.is_empty(),
            greatest: None,
            counted: is_counted.then_some(ceiling),
            by_key: false,
            phase,
            heaviest: 0,
            memory: Memory::new(!fields.is_empty()),
            fields,
            read: Tail::of(Vec::new(), Vec::new()),
            rank: 0,
            stride: 0,
            writes: 0,
            fullest: 0,
            single: None,
            fence,
            empty: Empty::default(),
            no_progress: NoProgress::default(),
            is_resumed: false,
        }
    }

    pub(super) fn resume(&mut self, place: Resume, rows: u64) -> bool {
        let Resume::Offset { rank, read, aside, greatest } = place else { return false };
        self.rank = rank.min(GREATEST_RANK);
        self.memory.restore(&read, &aside, rows);
        if let Phase::Plain(plain) = &mut self.phase {
            plain.resume(rows);
        }
        self.read = Tail::of(read, aside);
        (self.greatest, self.is_resumed) = (greatest, rows > 0);
        true
    }

    const fn is_plain(&self) -> bool {
        matches!(self.phase, Phase::Plain(_))
    }

    pub(super) fn here(&self) -> Resume {
        self.place().resume::<R>(&[], 0, self.rank)
    }

    pub(super) fn place(&self) -> Place {
        let greatest = self.is_ordered.then(|| (self.order, self.greatest.clone()));
        Place { read: self.read.clone(), greatest, fields: self.fields.clone() }
    }

    /// Whether an answer shows more rows than were read.
    pub(super) fn has_more(&self, cx: &Context<R>) -> bool {
        let read = match &self.phase {
            Phase::AfterKey { .. } => u64::MAX,
            Phase::Forward | Phase::Search(_) => self.rank.saturating_add(1),
            Phase::Plain(plain) => plain.distinct(),
        };
        let is_counted = cx.report.last_total().is_some_and(|total| total > read);
        cx.end.is_none() && (is_counted || self.fence.is_unread(&self.memory))
    }

    pub(super) fn accept(
        &mut self,
        request: Request<R>,
        page: Page<R>,
        cx: &mut Context<R>,
    ) -> Accepted<R> {
        match request.purpose {
            Purpose::Fence => self.accept_fence(page, cx),
            _ if self.is_plain() => self.accept_plain(&request, page, cx),
            _ => self.accept_page(request, page, cx),
        }
    }

    pub(super) fn ask(&mut self, cx: &mut Context<R>) -> Option<PageRequest> {
        self.plan(cx);
        self.send(cx)
    }

    /// Plans the page that comes next, and those ahead of it.
    fn plan(&mut self, cx: &mut Context<R>) {
        if let Some(rows) = self.fence.planned().filter(|_| !cx.requests.has_fence()) {
            cx.requests.plan(Request::planned(Purpose::Fence, rows));
        }
        if cx.requests.pages().next().is_none() {
            let start = self.next_start();
            cx.requests.plan_page(start);
        }
        self.plan_ahead(cx);
    }

    /// Where the next page begins.
    fn next_start(&mut self) -> PageStart {
        let start = PageStart { rank: self.rank, ..PageStart::default() };
        if let Phase::AfterKey { misses } = self.phase {
            // The row before the last; after a miss one further back, doubling.
            let mut keys = self.read.newest_first().filter_map(|row| row.key.as_ref());
            return match keys.nth(1 << misses) {
                Some(above) => PageStart { above: Some(above.clone()), ..start },
                None => PageStart { rank: 0, catches_up: true, ..start },
            };
        }
        if std::mem::take(&mut self.no_progress.looks_back) && self.rank > 0 {
            let (rank, role) = (self.rank - 1, Role::LooksBack);
            return PageStart { rank, role, catches_up: true, ..start };
        }
        start
    }

    /// Plans pages ahead as far as the total shows that there is anything.
    fn plan_ahead(&self, cx: &mut Context<R>) {
        let is_moving = self.stride > 0 && self.no_progress.pages == 0;
        if !is_moving || !matches!(self.phase, Phase::Forward) {
            return;
        }
        while cx.requests.pages().count() <= cx.prefetch.now() {
            let Some(at) = cx.requests.last_page() else { return };
            self.count_out(at, cx);
            let request = &cx.requests.list()[at];
            let Some(start) = request.start() else { return };
            let stride = match self.counted {
                Some(_) => u64::from(request.rows.max(2)) - 1,
                None => self.stride,
            };
            let rank = start.rank.saturating_add(stride);
            let is_past = |end: u64| rank.saturating_add(1) >= end;
            let needed = cx.left.map(|left| self.rank.saturating_add(left).saturating_add(2));
            if cx.report.last_total().is_none_or(is_past) || needed.is_some_and(is_past) {
                return;
            }
            cx.requests.plan_page(PageStart { rank, ..PageStart::default() });
        }
    }

    /// Places a counted page that is not placed yet.
    fn count_out(&self, at: usize, cx: &mut Context<R>) {
        let largest = cx.rows_for(2);
        let Some(ceiling) = self.counted.filter(|_| !self.is_plain()) else { return };
        let Some(request) = cx.requests.get_mut(at).filter(|it| it.rows == 0) else { return };
        if let Some(start) = request.start_mut() {
            let rows = page_over(start.rank, largest, ceiling);
            start.overlap = start.rank % u64::from(rows);
            start.rank -= start.overlap;
            request.rows = rows;
        }
    }

    /// The next request that is wanted, the fence first.
    fn send(&mut self, cx: &mut Context<R>) -> Option<PageRequest> {
        let besides = usize::from(cx.terms().has_range() && self.fence.asked() == 1);
        if cx.requests.in_flight() > cx.prefetch.now() + besides {
            return None;
        }
        let list = cx.requests.list();
        let fence = list.iter().position(|it| it.purpose == Purpose::Fence);
        if let Some(at) = fence.filter(|at| list[*at].is_wanted()) {
            self.fence.sent();
            let order = self.order.reversed();
            let position = PagePosition::Rank { skip: 0, order, above: None };
            return Some(cx.requests.send(at, position, &cx.size));
        }
        let is_waiting = self.no_progress.pages > 0 || self.empty.pages > 0;
        if fence.is_some() && is_waiting && !matches!(self.phase, Phase::Search(_)) {
            return None; // The fence may be what was reached.
        }
        let first = list.iter().position(|it| it.start().is_some());
        let at = list.iter().position(|it| it.start().is_some() && it.is_wanted())?;
        let pages = list.iter().filter(|it| it.start().is_some());
        let held: usize = pages.map(|it| it.bytes(self.heaviest)).sum();
        if Some(at) > first && held.saturating_add(self.heaviest) > cx.terms().bytes_ahead() {
            return None;
        }
        self.count_out(at, cx);
        let is_plain = self.is_plain();
        let PageStart { rank, above, .. } = cx.requests.list()[at].start()?.clone();
        if self.counted.is_none() || is_plain {
            // One row more than the limit leaves, and the one in common.
            let besides = if is_plain { 2 } else { 1 + u64::from(rank > 0) };
            let least = if is_plain { 1 } else { cx.size.current().min(2) };
            let rows = cx.rows_for(besides).max(least);
            cx.requests.get_mut(at)?.rows = rows;
        }
        let skip = if above.is_some() { 0 } else { rank };
        let position = PagePosition::Rank { skip, order: self.order, above };
        Some(cx.requests.send(at, position, &cx.size))
    }

    /// Takes the first page, if it joins the rows read.
    fn accept_page(
        &mut self,
        request: Request<R>,
        page: Page<R>,
        cx: &mut Context<R>,
    ) -> Accepted<R> {
        let start = request.start()?.clone();
        if start.above.is_none() {
            cx.total(page.total); // After a key it would be that of the rest.
        }
        if let Some(why) = Self::contradiction(&page.rows, cx) {
            return over(Outcome::Inconsistent { why }, cx);
        }
        self.check_order(&page.rows, cx);
        let shown = self.memory.shown(&page.rows, &self.fields);
        if start.is_first() {
            self.single = shown.first().copied().flatten().filter(|_| page.places() == 1);
        }
        if page.rows.is_empty() {
            self.empty.pages += 1;
            self.empty.record(&page);
            if start.is_first() {
                return self.on_empty_list(page.next == Next::End, cx);
            }
        } else {
            self.empty = Empty::default();
        }
        let is_by_key =
            start.above.is_some() && matches!(self.phase, Phase::AfterKey { misses: 0 });
        if is_by_key && shown.first().is_some_and(|mark| self.is_before_last(*mark)) {
            self.leave_keys(cx);
            return None;
        }
        let is_read = self.memory.recognize(&shown);
        let known = match self.join(&start, &page.rows, &shown, &is_read) {
            Join::At(known) => known,
            Join::Lost => return over(Outcome::LostPlace, cx),
            join => return self.search(request, page, matches!(join, Join::Before), cx),
        };
        if known > 1 && !cx.terms().is_mutable() && self.memory.orders(&shown[..known]).opposite {
            return over(Outcome::Inconsistent { why: Inconsistency::OrderChanges }, cx);
        }
        cx.accepted(&page);
        self.heaviest = self.heaviest.max(page.bytes);
        self.cap_counted(&request, &page, cx);
        if self.memory.frontier().is_some() && !start.catches_up {
            let overlap = usize::try_from(start.overlap).unwrap_or(usize::MAX);
            let begins_at_last = shown.get(overlap) == Some(&self.memory.frontier());
            cx.report.shifts_repaired += u64::from(!begins_at_last);
            let expected = if begins_at_last { overlap + 1 } else { 0 };
            let read = is_read.iter().filter(|is_read| **is_read).count();
            cx.report.duplicates_dropped += read.saturating_sub(expected) as u64;
        }
        if self.memory.frontier().is_some() && start.above.is_none() {
            // Where rows went or came before the one that was read last, the page joins at another rank.
            let joins_at = start.rank.saturating_add((known as u64).saturating_sub(1));
            self.writes = self.writes.saturating_add(self.rank.abs_diff(joins_at));
        }
        let is_new =
            is_read.iter().enumerate().map(|(at, is_read)| at >= known && !is_read).collect();
        self.take(&request, page, shown, (known, is_new), cx)
    }

    /// Whether this row was read before the one that was read last, so that no filter should show it.
    fn is_before_last(&self, mark: Option<Mark>) -> bool {
        self.memory.has_read(mark) && mark != self.memory.frontier()
    }

    /// The filter leads nowhere, so pages begin at ranks. If it brought rows before, it may have left out others.
    fn leave_keys(&mut self, cx: &mut Context<R>) {
        self.phase = Phase::Forward;
        if self.by_key {
            cx.report.doubt(Doubt::OrderContradicted);
        }
    }

    /// How a page joins the rows read.
    fn join(&self, start: &PageStart, rows: &[R], shown: &Shown, is_read: &[bool]) -> Join {
        let joins = |at: &usize| is_read[*at] && self.memory.joins_at(shown[*at]);
        if let Some(last) = (0..shown.len()).rfind(joins) {
            return Join::At(last + 1);
        }
        match self.memory.has_forgotten() {
            // The list begins here, and none of its rows was read.
            false if start.is_first() => Join::At(0),
            true if start.is_first() => Join::Lost,
            // The declared order of keys only shows where to look.
            true if self.greatest_is_after(rows) => Join::Before,
            _ => Join::After,
        }
    }

    fn greatest_is_after(&self, rows: &[R]) -> bool {
        let greatest = self.greatest.as_ref().filter(|_| self.is_ordered);
        let keys = greatest.zip(rows.last().and_then(Keyed::key));
        keys.is_some_and(|(it, key)| self.order.compare(key, it.borrow()).is_le())
    }

    /// A page does not join: looks for one that does.
    fn search(
        &mut self,
        mut request: Request<R>,
        page: Page<R>,
        is_before: bool,
        cx: &mut Context<R>,
    ) -> Accepted<R> {
        let (places, asked) = (page.places(), u64::from(request.rows));
        let start = request.start_mut()?;
        if let Phase::AfterKey { misses } = &mut self.phase {
            *misses += 1;
            if *misses > KEY_MISSES {
                self.phase = Phase::Forward; // All after the key may be gone.
            }
            return None;
        }
        cx.report.shifts_repaired += u64::from(!std::mem::replace(&mut start.catches_up, true));
        if start.role == Role::Kept && self.no_progress.pages > 0 {
            return None; // The gap before it shows nothing new, so it is asked for again when its turn comes.
        }
        self.no_progress.searches += 1;
        let looked_at = start.rank.saturating_add(start.overlap);
        let smallest = u64::from(cx.size.current().saturating_sub(1)).max(1);
        // Where few rows are remembered in no order, a longer step could pass over them.
        let may_double = self.is_ordered || !self.memory.has_forgotten();
        let most = if may_double { DOUBLING_SEARCHES } else { SEARCHES };
        let is_new = start.role != Role::Searches;
        let mut search = match self.phase {
            Phase::Search(search) if !is_new => search,
            _ => Search { step: smallest, is_before, turns: 0 },
        };
        let rank = if is_new && looked_at > self.rank {
            self.rank // Where the scan stands is the place to look, unless that is what was just looked at.
        } else {
            if search.is_before != is_before {
                search.turns += u32::from(search.step <= smallest.saturating_mul(2));
                search.step = (search.step / 4).max(smallest);
            }
            let step = search.step;
            search.is_before = is_before;
            if may_double {
                search.step = step.saturating_mul(2);
            }
            // As many rows as the total has grown by may have come before the scan.
            let has_grown = is_new && places > 0 && cx.growth >= if is_before { 1 } else { asked };
            match is_before {
                _ if has_grown => looked_at.saturating_add(cx.growth),
                true => looked_at.saturating_add(step),
                false => looked_at.saturating_sub(step),
            }
        };
        if self.no_progress.searches > most || search.turns > TURNS {
            let why = Inconsistency::NoProgress { pages: self.no_progress.searches };
            let is_lost = self.memory.has_forgotten();
            let end = if is_lost { Outcome::LostPlace } else { Outcome::Inconsistent { why } };
            return over(end, cx);
        }
        if is_new && rank < looked_at && places > 0 {
            // What was read ahead is kept; only the gap before it is fetched.
            start.role = Role::Kept;
            cx.requests.keep(request, page);
        }
        let start = PageStart { rank, role: Role::Searches, ..PageStart::default() };
        cx.requests.plan_first(PageStart { catches_up: true, ..start });
        self.phase = Phase::Search(search);
        None
    }

    /// Takes the rows of a page that joins; the first `known` of them stand before the new ones.
    fn take(
        &mut self,
        request: &Request<R>,
        page: Page<R>,
        shown: Shown,
        (known, mut is_new): (usize, Vec<bool>),
        cx: &mut Context<R>,
    ) -> Accepted<R> {
        let start = request.start()?;
        let states_end = page.next == Next::End && !self.fence.is_possible;
        let (count, places) = (page.rows.len() as u64, page.places());
        self.fullest = self.fullest.max(places);
        let is_short = places < self.fullest.min(u64::from(request.rows));
        let rows = page.rows;
        // Rows before one that was read came later, or the server mixes them. In a declared order they are passed over, so
        // that rows come in it; once rows were forgotten, they may be rows that were read.
        let passes_late = self.is_ordered || self.memory.has_forgotten();
        let is_late = |mark: &Option<Mark>| mark.is_some() && !self.memory.has_read(*mark);
        for (is_new, mark) in is_new.iter_mut().zip(&shown[..known]) {
            *is_new = !passes_late && is_late(mark);
        }
        if self.by_key && start.above.is_none() && shown[..known].iter().any(is_late) {
            cx.report.doubt(Doubt::OrderContradicted); // The filter may have left these rows out.
        }
        self.leave_moved(&rows, &mut is_new, cx);
        if self.memory.joins_early(&shown, known, &is_new) {
            let (marks, joined_at) =
                (self.memory.marks(), shown[..known].last().copied().flatten());
            self.read.set_aside_after(|anchor| Some(marks.of_anchor(anchor)) == joined_at);
        }
        let place = self.place();
        if !self.memory.accept(shown, &rows, known, &is_new, self.is_ordered) {
            cx.report.doubt(Doubt::KeyNotUnique);
        }
        if !is_new.contains(&true) {
            if states_end {
                return self.conclude(Proof::ApiSaysSo, Vec::new(), cx);
            }
            return self.on_no_new_row(request, places, &rows, cx);
        }
        let late = is_new[..known].iter().filter(|is_new| **is_new).count();
        self.read.push(&rows[known..], &is_new[known..], &self.fields);
        let mut new = rows;
        retain(&mut new, is_new);
        self.note_greatest(&new);
        let (first, last) = match start.above {
            // After a key the rank is a guess, for the time when the key is not enough.
            Some(_) => {
                (self.rank.saturating_add(1), self.rank.saturating_add(count - known as u64))
            }
            None => (start.rank.saturating_add(known as u64), start.rank.saturating_add(count - 1)),
        };
        self.rank = last;
        self.stride = count - 1;
        self.no_progress = NoProgress::default();
        self.joined(true);
        self.by_key |= start.above.is_some();
        cx.size.succeeded();
        self.read.push_aside(&new[..late], &self.fields);
        let origin = Origin::Offset { rank: first, late, place };
        if is_short && self.fence.is_possible && self.fence.is_exhausted() {
            cx.report.doubt(Doubt::FenceNotMet);
            return self.finish(Proof::ApiSaysSo, new, origin, cx);
        }
        if self.fence.asked() == 0 || is_short {
            self.fence.want();
        }
        if states_end {
            return self.finish(Proof::ApiSaysSo, new, origin, cx);
        }
        if let Some(rest) = self.meet_fence(cx) {
            self.rank = self.rank.saturating_add(rest.len() as u64);
            new.extend(rest);
            return self.finish(Proof::Fenced, new, origin, cx);
        }
        self.doubt_rows(&new, cx);
        Some((new, origin))
    }

    fn joined(&mut self, shows_new: bool) {
        match &mut self.phase {
            Phase::AfterKey { misses } if shows_new => *misses = 0,
            Phase::Search(_) => self.phase = Phase::Forward,
            _ => {}
        }
    }

    /// A page that joins and shows no new row is not the end: it says where to look next.
    fn on_no_new_row(
        &mut self,
        request: &Request<R>,
        places: u64,
        rows: &[R],
        cx: &mut Context<R>,
    ) -> Accepted<R> {
        let start = request.start()?;
        self.joined(false);
        if let Some(rest) = self.meet_fence(cx) {
            return self.conclude(Proof::Fenced, rest, cx);
        }
        let none = &mut self.no_progress;
        none.pages += 1;
        none.has_grown |= cx.growth > 0;
        let page = self.memory.marks().of_page(rows);
        let times = if none.has_grown { EXPLAINED } else { 1 };
        let is_stuck = none.repeats.are_too_many(page, request.rows, times);
        if is_stuck || none.pages > PAGES_WITHOUT_NEW {
            let why = Inconsistency::NoProgress { pages: none.pages };
            return over(Outcome::Inconsistent { why }, cx);
        }
        let is_short = places < u64::from(request.rows);
        // A page of one row shows nothing after it; the server may have cut a longer one.
        none.stalls += u32::from(is_short && rows.len() < 2);
        let stalls = none.stalls;
        if let Phase::AfterKey { .. } = self.phase {
            if stalls > REPEATS {
                self.phase = Phase::Forward;
            }
            self.fence.want();
            return None;
        }
        let looked_back = start.role == Role::LooksBack;
        if !looked_back {
            self.rank = start.rank.saturating_add((rows.len() as u64).saturating_sub(1));
        }
        if !is_short {
            if cx.requests.pages().next().is_none() && !looked_back {
                // Rows were written before the scan, and by the next request there will be as many more.
                self.rank = self.rank.saturating_add(cx.growth);
            }
            return None;
        }
        self.no_progress.looks_back = !looked_back;
        cx.size.enlarge();
        if !self.fence.is_possible {
            return if stalls < REPEATS { None } else { self.give_up(cx) };
        }
        let is_asked = cx.requests.has_fence() || self.fence.is_wanted();
        let is_hidden = !self.fence.has_answer() || self.fence.is_unread(&self.memory);
        if stalls > REPEATS && is_hidden && !is_asked {
            return self.pass_hidden_rows(cx);
        }
        if self.fence.is_exhausted() {
            return self.give_up(cx);
        }
        self.fence.want();
        None
    }

    /// The API counts rows that it does not show: no page can overlap across them.
    fn pass_hidden_rows(&mut self, cx: &mut Context<R>) -> Accepted<R> {
        // Once rows were forgotten, only the declared order shows which rows were not read.
        let is_ordered = self.is_ordered && self.greatest.is_some();
        if !self.fields.is_empty() || self.memory.has_forgotten() && !is_ordered {
            cx.report.doubt(Doubt::HiddenRows);
            return self.give_up(cx);
        }
        cx.requests.clear_pages();
        // One row further first: the server may give no more than one at a time.
        self.rank = self.rank.saturating_add(u64::from(self.memory.frontier().is_some()));
        (self.no_progress, self.phase) =
            (NoProgress::default(), Phase::Plain(Plain::after_hidden_rows()));
        None
    }

    /// The beginning of the list shows no row: the list is empty if both orders show none.
    fn on_empty_list(&mut self, states_end: bool, cx: &mut Context<R>) -> Accepted<R> {
        self.no_progress.stalls += 1;
        if self.no_progress.stalls > REPEATS && self.fence.is_unread(&self.memory) {
            return self.pass_hidden_rows(cx);
        }
        cx.size.enlarge();
        self.fence.want();
        match self.fence.is_possible {
            false if self.empty.pages < 2 => None,
            false if states_end => self.conclude(Proof::ApiSaysSo, Vec::new(), cx),
            false => self.give_up(cx),
            true => self.end_if_empty(cx),
        }
    }

    fn end_if_empty(&mut self, cx: &mut Context<R>) -> Accepted<R> {
        let Empty { pages, fences, states_rows, lacks_total } = self.empty;
        let answers = pages.saturating_add(fences);
        let is_blank = self.memory.frontier().is_none() && !self.is_resumed && !states_rows;
        let is_both = pages > 0 && fences > 0;
        match (is_both && (is_blank || answers >= EMPTY_ANSWERS), states_rows) {
            (true, true) => {
                over(Outcome::Inconsistent { why: Inconsistency::NothingShown { answers } }, cx)
            }
            (true, false) if is_blank || !lacks_total => {
                self.conclude(Proof::Fenced, Vec::new(), cx)
            }
            (true, false) => self.give_up(cx),
            (false, _) if pages >= EMPTY_ANSWERS && self.fence.is_exhausted() => self.give_up(cx),
            (false, _) => None,
        }
    }

    /// No answer shows where the list ends.
    fn give_up(&mut self, cx: &mut Context<R>) -> Accepted<R> {
        cx.report.doubt(if self.fence.is_possible {
            Doubt::FenceNotMet
        } else {
            Doubt::EndNotStated
        });
        self.conclude(Proof::ApiSaysSo, Vec::new(), cx)
    }

    /// The answer in the reverse order.
    fn accept_fence(&mut self, page: Page<R>, cx: &mut Context<R>) -> Accepted<R> {
        cx.total(page.total);
        if let Some(why) = Self::contradiction(&page.rows, cx) {
            return over(Outcome::Inconsistent { why }, cx);
        }
        let shown = self.memory.shown(&page.rows, &self.fields);
        if page.rows.is_empty() {
            self.empty.fences += 1;
            self.empty.record(&page);
            self.fence.arrived(page, shown);
            return self.end_if_empty(cx);
        }
        self.empty = Empty::default();
        self.fence.arrived(page, shown);
        let rest = self.meet_fence(cx)?;
        self.conclude(Proof::Fenced, rest, cx)
    }

    /// The rows of the fence beyond the rows read, if it overlaps them.
    fn meet_fence(&mut self, cx: &mut Context<R>) -> Option<Vec<R>> {
        let mut beyond = match self.fence.meet(&self.memory, self.single) {
            Meeting::None => return None,
            Meeting::SameOrder => {
                over(Outcome::Inconsistent { why: Inconsistency::ReverseIgnored }, cx);
                return None;
            }
            Meeting::Overlap(beyond) => beyond,
        };
        if beyond.has_equal {
            cx.report.doubt(Doubt::KeyNotUnique);
        }
        self.leave_moved(&beyond.rows, &mut beyond.is_new, cx);
        retain(&mut beyond.rows, beyond.is_new);
        Some(beyond.rows)
    }

    /// The list ends, perhaps with these rows of the fence.
    fn conclude(&mut self, proof: Proof, rest: Vec<R>, cx: &mut Context<R>) -> Accepted<R> {
        let (rank, place) = (self.rank.saturating_add(1), self.place());
        let origin = Origin::Offset { rank, late: 0, place };
        self.finish(proof, rest, origin, cx)
    }

    fn finish(
        &mut self,
        proof: Proof,
        rows: Vec<R>,
        origin: Origin,
        cx: &mut Context<R>,
    ) -> Accepted<R> {
        self.doubt_rows(&rows, cx);
        if cx.terms().is_mutable() {
            cx.report.doubt(Doubt::MutableSort);
        }
        if self.memory.has_lost() {
            cx.report.doubt(Doubt::Forgotten);
        }
        // A scan that resumes knows what was written before the row read last by its rank alone.
        let written = if self.is_resumed { self.rank.saturating_add(1) } else { 0 };
        cx.check_count(rows.len(), self.writes.max(written.saturating_sub(cx.seen(0))));
        // That a filter leaves out no row after its key is the API's word.
        let is_promised = cx.terms().bound().is_ok_and(|bound| bound.is_declared);
        let proof = if self.by_key && !is_promised { Proof::ApiSaysSo } else { proof };
        cx.conclude(proof);
        (!rows.is_empty()).then_some((rows, origin))
    }

    /// What in a page cannot be.
    fn contradiction(rows: &[R], cx: &Context<R>) -> Option<Inconsistency> {
        if !rows.is_empty() && rows.iter().all(|row| row.key().is_none()) {
            return Some(Inconsistency::NoKeys);
        }
        let range = Some(&cx.terms().range).filter(|_| cx.terms().has_range())?;
        let key = rows.iter().filter_map(Keyed::key).find(|key| range.excludes(*key))?;
        Some(Inconsistency::FilterIgnored { key: key.to_key() })
    }

    /// Whether the keys of a page are in the declared order, if there is one.
    fn check_order(&mut self, rows: &[R], cx: &mut Context<R>) {
        let mut before: Option<KeyRef<'_>> = None;
        for key in rows.iter().filter(|_| self.is_ordered).filter_map(Keyed::key) {
            if before.is_some_and(|before| self.order.compare(before, key).is_gt()) {
                (self.is_ordered, cx.report.order_contradicted) = (false, true);
                if cx.terms().has_range() {
                    cx.report.doubt(Doubt::OrderContradicted);
                }
                return;
            }
            before = Some(key);
        }
    }

    pub(super) fn note_greatest(&mut self, rows: &[R]) {
        if let Some(key) = rows.iter().rev().find_map(Keyed::key).filter(|_| self.is_ordered) {
            let is_greater = |it: &Key| self.order.compare(key, it.borrow()).is_gt();
            if self.greatest.as_ref().is_none_or(is_greater) {
                self.greatest = Some(key.to_key());
            }
        }
    }

    /// Leaves out rows that were read at another place, where other fields put them in order.
    fn leave_moved(&self, rows: &[R], is_new: &mut [bool], cx: &mut Context<R>) {
        let others = rows.iter().zip(is_new).filter(|_| !self.fields.is_empty());
        for (_, is_new) in others.filter(|(row, is_new)| **is_new && self.memory.has_moved(*row)) {
            cx.report.doubt(Doubt::MutableSort);
            *is_new = false;
        }
    }

    fn doubt_rows(&self, rows: &[R], cx: &mut Context<R>) {
        if rows.iter().any(|row| row.key().is_none()) {
            cx.report.doubt(Doubt::BadRows);
        }
        if !self.fields.is_empty() && !rows.iter().all(|row| shows_sort(row, &self.fields)) {
            cx.report.doubt(Doubt::SortNotShown);
        }
    }

    /// Of an API that gives fewer rows than asked for, and counts its pages by its own size.
    fn cap_counted(&mut self, request: &Request<R>, page: &Page<R>, cx: &mut Context<R>) {
        let (places, rows) = (page.places(), request.rows);
        let is_first = self.memory.frontier().is_none() && self.counted.is_some();
        let is_capped = (LEAST_CAP..u64::from(rows)).contains(&places);
        if is_first && is_capped && page.total.is_some_and(|total| total > places) {
            let most = u32::try_from(places).unwrap_or(u32::MAX);
            cx.size.cap(most, rows);
            self.counted = Some(most);
        }
    }

    /// The API refuses a page after a key: pages begin at ranks.
    pub(super) fn refused(&mut self, id: u64, requests: &mut Requests<R>) -> bool {
        let is_after_key = requests.is_after_key(id);
        if is_after_key {
            requests.clear_pages();
            self.phase = Phase::Forward;
        }
        is_after_key
    }
}

fn over<R: Keyed>(end: Outcome, cx: &mut Context<R>) -> Accepted<R> {
    cx.end(end);
    None
}

impl Empty {
    fn record<R>(&mut self, page: &Page<R>) {
        self.states_rows |= page.null_rows > 0 || page.total.is_some_and(|total| total > 0);
        self.lacks_total |= page.total.is_none();
    }
}

fn retain<R>(rows: &mut Vec<R>, is_wanted: Vec<bool>) {
    let mut is_wanted = is_wanted.into_iter();
    rows.retain(|_| is_wanted.next() == Some(true));
}
