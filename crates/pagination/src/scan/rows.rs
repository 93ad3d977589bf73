//! The rows of one step, and the checkpoint after each of them.

use std::sync::Arc;

use super::memory::ROWS_OF_A_CHECKPOINT;
use crate::checkpoint::Resume;
use crate::marks::Anchor;
use crate::report::Doubts;
use crate::{Checkpoint, Key, KeyRef, Keyed, Order, Proof, Row};

/// Rows that no other step delivers, in the scan's order.
#[derive(Clone, Debug)]
pub struct Rows<R = Row> {
    list: Vec<R>,
    /// The rows of the page, those beyond the query's limit included.
    of: usize,
    origin: Origin,
    /// The checkpoint before these rows.
    before: Before,
}

/// What a scan has done before a step.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) query: u64,
    pub(super) rows: u64,
    pub(super) doubts: Doubts,
    /// What shows the end of the list, if the scan ends with these rows.
    pub(super) proof: Option<Proof>,
}

/// Where the rows come from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Cursor {
        page: Option<Arc<str>>,
        next: Option<Arc<str>>,
        repeats: bool,
        /// Rows of the page, and rows that it did not show, that were taken before a checkpoint.
        taken: Vec<Anchor>,
        to_come: Vec<Anchor>,
    },
    Offset {
        /// The rank of the first row, and how many rows came late.
        rank: u64,
        late: usize,
        place: Place,
    },
    /// Rows of pages that do not overlap.
    Plain {
        /// The rank of the page, and of the one after it.
        page: u64,
        next: u64,
        place: Place,
    },
}

/// What an offset walk stores of the rows that it has read.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) read: Tail,
    /// The greatest key in the declared order of the scan, if there is one.
    pub(super) greatest: Option<(Order, Option<Key>)>,
    pub(super) fields: Arc<[String]>,
}

/// The newest rows read, page by page in the order of the list, and those that may stand after any of them.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pages: Vec<Arc<[Anchor]>>,
    aside: Arc<[Anchor]>,
}

impl Tail {
    pub(super) fn of(read: Vec<Anchor>, aside: Vec<Anchor>) -> Self {
        Self { pages: vec![read.into()], aside: aside.into() }
    }

    /// Adds the new rows of an answer, and the rows set aside that stand among them.
    pub(super) fn push<R: Keyed>(&mut self, rows: &[R], is_new: &[bool], fields: &[String]) {
        let Some(last) = is_new.iter().rposition(|is_new| *is_new) else { return };
        let first =
            if self.aside.is_empty() { (last + 1).saturating_sub(ROWS_OF_A_CHECKPOINT) } else { 0 };
        let mut aside = self.aside.to_vec();
        let mut stands_here = |anchor: &Anchor, is_new: bool| {
            let was_aside = aside.iter().position(|it| it == anchor);
            was_aside.map(|at| aside.remove(at)).is_some() || is_new
        };
        let shown = rows[first..=last].iter().zip(&is_new[first..]);
        let anchors = shown.filter_map(|(row, is_new)| {
            Anchor::of(row, fields).filter(|anchor| stands_here(anchor, *is_new))
        });
        self.pages.push(anchors.collect());
        if aside.len() < self.aside.len() {
            self.aside = aside.into();
        }
        let rows: usize = self.pages.iter().map(|page| page.len()).sum();
        let mut surplus = rows.saturating_sub(ROWS_OF_A_CHECKPOINT);
        self.pages.retain(|page| {
            let is_surplus = page.len() <= surplus;
            surplus = if is_surplus { surplus - page.len() } else { 0 };
            !is_surplus
        });
    }

    /// A page joins at this row: those that were read after it may stand after the rows that come now.
    pub(super) fn set_aside_after(&mut self, is_joined: impl Fn(&Anchor) -> bool) {
        let mut aside = self.aside.to_vec();
        while let Some(page) = self.pages.pop() {
            let end = page.iter().rposition(&is_joined).map_or(0, |at| at + 1);
            aside.extend_from_slice(&page[end..]);
            if end > 0 {
                self.pages.push(page[..end].into());
                break;
            }
        }
        self.aside = aside.into();
    }

