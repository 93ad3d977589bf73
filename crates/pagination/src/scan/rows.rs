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
        taken: Vec<Anchor>,
    },
    Offset {
        /// The rank of the first row.
        rank: u64,
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

/// The newest rows read, page by page.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Vec<Arc<[Anchor]>>);

impl Tail {
    pub(super) fn push<R: Keyed>(&mut self, rows: &[R], fields: &[String]) {
        let newest = &rows[rows.len().saturating_sub(ROWS_OF_A_CHECKPOINT)..];
        self.0.push(newest.iter().filter_map(|row| Anchor::of(row, fields)).collect());
        let rows: usize = self.0.iter().map(|page| page.len()).sum();
        let mut surplus = rows.saturating_sub(ROWS_OF_A_CHECKPOINT);
        self.0.retain(|page| {
            let is_surplus = page.len() <= surplus;
            surplus = if is_surplus { surplus - page.len() } else { 0 };
            !is_surplus
        });
    }

    /// Rows that came late stand before the row that was read last, which stays the newest.
    pub(super) fn push_late<R: Keyed>(&mut self, rows: &[R], fields: &[String]) {
        let last = self.newest_first().next().cloned();
        self.push(rows, fields);
        self.0.extend(last.map(|last| [last].into()));
    }

    pub(super) fn of(anchors: Vec<Anchor>) -> Self {
        Self(vec![anchors.into()])
    }

    /// The rows from the newest back.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Anchor> {
        self.0.iter().rev().flat_map(|page| page.iter().rev())
    }
}

impl Place {
    /// The checkpoint's place after these rows, of which the last one has this rank.
    pub(super) fn resume<R: Keyed>(&self, rows: &[R], rank: u64) -> Resume {
        let new = rows.iter().rev().filter_map(|row| Anchor::of(row, &self.fields));
        let mut read: Vec<Anchor> =
            new.chain(self.read.newest_first().cloned()).take(ROWS_OF_A_CHECKPOINT).collect();
        read.reverse();
        let greatest = self.greatest.as_ref().and_then(|(order, greatest)| {
            let new = rows.iter().filter_map(Keyed::key);
            let all = greatest.as_ref().map(Key::borrow).into_iter().chain(new);
            all.max_by(|a, b| order.compare(*a, *b)).map(KeyRef::to_key)
        });
        Resume::Offset { rank, read, greatest }
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
            Origin::Offset { rank, place } => {
                place.resume(rows, rank.saturating_add(count as u64).saturating_sub(1))
            }
            Origin::Plain { page, next, place } => {
                place.resume(rows, if is_all { *next } else { *page })
            }
            Origin::Cursor { next: Some(next), repeats: true, .. } if is_all => {
                Resume::Cycle { cursor: next.to_string() }
            }
            Origin::Cursor { next: next @ Some(_), .. } if is_all => {
                Resume::Cursor { cursor: next.as_deref().map(str::to_owned), taken: Vec::new() }
            }
            Origin::Cursor { page, taken, .. } => {
                let new = rows.iter().map(Anchor::of_taken);
                let taken = taken.iter().cloned().chain(new).collect();
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
