//! How many rows a page has: smaller when the server cannot carry it, slowly larger again.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | shrink | to a half | our choice: six steps from 100 rows to the floor |
//! | floor | 2 rows | an anchored page needs one row more than its anchor |
//! | floor where pages are counted | 8 rows | our choice: any rank below 840 has a page that shows what follows it |
//! | too slow | half of the API's time limit | our choice: a page that is twice as heavy still comes through |
//! | growth | a tenth of the ceiling after 4 good pages | our choice |
//! | after every shrink | twice as many good pages, at most 256 | our choice: a lasting limit is met rarely |

use core::time::Duration;

use retry_policy::safety::Shrinkable;

use crate::dialect::Method;
use crate::query::Terms;

/// The smallest page that is asked for after a failure.
const FLOOR: u32 = 2;
const FLOOR_OF_COUNTED: u32 = 8;
/// A page that takes more than this part of the limit is too close to it.
const TOO_CLOSE: u32 = 2;
const FIRST_GROWTH: u32 = 4;
const LAST_GROWTH: u32 = 256;

#[derive(Debug)]
pub(super) struct PageSize {
    current: u32,
    ceiling: u32,
    /// The least ceiling that the API has named.
    capped: u32,
    /// The smallest page that is asked for after a failure.
    floor: u32,
    good: u32,
    grow_after: u32,
    /// How long one request may take.
    time_limit: Option<Duration>,
}

impl PageSize {
    pub(super) fn of(query: &Terms) -> Self {
        let (rows, spec) = (query.rows_per_page(), &query.spec);
        let floor = match spec.method {
            Method::PageIndex { .. } if spec.has_fixed_pages => rows, // The API counts its pages in this size.
            Method::PageIndex { .. } => FLOOR_OF_COUNTED, // So that one of them shows what follows any rank.
            _ => FLOOR,
        };
        Self { floor, ..Self::new(rows, spec.time_limit) }
    }

    const fn new(rows: u32, time_limit: Option<Duration>) -> Self {
        Self {
            current: rows,
            ceiling: rows,
            capped: u32::MAX,
            floor: FLOOR,
            good: 0,
            grow_after: FIRST_GROWTH,
            time_limit,
        }
    }

    /// The API allows no more rows than this; whether that is less than was asked for, and than it has said
    /// before.
    pub(super) fn cap(&mut self, ceiling: u32, asked: u32) -> bool {
        if ceiling == 0 || ceiling >= asked {
            return false;
        }
        if ceiling >= self.capped {
            // Asked before it was known; else it cannot be met.
            return asked > self.current;
        }
        self.capped = ceiling;
        self.ceiling = self.ceiling.min(ceiling).max(FLOOR.min(self.ceiling));
        self.current = self.current.min(self.ceiling);
        true
    }

    /// A page of this many rows took this long: the next is smaller before the API's limit is reached.
    /// Whether it is.
    pub(super) fn took(&mut self, rows: u32, time: Duration) -> bool {
        let is_slow = self.time_limit.is_some_and(|limit| time > limit / TOO_CLOSE);
        is_slow && self.shrink(rows)
    }

    pub(super) const fn current(&self) -> u32 {
        self.current
    }

    /// Whether a page of this many rows can be made smaller.
    const fn can_shrink(&self, rows: u32) -> bool {
        rows > self.floor
    }

    /// What a request for a page of this many rows carries of the larger ones before it.
    pub(super) const fn mark(&self, rows: u32, carried: Shrinkable) -> Shrinkable {
        if self.can_shrink(rows) { carried } else { carried.at_its_smallest() }
    }

    /// A page of this many rows was too heavy: whether the next is smaller.
    pub(super) fn shrink(&mut self, from: u32) -> bool {
        if !self.can_shrink(from) {
            return false;
        }
        self.current = self.current.min((from / 2).max(self.floor));
        self.good = 0;
        self.grow_after = self.grow_after.saturating_mul(2).min(LAST_GROWTH);
        true
    }

    /// A page arrived.
    pub(super) fn succeeded(&mut self) {
        self.good = self.good.saturating_add(1);
        if self.good >= self.grow_after {
            self.good = 0;
            let more = (self.ceiling / 10).max(1);
            self.current = self.current.saturating_add(more).min(self.ceiling);
        }
    }

    /// The page shows nothing new although there is more: a larger one may.
    pub(super) fn enlarge(&mut self) {
        self.current = self.current.saturating_mul(2).min(self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_down_to_two_rows_and_grows_back_by_tenths() {
        let mut size = PageSize::new(100, None);
        let mut sizes = vec![size.current()];
        while size.can_shrink(size.current()) {
            size.shrink(size.current());
            sizes.push(size.current());
        }
        assert_eq!(sizes, [100, 50, 25, 12, 6, 3, 2]);
        let mut pages = 0;
        while size.current() < 100 {
            size.succeeded();
            pages += 1;
        }
        assert_eq!(pages, 256 * 10, "ten steps, each after 256 good pages");
    }

    #[test]
    fn two_pages_that_fail_together_shrink_once() {
        let mut size = PageSize::new(100, None);
        size.shrink(100);
        size.shrink(100);
        assert_eq!(size.current(), 50);
    }
}
