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

use crate::classify::{Verdict, classify};
use crate::safety::Shrinkable;
use crate::{Attempts, Class, Delivery, Policy, Safety, StopReason};

/// What became of one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    delivery: Delivery,
    hint: Option<Duration>,
    timed_out: bool,
    body: &'a [u8],
}

impl<'a> Outcome<'a> {
    /// An attempt that ended like this.
    #[must_use]
    pub const fn new(delivery: Delivery) -> Self {
        Self { delivery, hint: None, timed_out: false, body: &[] }
    }

    /// An attempt that our own timeout cut off.
    #[must_use]
    pub const fn timed_out() -> Self {
        Self { timed_out: true, ..Self::new(Delivery::Unknown) }
    }

    /// With the wait that the server asked for.
    #[must_use]
    pub const fn hint(mut self, hint: Option<Duration>) -> Self {
        self.hint = hint;
        self
    }

    /// With the answer's body, or a prefix of it: some vendors put the decision there.
    #[must_use]
    pub const fn body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }

    /// The delivery state.
    #[must_use]
    pub const fn delivery(&self) -> Delivery {
        self.delivery
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
        /// Whether the server asked for it.
        asked_by_server: bool,
    },
    /// Give the answer to the caller: it is no failure.
    Return,
    /// Wait, then give the answer to the caller, who asks for less.
    Shrink {
        /// The wait.
        after: Duration,
        /// Whether the server asked for it.
        asked_by_server: bool,
    },
    /// Give the answer to the caller: it is a failure and is not repeated.
    Stop {
        /// Why.
        reason: StopReason,
    },
}

