//! One request's life: outcome in, decision out.
//!
//! ```text
//!            ┌────────── Retry { after } ◀───── again, attempts and time left
//! attempt ──▶ after() ── Refresh ◀────────────── 401, the first one
//!            ├────────── Shrink { after } ◀───── too heavy, and the caller can ask for less
//!            ├────────── Return ◀─────────────── an answer that is no failure
//!            └────────── Stop { reason } ◀────── everything else
//! ```

use core::num::NonZeroU32;
use core::time::Duration;

use crate::classify::{Meaning, Verdict, judge};
use crate::hint::{Hint, Source, TooLong};
use crate::profile::Reading;
use crate::safety::Shrinkable;
use crate::{Attempts, Class, Delivery, Policy, Safety, StopReason};

/// What became of one attempt, as the policy's [`Profile`](crate::Profile) reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    delivery: Delivery,
    reading: Reading,
    hint: Hint,
    timed_out: bool,
}

impl Outcome {
    /// An attempt that ended like this, as the RFCs mean it.
    ///
    /// For an answer, [`Profile::outcome`](crate::Profile::outcome) knows more.
    #[must_use]
    pub const fn new(delivery: Delivery) -> Self {
        Self { delivery, reading: Reading::of(delivery), hint: Hint::None, timed_out: false }
    }

    /// An attempt that our own timeout cut off.
    #[must_use]
    pub const fn timed_out() -> Self {
        Self { timed_out: true, ..Self::new(Delivery::Unknown) }
    }

    /// With what the server says about the next attempt.
    #[must_use]
    pub const fn hint(mut self, hint: Hint) -> Self {
        self.hint = hint;
        self
    }

    /// With what a vendor means by it.
    #[must_use]
    pub const fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// The delivery state.
    #[must_use]
    pub const fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// The kind of failure; `None` for a success.
    #[must_use]
    pub const fn class(&self) -> Option<Class> {
        self.reading.class()
    }

    /// The row of the truth table.
    #[must_use]
    pub const fn meaning(&self) -> Meaning {
        self.reading.meaning()
    }

    /// What the server says about the next attempt.
    #[must_use]
    pub const fn asked(&self) -> Hint {
        self.hint
    }

    /// Whether the API says that it blocks this client.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        self.reading.is_blocked()
    }

    /// The vendor's own advice on exactly this failure, if it has one.
    #[must_use]
    pub const fn advice(&self) -> Option<&'static str> {
        self.reading.special_advice()
    }

    /// Whether a request for less might succeed: 413 (RFC 9110 §15.5.14), 502, 504 ("prevented by
    /// minimizing the scope of the request", IXON) or a timeout.
    const fn is_too_heavy(&self) -> bool {
        self.timed_out || matches!(self.delivery, Delivery::Answered(413 | 502 | 504))
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Take a fresh credential and send the request again at once.
    Refresh,
    /// Wait, then send the request again.
    Retry {
        /// The wait.
        after: Duration,
        /// Who decided how long it is.
        source: Source,
    },
    /// Give the answer to the caller: it is no failure.
    Return,
    /// Wait, then give the answer to the caller, who asks for less.
    Shrink {
        /// The wait.
        after: Duration,
        /// Who decided how long it is.
        source: Source,
    },
    /// Give the answer to the caller: it is a failure and is not repeated.
    Stop {
        /// Why.
        reason: StopReason,
    },
}

/// One request's life as a state machine.
#[derive(Clone, Debug)]
pub struct Run {
    policy: Policy,
    safety: Safety,
    shrinkable: bool,
    refreshed: bool,
    misdirected: bool,
    /// The step of the schedule for the next wait.
    step: NonZeroU32,
    /// The attempts that count against the limit: all but the ones that a refresh follows.
    counted: u32,
    /// The time that earlier, larger requests took.
    earlier: Duration,
    attempts: Attempts,
}

impl Run {
    /// A request that was not sent yet.
    #[must_use]
    pub const fn new(policy: Policy, safety: Safety) -> Self {
        Self {
            policy,
            safety,
            shrinkable: false,
            refreshed: false,
            misdirected: false,
            step: NonZeroU32::MIN,
            counted: 0,
            earlier: Duration::ZERO,
            attempts: Attempts::NONE,
        }
    }

