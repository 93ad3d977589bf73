//! The fence: the greatest key in the order of the scan, read in the reverse order.

use super::{Anchored, Inconsistency, Nothing, PagePosition, PageRequest, Report, State};
use crate::page::Page;
use crate::{Key, KeyRef, Keyed};
use std::sync::Arc;

/// How often the reverse order may show nothing while the order of the scan shows rows.
const EMPTY_FENCES: u32 = 12;

impl<R: Keyed> Anchored<R> {
    /// The fence is known already.
    pub(in super::super) fn fence_at(&mut self, key: Key) {
        self.fence.key = Some(Arc::new(key));
    }

    pub(super) fn ask_fence(&mut self) -> PageRequest {
        self.next_id += 1;
        let id = self.next_id;
        (self.fence.id, self.fence.state) = (id, Some(State::InFlight));
        let at = PagePosition::Rank { skip: 0, order: self.order.reversed(), above: None };
        let (rows, carried) = (self.fence.rows, self.fence.carried);
        PageRequest { id, at, rows, mark: self.size.mark(rows, carried) }
    }

    pub(super) fn fence_arrived(&mut self, page: &Page<R>, report: &mut Report) {
        self.fence.state = None;
        self.totalled(page.total, report);
        // Rows without a key behind the greatest one are met by no key.
        let keyless = page.rows.iter().take_while(|row| row.key().is_none()).count();
        self.bad_rows = self.bad_rows.max(keyless as u64);
        let keys: Vec<KeyRef<'_>> = page.rows.iter().filter_map(Keyed::key).collect();
        if let Some(key) = keys.iter().find(|key| self.range.excludes(**key)) {
            let key = key.to_key();
            return self.contradicts(Inconsistency::FilterIgnored { key });
        }
        if let [first, second, ..] = keys[..] {
            if self.order.compare(first, second).is_le() {
                return self.contradicts(Inconsistency::ReverseIgnored);
            }
        }
        if page.rows.len() == 1
            && keys.first().is_some_and(|key| self.is_read(*key))
            && page.total > Some(self.rank.saturating_add(1))
        {
            // One row of many could be the first as well as the last: more are asked for, or none believed.
            return self.fence_in_doubt();
        }
        if let Some(&first) = keys.first() {
            (self.nothing, self.fence.empty) = (Nothing::default(), 0);
            // Every fence bounds the owed rows; the nearest one is the best.
            let is_nearer = |key: &Arc<Key>| self.order.compare(first, key.borrow()).is_lt();
            if self.fence.key.as_ref().is_none_or(is_nearer) {
                self.fence.key = Some(Arc::new(first.to_key()));
            }
            return self.end_at_fence();
        }
        // No row. Where rows were seen the last ones may be hidden, so more are asked for; else the
        // order of the scan is asked in turn, and its page has this one asked again.
        self.fence.empty += 1;
        let answers = self.fence.empty;
        if answers > EMPTY_FENCES {
            return self.contradicts(Inconsistency::NothingShown { answers });
        }
        self.nothing_shown(page.total.filter(|_| page.null_rows == 0));
        if self.has_seen_rows() && self.fence.rows < self.size.current() {
            self.fence.rows = self.fence.rows.saturating_mul(4).min(self.size.current());
            self.fence.state = Some(State::Wanted);
        }
    }

    fn is_read(&self, key: KeyRef<'_>) -> bool {
        let last = self.last.as_deref().map(Key::borrow);
        last.is_some_and(|last| self.order.compare(key, last).is_le())
    }

    /// The answer shows no fence that can be believed.
    fn fence_in_doubt(&mut self) {
        self.fence.empty += 1;
        let answers = self.fence.empty;
        if answers > EMPTY_FENCES {
            return self.contradicts(Inconsistency::NothingShown { answers });
        }
        if self.fence.rows < self.size.current() {
            self.fence.rows = self.fence.rows.saturating_mul(4).min(self.size.current());
            self.fence.state = Some(State::Wanted);
        }
    }

    pub(super) fn has_seen_rows(&self) -> bool {
        self.last.is_some() || self.fence.key.is_some() || self.nothing.says_rows
    }
}
