//! What an offset walk remembers of the rows that it has read, and the two questions that it answers by that:
//! which rows of a page were read before, and whether an answer is in the reverse order.
//!
//! A row is recognized by equality, so the walk needs no order that it could compare. A page *follows* the rows read
//! if it shows the *frontier*, the row that was read last. Every remembered row then stands before the rows after the
//! frontier, and the oldest rows may be forgotten. A page that joins at an earlier row (the frontier was deleted, say)
//! shows rows that may stand before those read after that row. These are *set aside*: they are never delivered again,
//! and once rows were forgotten no page joins at them. A checkpoint holds them apart; where they are more than it can
//! hold, no page of a scan that resumes from it joins, so that no row comes twice.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | rows remembered, their keys where other fields sort them, and rows set aside | 1,000,000 each | design: 128-bit marks, about 50 MiB |
//! | rows remembered where keys are in a declared order | four pages, at least 200 rows | design |
//! | pages whose order shows a direction | 4 | design |

use std::collections::VecDeque;

use crate::Keyed;
use crate::marks::{Anchor, Mark, MarkCounts, MarkSet, Marks, NewestMarks};

/// The most rows remembered.
pub(super) const ROWS: usize = 1_000_000;
/// The newest rows that a checkpoint stores.
pub(super) const ROWS_OF_A_CHECKPOINT: usize = 200;
/// The accepted pages that are remembered in their order.
const PAGES: usize = 4;

/// A page as it was shown; a row that nothing tells from others has no mark.
pub(super) type Shown = Vec<Option<Mark>>;

#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each states what was forgotten")]
pub(super) struct Memory {
    marks: Marks,
    /// The newest rows, at which a page joins.
    read: NewestMarks<Mark>,
    /// Rows that were read as well, and may stand anywhere.
    aside: MarkSet<Mark>,
    /// Of rows that equal each other, how many were read besides the first.
    equal: MarkCounts,
    /// The keys alone, where the place of a row depends on other fields.
    keys: Option<NewestMarks<Mark>>,
    /// The newest accepted pages.
    pages: VecDeque<Shown>,
    /// The row read last.
    frontier: Option<Mark>,
    has_forgotten: bool,
    /// Whether rows were set aside, and some of these were forgotten.
    has_aside: bool,
    has_lost: bool,
    /// The most rows remembered, if fewer than usual.
    most: Option<usize>,
}

/// How rows of an answer stand in earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orders {
    /// Two of them stand in one page in the same order.
    pub(super) same: bool,
    /// Two of them stand in one page in the opposite order.
    pub(super) opposite: bool,
}

impl Memory {
    /// `is_sorted_otherwise`: other fields than the key put the rows in order.
    pub(super) fn new(is_sorted_otherwise: bool) -> Self {
        Self { keys: is_sorted_otherwise.then(NewestMarks::default), ..Self::default() }
    }

    /// For so many of the newest rows.
    pub(super) fn of_newest(rows: usize) -> Self {
        Self { most: Some(rows), ..Self::default() }
    }

    #[cfg(test)]
    pub(super) const fn remember(&mut self, rows: usize) {
        self.most = Some(rows);
    }

    pub(super) const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Remembers the last of so many rows that an earlier process has read, and the rows that it had set aside.
    pub(super) fn restore(&mut self, read: &[Anchor], aside: &[Anchor], rows: u64) {
        for anchor in read {
            let mark = self.marks.of_anchor(anchor);
            if !self.read.insert(mark) {
                *self.equal.entry(mark).or_default() += 1;
            }
            self.frontier = Some(mark);
        }
        self.aside.extend(aside.iter().map(|anchor| self.marks.of_anchor(anchor)));
        for key in read.iter().chain(aside).filter_map(|anchor| anchor.key.as_ref()) {
            if let Some(keys) = &mut self.keys {
                keys.insert(self.marks.of_key(key.borrow()));
            }
        }
        self.has_aside = !aside.is_empty();
        self.has_forgotten = rows > (read.len() + aside.len()) as u64;
    }

    /// The marks of a page's rows.
    pub(super) fn shown<R: Keyed>(&self, rows: &[R], fields: &[String]) -> Shown {
        rows.iter().map(|row| self.marks.of_row(row, fields)).collect()
    }

    pub(super) fn has_read(&self, mark: Option<Mark>) -> bool {
        mark.is_some_and(|mark| self.read.contains(mark) || self.aside.contains(&mark))
    }

