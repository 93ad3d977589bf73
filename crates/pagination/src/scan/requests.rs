//! The requests of a walk: planned, in flight, or answered and not yet judged. One table for pages and the fence.

use std::collections::VecDeque;

use retry_policy::safety::Shrinkable;

use super::PageRequest;
use super::size::PageSize;
use crate::Key;
use crate::page::Page;
use crate::query::PagePosition;

/// How often one page is asked for again with fewer rows. Our choice: halving leads from 100,000 rows to two.
const SHRINKS: u32 = 16;
/// The rows of a fence that is asked for again after a failure: fewer show no direction.
const LEAST_FENCE: u32 = 2;

/// A request, and what became of it.
#[derive(Debug)]
pub(super) struct Request<R> {
    /// `None` until it is sent.
    id: Option<u64>,
    pub(super) purpose: Purpose,
    /// The rows that it asks for; zero until it is sent.
    pub(super) rows: u32,
    state: State<R>,
    carried: Shrinkable,
    /// How often the walk asked for fewer rows.
    shrunk: u32,
}

/// The state of a request.
#[derive(Debug)]
enum State<R> {
    Arrived(Page<R>),
    Failed,
    InFlight,
    Wanted,
}

/// Why an answer is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The page at the walk's cursor.
    Cursor,
    /// The reverse order from its beginning.
    Fence,
    /// The page that begins here.
    Page(PageStart),
}

/// Where a page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PageStart {
    /// The rank of the first row, or of the row after `above`.
    pub(super) rank: u64,
    /// The rows before the one that should be the last row read: none, except where pages are counted.
    pub(super) overlap: u64,
    /// The key that all its rows follow.
    pub(super) above: Option<Key>,
    /// The scan expects rows that it has read, so these show no write.
    pub(super) catches_up: bool,
    /// What it looks for.
    pub(super) role: Role,
}

impl PageStart {
    /// Whether it is the beginning of the list.
    pub(super) const fn is_first(&self) -> bool {
        self.rank == 0 && self.above.is_none()
    }
}

/// What a page is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// It did not join, and waits until the gap before it is filled.
    Kept,
    /// It begins one row earlier, to show two rows in their order.
    LooksBack,
    /// It comes next.
    #[default]
    Next,
    /// A page did not join, and this one looks for a row that was read.
    Searches,
}

#[derive(Debug)]
pub(super) struct Requests<R> {
    next_id: u64,
    list: VecDeque<Request<R>>,
}

impl<R> Default for Requests<R> {
    fn default() -> Self {
        Self { next_id: 0, list: VecDeque::new() }
    }
}

impl<R> Request<R> {
    pub(super) const fn planned(purpose: Purpose, rows: u32) -> Self {
        let carried = Shrinkable::new();
        Self { id: None, purpose, rows, state: State::Wanted, carried, shrunk: 0 }
    }

    pub(super) const fn start(&self) -> Option<&PageStart> {
        match &self.purpose {
            Purpose::Page(start) => Some(start),
            Purpose::Cursor | Purpose::Fence => None,
        }
    }

    pub(super) const fn start_mut(&mut self) -> Option<&mut PageStart> {
        match &mut self.purpose {
            Purpose::Page(start) => Some(start),
            Purpose::Cursor | Purpose::Fence => None,
        }
    }

    pub(super) const fn is_wanted(&self) -> bool {
        matches!(self.state, State::Wanted)
    }

    /// The bytes of its page, or these of one that is on its way.
    pub(super) const fn bytes(&self, in_flight: usize) -> usize {
        match &self.state {
            State::Arrived(page) => page.bytes,
            State::InFlight => in_flight,
            State::Failed | State::Wanted => 0,
        }
    }
}

impl<R> Requests<R> {
    pub(super) const fn list(&self) -> &VecDeque<Request<R>> {
        &self.list
    }

