//! How many rows a page has: smaller when the server cannot carry it, slowly larger again.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | shrink | to a half | our choice: six steps from 100 rows to the floor |
//! | floor | 2 rows | an anchored page needs one row more than its anchor |
//! | growth | a tenth of the ceiling after 4 good pages | our choice |
//! | after every shrink | twice as many good pages, at most 256 | our choice: a lasting limit is met rarely |

use retry_policy::safety::Shrinkable;

/// The smallest page that is asked for after a failure.
const FLOOR: u32 = 2;
const FIRST_GROWTH: u32 = 4;
const LAST_GROWTH: u32 = 256;

#[derive(Debug)]
pub(super) struct PageSize {
    current: u32,
    ceiling: u32,
    good: u32,
    grow_after: u32,
}

impl PageSize {
    pub(super) const fn new(rows: u32) -> Self {
        Self { current: rows, ceiling: rows, good: 0, grow_after: FIRST_GROWTH }
    }

    pub(super) const fn current(&self) -> u32 {
        self.current
    }

    /// Whether a page of this many rows can be made smaller.
    pub(super) const fn can_shrink(rows: u32) -> bool {
        rows > FLOOR
    }

    /// What a request for a page of this many rows carries of the larger ones before it.
    pub(super) const fn mark(rows: u32, carried: Shrinkable) -> Shrinkable {
        if Self::can_shrink(rows) { carried } else { carried.at_its_smallest() }
    }

    /// A page of this many rows was too heavy.
    pub(super) fn shrink(&mut self, from: u32) {
        self.current = self.current.min((from / 2).max(FLOOR));
        self.good = 0;
        self.grow_after = self.grow_after.saturating_mul(2).min(LAST_GROWTH);
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
        let mut size = PageSize::new(100);
        let mut sizes = vec![size.current()];
        while PageSize::can_shrink(size.current()) {
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
        let mut size = PageSize::new(100);
        size.shrink(100);
        size.shrink(100);
        assert_eq!(size.current(), 50);
    }
}
