//! Circles and repetitions, noticed in bounded memory.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use crate::{KeyRef, Keyed};

/// The newest rows that are remembered, by a mark of 128 bits of their keys, against pages that overlap.
/// Our choice: 16 MiB at most.
const REMEMBERED_ROWS: usize = 262_144;
/// The newest cursors and pages that are remembered exactly. Our choice: 256 KiB each.
const REMEMBERED_PAGES: usize = 16_384;

/// Makes marks of things, with a key of its own, so that no server can make marks collide.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(RandomState);

impl Marks {
    pub(super) fn of<T: Hash + ?Sized>(&self, thing: &T) -> u64 {
        self.0.hash_one(thing)
    }

    /// A page's mark: its first and last row and their number; `None` if nothing tells them from others.
    pub(super) fn of_page<R: Keyed>(&self, rows: &[R]) -> Option<u64> {
        let mut hasher = self.0.build_hasher();
        let (first, last) = (rows.first()?, rows.last()?);
        let is_told = first.identify(&mut hasher) && last.identify(&mut hasher);
        hasher.write_usize(rows.len());
        is_told.then(|| hasher.finish())
    }

    /// A mark of 128 bits: two ends of the same hash.
    fn wide(&self, identify: impl FnOnce(&mut <RandomState as BuildHasher>::Hasher)) -> u128 {
        let mut hasher = self.0.build_hasher();
        identify(&mut hasher);
        let first = hasher.finish();
        hasher.write_u8(1);
        (u128::from(first) << 64) | u128::from(hasher.finish())
    }
}

/// A mark is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, mark: u64) {
        self.0 = mark;
    }

    fn write_u128(&mut self, mark: u128) {
        self.write_u64(u64::try_from(mark & u128::from(u64::MAX)).unwrap_or_default());
    }
}

type Set<T> = HashSet<T, BuildHasherDefault<AsItIs>>;

/// Notices a circle of any length in bounded memory.
///
/// The newest marks are remembered, so a circle of up to that length is noticed where it closes. A
/// longer one is noticed by Brent's rule: one older mark is kept and moved on at powers of two.
#[derive(Debug, Default)]
pub(super) struct Circle {
    newest: VecDeque<u64>,
    set: Set<u64>,
    kept: Option<u64>,
    since_kept: u64,
    keep_for: u64,
}

impl Circle {
    /// Whether this mark was seen before.
    pub(super) fn closes_at(&mut self, mark: u64) -> bool {
        if self.kept == Some(mark) || !self.set.insert(mark) {
            return true;
        }
        self.newest.push_back(mark);
        if self.newest.len() > REMEMBERED_PAGES {
            if let Some(oldest) = self.newest.pop_front() {
                self.set.remove(&oldest);
            }
        }
        if self.since_kept >= self.keep_for {
            self.kept = Some(mark);
            self.since_kept = 0;
            self.keep_for = self.keep_for.saturating_mul(2).max(1);
        }
        self.since_kept += 1;
        false
    }
}

/// The marks of the newest rows.
#[derive(Debug, Default)]
pub(super) struct Recent {
    marks: Marks,
    newest: VecDeque<u128>,
    set: Set<u128>,
    has_forgotten: bool,
}

impl Recent {
    /// Whether the key is not among them.
    pub(super) fn insert(&mut self, key: KeyRef<'_>) -> bool {
        self.insert_mark(self.marks.wide(|hasher| key.hash(hasher)))
    }

    /// The same of a row: by its key, or by what it is where it has none.
    pub(super) fn insert_row<R: Keyed>(&mut self, row: &R) -> bool {
        if let Some(key) = row.key() {
            self.insert(key)
        } else {
            let mut is_told = false;
            let mark = self.marks.wide(|hasher| is_told = row.identify(hasher));
            // Of a row that nothing tells from others nobody knows that it was there.
            !is_told || self.insert_mark(mark)
        }
    }

    fn insert_mark(&mut self, mark: u128) -> bool {
        if !self.set.insert(mark) {
            return false;
        }
        self.newest.push_back(mark);
        if self.newest.len() > REMEMBERED_ROWS {
            if let Some(oldest) = self.newest.pop_front() {
                self.set.remove(&oldest);
                self.has_forgotten = true;
            }
        }
        true
    }

    /// Whether the key is among them.
    pub(super) fn contains(&self, key: KeyRef<'_>) -> bool {
        self.set.contains(&self.marks.wide(|hasher| key.hash(hasher)))
    }

    /// What was inserted may not have been all.
    pub(super) const fn forget(&mut self) {
        self.has_forgotten = true;
    }

    /// Whether there were more than can be remembered.
    pub(super) const fn has_forgotten(&self) -> bool {
        self.has_forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_any_length_is_noticed() {
        let remembered = REMEMBERED_PAGES as u64;
        for (lead_in, length) in
            [(0, 1), (3, 2), (0, 7), (5, remembered), (100, remembered + 1), (1, 100_000)]
        {
            let mut circle = Circle::default();
            let marks = (0..lead_in).chain((0..).map(|at| lead_in + at % length));
            let noticed = marks.take(1_000_000).position(|mark| circle.closes_at(mark)).unwrap();
            let closes = usize::try_from(lead_in + length).unwrap();
            assert!(noticed >= closes, "{lead_in} + {length} noticed at {noticed}");
            if length <= remembered {
                assert_eq!(noticed, closes, "{lead_in} + {length}");
            }
            assert!(circle.newest.len() <= REMEMBERED_PAGES);
        }
    }
}
