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

const FAULT: Class = Class::Server;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn take(budget: &Budget, now: Duration) -> Result<(), Option<Duration>> {
    budget.take(FAULT, now).map(|_| ()).map_err(|empty| empty.until())
}

fn emptied(budget: Budget) -> Budget {
    while budget.tokens() > 0 {
        take(&budget, Duration::ZERO).unwrap();
    }
    budget
}

fn grpc() -> Budget {
    Budget::grpc(10, Ratio::literal(10)).unwrap()
}

#[test]
fn ten_successes_earn_one_retry_when_shedding() {
    for budget in [emptied(Budget::shed()), Budget::strict()] {
        for _ in 0..9 {
            budget.end(Decision::Return, None);
        }
        assert_eq!(budget.tokens(), 0);
        budget.end(Decision::Return, None);
        assert_eq!(budget.tokens(), 1);
    }
}

#[test]
fn a_retry_that_succeeds_gets_its_token_back_and_earns_besides_when_pacing() {
    for (budget, left) in [(Budget::shed(), 6_000), (Budget::pace(), 6_060)] {
        let mut tokens = [(); 5].map(|()| budget.take(FAULT, Duration::ZERO).ok());
        budget.end(Decision::Return, tokens[0].take());
        assert_eq!(budget.thousandths(), left, "{budget:?}");
    }
}

#[test]
fn a_probe_that_succeeds_earns_a_whole_token() {
    for (budget, left) in [(Budget::shed(), 1_000), (Budget::pace(), 1_060)] {
        let budget = emptied(budget);
        let probe = budget.take(FAULT, secs(1)).unwrap();
        budget.end(Decision::Return, Some(probe));
        assert_eq!(budget.thousandths(), left, "{budget:?}");
    }
}

#[test]
fn a_retry_that_ends_with_a_final_answer_gets_its_token_back_and_ends_the_probes() {
    let permanent = Decision::Stop { reason: StopReason::Permanent };
    for budget in [Budget::shed(), Budget::pace()] {
        let token = budget.take(FAULT, secs(0)).unwrap();
        assert!(budget.end(permanent, Some(token)));
        assert_eq!(budget.thousandths(), 10_000, "{budget:?}");
        assert!(!budget.end(permanent, None), "a first attempt has taken nothing");
        let budget = emptied(budget);
        for now in [1, 3] {
            let _ = budget.take(FAULT, secs(now)).unwrap();
        }
        let probe = budget.take(FAULT, secs(7)).unwrap();
        budget.end(permanent, Some(probe));
        assert_eq!(budget.thousandths(), 1_000);
        let _ = budget.take(FAULT, secs(7)).unwrap();
        assert_eq!(take(&budget, secs(7)), Err(Some(secs(8))), "the first interval again");
    }
    let aws = Budget::aws();
    let token = aws.take(FAULT, secs(0)).unwrap();
    assert!(!aws.end(permanent, Some(token)));
    assert_eq!(aws.tokens(), 486, "its own rules");
}

#[test]
fn never_holds_more_than_its_reserve() {
    let budget = Budget::pace();
    let token = budget.take(FAULT, Duration::ZERO).unwrap();
    let other = budget.take(FAULT, Duration::ZERO).unwrap();
    for _ in 0..5 {
        budget.end(Decision::Return, None);
    }
    budget.refund(token);
    budget.refund(other);
    assert_eq!(budget.thousandths(), 10_000);
}

#[test]
fn an_empty_bucket_grants_one_probe_at_growing_intervals_until_a_success() {
    let budget = emptied(Budget::pace());
    assert_eq!(take(&budget, Duration::from_millis(999)), Err(Some(secs(1))));
    let mut now = secs(1);
    for interval in [2, 4, 8, 16, 32, 64, 120, 120, 120] {
        assert_eq!(take(&budget, now), Ok(()));
        assert_eq!(take(&budget, now), Err(Some(now + secs(interval))));
        now += secs(interval);
    }
    budget.end(Decision::Return, None); // 0.06 of a token: still empty
    assert_eq!(take(&budget, now), Err(Some(now + secs(1))));
    let weeks = now + secs(5 * 7 * 24 * 60 * 60);
    assert_eq!(take(&budget, weeks), Ok(()), "after any time, however long");
}

#[test]
fn a_run_that_begins_in_an_outage_is_probed_too() {
    let budget = emptied(Budget::shed());
    assert_eq!(take(&budget, secs(3600)), Ok(()), "an hour after its last token");
    let strict = Budget::strict();
    assert_eq!(take(&strict, secs(7)), Err(Some(secs(8))));
}

#[test]
fn a_bucket_that_is_full_again_begins_its_probes_anew() {
    let budget = Budget::shed().with_reserve(1).unwrap();
    let token = budget.take(FAULT, secs(0)).unwrap(); // A probe would be due at 1 s.
    budget.refund(token);
    assert_eq!(take(&budget, secs(50)), Ok(()));
    assert_eq!(take(&budget, secs(50)), Err(Some(secs(51))));
}

