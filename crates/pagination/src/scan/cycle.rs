//! Cycles of cursors and pages, noticed in bounded memory.

use crate::marks::NewestMarks;

/// Pages without a new row that repeat an earlier one: this many, and this many rows. Our choice: a write before
/// every request pushes small pages back and forth.
const REPEATED_PAGES: u32 = 8;
const REPEATED_ROWS: u32 = 256;

/// The newest cursors and pages that are remembered exactly. Our choice: 256 KiB each.
const REMEMBERED: usize = 16_384;

/// Notices a cycle of any length in bounded memory.
///
/// The newest marks are remembered, so a cycle of up to that length is noticed where it closes. A longer one is
/// noticed by Brent's rule: one older mark is kept and moved on at powers of two.
#[derive(Debug, Default)]
pub(super) struct CycleDetector {
    newest: NewestMarks<u64>,
    kept: Option<u64>,
    since_kept: u64,
    keep_for: u64,
}

impl CycleDetector {
    /// Whether this mark was seen before.
    pub(super) fn closes_at(&mut self, mark: u64) -> bool {
        if self.kept == Some(mark) || !self.newest.insert(mark) {
            return true;
        }
        self.newest.pop_beyond(REMEMBERED);
        if self.since_kept >= self.keep_for {
            self.kept = Some(mark);
            self.since_kept = 0;
            self.keep_for = self.keep_for.saturating_mul(2).max(1);
        }
        self.since_kept += 1;
        false
    }
}

/// Counts the pages that repeat an earlier one.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: CycleDetector,
    count: u32,
}

impl Repeats {
    /// Whether too many pages of this size came again, or so many times too many.
    pub(super) fn are_too_many(&mut self, page: Option<u64>, rows: u32, times: u32) -> bool {
        self.count += u32::from(page.is_some_and(|mark| self.seen.closes_at(mark)));
        let most = REPEATED_PAGES + REPEATED_ROWS / rows.saturating_sub(1).max(1);
        self.count > most.saturating_mul(times)
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// A page showed a new row.
    pub(super) const fn forgive(&mut self) {
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_a_cycle_of_any_length() {
        let remembered = REMEMBERED as u64;
        for (lead_in, length) in
            [(0, 1), (3, 2), (0, 7), (5, remembered), (100, remembered + 1), (1, 100_000)]
        {
            let mut detector = CycleDetector::default();
            let marks = (0..lead_in).chain((0..).map(|at| lead_in + at % length));
            let noticed = marks.take(1_000_000).position(|mark| detector.closes_at(mark)).unwrap();
            let closes = usize::try_from(lead_in + length).unwrap();
            assert!(noticed >= closes, "{lead_in} + {length} noticed at {noticed}");
            if length <= remembered {
                assert_eq!(noticed, closes, "{lead_in} + {length}");
            }
            assert_eq!(detector.newest.pop_beyond(REMEMBERED), None);
        }
    }
}
