//! One gate for all requests of an origin: when the server asks one of them to wait, all wait.
//!
//! ```text
//!          429 with a wait           the pause is over
//!  open ───────────────────▶ paused ────────────────────▶ open: those who waited leave one by one
//!    │ so many refused, or blocked
//!    └───────────▶ closed ◀──▶ one probe ───── a success ───────────▶ open
//! ```
//!
//! A request that meets a pause gets a place after it, so that those who waited leave one by one
//! and not all at once; who comes later need not wait for them. A place that is given up goes to the next
//! who needs one. A [paced](Gate::paced) gate takes a second refusal within a minute for a rate limit: places are
//! then given out to all at a rate that stays near what the server takes, and is lifted when it takes twice that.
//!
//! # Numbers
//!
//! | what | value | bounds | source |
//! | --- | --- | --- | --- |
//! | between two that leave | 5 ms | | our choice: 200 a second, above most published rate limits |
//! | a closed gate probes | after 5 minutes, then 10, 20, 40, 60 | | our choice: well below what looks like an attack |
//! | refused in a row until it closes | never; 10 in a [`Stack`](crate::Stack) | at least 1 | our choice |
//! | a closed gate lets one look for another credential | every 10 s, for 1 s at most | | our choice: a file is read at once |
//! | chronic | 10 network failures in a row | | our choice |
//! | the rate, when refused | 3 % less, or twice as much less as before if that was within 10 s; 50 % at first | at least 1 in 2 s; what was served, if that is 3 % less | our choice, by `cargo run --release -p storm -- limits`; least: AWS's adaptive mode |
//! | the rate is again what was too much | after 60 s | lifted at twice that | our choice, as above; the curve of TCP CUBIC (RFC 9438) |
//! | refusals that count as one | those of a second, and of a pause | | our choice: a cut has to show first |
//! | who waits at a rate looks whether it has risen | every second | | our choice: rates rise over minutes |
//! | a place is lost | a second after its moment | | our choice: a timer is not as late, who waited for a token is |

mod pace;
mod places;
mod queue;

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use retry_policy::attempts::Closing;
use retry_policy::hint::Hint;
use retry_policy::{Class, Outcome, Profile};

use places::{Shut, State};

/// Our choice: 200 a second, above most published rate limits.
const BETWEEN: Duration = Duration::from_millis(5);
/// Our choice: well below what looks like an attack.
const PROBES: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(3600)];
/// Our choice.
const CHRONIC: u32 = 10;
/// Rates are kept in requests per 1,000 s. AWS's adaptive mode goes no lower than one in two seconds.
const LEAST_RATE: u64 = 500;
/// Our choice: the time after which a rate is again what was too much.
const PROBING: Duration = Duration::from_secs(60);
/// Our choice: a rate that lasted longer was not far off.
const SOON: Duration = Duration::from_secs(10);
/// Our choice: by so many thousandths a rate is cut that lasted.
const SMALL_CUT: u64 = 30;
/// Our choice: by so many thousandths a rate is cut at first, and at most.
const FIRST_CUT: u64 = 500;
/// Our choice: a key's file may be read so often while the gate is closed.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// Our choice: who waited for a token meanwhile comes later than that, a timer does not.
const MISSED: Duration = Duration::from_secs(1);
/// Our choice: a cut in the rate has to show first.
const AGAIN: Duration = Duration::from_secs(1);
/// Our choice: who waits at a rate looks so often whether it has risen.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The terms of a gate, for [`RetryLayer::gate`](crate::RetryLayer::gate). Every layer has one.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    between: Duration,
    is_paced: bool,
}

/// The gate of one origin.
#[derive(Debug)]
pub(crate) struct OriginGate {
    terms: Gate,
    fails_fast: bool,
    closes_after: Option<NonZeroU32>,
    /// Whether a request has to look further.
    is_busy: AtomicBool,
    refused: AtomicU32,
    unreachable: AtomicU32,
    state: Mutex<State>,
}

/// A request's place behind a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    place: Option<u64>,
    /// It is the one that a closed gate lets through.
    is_probe: bool,
}

impl Ticket {
    pub(crate) const NONE: Self = Self { place: None, is_probe: false };
}

/// What the gate says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Closed(Closing),
    Go,
    /// The wait would pass the deadline.
    Late(Duration),
    /// Closed, unless there is another credential: this request may look.
    Look,
    Paused(Duration),
    Wait(Duration),
}