    /// Which rows of an answer were read. Of equal rows, as many were read as were accepted, the first ones.
    pub(super) fn recognize(&self, shown: &[Option<Mark>]) -> Vec<bool> {
        let mut is_read: Vec<bool> = shown.iter().map(|mark| self.has_read(*mark)).collect();
        if is_read.iter().filter(|is_read| **is_read).count() < 2 {
            return is_read; // The usual page shows the row that was read last.
        }
        let mut counts = MarkCounts::default();
        for (mark, is_read) in shown.iter().zip(&mut is_read) {
            let Some(mark) = mark.filter(|_| *is_read) else { continue };
            let count = counts.entry(mark).or_default();
            *is_read = *count <= self.equal.get(&mark).copied().unwrap_or_default();
            *count += 1;
        }
        is_read
    }

    /// Whether a page joins at this row.
    pub(super) fn joins_at(&self, mark: Option<Mark>) -> bool {
        let is_newest = mark.is_some_and(|mark| self.read.contains(mark));
        is_newest || !self.has_forgotten && self.has_read(mark)
    }

    /// Whether this row was read at another place.
    pub(super) fn has_moved<R: Keyed>(&self, row: &R) -> bool {
        let keys = self.keys.as_ref();
        keys.zip(row.key()).is_some_and(|(keys, key)| keys.contains(self.marks.of_key(key)))
    }

    /// Whether a page joins before the row that was read last, and new rows follow.
    pub(super) fn joins_early(&self, page: &Shown, known: usize, is_new: &[bool]) -> bool {
        let follows = self.frontier.is_none() || page[..known].contains(&self.frontier);
        !follows && is_new[known..].contains(&true)
    }

    pub(super) const fn frontier(&self) -> Option<Mark> {
        self.frontier
    }

    /// Whether rows were read that are not remembered.
    pub(super) const fn has_forgotten(&self) -> bool {
        self.has_forgotten
    }

    /// Whether rows were forgotten that could come again.
    pub(super) const fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// Accepts a page. The first `known` rows end with the row at which it joins; `is_new` marks the rows to deliver. Where
    /// the keys are in a declared order (`is_ordered`), a few pages are remembered. Returns whether all new keys differ.
    pub(super) fn accept<R: Keyed>(
        &mut self,
        page: Shown,
        rows: &[R],
        known: usize,
        is_new: &[bool],
        is_ordered: bool,
    ) -> bool {
        let new = &page[known..];
        if self.joins_early(&page, known, is_new) {
            let joined_at = page[..known].last().copied().flatten();
            self.has_aside = true;
            while let Some(later) = self.read.pop_after(joined_at) {
                self.aside.insert(later);
            }
        }
        let mut differ = true;
        for (at, mark) in page.iter().enumerate() {
            let has_read = self.has_read(*mark);
            let Some(mark) = mark.filter(|_| is_new[at] || !has_read) else { continue };
            if has_read {
                *self.equal.entry(mark).or_default() += 1;
                differ = false;
            }
            if at < known {
                self.aside.insert(mark); // It came late.
            } else {
                self.read.insert(mark);
            }
        }
        if let Some(keys) = &mut self.keys {
            for (row, is_new) in rows.iter().zip(is_new) {
                let is_other = row.key().is_none_or(|key| keys.insert(self.marks.of_key(key)));
                differ &= is_other || !is_new;
            }
        }
        let last = new.iter().zip(&is_new[known..]).rev().find(|(_, is_new)| **is_new);
        self.frontier = last.and_then(|(mark, _)| *mark).or(self.frontier);
        self.pages.push_back(page);
        if self.pages.len() > PAGES {
            self.pages.pop_front();
        }
        self.forget(is_ordered);
        differ
    }

    /// Remembers the rows of an answer that joins no other: which of them an earlier answer showed (none if this is
    /// empty), and whether two of the rest are equal.
    pub(super) fn read(
        &mut self,
        mut shown: impl Iterator<Item = Option<Mark>> + Clone,
    ) -> (Vec<bool>, bool) {
        let all = shown.clone();
        let (read, aside) = (&mut self.read, &self.aside);
        let mut is_old = |mark: Mark| aside.contains(&mark) || !read.insert(mark);
        let first = shown.position(|mark| mark.is_some_and(&mut is_old));
        let (mut is_read, mut has_equal) = (Vec::new(), false);
        if let Some(first) = first {
            let mut here: MarkSet<Mark> = all.clone().take(first).flatten().collect();
            is_read.resize(first, false);
            for mark in all.skip(first) {
                let is_equal = mark.is_some_and(|mark| here.contains(&mark));
                has_equal |= is_equal;
                is_read.push(!is_equal && mark.is_some_and(&mut is_old));
                here.extend(mark.filter(|_| is_read.last() == Some(&false)));
            }
        }
        self.forget(false);
        (is_read, has_equal)
    }

