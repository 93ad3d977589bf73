#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_arithmetic,
    clippy::type_complexity,
    reason = "the sources state their numbers as decimals"
)]

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const HALF: u32 = 1 << 31;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn doubling(first: Duration, cap: Duration) -> Backoff {
    Backoff::exponential(first, cap).unwrap()
}

fn wait(jitter: Jitter, backoff: Backoff, step: u32, previous: Duration, draw: u32) -> Duration {
    jitter.wait(backoff, NonZeroU32::new(step).unwrap(), previous, draw).unwrap().delay
}

fn percent(percent: u16) -> Jitter {
    Jitter::Proportional(Ratio::percent(percent).unwrap())
}

#[test]
fn each_kind_draws_from_its_own_range() {
    let backoff = doubling(secs(1), secs(100));
    for (jitter, lowest, middle, highest) in [
        (Jitter::None, 4_000, 4_000, 4_000),
        (Jitter::Full, 0, 2_000, 3_999),
        (Jitter::Equal, 2_000, 3_000, 3_999),
        (Jitter::Decorrelated, 1_000, 3_500, 5_999), // the wait before was 2 s
        (percent(25), 3_000, 4_000, 5_000),
        (Jitter::Rising, 4_000, 6_000, 7_999),
    ] {
        let drawn =
            [0, HALF, u32::MAX].map(|draw| wait(jitter, backoff, 3, secs(2), draw).as_millis());
        assert_eq!(drawn, [lowest, middle, highest], "{jitter:?}");
    }
}

#[test]
fn decorrelated_starts_from_the_first_delay_and_stops_at_the_cap() {
    let backoff = doubling(secs(1), secs(10));
    assert_eq!(wait(Jitter::Decorrelated, backoff, 1, Duration::ZERO, HALF), secs(2));
    assert_eq!(wait(Jitter::Decorrelated, backoff, 9, secs(30), HALF), secs(10));
    assert_eq!(wait(Jitter::Decorrelated, backoff, 2, Duration::from_millis(50), HALF), secs(1));
}

#[test]
fn rising_waits_go_on_from_a_longer_hint_and_end_at_the_cap() {
    let backoff = doubling(secs(1), secs(20));
    let rising = |step, previous| {
        let step = NonZeroU32::new(step).unwrap();
        Jitter::Rising.wait(backoff, step, previous, 0).map(|wait| wait.delay.as_millis())
    };
    assert_eq!(rising(1, secs(0)), Some(1_000));
    assert_eq!(rising(2, secs(1)), Some(2_000));
    assert_eq!(rising(3, secs(10)), Some(16_000), "the server had asked for 10 s");
    assert_eq!(rising(4, secs(16)), Some(20_000), "the cap is the last step");
    assert_eq!(rising(5, Duration::from_micros(19_999_500)), None, "less than 1 ms longer");
    assert_eq!(rising(5, secs(20)), None, "nothing is longer than the cap");
    assert_eq!(rising(5, Duration::MAX), None);
}

/// Draws a fraction as the sources' random numbers do, to the nearest of ours below it.
fn draw(fraction: f64) -> u32 {
    (fraction * 4_294_967_296.0) as u32
}

fn read() -> Value {
    serde_json::from_str(include_str!("../../vectors/backoff-math.json")).unwrap()
}

fn duration(secs: &Value) -> Duration {
    Duration::from_secs_f64(secs.as_f64().unwrap())
}

fn list<T>(value: &Value, each: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().map(|all| all.iter().map(each).collect()).unwrap_or_default()
}

/// `vectors/backoff-math.json`, smithy-rs: base × 2ⁿ up to 20 s, with a jitter of 1.
#[test]
fn agrees_with_smithys_vectors() {
    let group = &read()["groups"][0];
    assert_eq!(group["source"], "smithy-lang/smithy-rs standard.rs");
    let cap = duration(&group["max_s"]);
    let mut rows = 0;
    for case in group["cases"].as_array().unwrap() {
        let backoff = doubling(duration(&case["base_s"]), cap);
        for (retry, delay) in (1..).zip(list(&case["delays_s"], duration)) {
            assert_eq!(wait(Jitter::None, backoff, retry, Duration::ZERO, 0), delay, "{case}");
            rows += 1;
        }
        if let Some(attempt) = case["attempt"].as_u64() {
            let retry = u32::try_from(attempt).unwrap();
            let delay = duration(&case["delay_s"]);
            assert_eq!(wait(Jitter::None, backoff, retry, Duration::ZERO, 0), delay, "{case}");
            rows += 1;
        }
    }
    assert_eq!(rows, 10);
}

