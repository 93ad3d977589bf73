//! The places behind a pause, and the pace at which they are given out.

use core::time::Duration;
use std::collections::BTreeSet;

use retry_policy::attempts::Closing;

use super::{BETWEEN_CUTS, Entry, LEAST_RATE, Ticket};

#[derive(Debug, Default)]
pub(super) struct State {
    /// The first place that was not given to anybody.
    pub(super) next: Duration,
    /// Places before it that were given up.
    pub(super) free: BTreeSet<Duration>,
    pub(super) paused_until: Duration,
    /// The second in which requests are counted, their number, and that of the second before.
    pub(super) counted: (u64, u64, u64),
    pub(super) pace: Option<Pace>,
    pub(super) shut: Option<Shut>,
}

/// In requests per 1,000 s.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) rate: u64,
    /// The rate at which the server was asked too much.
    pub(super) too_much: u64,
    pub(super) cut_at: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Shut {
    pub(super) why: Closing,
    pub(super) probe_at: Duration,
    pub(super) probe_after: Duration,
    /// When a request may look whether there is another credential.
    pub(super) look_at: Duration,
    pub(super) generation: Option<u64>,
}

impl State {
    /// The wait for the ticket's place. It gets one if it needs one, and can wait for it.
    pub(super) fn place(
        &mut self,
        ticket: &mut Ticket,
        between: Duration,
        left: Option<Duration>,
        now: Duration,
    ) -> Entry {
        // A place within a pause that came later is worth nothing.
        let held = ticket.place.filter(|&at| at >= self.paused_until);
        let earliest = self.paused_until.max(now);
        let at = match held {
            Some(at) => at,
            // The pause is over, and nobody asks for a pace.
            None if self.pace.is_none() && now >= self.paused_until => now,
            None => {
                self.free = self.free.split_off(&earliest);
                self.free.first().copied().unwrap_or_else(|| self.next.max(earliest))
            }
        };
        let wait = at.saturating_sub(now);
        if left.is_some_and(|left| wait >= left) && !wait.is_zero() {
            return Entry::Late(wait);
        }
        let is_place = self.pace.is_some() || now < self.paused_until;
        if held.is_none() && is_place {
            if !self.free.remove(&at) {
                self.next = at.saturating_add(self.pace.map_or(between, Pace::between));
            }
            ticket.place = Some(at);
        }
        if wait.is_zero() { Entry::Go } else { Entry::Wait(wait) }
    }

    /// The server was asked too much: half as often from now on.
    pub(super) fn cut(&mut self, now: Duration) -> bool {
        let before = match self.pace {
            // It was asked before the last cut could show.
            Some(pace) if now < pace.cut_at.max(self.paused_until).saturating_add(BETWEEN_CUTS) => {
                return false;
            }
            Some(pace) => pace.rate,
            None => {
                let (second, sent, before) = self.counted;
                let before = if now.as_secs() == second { before } else { 0 };
                sent.max(before).saturating_mul(1000)
            }
        };
        let rate = (before / 2).max(LEAST_RATE);
        self.pace = Some(Pace { rate, too_much: before.max(LEAST_RATE), cut_at: now });
        self.next = self.next.max(now);
        true
    }

    pub(super) fn count(&mut self, now: Duration) {
        let now = now.as_secs();
        self.counted = match self.counted {
            (second, sent, before) if second == now => (now, sent.saturating_add(1), before),
            (second, sent, _) if second.checked_add(1) == Some(now) => (now, 1, sent),
            _ => (now, 1, 0),
        };
    }
}

impl Pace {
    pub(super) fn between(self) -> Duration {
        Duration::from_nanos(1_000_000_000_000 / self.rate.max(1))
    }
}
