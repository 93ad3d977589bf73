//! Marks of rows, cursors and pages: keyed hashes, so that no server can make two of them collide.
//!
//! A mark stands for a row in the scan's memory. It is made of the key and, where the list is sorted by other
//! fields, of a digest of their values; a row without a key is marked by a digest of its content.
//!
//! # Numbers
//!
//! A mark of a row has 128 bits: among a million rows, two are equal with a chance of 2⁻⁸⁹.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use crate::{Key, KeyRef, Keyed};

/// The mark of a row.
pub(crate) type Mark = u128;

/// A row as a checkpoint stores it: enough to recognize the row in another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) key: Option<Key>,
    /// Of the values of the other sort fields, or of the content of a row without a key.
    pub(crate) digest: u64,
}

impl Anchor {
    /// The anchor of a row; `None` for a row that nothing tells from others.
    pub(crate) fn of<R: Keyed>(row: &R, fields: &[String]) -> Option<Self> {
        let key = row.key();
        let digest = digest(row, key, fields)?;
        Some(Self { key: key.map(KeyRef::to_key), digest })
    }

    /// The anchor of a row that was taken from a page. One that nothing tells from others equals all such rows.
    pub(crate) fn of_taken<R: Keyed>(row: &R) -> Self {
        Self::of(row, &[]).unwrap_or(Self { key: None, digest: 0 })
    }
}

fn digest<R: Keyed>(row: &R, key: Option<KeyRef<'_>>, fields: &[String]) -> Option<u64> {
    let mut stable = Fnv::default();
    match key {
        Some(_) if fields.is_empty() => return Some(0),
        Some(_) => {
            row.sort_values(fields, &mut stable);
        }
        None if !row.identify(&mut stable) => return None,
        None => {}
    }
    Some(stable.finish())
}

/// Whether a row shows the fields that it is sorted by.
pub(crate) fn shows_sort<R: Keyed>(row: &R, fields: &[String]) -> bool {
    row.sort_values(fields, &mut Fnv::default())
}

/// Makes marks.
#[derive(Clone, Debug)]
pub(crate) struct Marks(Mixer);

impl Default for Marks {
    fn default() -> Self {
        let random = RandomState::new();
        let [left, right, first, second] = [0_u8, 1, 2, 3].map(|at| random.hash_one(at));
        Self(Mixer { left, right, keys: [first | 1, second | 1] })
    }
}

impl Marks {
    /// The mark of a cursor.
    pub(crate) fn of<T: Hash + ?Sized>(&self, thing: &T) -> u64 {
        let mut mixer = self.0.clone();
        thing.hash(&mut mixer);
        mixer.finish()
    }

    /// The mark of a page: its first and last row and their number; `None` if nothing tells these from others.
    pub(crate) fn of_page<R: Keyed>(&self, rows: &[R]) -> Option<u64> {
        let mut mixer = self.0.clone();
        let (first, last) = (rows.first()?, rows.last()?);
        let is_known = first.identify(&mut mixer) && last.identify(&mut mixer);
        mixer.write_usize(rows.len());
        is_known.then(|| mixer.finish())
    }

    /// The mark of a row among rows that are sorted by the key, or by these fields before it.
    pub(crate) fn of_row<R: Keyed>(&self, row: &R, fields: &[String]) -> Option<Mark> {
        let key = row.key();
        Some(self.wide(key, digest(row, key, fields)?))
    }

    /// The mark of a row that a checkpoint stored.
    pub(crate) fn of_anchor(&self, anchor: &Anchor) -> Mark {
        self.wide(anchor.key.as_ref().map(Key::borrow), anchor.digest)
    }

    /// The mark of a key by itself.
    pub(crate) fn of_key(&self, key: KeyRef<'_>) -> Mark {
        self.wide(Some(key), 0)
    }

    #[inline]
    fn wide(&self, key: Option<KeyRef<'_>>, digest: u64) -> Mark {
        let mut mixer = self.0.clone();
        match key {
            Some(KeyRef::Number(number)) => mixer.write_i128(number),
            Some(KeyRef::Text(text)) => mixer.write(text.as_bytes()),
            None => mixer.write_u64(u64::MAX),
        }
        mixer.write_u64(digest ^ u64::from(matches!(key, Some(KeyRef::Text(_)))));
        let [first, second] = mixer.keys;
        (u128::from(folded(mixer.left, second)) << 64) | u128::from(folded(mixer.right, first))
    }
}

/// Two lanes of 64 bits, each multiplied by a random key of its own.
#[derive(Clone, Debug)]
struct Mixer {
    left: u64,
    right: u64,
    keys: [u64; 2],
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
fn folded(word: u64, key: u64) -> u64 {
    let product = u128::from(word).wrapping_mul(u128::from(key));
    product as u64 ^ (product >> 64) as u64
}

impl Hasher for Mixer {
    #[inline]
    fn finish(&self) -> u64 {
        folded(self.left, self.keys[1])
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((word, tail)) = rest.split_first_chunk() {
            self.write_u64(u64::from_le_bytes(*word));
            rest = tail;
        }
        let last = rest.iter().fold(0, |last, byte| (last << 8) | u64::from(*byte));
        self.write_u64(last ^ ((bytes.len() as u64) << 56));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.left = folded(self.left ^ word, self.keys[0]);
        self.right = folded(self.right ^ word.rotate_left(32), self.keys[1]);
    }
}

/// FNV-1a with 64 bits: the same in every process, so a checkpoint can store it.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A mark is a hash already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsItIs(u64);

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

/// A set of marks.
pub(crate) type MarkSet<T> = HashSet<T, BuildHasherDefault<AsItIs>>;

/// How often each mark came.
pub(crate) type MarkCounts = HashMap<Mark, u32, BuildHasherDefault<AsItIs>>;

/// The newest marks: a set that knows the order in which they came.
#[derive(Debug)]
pub(crate) struct NewestMarks<T> {
    set: MarkSet<T>,
    oldest_first: VecDeque<T>,
}

impl<T> Default for NewestMarks<T> {
    fn default() -> Self {
        Self { set: MarkSet::default(), oldest_first: VecDeque::new() }
    }
}

impl<T: Copy + Eq + Hash> NewestMarks<T> {
    pub(crate) fn contains(&self, mark: T) -> bool {
        self.set.contains(&mark)
    }

    /// Whether the mark is not in the set yet.
    #[inline]
    pub(crate) fn insert(&mut self, mark: T) -> bool {
        let is_new = self.set.insert(mark);
        if is_new {
            self.oldest_first.push_back(mark);
        }
        is_new
    }

    /// Takes the oldest mark out while there are more than so many.
    pub(crate) fn pop_beyond(&mut self, most: usize) -> Option<T> {
        let is_full = self.oldest_first.len() > most;
        let oldest = if is_full { self.oldest_first.pop_front() } else { None }?;
        self.set.remove(&oldest);
        Some(oldest)
    }

    /// Takes the newest mark out unless it is this one.
    pub(crate) fn pop_after(&mut self, mark: Option<T>) -> Option<T> {
        let is_later = self.oldest_first.back().is_some_and(|newest| Some(*newest) != mark);
        let newest = if is_later { self.oldest_first.pop_back() } else { None }?;
        self.set.remove(&newest);
        Some(newest)
    }
}