    /// Rows that came late stand before the row that was read last.
    pub(super) fn push_aside<R: Keyed>(&mut self, rows: &[R], fields: &[String]) {
        let late = rows.iter().filter_map(|row| Anchor::of(row, fields));
        if !rows.is_empty() {
            self.aside = self.aside.iter().cloned().chain(late).collect();
        }
    }

    /// The rows from the newest back.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Anchor> {
        self.pages.iter().rev().flat_map(|page| page.iter().rev())
    }
}

impl Place {
    /// The checkpoint's place after these rows, of which the last one has this rank and the first `late` came late.
    pub(super) fn resume<R: Keyed>(&self, rows: &[R], late: usize, rank: u64) -> Resume {
        let (late, new) = rows.split_at(late.min(rows.len()));
        let anchor = |row| Anchor::of(row, &self.fields);
        let aside = self.read.aside.iter().cloned().chain(late.iter().filter_map(anchor));
        let mut aside: Vec<Anchor> = aside.collect();
        let new = new.iter().rev().filter_map(anchor);
        let mut read: Vec<Anchor> =
            new.chain(self.read.newest_first().cloned()).take(ROWS_OF_A_CHECKPOINT).collect();
        read.reverse();
        if aside.len() > ROWS_OF_A_CHECKPOINT {
            (read, aside) = (Vec::new(), Vec::new()); // Without all of them, no page may join.
        }
        let greatest = self.greatest.as_ref().and_then(|(order, greatest)| {
            let new = rows.iter().filter_map(Keyed::key);
            let all = greatest.as_ref().map(Key::borrow).into_iter().chain(new);
            all.max_by(|a, b| order.compare(*a, *b)).map(KeyRef::to_key)
        });
        Resume::Offset { rank, read, aside, greatest }
    }
}

impl<R: Keyed> Rows<R> {
    pub(super) const fn new(list: Vec<R>, of: usize, origin: Origin, before: Before) -> Self {
        Self { list, of, origin, before }
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[R] {
        &self.list
    }

    /// The checkpoint after the last of them.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint_after(self.list.len())
    }

    /// The checkpoint after the first `count` of them.
    #[must_use]
    pub fn checkpoint_after(&self, count: usize) -> Checkpoint {
        let count = count.min(self.list.len());
        Checkpoint {
            query: self.before.query,
            rows: self.before.rows.saturating_add(count as u64),
            doubts: self.before.doubts.to_vec(),
            place: self.place_after(count),
        }
    }

    fn place_after(&self, count: usize) -> Resume {
        let is_all = count == self.of;
        if let Some(proof) = self.before.proof.filter(|_| is_all) {
            return Resume::End { proof };
        }
        let rows = &self.list[..count];
        match &self.origin {
            Origin::Offset { rank, late, place } => {
                place.resume(rows, *late, rank.saturating_add(count as u64).saturating_sub(1))
            }
            Origin::Plain { page, next, place } => {
                place.resume(rows, 0, if is_all { *next } else { *page })
            }
            Origin::Cursor { next: Some(next), repeats: true, .. } if is_all => {
                Resume::Cycle { cursor: next.to_string() }
            }
            Origin::Cursor { next: next @ Some(_), to_come, .. } if is_all => Resume::Cursor {
                cursor: next.as_deref().map(str::to_owned),
                taken: to_come.clone(),
            },
            Origin::Cursor { page, taken, to_come, .. } => {
                let new = rows.iter().map(Anchor::of_taken);
                let taken = taken.iter().chain(to_come).cloned().chain(new).collect();
                Resume::Cursor { cursor: page.as_deref().map(str::to_owned), taken }
            }
        }
    }
}

impl<R> IntoIterator for Rows<R> {
    type Item = R;
    type IntoIter = std::vec::IntoIter<R>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}