    /// A request that was not sent yet, as its method, headers and marks tell: its [`Safety`], and
    /// [`Override`](crate::safety::Override) and [`Shrinkable`].
    #[cfg(feature = "http")]
    #[must_use]
    pub fn of<B>(policy: Policy, request: &http::Request<B>) -> Self {
        let marks = request.extensions();
        let policy = match marks.get::<crate::safety::Override>() {
            Some(other) => other.applied_to(policy),
            None => policy,
        };
        let run = Self::new(policy, Safety::of(request));
        match marks.get::<Shrinkable>() {
            Some(mark) => run.shrinkable(*mark),
            None => run,
        }
    }

    /// A request for which the caller can ask for less.
    #[must_use]
    pub const fn shrinkable(mut self, mark: Shrinkable) -> Self {
        self.shrinkable = mark.can_shrink();
        self.earlier = mark.elapsed();
        self.attempts.begin_at(mark.waited(), mark.elapsed());
        self
    }

    /// Decides what follows an attempt that ended `elapsed` after the request began.
    ///
    /// `draw` is uniform over the whole range of a `u32`; it spreads the wait.
    #[must_use]
    pub fn after(&mut self, outcome: &Outcome, elapsed: Duration, draw: u32) -> Decision {
        let elapsed = self.earlier.saturating_add(elapsed);
        self.attempts.push(outcome.delivery, outcome.class(), elapsed);
        self.attempts.newest_means(outcome.meaning());
        if outcome.timed_out {
            self.attempts.newest_timed_out();
        }
        self.counted = self.counted.saturating_add(1);
        // RFC 9110 §15.5.20: another connection may help, once.
        if outcome.delivery == Delivery::Answered(421)
            && core::mem::replace(&mut self.misdirected, true)
        {
            return self.stop(StopReason::Permanent);
        }
        let shrinks = self.shrinkable && outcome.is_too_heavy() && self.safety != Safety::Forbidden;
        match judge(self.safety, outcome.reading.meaning()) {
            Verdict::Return => Decision::Return,
            Verdict::Refresh if self.refreshed => self.stop(StopReason::CredentialRefused),
            Verdict::Refresh => {
                if let Some(reason) = self.refusal_to_refresh(outcome, elapsed) {
                    return self.stop(reason);
                }
                self.refreshed = true;
                self.counted = self.counted.saturating_sub(1);
                Decision::Refresh
            }
            Verdict::Stop(reason) if !shrinks => self.stop(reason),
            Verdict::Again | Verdict::Stop(_) => {
                if !shrinks && self.counted >= self.policy.max_attempts.get() {
                    return self.stop(StopReason::Attempts);
                }
                match self.next_wait(outcome, elapsed, draw) {
                    Ok((after, source)) if shrinks => {
                        self.attempts.stop(StopReason::Shrink);
                        Decision::Shrink { after, source }
                    }
                    Ok((after, source)) => Decision::Retry { after, source },
                    Err(reason) => self.stop(reason),
                }
            }
        }
    }

    /// Why a fresh credential is not tried at once: the server says no or asks to wait, or time is up.
    fn refusal_to_refresh(&self, outcome: &Outcome, elapsed: Duration) -> Option<StopReason> {
        match outcome.hint.within(Duration::ZERO, TooLong::Stops) {
            Hint::Stop { .. } => return Some(StopReason::AskedToStop),
            Hint::TooLong { asked, allowed } => {
                return Some(StopReason::HintTooLong { asked, allowed });
            }
            Hint::None | Hint::Wait { .. } => {}
        }
        let is_late = self.policy.deadline.is_some_and(|deadline| elapsed >= deadline);
        is_late.then_some(StopReason::Deadline { wait: Duration::ZERO })
    }