    fn forget(&mut self, is_ordered: bool) {
        // Once rows were set aside, a row that is forgotten could come after one of them.
        let most = if is_ordered && !self.has_aside {
            self.pages.iter().map(Vec::len).sum::<usize>().max(ROWS_OF_A_CHECKPOINT)
        } else {
            ROWS
        };
        let most = self.most.unwrap_or(most);
        while let Some(oldest) = self.read.pop_beyond(most) {
            self.equal.remove(&oldest);
            self.has_forgotten = true;
        }
        while self.keys.as_mut().and_then(|keys| keys.pop_beyond(ROWS)).is_some() {}
        if self.aside.len() > ROWS {
            self.aside.clear();
            (self.has_forgotten, self.has_lost) = (true, true);
        }
    }

    /// In which orders two rows of an answer stand in one accepted page.
    pub(super) fn orders(&self, answer: &[Option<Mark>]) -> Orders {
        let mut orders = Orders { same: false, opposite: false };
        for page in &self.pages {
            let place = |mark: &Option<Mark>| {
                let is_it = |shown: &Option<Mark>| mark.is_some() && shown == mark;
                let first = page.iter().position(is_it)?;
                page.iter().rposition(is_it).filter(|last| first == *last)
            };
            let places: Vec<usize> = answer.iter().filter_map(place).collect();
            orders.same |= places.windows(2).any(|pair| pair[0] < pair[1]);
            orders.opposite |= places.windows(2).any(|pair| pair[0] > pair[1]);
        }
        orders
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Row};

    /// Accepts a page of these keys, of which the first `known` were shown before or came late.
    fn accept(memory: &mut Memory, keys: &[i128], known: usize) {
        accept_in_order(memory, keys, known, false);
    }

    fn accept_in_order(memory: &mut Memory, keys: &[i128], known: usize, is_ordered: bool) {
        let rows: Vec<Row> =
            keys.iter().map(|key| Row::with_key("{}", Key::Number(*key))).collect();
        let shown = memory.shown(&rows, &[]);
        let is_new: Vec<bool> = memory.recognize(&shown).iter().map(|is_read| !is_read).collect();
        memory.accept(shown, &rows, known, &is_new, is_ordered);
    }

    fn joins_at(memory: &Memory, key: i128) -> bool {
        memory.joins_at(Some(memory.marks().of_key(Key::Number(key).borrow())))
    }

    #[test]
    fn in_a_declared_order_pages_that_follow_one_another_leave_200_rows() {
        let mut memory = Memory::default();
        for page in 0..30 {
            let keys: Vec<i128> = (page * 9..=page * 9 + 9).collect();
            accept_in_order(&mut memory, &keys, usize::from(page > 0), true);
        }
        let joined = (0..=270).filter(|key| joins_at(&memory, *key)).count();
        assert_eq!((joined, joins_at(&memory, 70), joins_at(&memory, 71)), (200, false, true));
    }

    #[test]
    fn a_row_that_came_late_is_no_place_to_join_at_once_rows_were_forgotten() {
        let mut memory = Memory::of_newest(3);
        accept(&mut memory, &[10, 20], 0);
        accept(&mut memory, &[15, 20, 30], 2);
        assert!([10, 15, 20, 30].iter().all(|key| joins_at(&memory, *key)));
        accept(&mut memory, &[30, 40], 1);
        assert!(memory.has_forgotten());
        // After 15 stands a row that was forgotten, which would come again.
        let joined: Vec<i128> =
            [10, 15, 20, 30, 40].into_iter().filter(|key| joins_at(&memory, *key)).collect();
        assert_eq!(joined, [20, 30, 40]);
    }

    #[test]
    fn rows_after_an_earlier_join_are_set_aside_and_never_forgotten_before_the_others() {
        let mut memory = Memory::of_newest(3);
        accept(&mut memory, &[10, 40], 0);
        accept(&mut memory, &[10, 20, 30], 1); // 40 was deleted, or stands after these.
        accept(&mut memory, &[30, 35], 1);
        assert!(memory.has_forgotten());
        let forty = Some(memory.marks().of_key(Key::Number(40).borrow()));
        assert!(memory.has_read(forty) && !memory.joins_at(forty));
    }
}