/// How a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GateState {
    /// So many network failures in a row that no single request is to blame. Requests still pass.
    Chronic {
        /// How many.
        streak: u32,
    },
    /// No request passes but a probe.
    Closed {
        /// What had happened.
        why: Closing,
        /// When the next request is let through.
        probe_after: Duration,
    },
    /// Requests pass.
    Open,
    /// Requests pass one by one.
    Paced {
        /// The time between two of them.
        between: Duration,
    },
    /// Requests wait because the server said so.
    Paused {
        /// How long still.
        left: Duration,
    },
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A gate that pauses all requests when the server asks one of them to wait.
    #[must_use]
    pub const fn new() -> Self {
        Self { between: BETWEEN, is_paced: false }
    }

    /// With this time between two requests that leave after a pause.
    #[must_use]
    pub const fn between(self, between: Duration) -> Self {
        Self { between, ..self }
    }

    /// Learns the rate of a server that refuses again within a minute, and lets requests pass at it.
    ///
    /// For an API with one limit for all its requests: where one resource has a limit of its own, its refusals hold
    /// the others back as well, unless [`scope_by`](crate::RetryLayer::scope_by) tells them apart. A rate takes the
    /// place of the time between two, and who waits at it may wait for longer than any hint.
    #[must_use]
    pub const fn paced(self) -> Self {
        Self { is_paced: true, ..self }
    }

    /// A gate on these terms.
    pub(crate) fn fresh(self, fails_fast: bool, closes_after: Option<NonZeroU32>) -> OriginGate {
        OriginGate {
            terms: self,
            fails_fast,
            closes_after,
            is_busy: AtomicBool::new(false),
            refused: AtomicU32::new(0),
            unreachable: AtomicU32::new(0),
            state: Mutex::default(),
        }
    }
}

impl OriginGate {
    /// May the request with this ticket pass now? `left` is what is left of its deadline. What was sent
    /// before does not fail fast: its last answer is gone.
    pub(crate) fn enter(
        &self,
        ticket: &mut Ticket,
        is_first: bool,
        left: Option<Duration>,
        generation: impl FnOnce() -> Option<u64>,
        now: impl FnOnce() -> Duration,
    ) -> Entry {
        let is_plain = ticket.place.is_none() && !ticket.is_probe;
        if ticket.is_probe || is_plain && !self.is_busy.load(Relaxed) {
            return Entry::Go;
        }
        let now = now();
        let mut state = self.lock();
        if let Some(entry) = self.closed(&mut state, ticket, generation, now) {
            return entry;
        }
        if self.fails_fast && is_first && now < state.paused_until {
            return Entry::Paused(state.paused_until.saturating_sub(now));
        }
        let entry = state.place(ticket, self.terms.between, left, now);
        self.settle(&state, now);
        match entry {
            Entry::Wait(wait) if self.fails_fast && is_first && wait >= LOOK_AGAIN => {
                Entry::Paused(wait)
            }
            entry => entry,
        }
    }

    /// What a closed gate says to a request, if it is closed.
    fn closed(
        &self,
        state: &mut State,
        ticket: &mut Ticket,
        generation: impl FnOnce() -> Option<u64>,
        now: Duration,
    ) -> Option<Entry> {
        let paused_until = state.paused_until;
        let shut = state.shut.as_mut()?;
        if shut.generation != generation() {
            state.shut = None; // Another credential is another client.
            self.refused.store(0, Relaxed);
            return None;
        }
        if now >= shut.probe_at.max(paused_until) {
            shut.probe_after = shut.probe_after.saturating_mul(2).min(PROBES[1]);
            shut.probe_at = now.saturating_add(shut.probe_after);
            ticket.is_probe = true;
            return Some(Entry::Go);
        }
        if now >= shut.look_at {
            shut.look_at = now.saturating_add(BETWEEN_LOOKS);
            return Some(Entry::Look);
        }
        Some(Entry::Closed(shut.why))
    }

    /// Whether a retry that is due then can pass, as far as is known. One that is due within a pause takes its
    /// place at once: it came before those who will.
    pub(crate) fn outlook(
        &self,
        ticket: &mut Ticket,
        due: Duration,
        left: Option<Duration>,
        generation: impl FnOnce() -> Option<u64>,
        now: Duration,
    ) -> Entry {
        if !self.is_busy.load(Relaxed) {
            return Entry::Go;
        }
        let mut state = self.lock();
        if let Some(shut) = state.shut {
            if due < shut.probe_at && shut.generation == generation() {
                return Entry::Closed(shut.why);
            }
        }
        if self.fails_fast && due < state.paused_until {
            return Entry::Paused(state.paused_until.saturating_sub(now));
        }
        let pause = state.paused_until.saturating_sub(now);
        if !pause.is_zero() && left.is_some_and(|left| pause >= left) {
            return Entry::Late(pause);
        }
        if due <= state.paused_until && state.pace.is_none() {
            return state.place(ticket, self.terms.between, left, now);
        }
        Entry::Go
    }

    /// The request with this ticket has passed.
    pub(crate) fn passed(&self, ticket: &mut Ticket) {
        *ticket = Ticket::NONE;
        if self.is_busy.load(Relaxed) {
            self.lock().count();
        }
    }

    /// The request with this ticket will not pass: its place, or its probe, is another's.
    pub(crate) fn leave(&self, ticket: &mut Ticket) {
        let ticket = core::mem::replace(ticket, Ticket::NONE);
        if ticket.place.is_none() && !ticket.is_probe {
            return;
        }
        let mut state = self.lock();
        if let (true, Some(shut)) = (ticket.is_probe, &mut state.shut) {
            shut.probe_at = Duration::ZERO;
            shut.probe_after = (shut.probe_after / 2).max(PROBES[0]);
        }
        if let Some(place) = ticket.place {
            state.queue.give_up(place);
        }
    }

