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
        let earliest = self.paused_until.max(now);
        let pace = self.pace.map(Pace::between);
        // A place within a pause that came later is worth nothing; one at a pace moves with it.
        let held = ticket.place.filter(|&at| at >= self.paused_until);
        let held = held.map(|at| match (ticket.between, pace) {
            (None, _) => at,
            // The pace is lifted: they leave as after a pause.
            (Some(then), pace) => scaled(at, earliest, pace.unwrap_or(between), then),
        });
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
        let is_place = pace.is_some() || now < self.paused_until;
        if held.is_none() && is_place {
            if !self.free.remove(&at) {
                self.next = at.saturating_add(pace.unwrap_or(between));
            }
            ticket.between = pace;
        }
        if held.is_some() || is_place {
            ticket.place = Some(at);
            ticket.between = ticket.between.and(pace);
        }
        match pace {
            _ if wait.is_zero() => Entry::Go,
            // The pace may change meanwhile.
            Some(_) => Entry::Wait(wait.min(BETWEEN_CUTS.max(earliest.saturating_sub(now)))),
            None => Entry::Wait(wait),
        }
    }

    /// Another pace from now on, or none: places that were not reached yet move with it.
    pub(super) fn repace(&mut self, pace: Option<Pace>, now: Duration) {
        let earliest = self.paused_until.max(now);
        match (self.pace, pace) {
            (Some(before), Some(after)) => {
                let (then, now) = (before.between(), after.between());
                self.next = scaled(self.next, earliest, now, then);
                self.free = self.free.iter().map(|&at| scaled(at, earliest, now, then)).collect();
            }
            (Some(_), None) => {
                self.next = earliest;
                self.free.clear();
            }
            (None, _) => self.next = self.next.max(now),
        }
        self.pace = pace;
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
        let pace = Pace { rate, too_much: before.max(LEAST_RATE), cut_at: now };
        self.repace(Some(pace), now);
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

/// A moment, moved so that its distance from the earliest is in the proportion of two intervals.
fn scaled(at: Duration, earliest: Duration, now: Duration, then: Duration) -> Duration {
    let Some(ahead) = at.checked_sub(earliest) else { return at };
    let nanos = ahead.as_nanos().saturating_mul(now.as_nanos()) / then.as_nanos().max(1);
    earliest.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}
