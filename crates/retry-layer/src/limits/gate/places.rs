//! The places behind a pause, and the pace at which they are given out.

use core::time::Duration;
use std::collections::BTreeSet;

use retry_policy::attempts::Closing;

use super::pace::{Pace, Watch};
use super::{BETWEEN_CUTS, Entry, MISSED, PROBING, Ticket};

#[derive(Debug, Default)]
pub(super) struct State {
    /// The first place that was not given to anybody.
    pub(super) next: Duration,
    /// Places before it that were given up.
    pub(super) free: BTreeSet<Duration>,
    pub(super) paused_until: Duration,
    /// Since a server that was asked too much.
    pub(super) watch: Option<Watch>,
    pub(super) pace: Option<Pace>,
    pub(super) shut: Option<Shut>,
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
        let step = self.step(between);
        // A place within a pause that came later is worth nothing, nor is one that was missed; another moves with the pace.
        let held =
            ticket.place.filter(|&at| at >= self.paused_until && at.saturating_add(MISSED) >= now);
        // Who waits behind a pause looks again only when its place comes.
        let from = if ticket.step == between { self.paused_until } else { earliest };
        let held = held.map(|at| scaled(at, from, step, ticket.step));
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
        if held.is_none() && is_place && !self.free.remove(&at) {
            self.next = at.saturating_add(step);
        }
        if held.is_some() || is_place {
            (ticket.place, ticket.step) = (Some(at), step);
        }
        match self.pace {
            _ if wait.is_zero() => Entry::Go,
            // The pace may change meanwhile.
            Some(_) => Entry::Wait(wait.min(BETWEEN_CUTS.max(earliest.saturating_sub(now)))),
            None => Entry::Wait(wait),
        }
    }

    /// The time from one place to the next.
    fn step(&self, between: Duration) -> Duration {
        self.pace.map_or(between, Pace::between)
    }

    /// Another pace from now on, or none: places that were not reached yet move with it.
    fn repace(&mut self, pace: Option<Pace>, between: Duration, now: Duration) {
        let (earliest, before) = (self.paused_until.max(now), self.step(between));
        self.pace = pace;
        let step = self.step(between);
        if step != before {
            self.next = scaled(self.next, earliest, step, before);
            self.free = self.free.iter().map(|&at| scaled(at, earliest, step, before)).collect();
        }
    }

    /// The server was asked too much: from the second time on, its rate is known, and requests pass at less.
    pub(super) fn cut(&mut self, between: Duration, now: Duration) -> bool {
        let watch = self.watch.replace(Watch::new(now));
        let Some(watch) = watch else { return false };
        // It was asked before the last refusal could show.
        if now < self.paused_until.max(watch.began.saturating_add(BETWEEN_CUTS)) {
            self.watch = Some(watch);
            return false;
        }
        let pace = watch.cut(self.pace, between, now);
        if std::env::var_os("DBG").is_some() {
            eprintln!("cut at {now:?}: {:?} {watch:?}-> {pace:?}", self.pace);
        }
        self.repace(Some(pace), between, now);
        true
    }

    /// Requests pass again from then on.
    pub(super) fn pause(&mut self, until: Duration) {
        self.paused_until = until;
        self.next = self.next.max(until);
        if let Some(watch) = &mut self.watch {
            watch.since = until;
        }
    }

    /// A request has passed.
    pub(super) fn count(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.passed = watch.passed.saturating_add(1);
        }
    }

    /// A request has succeeded.
    pub(super) fn succeeded(&mut self, between: Duration, now: Duration) {
        let Some(watch) = &mut self.watch else { return };
        watch.served = watch.served.saturating_add(1);
        let passing = now.saturating_sub(watch.since);
        match self.pace {
            Some(pace) => {
                let pace = pace.after(passing);
                self.repace(pace, between, now);
                self.watch = self.watch.filter(|_| pace.is_some());
            }
            None => self.watch = self.watch.filter(|_| passing < PROBING),
        }
    }
}

/// A moment, moved so that its distance from the earliest is in the proportion of two intervals.
fn scaled(at: Duration, earliest: Duration, now: Duration, then: Duration) -> Duration {
    let Some(ahead) = at.checked_sub(earliest) else { return at };
    let nanos = ahead.as_nanos().saturating_mul(now.as_nanos()) / then.as_nanos().max(1);
    earliest.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}
