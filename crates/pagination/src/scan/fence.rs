//! The fence: answers in the reverse order, which show where the list ends.
//!
//! An answer counts if two of its rows stand in one accepted page in the opposite order, which proves its direction.
//! Where such an answer shows a row that was read, the rows that it shows before that one are the end of the list.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | requests before the scan is best effort | 30 | design |
//! | rows of the first answer | 4 | our choice: two show a direction, and the last two may be deleted |
//! | rows of each later one | four times as many, up to the API's ceiling | our choice: one of them overlaps the rows read |
//! | answers kept | 4 | our choice: each holds a page at most |

use super::memory::{Memory, Shown};
use crate::Keyed;
use crate::marks::{Mark, MarkSet};
use crate::page::Page;

const FIRST_ROWS: u32 = 4;
const MOST_ASKED: u32 = 30;
const MOST_KEPT: usize = 4;

#[derive(Debug)]
pub(super) struct Fence<R> {
    /// Whether the API answers the reverse order.
    pub(super) is_possible: bool,
    is_wanted: bool,
    /// The rows to ask for next, and the API's largest page.
    rows: u32,
    ceiling: u32,
    asked: u32,
    /// The first answers and the newest one: the first is the nearest, and its rows may be deleted.
    answers: Vec<Answer<R>>,
}

/// An answer in the reverse order: the list's last row comes first.
#[derive(Debug)]
struct Answer<R> {
    rows: Vec<R>,
    shown: Shown,
    /// Whether it holds one row, and no total states more.
    is_alone: bool,
}

/// How the answers stand to the rows read.
#[derive(Debug)]
pub(super) enum Meeting<R> {
    /// No answer of proved direction overlaps them.
    None,
    /// An answer is in the order of the scan: the API ignores the direction.
    SameOrder,
    /// An answer overlaps them.
    Overlap(Beyond<R>),
}

/// The rows of an answer after the last one that was read, in the order of the scan.
#[derive(Debug)]
pub(super) struct Beyond<R> {
    pub(super) rows: Vec<R>,
    /// Which of them were not read at another place.
    pub(super) is_new: Vec<bool>,
    /// Whether two rows of the answer equal each other.
    pub(super) has_equal: bool,
}

impl<R: Keyed> Fence<R> {
    pub(super) const fn new(is_possible: bool, ceiling: u32) -> Self {
        let rows = if FIRST_ROWS < ceiling { FIRST_ROWS } else { ceiling };
        Self { is_possible, is_wanted: false, rows, ceiling, asked: 0, answers: Vec::new() }
    }

    /// Asks for an answer, if the API gives one.
    pub(super) const fn want(&mut self) {
        self.is_wanted |= self.is_possible && !self.is_exhausted();
    }

    pub(super) const fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// The rows of the request to plan now, if one is wanted.
    pub(super) fn planned(&mut self) -> Option<u32> {
        std::mem::take(&mut self.is_wanted).then_some(self.rows)
    }

    pub(super) const fn sent(&mut self) {
        self.asked += 1;
    }

    /// The requests sent.
    pub(super) const fn asked(&self) -> u32 {
        self.asked
    }

    pub(super) const fn is_exhausted(&self) -> bool {
        self.asked >= MOST_ASKED
    }

    /// Keeps an answer. One without a row makes those before it obsolete.
    pub(super) fn arrived(&mut self, page: Page<R>, shown: Shown) {
        self.rows = self.rows.saturating_mul(4).min(self.ceiling);
        if page.rows.is_empty() {
            self.answers.clear();
            return;
        }
        let is_alone = page.places() == 1 && page.total.is_none_or(|total| total <= 1);
        self.answers.truncate(MOST_KEPT - 1);
        self.answers.push(Answer { rows: page.rows, shown, is_alone });
    }

    /// Compares the answers with the rows read. `single` is the row of a list that shows one in the order of the scan.
    pub(super) fn meet(&mut self, memory: &Memory, single: Option<Mark>) -> Meeting<R> {
        for (at, answer) in self.answers.iter().enumerate() {
            if answer.is_alone && answer.shown.first() == Some(&single) {
                // Both directions show the same single row.
                let beyond = Beyond { rows: Vec::new(), is_new: Vec::new(), has_equal: false };
                return Meeting::Overlap(beyond);
            }
            if !answer.shown.iter().any(|mark| memory.has_read(*mark)) {
                continue; // The usual case, and cheaper to see than an order.
            }
            let orders = memory.orders(&answer.shown);
            if orders.same {
                return Meeting::SameOrder;
            }
            let shown: Shown = answer.shown.iter().rev().copied().collect();
            let is_read = memory.recognize(&shown);
            let joins = |at: &usize| is_read[*at] && memory.joins_at(shown[*at]);
            let Some(last) = (0..shown.len()).rfind(joins).filter(|_| orders.opposite) else {
                continue;
            };
            let is_new = is_read[last + 1..].iter().map(|is_read| !is_read).collect();
            let mut marks = MarkSet::default();
            let has_equal = !shown.iter().flatten().all(|mark| marks.insert(*mark));
            let mut rows = self.answers.swap_remove(at).rows;
            rows.reverse();
            rows.drain(..=last);
            return Meeting::Overlap(Beyond { rows, is_new, has_equal });
        }
        Meeting::None
    }

    pub(super) fn has_answer(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Whether the newest answer begins with a row that was not read: the order of the scan may hide it.
    pub(super) fn is_unread(&self, memory: &Memory) -> bool {
        let first = self.answers.last().and_then(|answer| answer.shown.first());
        first.is_some_and(|mark| !memory.has_read(*mark))
    }

    /// Whether the row was read that an answer begins with.
    pub(super) fn is_reached(&self, memory: &Memory) -> bool {
        let mut last = self.answers.iter().filter_map(|answer| answer.shown.first());
        last.any(|mark| memory.has_read(*mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;

    #[test]
    fn four_answers_are_kept_the_first_three_and_the_newest() {
        let mut fence = Fence::<Row>::new(true, 100);
        let asked: Vec<u32> = (1_i128..=8)
            .map(|key| {
                fence.want();
                let rows = fence.planned();
                let row = Row::with_key("{}", crate::Key::Number(key));
                fence.arrived(
                    Page { rows: vec![row], ..Page::default() },
                    vec![Some(key.unsigned_abs())],
                );
                rows.unwrap()
            })
            .collect();
        assert_eq!(asked, [4, 16, 64, 100, 100, 100, 100, 100]);
        let kept: Vec<Option<Mark>> = fence.answers.iter().map(|it| it.shown[0]).collect();
        assert_eq!(kept, [Some(1), Some(2), Some(3), Some(8)]);
    }
}