    /// The wait: the longer of what the server asks for and our own, never past the deadline.
    fn next_wait(
        &mut self,
        outcome: &Outcome,
        elapsed: Duration,
        draw: u32,
    ) -> Result<(Duration, Source), StopReason> {
        let left =
            self.policy.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_sub(elapsed));
        let when = self.policy.profile.hints().when_too_long();
        let longest = self.policy.longest_hint;
        let hint = match when {
            // What is left bounds what may be asked for; it never shortens it.
            TooLong::Stops => outcome.hint.within(left.min(longest), when),
            _ => outcome.hint.within(longest, when).within(left, TooLong::Stops),
        };
        let (asked, header) = match hint {
            Hint::None => (Duration::ZERO, None),
            Hint::Stop { .. } => return Err(StopReason::AskedToStop),
            Hint::TooLong { asked, allowed } => {
                return Err(StopReason::HintTooLong { asked, allowed });
            }
            Hint::Wait { after, source } => (after, Some(source)),
        };
        let backoff = match outcome.class() {
            Some(Class::Throttled) => self.policy.throttled,
            _ => self.policy.backoff,
        };
        let previous = self.attempts.last_wait();
        let wait = self
            .policy
            .jitter
            .wait(backoff, self.step, previous, draw)
            .ok_or(StopReason::ScheduleEnded)?;
        let is_instead = self.policy.profile.hints().replaces_backoff();
        let (after, source) = match header {
            Some(header) if asked >= wait.delay || is_instead && !asked.is_zero() => {
                (asked, Source::Header(header))
            }
            _ => (wait.delay, Source::Backoff),
        };
        if after >= left {
            // Once it has passed, no wait is to blame.
            let wait = if left.is_zero() { Duration::ZERO } else { after };
            return Err(StopReason::Deadline { wait });
        }
        self.step = wait.step.saturating_add(1);
        self.attempts.wait(after, source);
        Ok((after, source))
    }

    /// Records a wait on top of the decided one, such as the wait for a token of the budget.
    ///
    /// The next wait is longer than both together where waits must rise.
    pub fn waited_longer(&mut self, wait: Duration) {
        self.attempts.wait_longer(wait);
    }

    /// The caller gives up `elapsed` after the request began. An attempt in flight has an unknown fate.
    pub fn cancel(&mut self, is_in_flight: bool, elapsed: Duration) {
        if is_in_flight {
            let elapsed = self.earlier.saturating_add(elapsed);
            self.attempts.push(Delivery::Unknown, Class::of(Delivery::Unknown), elapsed);
        }
        self.attempts.stop(StopReason::Cancelled);
    }

    /// Whether the next attempt is the last one, whatever becomes of it; a refresh may still follow it.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.counted.saturating_add(1) >= self.policy.max_attempts.get()
    }

    /// Whether no reason was found to end it.
    #[must_use]
    pub const fn is_going_on(&self) -> bool {
        self.attempts.stop_reason().is_none()
    }

    /// The credential was made fresh before the first attempt: if it is refused, that is final.
    pub const fn has_refreshed(&mut self) {
        self.refreshed = true;
    }

    /// This run, without any attempt but the next: an outer caller repeats the request.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.policy.max_attempts = NonZeroU32::MIN;
        self
    }

    /// Whether the caller's marks or the policy rule out a second sending, whatever happens.
    #[must_use]
    pub const fn is_sent_once(&self) -> bool {
        matches!(self.safety, Safety::Forbidden) || self.policy.max_attempts.get() == 1
    }

    /// Ends the request for a reason that only the caller knows, such as an empty budget.
    pub const fn stop(&mut self, reason: StopReason) -> Decision {
        self.attempts.stop(reason);
        Decision::Stop { reason }
    }

    /// Ends the request in place of the wait that was just decided.
    pub fn refuse(&mut self, reason: StopReason) -> Decision {
        self.attempts.unwait();
        self.stop(reason)
    }

    /// What happened so far.
    #[must_use]
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// The policy that decides.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is left of the deadline `elapsed` after the request began; `None` without a deadline.
    #[must_use]
    pub fn time_left(&self, elapsed: Duration) -> Option<Duration> {
        let elapsed = self.earlier.saturating_add(elapsed);
        self.policy.deadline.map(|deadline| deadline.saturating_sub(elapsed))
    }
}

#[cfg(test)]
mod tests;