/// One request's life as a state machine.
#[derive(Clone, Copy, Debug)]
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
    pub fn after(&mut self, outcome: &Outcome<'_>, elapsed: Duration, draw: u32) -> Decision {
        let elapsed = self.earlier.saturating_add(elapsed);
        self.attempts.push(outcome.delivery, elapsed);
        self.counted = self.counted.saturating_add(1);
        if let Delivery::Answered(status) = outcome.delivery {
            if self.policy.profile.is_final(status, outcome.body) {
                return self.stop(StopReason::Permanent);
            }
            // RFC 9110 §15.5.20: another connection may help, once.
            if status == 421 && core::mem::replace(&mut self.misdirected, true) {
                return self.stop(StopReason::Permanent);
            }
        }
        let shrinks = self.shrinkable && outcome.is_too_heavy();
        match classify(self.safety, outcome.delivery) {
            Verdict::Return => Decision::Return,
            Verdict::Refresh if self.refreshed => self.stop(StopReason::CredentialRefused),
            Verdict::Refresh => {
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
                    Ok((after, asked_by_server)) if shrinks => {
                        self.attempts.stop(StopReason::Shrink);
                        Decision::Shrink { after, asked_by_server }
                    }
                    Ok((after, asked_by_server)) => Decision::Retry { after, asked_by_server },
                    Err(reason) => self.stop(reason),
                }
            }
        }
    }

    /// The wait: the longer of what the server asks for and our own, never past the deadline.
    fn next_wait(
        &mut self,
        outcome: &Outcome<'_>,
        elapsed: Duration,
        draw: u32,
    ) -> Result<(Duration, bool), StopReason> {
        let left =
            self.policy.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_sub(elapsed));
        if let Some(asked) = outcome.hint {
            let allowed = left.min(self.policy.longest_hint);
            if asked > allowed {
                return Err(StopReason::HintTooLong { asked, allowed });
            }
        }
        let backoff = match Class::of(outcome.delivery) {
            Some(Class::Throttled) => self.policy.throttled,
            _ => self.policy.backoff,
        };
        let previous = self.attempts.last_wait();
        let wait = self
            .policy
            .jitter
            .wait(backoff, self.step, previous, draw)
            .ok_or(StopReason::ScheduleEnded)?;
        let asked_by_server = outcome.hint.is_some_and(|asked| asked > wait.delay);
        let after = outcome.hint.map_or(wait.delay, |asked| asked.max(wait.delay));
        if after >= left {
            return Err(StopReason::Deadline { wait: after });
        }
        self.step = wait.step.saturating_add(1);
        self.attempts.wait(after, asked_by_server);
        Ok((after, asked_by_server))
    }

    /// Records a wait on top of the decided one, such as the wait for a token of the budget.
    ///
    /// The next wait is longer than both together where waits must rise.
    pub fn waited_longer(&mut self, wait: Duration) {
        self.attempts.wait_longer(wait);
    }

    /// Ends the request for a reason that only the caller knows, such as an empty budget.
    pub const fn stop(&mut self, reason: StopReason) -> Decision {
        self.attempts.stop(reason);
        Decision::Stop { reason }
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
mod tests {
    use super::*;
    use crate::backoff::Backoff;
    use crate::jitter::Jitter;
    use crate::profile;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn rising(attempts: u32, first: u64) -> Policy {
        let backoff = Backoff::exponential(secs(first), secs(1 << 20)).unwrap();
        Policy::builder()
            .max_attempts(NonZeroU32::new(attempts).unwrap())
            .backoff(backoff)
            .throttled(backoff)
            .jitter(Jitter::Rising)
            .deadline(secs(300))
            .longest_hint(secs(300))
            .build()
            .unwrap()
    }

    fn answered(status: u16) -> Outcome<'static> {
        Outcome::new(Delivery::Answered(status))
    }

    const fn retry(after: u64, asked_by_server: bool) -> Decision {
        Decision::Retry { after: secs(after), asked_by_server }
    }

    const fn stop(reason: StopReason) -> Decision {
        Decision::Stop { reason }
    }

    /// Plays outcomes that each end at the given second, drawing zero.
    fn play(policy: Policy, safety: Safety, script: &[(Outcome<'_>, u64)]) -> Vec<Decision> {
        let mut run = Run::new(policy, safety);
        script.iter().map(|(outcome, at)| run.after(outcome, secs(*at), 0)).collect()
    }

    #[test]
    fn thirty_seconds_wait_thirty_sixty_a_hundred_and_twenty() {
        let down = answered(503);
        let decisions = play(
            rising(4, 30),
            Safety::Idempotent,
            &[(down, 0), (down, 30), (down, 90), (down, 210)],
        );
        assert_eq!(
            decisions,
            [retry(30, false), retry(60, false), retry(120, false), stop(StopReason::Attempts)]
        );
    }

    #[test]
    fn every_wait_is_longer_than_the_one_before_with_hints_mixed_in() {
        let asking = |wait| answered(429).hint(Some(secs(wait)));
        let decisions = play(
            rising(7, 1),
            Safety::Idempotent,
            &[
                (asking(0), 0),
                (asking(10), 0),
                (asking(10), 0),
                (answered(503), 0),
                (asking(100), 0),
                (Outcome::new(Delivery::NotSent), 0),
            ],
        );
        assert_eq!(
            decisions,
            [
                retry(1, false),
                retry(10, true),
                retry(16, false),
                retry(32, false),
                retry(100, true),
                retry(128, false)
            ]
        );
    }

    #[test]
    fn a_hint_is_never_shortened() {
        let asking = |wait| answered(429).hint(Some(secs(wait)));
        for (wait, at, allowed) in [(301, 0, 300), (90, 250, 50), (u64::MAX, 0, 300)] {
            let reason = StopReason::HintTooLong { asked: secs(wait), allowed: secs(allowed) };
            let decisions = play(rising(5, 1), Safety::Idempotent, &[(asking(wait), at)]);
            assert_eq!(decisions, [stop(reason)]);
        }
    }

    #[test]
    fn no_wait_is_begun_that_would_pass_the_deadline() {
        let down = answered(500);
        for (at, decision) in [
            (269, retry(30, false)),
            (270, stop(StopReason::Deadline { wait: secs(30) })),
            (999, stop(StopReason::Deadline { wait: secs(30) })),
        ] {
            assert_eq!(play(rising(5, 30), Safety::Idempotent, &[(down, at)]), [decision], "{at}");
        }
    }

    #[test]
    fn a_401_is_refreshed_once_and_costs_no_attempt() {
        let refused = answered(401);
        let decisions =
            play(rising(2, 1), Safety::Unsafe, &[(refused, 0), (answered(429), 0), (refused, 1)]);
        assert_eq!(
            decisions,
            [Decision::Refresh, retry(1, false), stop(StopReason::CredentialRefused)]
        );
    }

    #[test]
    fn a_second_421_is_permanent() {
        let decisions =
            play(rising(5, 1), Safety::Idempotent, &[(answered(421), 0), (answered(421), 1)]);
        assert_eq!(decisions, [retry(1, false), stop(StopReason::Permanent)]);
    }

    #[test]
    fn a_vendors_final_words_stop_what_the_table_would_try_again() {
        let policy = Policy { profile: profile::IXON, ..rising(5, 1) };
        let second_factor = answered(401).body(b"2FA is required");
        let decisions = play(policy, Safety::Idempotent, &[(second_factor, 0)]);
        assert_eq!(decisions, [stop(StopReason::Permanent)]);
    }

    #[test]
    fn a_shrinkable_request_waits_and_goes_back_to_its_caller() {
        let shrink = Decision::Shrink { after: secs(1), asked_by_server: false };
        for (outcome, decision) in [
            (answered(504), shrink),
            (answered(502), shrink),
            (answered(413), shrink),
            (Outcome::timed_out(), shrink),
            (answered(503), retry(1, false)),
            (Outcome::new(Delivery::Unknown), retry(1, false)),
        ] {
            let mut run = Run::new(rising(5, 1), Safety::Idempotent).shrinkable(Shrinkable::new());
            assert_eq!(run.after(&outcome, secs(0), 0), decision, "{outcome:?}");
        }
    }

    #[test]
    fn a_smaller_request_goes_on_with_the_waits_and_the_deadline_of_the_larger_one() {
        let mut mark = Shrinkable::new();
        let mut waits = Vec::new();
        let last = loop {
            let mut run = Run::new(rising(5, 10), Safety::Idempotent).shrinkable(mark);
            match run.after(&answered(504), secs(5), 0) {
                Decision::Shrink { after, .. } => waits.push(after.as_secs()),
                other => break other,
            }
            mark = Shrinkable::following(run.attempts());
        };
        assert_eq!(waits, [10, 20, 40, 80]);
        assert_eq!(last, stop(StopReason::Deadline { wait: secs(160) }));
    }

    #[test]
    fn the_smallest_request_is_retried_and_its_waits_go_on_rising() {
        let mut larger = Run::new(rising(3, 10), Safety::Idempotent).shrinkable(Shrinkable::new());
        let shrink = Decision::Shrink { after: secs(10), asked_by_server: false };
        assert_eq!(larger.after(&answered(504), secs(0), 0), shrink);
        let mark = Shrinkable::following(larger.attempts()).at_its_smallest();
        let mut smallest = Run::new(rising(3, 10), Safety::Idempotent).shrinkable(mark);
        assert_eq!(smallest.after(&answered(504), secs(0), 0), retry(20, false));
        assert_eq!(smallest.after(&answered(504), secs(20), 0), retry(40, false));
        assert_eq!(smallest.after(&answered(504), secs(60), 0), stop(StopReason::Attempts));
    }

    #[test]
    fn a_413_is_permanent_when_nobody_can_ask_for_less() {
        let decisions = play(rising(5, 1), Safety::Idempotent, &[(answered(413), 0)]);
        assert_eq!(decisions, [stop(StopReason::Permanent)]);
    }

    #[test]
    fn throttled_answers_and_faults_have_separate_delays() {
        let mut run =
            Run::new(Policy { jitter: Jitter::None, ..Policy::default() }, Safety::Idempotent);
        let after = |decision| match decision {
            Decision::Retry { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(run.after(&answered(503), secs(0), 0)), Duration::from_millis(50));
        assert_eq!(after(run.after(&answered(429), secs(0), 0)), secs(2));
    }
}
