//! What a request is made of: a backoff, a header, a deposit.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use backon::BackoffBuilder;
use google_cloud_gax::backoff_policy::BackoffPolicy;
use google_cloud_gax::exponential_backoff::ExponentialBackoffBuilder;
use google_cloud_gax::retry_state::RetryState;
use http::{HeaderMap, HeaderValue};
use retry_policies::RetryPolicy;
use retry_policy::backoff::Backoff;
use retry_policy::hint::Rules;
use retry_policy::jitter::Jitter;
use retry_policy::{Budget, Decision, Delivery, Outcome, Policy, Run, Safety};
use tower::retry::backoff::{Backoff as _, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::{Budget as _, TpsBudget};
use tower_resilience_retry::{ExponentialRandomBackoff, IntervalFunction};

use crate::counts::measured;
use crate::wiring::runtime;

/// How often a piece runs, so that what surrounds it does not count.
pub const TIMES: u64 = 10_000;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);
/// After so many waits, still below the longest as the others', those begin anew that go on by themselves.
const WAITS: u32 = 6;

/// A piece, whose it is, and what it does [`TIMES`] times.
#[derive(Debug)]
pub struct Piece {
    pub name: &'static str,
    pub of: &'static str,
    /// Ours only: the most instructions, a little over what was measured.
    pub limit: Option<u64>,
    pub run: fn(),
}

const OURS: &str = "retry-policy";

/// The first is what surrounds the others: it is taken off.
pub const PIECES: [Piece; 16] = [
    Piece { name: "nothing", of: "", limit: None, run: nothing },
    Piece { name: "backoff", of: OURS, limit: Some(63), run: backoff },
    Piece { name: "backoff, makes the timer", of: "tower", limit: None, run: backoff_of_tower },
    Piece { name: "backoff", of: "backon", limit: None, run: backoff_of_backon },
    Piece { name: "backoff", of: "gax", limit: None, run: backoff_of_gax },
    Piece { name: "backoff", of: "tower-resilience", limit: None, run: backoff_of_resilience },
    Piece { name: "backoff", of: "reqwest-retry", limit: None, run: backoff_of_reqwest },
    Piece { name: "deposit, full", of: OURS, limit: Some(7), run: deposit },
    Piece { name: "deposit", of: "tower", limit: None, run: deposit_of_tower },
    Piece { name: "Retry-After, seconds", of: OURS, limit: Some(80), run: seconds },
    Piece { name: "seconds", of: "std", limit: None, run: seconds_of_std },
    Piece { name: "Retry-After, a date", of: OURS, limit: Some(930), run: date },
    Piece { name: "date", of: "httpdate", limit: None, run: date_of_httpdate },
    Piece { name: "all hints of an answer", of: OURS, limit: Some(365), run: hints },
    Piece { name: "decision: 503, again", of: OURS, limit: Some(290), run: decision },
    Piece { name: "decision: 200", of: OURS, limit: Some(115), run: success },
];

/// Does it so often.
fn often(mut piece: impl FnMut()) {
    measured(|| (0..TIMES).for_each(|_| piece()));
}

/// Does it so often, on what is made anew now and then.
fn anew<T>(make: impl Fn() -> T, mut piece: impl FnMut(&mut T)) {
    let (mut current, mut left) = (make(), WAITS);
    often(|| {
        if left == 0 {
            (current, left) = (make(), WAITS);
        }
        left -= 1;
        piece(&mut current);
    });
}

fn nothing() {
    let budget = Budget::shed();
    often(|| {
        black_box(&budget);
    });
}

fn backoff() {
    let backoff = Backoff::exponential(SHORT, LONG).expect("50 ms is below 20 s");
    let third = NonZeroU32::new(3).expect("three is not zero");
    often(|| {
        let (jitter, draw) = (black_box(Jitter::Full), fastrand::u32(..));
        black_box(jitter.delay(black_box(backoff), third, Duration::ZERO, draw));
    });
}

fn backoff_of_tower() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let random = tower::util::rng::HasherRng::default();
    let maker = ExponentialBackoffMaker::new(SHORT, LONG, 1.0, random);
    let backoff = maker.expect("tower's bounds").make_backoff();
    anew(|| backoff.clone(), |waits| drop(black_box(waits.next_backoff())));
}

fn backoff_of_backon() {
    let waits = backon::ExponentialBuilder::default().with_jitter().with_min_delay(SHORT);
    let waits = waits.with_max_delay(LONG).without_max_times();
    anew(
        || waits.build(),
        |waits| {
            black_box(waits.next());
        },
    );
}

fn backoff_of_gax() {
    let waits = ExponentialBackoffBuilder::new().with_initial_delay(SHORT).with_maximum_delay(LONG);
    let waits = waits.build().expect("gax's bounds");
    let state = RetryState::new(true).set_attempt_count(3_u32);
    often(|| {
        black_box(waits.on_failure(black_box(&state)));
    });
}

fn backoff_of_resilience() {
    let waits = ExponentialRandomBackoff::new(SHORT, 0.5).expect("its bounds").max_interval(LONG);
    often(|| {
        black_box(waits.next_interval(black_box(3)));
    });
}

fn backoff_of_reqwest() {
    let waits = retry_policies::policies::ExponentialBackoff::builder().retry_bounds(SHORT, LONG);
    let waits = waits.build_with_max_retries(100);
    let began = SystemTime::now();
    often(|| {
        black_box(waits.should_retry(black_box(began), black_box(3)));
    });
}

fn deposit() {
    let budget = Budget::shed();
    often(|| {
        black_box(&budget).end(Decision::Return, None);
    });
}

fn deposit_of_tower() {
    let budget = TpsBudget::default();
    often(|| black_box(&budget).deposit());
}

fn seconds() {
    let rules = Rules::new();
    often(|| {
        black_box(rules.retry_after(black_box(b"120"), || SystemTime::UNIX_EPOCH));
    });
}

fn seconds_of_std() {
    often(|| {
        black_box(black_box("120").parse::<u64>()).expect("a number");
    });
}

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn date() {
    let rules = Rules::new();
    often(|| {
        black_box(rules.retry_after(black_box(DATE.as_bytes()), || SystemTime::UNIX_EPOCH));
    });
}

fn date_of_httpdate() {
    often(|| {
        black_box(httpdate::parse_http_date(black_box(DATE))).expect("a date");
    });
}

fn hints() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("120"));
    let rules = Rules::new();
    often(|| {
        black_box(rules.read(black_box(&headers), SystemTime::UNIX_EPOCH));
    });
}

fn decision() {
    decide(Outcome::new(Delivery::Answered(503)));
}

fn success() {
    decide(Outcome::new(Delivery::Answered(200)));
}

/// Each is the first of its run: as many runs as there are decisions, made before.
fn decide(outcome: Outcome) {
    let run = Run::new(Policy::default(), Safety::Idempotent);
    let mut runs = vec![run; usize::try_from(TIMES).expect("a small number")];
    let mut runs = runs.iter_mut();
    often(|| {
        if let Some(run) = runs.next() {
            black_box(run.after(black_box(&outcome), Duration::ZERO, black_box(1 << 31)));
        }
    });
}