/// `vectors/backoff-math.json`, aws-sdk-go-v2: rand × 2ⁿ up to 20 s; its attempts count from zero.
#[test]
fn agrees_with_the_vectors_of_awss_go_client() {
    let group = &read()["groups"][1];
    let backoff = doubling(secs(1), duration(&group["max_s"]));
    for case in group["cases"].as_array().unwrap() {
        let attempt = u32::try_from(case["attempt"].as_u64().unwrap()).unwrap();
        // `1-2^-53` is beyond a draw of 32 bits: ours is the largest one, 1 − 2⁻³².
        let draw = case["rand"].as_f64().map_or(u32::MAX, draw);
        let expected = if let Some(secs) = case["delay_s"].as_f64() {
            Duration::from_secs_f64(secs)
        } else {
            let text = case["delay_s"].as_str().unwrap();
            let (whole, _) = text.split_once("*(1-2^-53)").unwrap();
            let nanos = whole.parse::<u64>().unwrap() * 1_000_000_000;
            Duration::from_nanos(((u128::from(nanos) * u128::from(u32::MAX)) >> 32) as u64)
        };
        let delay = wait(Jitter::Full, backoff, attempt + 1, Duration::ZERO, draw);
        assert_eq!(delay, expected, "{case}");
    }
}

/// `vectors/backoff-math.json`, cenkalti/backoff: ± a factor around each delay. It jitters past its
/// own cap (4.5 to 5.5 s around 5 s); ours is the smaller of the two, 4.5 to 5 s.
#[test]
fn agrees_with_cenkaltis_vectors_up_to_the_cap() {
    let group = &read()["groups"][2];
    let case = &group["cases"][0];
    let ms = |value: &Value| Duration::from_millis(value.as_u64().unwrap());
    let (first, cap) = (ms(&case["initial_ms"]), ms(&case["max_ms"]));
    let (backoff, jitter) = (doubling(first, cap), percent(10));
    let mut past_its_cap = Vec::new();
    for (retry, centre) in (1..).zip(list(&case["centres_ms"], ms)) {
        let band = [0, u32::MAX].map(|draw| wait(jitter, backoff, retry, Duration::ZERO, draw));
        let theirs = [centre * 9 / 10, centre * 11 / 10];
        assert_eq!(band, theirs.map(|end| end.min(cap)), "retry {retry}");
        past_its_cap.extend((theirs[1] > cap).then_some(retry));
    }
    assert_eq!(past_its_cap, [5, 6, 7, 8, 9, 10]);

    let case = &group["cases"][1];
    let backoff = doubling(Duration::from_nanos(case["current"].as_u64().unwrap()), secs(1));
    let delays = list(&case["inputs"], |input| {
        let draw = draw(input.as_f64().unwrap());
        wait(percent(50), backoff, 1, Duration::ZERO, draw).as_nanos()
    });
    assert_eq!(delays, list(&case["integers"], |value| u128::from(value.as_u64().unwrap())));

    let most = Duration::from_nanos(i64::MAX.unsigned_abs());
    let backoff = Backoff::exponential_by(most / 2, (21, 10), most).unwrap();
    assert_eq!(wait(Jitter::None, backoff, 2, Duration::ZERO, 0), most, "{}", group["cases"][2]);
}

