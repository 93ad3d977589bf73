use super::*;

fn tried(outcomes: &[(Delivery, u64, bool)]) -> Attempts {
    let mut attempts = Attempts::NONE;
    for &(delivery, wait_ms, asked) in outcomes {
        attempts.push(delivery, Class::of(delivery), Duration::ZERO);
        if wait_ms > 0 {
            let source = if asked { Source::Header("retry-after") } else { Source::Backoff };
            attempts.wait(Duration::from_millis(wait_ms), source);
        }
    }
    attempts
}

#[test]
fn prints_every_attempt_and_every_wait() {
    let attempts = tried(&[
        (Delivery::Answered(503), 500, false),
        (Delivery::Answered(429), 2000, true),
        (Delivery::Answered(200), 0, false),
    ]);
    assert_eq!(
        attempts.to_string(),
        "3 attempts: 503 (waited 0.5 s), 429 (server asked for 2 s), 200; \
         an earlier attempt may have been applied"
    );
    assert_eq!(attempts.total_wait(), Duration::from_millis(2500));
}

#[test]
fn a_success_that_a_vendor_means_as_a_failure_is_told_as_one() {
    let mut attempts = Attempts::NONE;
    attempts.push(Delivery::Answered(200), Some(Class::Server), Duration::ZERO);
    attempts.push(Delivery::Answered(404), Some(Class::Content), Duration::ZERO);
    attempts.push(Delivery::Answered(200), None, Duration::ZERO);
    assert_eq!(attempts.to_string(), "3 attempts: 200 that failed, 404, 200");
}

#[test]
fn a_late_success_can_look_like_a_failure() {
    let answered = Delivery::Answered;
    for (first, applied) in [
        (Delivery::Unknown, true),
        (answered(504), true),
        (Delivery::NotSent, false),
        (Delivery::Refused, false),
        (answered(429), false),
    ] {
        let attempts = tried(&[(first, 1, false), (answered(404), 0, false)]);
        assert_eq!(attempts.may_have_been_applied(), applied, "{first:?}");
    }
    let only_the_last = tried(&[(Delivery::Unknown, 0, false)]);
    assert!(!only_the_last.may_have_been_applied());
}

#[test]
fn remembers_the_newest_eight_and_counts_all() {
    let outcomes: Vec<_> = (500..510).map(|s| (Delivery::Answered(s), 1, false)).collect();
    let attempts = tried(&outcomes);
    assert_eq!(attempts.count(), 10);
    let kept: Vec<_> = attempts.iter().map(Attempt::delivery).collect();
    assert_eq!(kept, (502..510).map(Delivery::Answered).collect::<Vec<_>>());
    assert_eq!(attempts.newest().map(Attempt::delivery), Some(Delivery::Answered(509)));
    assert_eq!(Attempts::NONE.newest(), None);
}

#[test]
fn the_record_stays_small() {
    assert!(size_of::<Attempts>() <= 450, "{}", size_of::<Attempts>());
}

#[test]
fn names_a_wait_in_seconds() {
    for (millis, text) in [(0, "0 s"), (500, "0.5 s"), (90_000, "90 s"), (1025, "1.025 s")] {
        assert_eq!(Seconds(Duration::from_millis(millis)).to_string(), text);
    }
}