    pub(super) fn pages(&self) -> impl DoubleEndedIterator<Item = &PageStart> {
        self.list.iter().filter_map(Request::start)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Request<R>> {
        self.list.get_mut(at)
    }

    pub(super) fn plan(&mut self, request: Request<R>) {
        self.list.push_back(request);
    }

    /// Plans a page after, or before, all others.
    pub(super) fn plan_page(&mut self, start: PageStart) {
        self.plan(Request::planned(Purpose::Page(start), 0));
    }

    pub(super) fn plan_first(&mut self, start: PageStart) {
        self.list.push_front(Request::planned(Purpose::Page(start), 0));
    }

    pub(super) fn last_page(&self) -> Option<usize> {
        self.list.iter().rposition(|request| request.start().is_some())
    }

    /// Puts an answered page back, to be judged again.
    pub(super) fn keep(&mut self, mut request: Request<R>, page: Page<R>) {
        request.state = State::Arrived(page);
        self.list.push_front(request);
    }

    /// Forgets all pages.
    pub(super) fn clear_pages(&mut self) {
        self.list.retain(|request| request.purpose == Purpose::Fence);
    }

    /// Whether this request asks for the page after a key.
    pub(super) fn is_after_key(&self, id: u64) -> bool {
        let is_it = |request: &&Request<R>| request.id == Some(id);
        let start = self.list.iter().find(is_it).and_then(Request::start);
        start.is_some_and(|start| start.above.is_some())
    }

    pub(super) fn has_fence(&self) -> bool {
        self.list.iter().any(|request| request.purpose == Purpose::Fence)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.list.iter().filter(|request| matches!(request.state, State::InFlight)).count()
    }

    /// The request that failed, if the walk needs it now: the fence, or the first page.
    pub(super) fn failed(&self) -> Option<u64> {
        let is_page = |request: &&Request<R>| request.purpose != Purpose::Fence;
        let first = self.list.iter().find(is_page);
        let fence = self.list.iter().find(|request| request.purpose == Purpose::Fence);
        let needed = fence.into_iter().chain(first);
        needed.filter(|it| matches!(it.state, State::Failed)).find_map(|it| it.id)
    }

    /// Takes the answer that the walk needs now, if it is here: the fence, or the first page.
    pub(super) fn take(&mut self) -> Option<(Request<R>, Page<R>)> {
        let is_fence = |request: &Request<R>| request.purpose == Purpose::Fence;
        let has_arrived = |request: &Request<R>| matches!(request.state, State::Arrived(_));
        let fence = self.list.iter().position(|it| is_fence(it) && has_arrived(it));
        let page = || self.list.iter().position(|it| !is_fence(it));
        let at = fence.or_else(page).filter(|at| has_arrived(&self.list[*at]))?;
        let mut request = self.list.remove(at)?;
        match std::mem::replace(&mut request.state, State::Wanted) {
            State::Arrived(page) => Some((request, page)),
            _ => None,
        }
    }

    /// Sends the request at this place.
    pub(super) fn send(
        &mut self,
        at: usize,
        position: PagePosition,
        size: &PageSize,
    ) -> PageRequest {
        self.next_id += 1;
        let request = &mut self.list[at];
        (request.id, request.state) = (Some(self.next_id), State::InFlight);
        let mark = size.mark(request.rows, request.carried);
        PageRequest { id: self.next_id, at: position, rows: request.rows, mark }
    }

    pub(super) fn answer(&mut self, id: u64, page: Page<R>) {
        if let Some(request) = self.of(id) {
            request.state = State::Arrived(page);
        }
    }

    /// Asks again for at most as many rows as the API states, or for fewer than were too heavy. Whether it does.
    pub(super) fn shrink(
        &mut self,
        id: u64,
        stated: Option<u32>,
        carried: Shrinkable,
        size: &mut PageSize,
    ) -> bool {
        let Some(request) = self.of(id) else { return false };
        let is_fence = request.purpose == Purpose::Fence;
        let rows_of_fence = stated.unwrap_or(LEAST_FENCE);
        let shrinks = match stated {
            _ if is_fence => (LEAST_FENCE..request.rows).contains(&rows_of_fence),
            // A counted page may need more rows than the size says, so sizes alone do not come to an end.
            _ if request.shrunk >= SHRINKS => false,
            Some(ceiling) => size.cap(ceiling, request.rows),
            None => size.shrink(request.rows),
        };
        if !shrinks {
            return false;
        }
        (request.state, request.carried) = (State::Wanted, carried);
        request.shrunk += 1;
        request.rows = if is_fence { rows_of_fence } else { 0 };
        if let Purpose::Page(start) = &mut request.purpose {
            (start.rank, start.overlap) = (start.rank.saturating_add(start.overlap), 0);
            self.plan_again();
        }
        true
    }

    /// Pages ahead were planned for larger ones: those not sent are planned again, and a gap before the rest shows
    /// no write.
    fn plan_again(&mut self) {
        self.list.retain(|request| request.id.is_some());
        for start in self.list.iter_mut().filter_map(Request::start_mut) {
            start.catches_up = true;
        }
    }

    pub(super) fn fail(&mut self, id: u64) {
        if let Some(request) = self.of(id) {
            request.state = State::Failed;
        }
    }

    pub(super) fn retry_failed(&mut self) {
        for request in &mut self.list {
            if matches!(request.state, State::Failed) {
                request.state = State::Wanted;
            }
        }
    }

    fn of(&mut self, id: u64) -> Option<&mut Request<R>> {
        self.list.iter_mut().find(|request| request.id == Some(id))
    }
}

/// How many pages are asked for ahead: fewer while the API throttles, slowly more again.
#[derive(Debug)]
pub(super) struct Prefetch {
    most: usize,
    now: usize,
    good: u32,
}

/// The pages that arrive unthrottled before one more is asked for ahead. Our choice.
const GOOD_PAGES: u32 = 8;

impl Prefetch {
    pub(super) const fn new(most: usize) -> Self {
        Self { most, now: most, good: 0 }
    }

    pub(super) const fn now(&self) -> usize {
        self.now
    }

    /// The API has asked for a wait.
    pub(super) const fn throttled(&mut self) {
        (self.now, self.good) = (self.now / 2, 0);
    }

    /// A page arrived.
    pub(super) fn arrived(&mut self) {
        self.good = self.good.saturating_add(1);
        if self.good >= GOOD_PAGES && self.now < self.most {
            (self.now, self.good) = (self.now + 1, 0);
        }
    }
}
