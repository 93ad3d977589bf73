//! What a gate knows: who waits, for how long, and at what rate the others pass.

use core::time::Duration;

use retry_policy::attempts::Closing;

use super::pace::{Pace, Watch};
use super::queue::Queue;
use super::{AGAIN, Entry, LOOK_AGAIN, MISSED, PROBING, Ticket};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) queue: Queue,
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
        self.advance(between, now);
        let earliest = self.paused_until.max(now);
        // Who waited for something else meanwhile has missed its place.
        let held = ticket.place.filter(|&it| self.queue.moment(it).saturating_add(MISSED) >= now);
        if held.is_none() && self.pace.is_none() && now >= self.paused_until {
            return Entry::Go;
        }
        let place = held.unwrap_or_else(|| self.queue.offer(earliest));
        let wait = self.queue.moment(place).max(self.paused_until).saturating_sub(now);
        if left.is_some_and(|left| wait >= left) && !wait.is_zero() {
            return Entry::Late(wait);
        }
        if held.is_none() {
            self.queue.take(place);
            ticket.place = Some(place);
        }
        match self.pace {
            _ if wait.is_zero() => Entry::Go,
            // It may rise meanwhile.
            Some(_) => Entry::Wait(wait.min(LOOK_AGAIN.max(earliest.saturating_sub(now)))),
            None => Entry::Wait(wait),
        }
    }

    /// The rate is what it is by now.
    pub(super) fn advance(&mut self, between: Duration, now: Duration) {
        if let Some(watch) = self.watch {
            let passing = now.saturating_sub(watch.since);
            self.pace = self.pace.and_then(|pace| pace.after(passing));
            if self.pace.is_none() && passing >= PROBING {
                self.watch = None;
            }
        }
        let step = self.pace.map_or(between, Pace::between);
        self.queue.set_step(step, self.paused_until.max(now));
    }

    /// The server was asked too much: from the second time on, its rate is known, and requests pass at less.
    pub(super) fn cut(&mut self, between: Duration, now: Duration) -> bool {
        self.advance(between, now);
        let Some(watch) = self.watch else {
            self.watch = Some(Watch::new(now));
            return false;
        };
        // It was asked before the last refusal could show.
        if now < self.paused_until.max(watch.began.saturating_add(AGAIN)) {
            return false;
        }
        self.pace = Some(watch.cut(self.pace, between, now));
        self.watch = Some(Watch::new(now));
        self.advance(between, now);
        true
    }

    /// Requests pass again from then on.
    pub(super) fn pause(&mut self, until: Duration, between: Duration, now: Duration) {
        self.advance(between, now);
        self.queue.pause(until, now);
        self.paused_until = until;
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

    /// A request was not too much.
    pub(super) fn served(&mut self, between: Duration, now: Duration) {
        if let Some(watch) = &mut self.watch {
            watch.served = watch.served.saturating_add(1);
            self.advance(between, now);
        }
    }
}
