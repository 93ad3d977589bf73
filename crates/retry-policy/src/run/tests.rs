use super::*;
use crate::backoff::Backoff;
use crate::jitter::Jitter;
use crate::profile::{self, Answer};

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

fn answered(status: u16) -> Outcome {
    Outcome::new(Delivery::Answered(status))
}

const fn retry(after: u64, asked: bool) -> Decision {
    Decision::Retry { after: secs(after), source: source(asked) }
}

const fn source(asked: bool) -> Source {
    if asked { Source::Header("retry-after") } else { Source::Backoff }
}

fn asking(status: u16, wait: u64) -> Outcome {
    answered(status).hint(Hint::Wait { after: secs(wait), source: "retry-after" })
}

const fn stop(reason: StopReason) -> Decision {
    Decision::Stop { reason }
}

/// Plays outcomes that each end at the given second, drawing zero.
fn play(policy: Policy, safety: Safety, script: &[(Outcome, u64)]) -> Vec<Decision> {
    let mut run = Run::new(policy, safety);
    script.iter().map(|(outcome, at)| run.after(outcome, secs(*at), 0)).collect()
}

#[test]
fn thirty_seconds_wait_thirty_sixty_a_hundred_and_twenty() {
    let down = answered(503);
    let decisions =
        play(rising(4, 30), Safety::Idempotent, &[(down, 0), (down, 30), (down, 90), (down, 210)]);
    assert_eq!(
        decisions,
        [retry(30, false), retry(60, false), retry(120, false), stop(StopReason::Attempts)]
    );
}