#[test]
fn a_cancelled_probe_gives_nothing_back() {
    let budget = emptied(Budget::shed());
    assert!(take(&budget, secs(0)).is_err());
    let probe = budget.take(FAULT, secs(1)).unwrap();
    budget.refund(probe);
    assert_eq!(budget.thousandths(), 0);
}

#[test]
fn aws_pays_by_class_and_gets_its_last_cost_back() {
    let budget = Budget::aws();
    let fault = budget.take(FAULT, secs(0)).unwrap();
    assert_eq!(budget.tokens(), 486);
    let throttled = budget.take(Class::Throttled, secs(0)).unwrap();
    assert_eq!(budget.tokens(), 481);
    budget.end(Decision::Return, Some(throttled));
    assert_eq!(budget.tokens(), 486, "only the last");
    budget.end(Decision::Return, None);
    assert_eq!(budget.tokens(), 487);
    drop(fault);
    let (mut faults, mut busy) = (0, 0);
    let (one, other) = (Budget::aws(), Budget::aws());
    while take(&one, secs(999)).is_ok() {
        faults += 1;
    }
    while other.take(Class::Throttled, secs(999)).is_ok() {
        busy += 1;
    }
    assert_eq!((faults, busy), (35, 100), "published");
    assert_eq!(take(&one, secs(99_999)), Err(None), "no probes");
}

#[test]
fn grpc_retries_above_half_and_every_temporary_failure_pays() {
    let budget = grpc();
    let retries = (0..9).filter(|_| take(&budget, secs(0)).is_ok()).count();
    assert_eq!((retries, budget.tokens()), (4, 1), "derived: four from a full bucket");
    let budget = grpc();
    budget.end(Decision::Stop { reason: StopReason::Attempts }, None);
    assert_eq!(budget.thousandths(), 9_000);
    budget.end(Decision::Stop { reason: StopReason::Permanent }, None);
    budget.end(Decision::Return, None);
    assert_eq!(budget.thousandths(), 9_100);
    for tokens in [0, 1_001] {
        assert!(Budget::grpc(tokens, Ratio::ZERO).is_err(), "{tokens}");
    }
}

#[test]
fn finagle_lends_ten_a_second_and_a_fifth_of_the_requests_of_ten_seconds() {
    let budget = Budget::finagle();
    let drain = |now| (0..10_000).filter(|_| take(&budget, now).is_ok()).count();
    assert_eq!(drain(secs(1)), 100);
    assert_eq!(drain(secs(10)), 0);
    assert_eq!(drain(secs(11)), 100, "what was taken counts no more");
    for _ in 0..1_000 {
        budget.begin(|| secs(12));
    }
    assert_eq!(budget.tokens(), 200);
    assert_eq!(drain(secs(15)), 200);
    assert_eq!(drain(secs(21)), 100, "the 100 of second 11 are back");
    for now in [25, 22, 1_000_000, 1_000_005] {
        drain(secs(now));
        assert!(budget.tokens() <= 100, "{now}");
    }
    // Its own test: 10,000 calls in one moment, a fifth of them may be retried on top of the floor.
    let budget = Budget::finagle();
    let mut retries = 0;
    for _ in 0..10_000 {
        budget.begin(|| secs(5));
        retries += u32::from(take(&budget, secs(5)).is_ok());
    }
    assert_eq!(retries, 10_000 / 5 + 100);
}

#[test]
fn reserve_and_ratio_are_explicit() {
    let budget = Budget::shed().with_reserve(2).unwrap().with_ratio(Ratio::literal(50));
    assert_eq!(emptied(budget).tokens(), 0);
    let most = Budget::pace().with_reserve(4_000_000).unwrap();
    assert_eq!(most.tokens(), 4_000_000);
    assert_eq!(Budget::strict().with_reserve(5).unwrap().tokens(), 0);
    for tokens in [0, 4_000_001] {
        let error = Budget::shed().with_reserve(tokens).unwrap_err();
        assert_eq!(error.to_string(), format!("a budget holds 1 to 4000000 tokens, not {tokens}"));
    }
}

/// A small generator of our own, so that the same numbers come on every platform.
struct Draws(u64);

impl Draws {
    /// Whether something of this chance, in thousandths, happens.
    fn happens(&mut self, chance: u64) -> bool {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % 1000 < chance
    }
}

/// One client of the model: 1,000 requests one after another, ten a second, no waits.
fn client(budget: &Budget, max_attempts: u32, chance: u64, draws: &mut Draws) -> (u32, u32) {
    let (mut attempts, mut successes) = (0, 0);
    for request in 0..1_000 {
        let now = Duration::from_millis(100 * request);
        budget.begin(|| now);
        let mut last = None;
        for attempt in 1.. {
            attempts += 1;
            if !draws.happens(chance) {
                successes += 1;
                budget.end(Decision::Return, last.take());
                break;
            }
            if attempt == max_attempts {
                budget.end(Decision::Stop { reason: StopReason::Attempts }, last.take());
                break;
            }
            let Ok(token) = budget.take(FAULT, now) else { break };
            last = Some(token);
        }
    }
    (attempts, successes)
}

