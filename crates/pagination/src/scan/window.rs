//! The pages of an anchored scan that are planned, on their way or here, and its fence.

use retry_policy::safety::Shrinkable;

use std::sync::Arc;

use super::State;
use crate::{Key, KeyRef, Keyed, Order};

/// The rows of the fence's request, and of the smaller one that follows when it was too heavy.
const FENCE_ROWS: u32 = 4;
const FENCE_ROWS_AFTER_A_FAILURE: u32 = 2;

/// A page that is planned, on its way, or here.
#[derive(Debug)]
pub(super) struct Window<R> {
    pub(super) id: u64,
    pub(super) rank: u64,
    /// The rows before the one that should be the last one read: none, but where pages are counted.
    pub(super) overlap: u64,
    /// The key that all its rows follow, instead of a rank.
    pub(super) above: Option<Key>,
    /// The rows that were asked for.
    pub(super) rows: u32,
    pub(super) state: State<R>,
    pub(super) carried: Shrinkable,
    /// How often it was asked for again with fewer rows.
    pub(super) shrunk: u32,
    /// How far the next step back goes.
    pub(super) back: u64,
    pub(super) role: Role,
    /// Known rows are expected at its beginning, so they tell of no write.
    pub(super) catches_up: bool,
    pub(super) bridges: bool,
}

/// Why a page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To fill the gap before a page: when it is not covered itself, another takes its place.
    FillsGap,
    /// It was not covered, and is kept until the gap before it is filled.
    Kept,
    /// It comes next.
    Next,
}

/// The greatest key in the order of the scan, read in the reverse order.
#[derive(Debug)]
pub(super) struct Fence<R> {
    /// Whether the API answers the reverse order.
    pub(super) has_reverse: bool,
    pub(super) id: u64,
    /// The rows that are asked for: two or more, so that a server that ignores the direction gives
    /// itself away.
    pub(super) rows: u32,
    pub(super) carried: Shrinkable,
    pub(super) state: Option<State<R>>,
    pub(super) key: Option<Arc<Key>>,
    /// The answers without a row since the last one with rows.
    pub(super) empty: u32,
}

impl<R> Fence<R> {
    pub(super) fn new(rows_per_page: u32, has_reverse: bool) -> Self {
        let rows = FENCE_ROWS.min(rows_per_page);
        let carried = Shrinkable::new();
        Self { has_reverse, id: 0, rows, carried, state: None, key: None, empty: 0 }
    }

    /// It was too heavy; whether a smaller one is asked for.
    pub(super) fn shrink(&mut self, carried: Shrinkable) -> bool {
        let can_shrink = self.rows > FENCE_ROWS_AFTER_A_FAILURE;
        if can_shrink {
            (self.state, self.carried) = (Some(State::Wanted), carried);
            self.rows = FENCE_ROWS_AFTER_A_FAILURE;
        }
        can_shrink
    }

    /// The API allows no more rows than this; whether as many are asked for.
    pub(super) fn at_most(&mut self, ceiling: u32) -> bool {
        let can_shrink = ceiling >= FENCE_ROWS_AFTER_A_FAILURE && ceiling < self.rows;
        if can_shrink {
            (self.state, self.rows) = (Some(State::Wanted), ceiling);
        }
        can_shrink
    }
}

/// What was seen since the last new row.
#[derive(Debug, Default)]
pub(super) struct Barren {
    pub(super) pages: u32,
    /// The pages that did not come further than the one before.
    pub(super) idle: u32,
    pub(super) before: Option<Key>,
    pub(super) stalls: u32,
    /// Where the first page that showed nothing began.
    pub(super) stalled_at: u64,
    /// Whether the gap behind it was looked at once more.
    pub(super) looked_twice: bool,
    pub(super) steps_back: u32,
    /// The pages walked past because they show nothing.
    pub(super) bridges: u32,
}

/// How many answers in a row, from both orders in turn, must show no row before a collection that has
/// never shown one counts as empty.
const NOTHING_AT_ALL: u32 = 4;
/// The same after rows were seen, if all these answers say that there is none any more.
const NOTHING_LEFT: u32 = 12;

/// The answers without any row, in both orders, since the last one with a row.
#[derive(Debug, Default)]
pub(super) struct Nothing {
    answers: u32,
    /// Those that did not say that there is no row.
    unsaid: u32,
    /// Whether one of them said that there are rows.
    pub(super) says_rows: bool,
}

impl Nothing {
    /// Another answer without a row, with this total; how many there are now.
    pub(super) fn shown(&mut self, total: Option<u64>) -> u32 {
        self.answers += 1;
        self.unsaid += u32::from(total != Some(0));
        self.says_rows |= total.is_some_and(|total| total > 0);
        self.answers
    }

    /// Whether there is no row, as far as can be told; `None` while it cannot.
    pub(super) const fn believed(&self, has_seen_rows: bool, empty_fences: u32) -> Option<bool> {
        let never_any = !has_seen_rows && !self.says_rows;
        if never_any && self.answers >= NOTHING_AT_ALL && empty_fences > 1 {
            return Some(true);
        }
        if self.answers < NOTHING_LEFT {
            return None;
        }
        Some(self.unsaid == 0)
    }
}

impl<R> Window<R> {
    pub(super) const fn at(rank: u64) -> Self {
        Self {
            id: 0,
            rank,
            overlap: 0,
            above: None,
            rows: 0,
            state: State::Wanted,
            carried: Shrinkable::new(),
            shrunk: 0,
            back: 0,
            role: Role::Next,
            catches_up: false,
            bridges: false,
        }
    }
}

/// The first two keys that do not follow one another; rows without one are passed over.
pub(super) fn out_of_order<R: Keyed>(rows: &[R], order: Order) -> Option<(Key, Key)> {
    let mut before: Option<KeyRef<'_>> = None;
    for key in rows.iter().filter_map(Keyed::key) {
        if let Some(before) = before.filter(|before| order.compare(*before, key).is_ge()) {
            return Some((before.to_key(), key.to_key()));
        }
        before = Some(key);
    }
    None
}

/// How many pages are asked for ahead: fewer while the API throttles, slowly more again.
#[derive(Debug)]
pub(super) struct Ahead {
    most: usize,
    now: usize,
    good: u32,
}

/// The pages that arrive unthrottled before one more is asked for ahead. Our choice.
const GOOD_PAGES: u32 = 8;

impl Ahead {
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
