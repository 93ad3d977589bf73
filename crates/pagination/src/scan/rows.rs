//! The rows of one step, and the places behind each of them.

use std::sync::Arc;

use super::keyless;
use crate::checkpoint::Resume;
use crate::{Checkpoint, Key, KeyRef, Keyed, Row};

/// Rows that no other step delivers, in the scan's order.
#[derive(Clone, Debug)]
pub struct Rows<R = Row> {
    list: Vec<R>,
    /// The rows of the page, those beyond the query's limit included.
    of: usize,
    origin: Origin,
    query: u64,
    /// The rows delivered before these.
    before: u64,
    /// Whether the scan is complete with them.
    is_last: bool,
}

/// Where the rows come from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Anchored {
        first_rank: u64,
        /// The last key before these rows, and the rows without one behind it.
        last: Option<Arc<Key>>,
        beyond: u64,
        /// The rows without a key in all, before these.
        bad: u64,
        fence: Option<Arc<Key>>,
        hidden: bool,
    },
    Cursor {
        page: Option<Arc<str>>,
        next: Option<Arc<str>>,
        repeats: bool,
        taken: Vec<Option<Key>>,
    },
    Seen {
        /// The rank of the page, and of the one that follows it.
        page: u64,
        next: u64,
        pass: u32,
        known: Vec<Key>,
    },
}

impl<R: Keyed> Rows<R> {
    pub(super) const fn new(
        list: Vec<R>,
        of: usize,
        origin: Origin,
        query: u64,
        before: u64,
        is_last: bool,
    ) -> Self {
        Self { list, of, origin, query, before, is_last }
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[R] {
        &self.list
    }

    /// The place behind the last of them.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint_after(self.list.len())
    }

    /// The place behind the first `count` of them.
    #[must_use]
    pub fn checkpoint_after(&self, count: usize) -> Checkpoint {
        let count = count.min(self.list.len());
        let all = count == self.of;
        let keys =
            |count: usize| self.list[..count].iter().map(|row| row.key().map(KeyRef::to_key));
        let place = match &self.origin {
            _ if all && self.is_last => Resume::End,
            Origin::Anchored { first_rank, last, beyond, bad, fence, hidden } => {
                let at = self.list[..count].iter().rposition(|row| row.key().is_some());
                let (last, skip, beyond) = if let Some(at) = at {
                    let key = self.list[at].key().map(KeyRef::to_key);
                    (key, first_rank.saturating_add(at as u64), (count - at - 1) as u64)
                } else {
                    let last = last.as_deref().cloned();
                    (
                        last,
                        first_rank.saturating_sub(beyond.saturating_add(1)),
                        beyond.saturating_add(count as u64),
                    )
                };
                let fence = fence.as_deref().cloned();
                let bad = bad.saturating_add(keyless(&self.list[..count]));
                Resume::Anchored { last, skip, beyond, bad, fence, hidden: *hidden }
            }
            Origin::Cursor { next: Some(next), repeats: true, .. } if all => {
                Resume::Circle { cursor: next.to_string() }
            }
            Origin::Cursor { next: next @ Some(_), .. } if all => {
                Resume::Cursor { cursor: next.as_deref().map(str::to_owned), taken: Vec::new() }
            }
            Origin::Cursor { page, taken, .. } => {
                let taken = taken.iter().cloned().chain(keys(count)).collect();
                Resume::Cursor { cursor: page.as_deref().map(str::to_owned), taken }
            }
            Origin::Seen { page, next, pass, known } => {
                let known = known.iter().cloned().chain(keys(count).flatten()).collect();
                Resume::Seen { skip: if all { *next } else { *page }, pass: *pass, known }
            }
        };
        let rows = self.before.saturating_add(count as u64);
        Checkpoint { query: self.query, rows, place }
    }
}

impl<R> IntoIterator for Rows<R> {
    type Item = R;
    type IntoIter = std::vec::IntoIter<R>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}