/// `vectors/backoff-math.json`, Polly: its attempts count from zero.
#[test]
fn agrees_with_pollys_vectors() {
    let group = &read()["groups"][3];
    let day = secs(24 * 60 * 60);
    let mut rows = 0;
    for case in group["cases"].as_array().unwrap() {
        let base = if case["base"] == "1 day" { day } else { duration(&case["base_s"]) };
        let cap = match (&case["max"], &case["max_s"]) {
            (Value::String(_), _) => day * 2,
            (_, Value::Number(secs)) => Duration::from_secs_f64(secs.as_f64().unwrap()),
            _ => Duration::MAX,
        };
        let kind = case["kind"].as_str().unwrap();
        let backoff = match kind {
            // What is capped below its first delay is constant, and so is what never begins to grow.
            _ if base.is_zero() || cap < base => Backoff::constant(cap.min(base)),
            "constant jitter" => Backoff::constant(base),
            "linear" | "linear jitter" => Backoff::linear(base, cap).unwrap(),
            _ => doubling(base, cap),
        };
        // A constant delay is jittered past itself: it is no cap there, but ours is.
        let jittered =
            if kind == "constant jitter" { doubling(base, Duration::MAX) } else { backoff };
        let attempt = case["attempt"].as_u64().unwrap_or(0);
        let attempts = match &case["attempts"] {
            Value::Array(_) => list(&case["attempts"], |value| value.as_u64().unwrap()),
            _ => vec![attempt; list(&case["rand"], |_| ()).len().max(1)],
        };
        let delays = match (&case["delay_s"], &case["delay"]) {
            (Value::Array(_), _) => list(&case["delay_s"], duration),
            (Value::Number(_), _) => vec![duration(&case["delay_s"])],
            (_, Value::String(text)) if text == "MAX" => vec![Backoff::LONGEST],
            _ => vec![day * 2],
        };
        let rands = list(&case["rand"], |value| value.as_f64().unwrap());
        for (at, (attempt, delay)) in attempts.iter().zip(&delays).enumerate() {
            let retry = u32::try_from(*attempt).unwrap() + 1;
            let (jitter, backoff, draw) = match rands.get(at) {
                Some(rand) => (percent(25), jittered, draw(*rand)),
                None => (Jitter::None, backoff, 0),
            };
            let ours = wait(jitter, backoff, retry, Duration::ZERO, draw);
            // A draw has 32 bits, their fraction 53: less than a nanosecond in four seconds.
            assert!(ours.abs_diff(*delay) <= Duration::from_nanos(1), "{case}: {ours:?}");
            rows += 1;
        }
    }
    assert_eq!(rows, 19);
    for attempt in list(&group["attempts_never_negative"], |value| value.as_u64().unwrap()) {
        let backoff = doubling(secs(1), Duration::MAX);
        let retry = u32::try_from(attempt).unwrap() + 1;
        assert!(wait(Jitter::None, backoff, retry, Duration::ZERO, 0) >= secs(2), "{attempt}");
    }
}

/// The same on every platform: integers only, so these exact nanoseconds.
#[test]
fn the_same_draws_give_the_same_waits() {
    let backoff = Backoff::exponential_by(secs(1), (7, 5), secs(60)).unwrap();
    let mut draw = 1_u32;
    let mut waits = Vec::new();
    for (step, jitter) in
        (1..).zip([Jitter::Full, Jitter::Equal, Jitter::Decorrelated, percent(20), Jitter::Rising])
    {
        draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        waits.push(wait(jitter, backoff, step, Duration::ZERO, draw).as_nanos());
    }
    assert_eq!(waits, [236_455_525, 958_489_471, 2_008_484_064, 2_968_879_870, 3_919_000_000]);
}

