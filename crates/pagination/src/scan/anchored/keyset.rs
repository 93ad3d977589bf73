//! Pages that begin behind a key instead of at a rank, once a filter for that is known to work.
//!
//! The probe asks for the rows behind the first row of a page and requires the second. A filter that is
//! ignored shows the first again; a text that is not cast to the type of the key shows nothing at all.

use super::{Anchored, PagePosition, PageRequest, State, Window};
use crate::query::Terms;
use crate::{Key, KeyRef, Keyed, Order};
use retry_policy::safety::Shrinkable;

/// How often a probe is asked whose row was deleted meanwhile. Our choice.
const PROBES: u32 = 3;

/// How pages begin.
#[derive(Debug)]
pub(super) enum Begins<R> {
    /// Behind the last key.
    ByKey,
    /// At a rank.
    ByRank,
    /// At a rank, until a probe shows that the filter works.
    Unproved { probes: u32 },
    /// The probe is on its way: behind `above` the next row is `expects`.
    Probing { id: u64, above: Key, expects: Key, state: State<R>, probes: u32 },
}

impl<R: Keyed> Begins<R> {
    pub(super) fn of(query: &Terms) -> Self {
        match query.bound() {
            Ok(bound) if query.keyset && bound.is_declared => Self::ByKey,
            Ok(_) if query.keyset => Self::Unproved { probes: 0 },
            _ => Self::ByRank,
        }
    }

    pub(super) const fn is_by_key(&self) -> bool {
        matches!(self, Self::ByKey)
    }

    pub(super) const fn is_probing(&self) -> bool {
        matches!(self, Self::Probing { .. })
    }

    pub(super) fn is_probe(&self, asked: u64) -> bool {
        matches!(self, Self::Probing { id, state: State::InFlight, .. } if *id == asked)
    }

    pub(super) const fn failed(&self) -> Option<u64> {
        match self {
            Self::Probing { id, state: State::Failed, .. } => Some(*id),
            _ => None,
        }
    }

    pub(super) fn set(&mut self, now: State<R>) {
        if let Self::Probing { state, .. } = self {
            *state = now;
        }
    }

    /// The first two keys of a page, if a probe needs them.
    pub(super) fn pair_of(&self, rows: &[R]) -> Option<(Key, Key)> {
        let Self::Unproved { .. } = self else { return None };
        let mut keys = rows.iter().filter_map(Keyed::key);
        Some((keys.next()?.to_key(), keys.next()?.to_key()))
    }

    /// Sends the probe behind the first of these.
    pub(super) fn probe(&mut self, pair: Option<(Key, Key)>) {
        if let (Self::Unproved { probes }, Some((above, expects))) = (&*self, pair) {
            let probes = probes + 1;
            *self = Self::Probing { id: 0, above, expects, state: State::Wanted, probes };
        }
    }

    /// The rows behind the probe's key.
    pub(super) fn probed(&mut self, rows: &[R], order: Order) {
        let Self::Probing { above, expects, probes, .. } = &*self else { return };
        let keys: Vec<KeyRef<'_>> = rows.iter().filter_map(Keyed::key).collect();
        let is_behind = |key: &KeyRef<'_>| order.compare(*key, above.borrow()).is_gt();
        let is_proved = keys.iter().all(is_behind) && keys.contains(&expects.borrow());
        // A row that has been deleted proves nothing, but what follows it shows that the filter is read.
        let may_be_gone = !keys.is_empty() && keys.iter().all(is_behind) && *probes < PROBES;
        *self = match *probes {
            _ if is_proved => Self::ByKey,
            probes if may_be_gone => Self::Unproved { probes },
            _ => Self::ByRank,
        };
    }

    /// The API refuses the filter.
    pub(super) fn refused(&mut self, id: u64) -> bool {
        let is_probe = self.is_probe(id);
        if is_probe {
            *self = Self::ByRank;
        }
        is_probe
    }
}

impl<R: Keyed> Anchored<R> {
    /// The request for the rows behind the probe's key, if it is wanted.
    pub(super) fn ask_probe(&mut self) -> Option<PageRequest> {
        let Begins::Probing { id, above, state, .. } = &mut self.begins else { return None };
        if !matches!(state, State::Wanted) {
            return None;
        }
        self.next_id += 1;
        (*id, *state) = (self.next_id, State::InFlight);
        let at = PagePosition::Rank { skip: 0, order: self.order, above: Some(above.clone()) };
        let mark = Shrinkable::new().at_its_smallest();
        Some(PageRequest { id: self.next_id, at, rows: 2, mark })
    }

    /// Lets a window begin behind the last key, where that is how pages begin.
    pub(super) fn begin(&self, window: &mut Window<R>) {
        if let (Begins::ByKey, Some(last)) = (&self.begins, &self.last) {
            window.above = Some((**last).clone());
            (window.rank, window.catches_up) = (0, true);
        }
    }
}