    /// An attempt has ended like this; what changed with it, for whoever observes.
    pub(crate) fn heard(
        &self,
        outcome: &Outcome,
        profile: &Profile,
        ceiling: Duration,
        generation: impl FnOnce() -> Option<u64>,
        now: impl Fn() -> Duration,
    ) -> Option<GateState> {
        let Some(class) = outcome.class() else {
            return self.succeeded(now);
        };
        if !matches!(class, Class::Network | Class::Throttled) && self.is_busy.load(Relaxed) {
            // Whatever it says, it was not too much.
            self.lock().served(self.terms.between, now());
        }
        if class == Class::Network {
            let streak = self.unreachable.fetch_add(1, Relaxed).saturating_add(1);
            return match streak {
                CHRONIC => Some(GateState::Chronic { streak }),
                _ => None,
            };
        }
        self.unreachable.store(0, Relaxed);
        if class == Class::Authorization {
            return self.was_refused(outcome, generation, now);
        }
        self.asked_to_wait(outcome, class, profile, ceiling, now)
    }

    /// A request has succeeded.
    pub(crate) fn succeeded(&self, now: impl FnOnce() -> Duration) -> Option<GateState> {
        for streak in [&self.refused, &self.unreachable] {
            if streak.load(Relaxed) > 0 {
                streak.store(0, Relaxed);
            }
        }
        if !self.is_busy.load(Relaxed) {
            return None;
        }
        let mut state = self.lock();
        let now = now();
        let was_shut = state.shut.take().is_some();
        state.served(self.terms.between, now);
        self.settle(&state, now);
        if was_shut { Some(GateState::Open) } else { None }
    }

    fn was_refused(
        &self,
        outcome: &Outcome,
        generation: impl FnOnce() -> Option<u64>,
        now: impl FnOnce() -> Duration,
    ) -> Option<GateState> {
        let streak = self.refused.fetch_add(1, Relaxed).saturating_add(1);
        let most = self.closes_after?;
        let why = match outcome.is_blocked() {
            true => Closing::Blocked,
            false if streak >= most.get() => Closing::Refused { streak },
            false => return None,
        };
        let mut state = self.lock();
        if state.shut.is_some() {
            return None;
        }
        let probe_after = PROBES[0];
        let now = now();
        let probe_at = now.saturating_add(probe_after);
        let look_at = now.saturating_add(BETWEEN_LOOKS);
        let generation = generation();
        state.shut = Some(Shut { why, probe_at, probe_after, look_at, generation });
        self.is_busy.store(true, Relaxed);
        Some(GateState::Closed { why, probe_after })
    }

    fn asked_to_wait(
        &self,
        outcome: &Outcome,
        class: Class,
        profile: &Profile,
        ceiling: Duration,
        now: impl FnOnce() -> Duration,
    ) -> Option<GateState> {
        let asked = match outcome.asked() {
            Hint::Wait { after, .. } if after <= ceiling && profile.pauses_all(outcome) => after,
            _ => Duration::ZERO,
        };
        let is_its_own = matches!(outcome.asked(), Hint::Wait { after, .. } if after > ceiling);
        let cuts = self.terms.is_paced && class == Class::Throttled && !is_its_own;
        if asked.is_zero() && !cuts {
            return None;
        }
        let now = now();
        let mut state = self.lock();
        let is_cut = cuts && state.cut(self.terms.between, now);
        let until = now.saturating_add(asked);
        let is_new = until > state.paused_until;
        if is_new && !asked.is_zero() {
            state.pause(until, self.terms.between, now);
        }
        self.is_busy.store(true, Relaxed);
        self.settle(&state, now);
        match (is_new, state.pace) {
            (true, _) if !asked.is_zero() => Some(GateState::Paused { left: asked }),
            (_, Some(pace)) if is_cut => Some(GateState::Paced { between: pace.between() }),
            _ => None,
        }
    }

    /// Whether anybody has to look at the state from now on.
    fn settle(&self, state: &State, now: Duration) {
        let is_busy = state.shut.is_some() || state.watch.is_some() || state.paused_until > now;
        self.is_busy.store(is_busy, Relaxed);
    }

    /// How it stands.
    pub(crate) fn state(&self, now: Duration) -> GateState {
        let mut state = self.lock();
        state.advance(self.terms.between, now);
        let streak = self.unreachable.load(Relaxed);
        if let Some(shut) = state.shut {
            let probe_after = shut.probe_at.saturating_sub(now);
            return GateState::Closed { why: shut.why, probe_after };
        }
        if state.paused_until > now {
            return GateState::Paused { left: state.paused_until.saturating_sub(now) };
        }
        match state.pace {
            Some(pace) => GateState::Paced { between: pace.between() },
            None if streak >= CHRONIC => GateState::Chronic { streak },
            None => GateState::Open,
        }
    }

    /// Lets requests pass again.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        state.shut = None;
        self.refused.store(0, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