proptest! {
    #[test]
    fn a_share_never_reaches_the_whole(whole: u64, draw: u32) {
        prop_assert!(share(whole, draw) < whole || whole == 0);
    }

    #[test]
    fn the_cap_holds_and_nothing_overflows(
        first in 1..u64::MAX, cap in 1..u64::MAX, step in 1..u32::MAX, previous: u64,
        draw: u32, share in 0..1001_u16, factor in (1..u32::MAX, 1..u32::MAX),
    ) {
        let (first, cap) = (first.min(cap), first.max(cap));
        let [first, cap, previous] = [first, cap, previous].map(Duration::from_nanos);
        let factor = (factor.0.max(factor.1), factor.0.min(factor.1));
        let share = Jitter::Proportional(Ratio::of_thousandths(share).unwrap());
        for backoff in [
            doubling(first, cap),
            Backoff::linear(first, cap).unwrap(),
            Backoff::exponential_by(first, factor, cap).unwrap(),
            Backoff::constant(cap),
        ] {
            let step = NonZeroU32::new(step).unwrap();
            let ceiling = backoff.ceiling(step);
            for (jitter, lowest, highest) in [
                (Jitter::None, ceiling, ceiling),
                (Jitter::Full, Duration::ZERO, ceiling),
                (Jitter::Equal, ceiling / 2, ceiling),
                (Jitter::Decorrelated, backoff.first(), cap),
                (share, Duration::ZERO, cap),
                (Jitter::Rising, previous, cap),
            ] {
                if let Some(wait) = jitter.wait(backoff, step, previous, draw) {
                    let range = lowest..=highest;
                    prop_assert!(range.contains(&wait.delay), "{:?} {:?}", jitter, wait);
                } else {
                    prop_assert_eq!(jitter, Jitter::Rising);
                }
            }
        }
    }

    #[test]
    fn rising_is_strictly_rising_whatever_is_drawn_or_hinted_and_ends_at_the_cap(
        first in 1..1_000_000_000_u64, above in 0..u64::MAX / 2,
        steps in proptest::collection::vec((0_u32.., proptest::option::of(0..10_000_000_000_u64)), 100),
        factor in (1..40_u32, 1..40_u32), kind in 0..3_u8,
    ) {
        let (first, cap) = (Duration::from_nanos(first), Duration::from_nanos(first + above));
        let factor = (factor.0.max(factor.1), factor.0.min(factor.1));
        let backoff = match kind {
            0 => doubling(first, cap),
            1 => Backoff::linear(first, cap).unwrap(),
            _ => Backoff::exponential_by(first, factor, cap).unwrap(),
        };
        let mut previous = Duration::ZERO;
        let mut step = NonZeroU32::MIN;
        for (draw, hint) in steps {
            let Some(wait) = Jitter::Rising.wait(backoff, step, previous, draw) else {
                // It has ended: nothing below the cap is a millisecond longer.
                prop_assert!(backoff.first_of_at_least(
                    u64::try_from(previous.as_nanos().div_ceil(1_000_000)).unwrap() + 1, 1,
                ).is_none());
                break;
            };
            prop_assert!(previous + Duration::from_millis(1) <= wait.delay && wait.delay <= cap);
            // As a run does it: the server's hint may be the longer of the two.
            previous = wait.delay.max(hint.map_or(Duration::ZERO, Duration::from_nanos));
            step = wait.step.saturating_add(1);
        }
    }

    #[test]
    fn a_schedule_without_hints_has_all_its_steps_whatever_is_drawn(
        first in 1..50_000_000_u64, above in 0..60_000_000_u64, seed: u32, kind in 0..2_u8,
    ) {
        let (first, cap) = (Duration::from_nanos(first), Duration::from_nanos(first + above));
        let backoff = match kind {
            0 => doubling(first, cap),
            _ => Backoff::exponential_by(first, (5, 4), cap).unwrap(),
        };
        let (mut previous, mut step, mut draw) = (Duration::ZERO, NonZeroU32::MIN, seed);
        for _ in 0..backoff.steps() {
            draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wait = Jitter::Rising.wait(backoff, step, previous, draw);
            prop_assert!(wait.is_some(), "{:?} after {:?}", backoff, previous);
            (previous, step) = wait.map(|wait| (wait.delay, wait.step.saturating_add(1))).unwrap();
        }
    }

    #[test]
    fn two_runs_with_different_draws_differ(one: u32, other: u32) {
        prop_assume!(one.abs_diff(other) > 1 << 20);
        let backoff = doubling(secs(1), secs(100));
        for jitter in
            [Jitter::Full, Jitter::Equal, Jitter::Decorrelated, percent(10), Jitter::Rising]
        {
            prop_assert_ne!(
                wait(jitter, backoff, 3, secs(2), one),
                wait(jitter, backoff, 3, secs(2), other),
            );
        }
    }
}