/// `vectors/policy-grid.json`: 100 clients in a grid of failure rates, within 2 percentage points.
#[test]
fn presets_behave_as_what_they_are_named_after() {
    let grid: Value = serde_json::from_str(include_str!("../../vectors/policy-grid.json")).unwrap();
    let presets: [(&str, u32, fn() -> Budget); 3] =
        [("aws", 3, Budget::aws), ("grpc", 4, grpc), ("finagle", 3, Budget::finagle)];
    for (name, max_attempts, budget) in presets {
        for (rate, expected) in grid[name].as_object().unwrap() {
            let chance = (rate.parse::<f64>().unwrap() * 1000.0) as u64;
            let mut draws = Draws(7);
            let (mut attempts, mut successes) = (0, 0);
            for _ in 0..100 {
                let ended = client(&budget(), max_attempts, chance, &mut draws);
                attempts += ended.0;
                successes += ended.1;
            }
            let (load, success) = (f64::from(attempts) / 1e5, f64::from(successes) / 1e5);
            let [theirs, saved] = ["load", "success"].map(|key| expected[key].as_f64().unwrap());
            assert!((load - theirs).abs() < 0.02, "{name} at {rate}: load {load}, not {theirs}");
            assert!((success - saved).abs() < 0.02, "{name} at {rate}: {success}, not {saved}");
        }
    }
}

#[test]
fn threads_never_take_more_than_the_guarantee() {
    for budget in [Budget::shed(), Budget::strict(), Budget::pace()] {
        let (reserve, ratio) = (budget.thousandths(), budget.terms.success);
        let counts: Vec<(u32, u32, u32)> = std::thread::scope(|scope| {
            let work = |seed| {
                let (budget, mut draws) = (&budget, Draws(seed));
                scope.spawn(move || {
                    let (mut retries, mut successes, mut given_back) = (0, 0, 0);
                    for _ in 0..20_000 {
                        let last = budget.take(FAULT, Duration::ZERO).ok();
                        retries += u32::from(last.is_some());
                        if draws.happens(300) {
                            successes += 1;
                            given_back += u32::from(last.is_some());
                            budget.end(Decision::Return, last);
                        } else if let (Some(token), true) = (last, draws.happens(100)) {
                            given_back += 1;
                            budget.refund(token);
                        }
                    }
                    (retries, successes, given_back)
                })
            };
            let threads = [1, 2, 3, 4].map(work);
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let sum = |pick: fn(&(u32, u32, u32)) -> u32| counts.iter().map(pick).sum::<u32>();
        let (retries, successes, given_back) = (sum(|c| c.0), sum(|c| c.1), sum(|c| c.2));
        // The clock stands still, so there are no probes.
        let allowed = reserve + successes * ratio + given_back * TOKEN;
        assert!(retries * TOKEN <= allowed, "{retries} retries, {allowed} thousandths");
        assert!(retries > 1000, "{retries} retries: it must not be idle");
    }
}

#[test]
fn threads_never_take_more_than_there_is() {
    let budget = Budget::shed();
    let taken: usize = std::thread::scope(|scope| {
        let takes = || (0..1000).filter(|_| take(&budget, Duration::ZERO).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(takes)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 10);
}

proptest! {
    /// The inequality of the module's documentation, for any order of events.
    #[test]
    fn retries_stay_within_the_guarantee(
        steps in proptest::collection::vec((0..4_u8, 0..5_000_u64), 1..400), kind in 0..3_u8,
    ) {
        let budget = [Budget::shed, Budget::strict, Budget::pace][usize::from(kind)]();
        let mut allowed = u64::from(budget.thousandths());
        let (mut now, mut retries, mut probes) = (0, 0_u64, 0_u64);
        let mut open = Vec::new();
        let mut since_success = 0;
        for (step, passed) in steps {
            now += passed;
            match step {
                0 | 1 => if let Ok(token) = budget.take(FAULT, Duration::from_millis(now)) {
                    retries += 1;
                    if token.0 == 0 {
                        probes += 1;
                        since_success += 1;
                    }
                    open.push(token);
                },
                2 => if let Some(token) = open.pop() {
                    allowed += u64::from(token.0);
                    budget.refund(token);
                },
                _ => {
                    let last = open.pop();
                    let earns = u64::from(budget.terms.success);
                    allowed += match (&last, budget.when_empty()) {
                        (None, _) => earns,
                        (Some(_), WhenEmpty::Shed) => u64::from(TOKEN),
                        (Some(_), WhenEmpty::Pace) => u64::from(TOKEN) + earns,
                    };
                    budget.end(Decision::Return, last);
                    since_success = 0;
                }
            }
            prop_assert!((retries - probes) * 1000 <= allowed);
            prop_assert!(since_success <= 8 + now / 120_000);
            prop_assert!(budget.thousandths() <= budget.terms.capacity);
        }
    }
}

#[test]
fn says_whether_a_success_has_earned_anything() {
    let budget = Budget::pace();
    assert!(!budget.end(Decision::Return, None), "it is full");
    let _ = budget.take(FAULT, Duration::ZERO).unwrap();
    assert!(!budget.end(Decision::Stop { reason: StopReason::Permanent }, None));
    assert!(budget.end(Decision::Return, None));
}
