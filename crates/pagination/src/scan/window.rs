//! The pages of an anchored scan that are planned, on their way or here, and its fence.

use retry_policy::safety::Shrinkable;

use super::State;
use crate::{Key, Order, Row};

/// A page that is planned, on its way, or here.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) id: u64,
    pub(super) rank: u64,
    /// The rows that were asked for.
    pub(super) rows: u32,
    pub(super) state: State,
    pub(super) carried: Shrinkable,
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
pub(super) struct Fence {
    pub(super) id: u64,
    /// The rows that are asked for: two or more, so that a server that ignores the direction gives
    /// itself away.
    pub(super) rows: u32,
    pub(super) carried: Shrinkable,
    pub(super) state: Option<State>,
    pub(super) key: Option<Key>,
    /// The answers without a row since the last one with rows.
    pub(super) empty: u32,
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

impl Window {
    pub(super) const fn at(rank: u64) -> Self {
        Self {
            id: 0,
            rank,
            rows: 0,
            state: State::Wanted,
            carried: Shrinkable::new(),
            back: 0,
            role: Role::Next,
            catches_up: false,
            bridges: false,
        }
    }
}

/// The first two keys that do not follow one another.
pub(super) fn out_of_order(rows: &[Row], order: Order) -> Option<(Key, Key)> {
    rows.windows(2).find_map(|pair| {
        let (key, next) = (pair[0].key()?, pair[1].key()?);
        order.compare(key, next).is_ge().then(|| (key.clone(), next.clone()))
    })
}

/// The rows of the fence's request, and of the smaller one that follows when it was too heavy.
pub(super) const FENCE_ROWS: u32 = 4;
pub(super) const FENCE_ROWS_AFTER_A_FAILURE: u32 = 2;
