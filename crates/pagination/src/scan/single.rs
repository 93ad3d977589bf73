//! One page at a time: what becomes of the one that was asked for.

use retry_policy::safety::Shrinkable;

use super::State;
use super::size::PageSize;
use crate::page::Page;

/// The page that was asked for, if there is one.
#[derive(Debug)]
pub(super) struct Single<R> {
    next_id: u64,
    asked: Option<Asked<R>>,
}

#[derive(Debug)]
struct Asked<R> {
    id: u64,
    rows: u32,
    is_fence: bool,
    state: State<R>,
    carried: Shrinkable,
}

impl<R> Default for Single<R> {
    fn default() -> Self {
        Self { next_id: 0, asked: None }
    }
}

impl<R> Single<R> {
    /// Its number, and what became of it.
    pub(super) fn state(&self) -> Option<(u64, &State<R>)> {
        self.asked.as_ref().map(|asked| (asked.id, &asked.state))
    }

    /// Whether a page can be asked for now.
    pub(super) fn is_free(&self) -> bool {
        self.asked.as_ref().is_none_or(|asked| matches!(asked.state, State::Wanted))
    }

    /// What the page that is wanted again carries of the larger ones before it, and whether it is the fence;
    /// `None` for another page than the last.
    pub(super) fn wanted(&mut self) -> Option<(Shrinkable, bool)> {
        self.asked.take().map(|asked| (asked.carried, asked.is_fence))
    }

    /// Asks for a page of this many rows; its number.
    pub(super) fn ask(&mut self, rows: u32, is_fence: bool, carried: Shrinkable) -> u64 {
        self.next_id += 1;
        let (id, state) = (self.next_id, State::InFlight);
        self.asked = Some(Asked { id, rows, is_fence, state, carried });
        id
    }

    /// The page that has arrived, the rows that were asked for, and whether it is the fence.
    pub(super) fn take(&mut self) -> Option<(Page<R>, u32, bool)> {
        match self.asked.take()? {
            Asked { state: State::Arrived(page), rows, is_fence, .. } => {
                Some((page, rows, is_fence))
            }
            _ => None,
        }
    }

    pub(super) fn answer(&mut self, id: u64, page: Page<R>) {
        if let Some(asked) = self.of(id) {
            asked.state = State::Arrived(page);
        }
    }

    /// The page was too heavy; whether a smaller one is asked for.
    pub(super) fn too_heavy(&mut self, id: u64, carried: Shrinkable, size: &mut PageSize) -> bool {
        let Some(asked) = self.of(id).filter(|asked| size.can_shrink(asked.rows)) else {
            return false;
        };
        size.shrink(asked.rows);
        (asked.state, asked.carried) = (State::Wanted, carried);
        true
    }

    /// The API gives no more rows than this; whether as many are asked for.
    pub(super) fn at_most(&mut self, id: u64, ceiling: u32, size: &mut PageSize) -> bool {
        let Some(asked) = self.of(id).filter(|asked| size.cap(ceiling, asked.rows)) else {
            return false;
        };
        (asked.state, asked.carried) = (State::Wanted, Shrinkable::new());
        true
    }

    pub(super) fn failed(&mut self, id: u64) {
        if let Some(asked) = self.of(id) {
            asked.state = State::Failed;
        }
    }

    pub(super) fn retry_failed(&mut self) {
        if let Some(asked) = self.asked.as_mut().filter(|it| matches!(it.state, State::Failed)) {
            asked.state = State::Wanted;
        }
    }

    fn of(&mut self, id: u64) -> Option<&mut Asked<R>> {
        self.asked.as_mut().filter(|asked| asked.id == id)
    }
}