#[test]
fn every_wait_is_longer_than_the_one_before_with_hints_mixed_in() {
    let asking = |wait| asking(429, wait);
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
    let asking = |wait| asking(429, wait);
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
        (299, stop(StopReason::Deadline { wait: secs(30) })),
        (300, stop(StopReason::Deadline { wait: Duration::ZERO })),
        (999, stop(StopReason::Deadline { wait: Duration::ZERO })),
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
fn a_401_after_the_deadline_is_not_refreshed() {
    let passed = StopReason::Deadline { wait: Duration::ZERO };
    assert_eq!(play(rising(2, 1), Safety::Idempotent, &[(answered(401), 300)]), [stop(passed)]);
    let in_time = play(rising(2, 1), Safety::Idempotent, &[(answered(401), 299)]);
    assert_eq!(in_time, [Decision::Refresh]);
}

#[test]
fn a_refused_credential_that_comes_with_a_wait_is_not_tried_again_before() {
    let reason = StopReason::HintTooLong { asked: secs(30), allowed: secs(0) };
    let decisions = play(rising(5, 1), Safety::Idempotent, &[(asking(401, 30), 0)]);
    assert_eq!(decisions, [stop(reason)]);
    let no = answered(401).hint(Hint::Stop { source: "grpc-retry-pushback-ms" });
    let decisions = play(rising(5, 1), Safety::Idempotent, &[(no, 0)]);
    assert_eq!(decisions, [stop(StopReason::AskedToStop)]);
    let at_once = play(rising(5, 1), Safety::Idempotent, &[(asking(401, 0), 0)]);
    assert_eq!(at_once, [Decision::Refresh]);
}

#[test]
fn a_pushback_that_says_no_stops() {
    let no = answered(503).hint(Hint::Stop { source: "grpc-retry-pushback-ms" });
    let decisions = play(rising(5, 1), Safety::Idempotent, &[(no, 0)]);
    assert_eq!(decisions, [stop(StopReason::AskedToStop)]);
}

#[test]
fn a_hint_above_the_cap_is_waited_and_the_schedule_then_ends() {
    let backoff = Backoff::exponential(secs(1), secs(8)).unwrap();
    let policy = Policy::builder()
        .max_attempts(NonZeroU32::new(5).unwrap())
        .backoff(backoff)
        .throttled(backoff)
        .jitter(Jitter::Rising)
        .build()
        .unwrap();
    let decisions = play(policy, Safety::Idempotent, &[(asking(429, 30), 0), (answered(503), 30)]);
    assert_eq!(decisions, [retry(30, true), stop(StopReason::ScheduleEnded)]);
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
    let second_factor = profile::IXON.outcome(&Answer::new(401).body(b"2FA is required"));
    let decisions = play(policy, Safety::Idempotent, &[(second_factor, 0)]);
    assert_eq!(decisions, [stop(StopReason::Permanent)]);
}

#[test]
fn a_shrinkable_request_waits_and_goes_back_to_its_caller() {
    let shrink = Decision::Shrink { after: secs(1), source: Source::Backoff };
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
    let shrink = Decision::Shrink { after: secs(10), source: Source::Backoff };
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

#[test]
fn a_request_given_up_in_flight_has_an_unknown_fate() {
    let mut run = Run::new(Policy::default(), Safety::Idempotent);
    run.cancel(true, Duration::from_secs(3));
    assert_eq!(run.attempts().to_string(), "1 attempt: no answer; cancelled by the caller");
    assert_eq!(run.attempts().elapsed(), Duration::from_secs(3));
    let mut waiting = Run::new(Policy::default(), Safety::Idempotent);
    waiting.cancel(false, Duration::from_secs(3));
    assert_eq!(waiting.attempts().to_string(), "0 attempts; cancelled by the caller");
}

#[test]
fn knows_its_last_attempt_and_whether_there_can_be_only_one() {
    let run = Run::new(Policy::default(), Safety::Unsafe);
    assert!(!run.is_last() && !run.is_sent_once(), "it may be refused unprocessed");
    assert!(run.once().is_last());
    assert!(Run::new(Policy::default(), Safety::Forbidden).is_sent_once());
    let mut run = Run::new(Policy::default(), Safety::Idempotent);
    for is_last in [false, false, true] {
        assert_eq!(run.is_last(), is_last);
        let _ = run.after(&Outcome::new(Delivery::Unknown), Duration::ZERO, 0);
    }
}

#[test]
fn a_credential_made_fresh_before_the_first_attempt_is_not_made_fresh_again() {
    let mut run = Run::new(Policy::default(), Safety::Idempotent);
    run.has_refreshed();
    let decision = run.after(&Outcome::new(Delivery::Answered(401)), Duration::ZERO, 0);
    assert_eq!(decision, Decision::Stop { reason: StopReason::CredentialRefused });
}

#[test]
fn a_timeout_is_called_one() {
    let mut run = Run::new(rising(2, 1), Safety::Idempotent);
    let _ = run.after(&Outcome::timed_out(), Duration::ZERO, 0);
    let _ = run.after(&Outcome::new(Delivery::Unknown), Duration::ZERO, 0);
    assert_eq!(
        run.attempts().to_string(),
        "2 attempts: timed out (waited 1 s), no answer; all attempts are used; \
         an earlier attempt may have been applied"
    );
}

#[test]
fn a_wait_that_is_refused_was_not_waited() {
    let mut run = Run::new(rising(3, 1), Safety::Idempotent);
    let _ = run.after(&Outcome::new(Delivery::Answered(503)), secs(2), 0);
    let _ = run.refuse(StopReason::Budget);
    assert_eq!(run.attempts().to_string(), "1 attempt: 503; the retry budget is empty");
    assert_eq!((run.attempts().total_wait(), run.attempts().elapsed()), (Duration::ZERO, secs(2)));
}

#[test]
fn a_refused_wait_leaves_the_one_before_as_the_last() {
    let mut run = Run::new(rising(5, 1), Safety::Idempotent);
    for _ in 0..2 {
        let _ = run.after(&Outcome::new(Delivery::Answered(503)), Duration::ZERO, 0);
    }
    assert_eq!(run.attempts().last_wait(), secs(2));
    let _ = run.after(&Outcome::new(Delivery::Answered(503)), Duration::ZERO, 0);
    let _ = run.refuse(StopReason::Budget);
    assert_eq!((run.attempts().last_wait(), run.attempts().total_wait()), (secs(2), secs(3)));
}
