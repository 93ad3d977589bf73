//! A server that grows slower with what it has in flight: an overload that retries can keep up for good.
//!
//! The model of Brooker's `simple_collapse_sim`.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use retry_layer::RetryLayer;
use retry_policy::Budget;
use retry_policy::ratio::Ratio;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::{Layer, ServiceExt, service_fn};

use crate::published::{Limit, at_once, aws, bucket, long};
use crate::strategy::{self, Strategy, policy};
use crate::table::Table;
use crate::world::{Client, answer, exponential, has_failed, live, request, seconds, side_by_side};

pub const TEXT: &str = "\
## An overload that retries can keep up

A server takes 1 s and 10 ms more for each request that it has in flight, a leg 100 ms on average, and an attempt is given up after
3 s, though the server goes on with it: beyond 64 requests a second it serves nobody in time. The *spike* is 80 requests a second
for 5 s, and 40 before and after; the *ramp* rises from 40 to 80 in 25 s and falls to none in 50 s. All requests share a
budget. The model is that of Brooker's `simple_collapse_sim`; the mean of 40 runs of 80 s.

*Success* is the share of requests that ended well within the 80 s: of the spike's, the newest 2 % had no time to. *Retries* are
those for each request; *tail* is successes for each request that began, in the last 20 s. *Last timeout* is the last second in
which on average one attempt or more timed out. *p50* and *p99* are the time from a request's beginning to its success, in seconds,
with all waits.

![Successes in each second of the spike and of the ramp](goodput.svg)

The first eight were published, and are here as their sources define them. Their success comes out within 2 points, but for three tries
at once in the spike: whether those survive it is chance, and differs from run to run. Fewer retries are counted of the long
jitter, as those that still wait at the end were not sent; and where the publication gives a second of recovery, it is by another
measure than our last timeout, some 6 s earlier. In the spike nobody can do better than long jitter and pacing, which lose
none but the newest. Times of successes flatter who gives up: p99 is short where the late ones fail.
";

pub const PACE_TEXT: &str = "\
## How to pace

The same overloads for `Budget::pace`, with the tokens it holds, what a success earns, the longest time a request may
take, and who gets the next token. The first row is the default; each of the others changes what it names. A request that takes at most 20 s ends without an answer if its
token comes later; one that is *cut off* then also loses an attempt that takes longer. From 7 % on the retries keep the server busy
for longer than none would.
";

const RUNS: u64 = 40;
const HORIZON: usize = 80;

/// What arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Spike,
    Ramp,
}

impl Load {
    /// Requests a second.
    pub fn rate(self, at: f64) -> f64 {
        match self {
            Self::Ramp => 80.0 - 1.6 * (at - 25.0).abs(),
            Self::Spike if (20.0..=25.0).contains(&at) => 80.0,
            Self::Spike => 40.0,
        }
    }
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    starts: u32,
    successes: u32,
    attempts: u32,
    timeouts: u32,
}

/// One run.
#[derive(Clone, Debug)]
struct Life {
    seconds: [Second; HORIZON],
    /// What each success took, in seconds.
    took: Vec<f64>,
}

/// Where a run is written down, until it is over.
#[derive(Clone)]
struct Book {
    began: Instant,
    life: Arc<Mutex<Life>>,
}

impl Book {
    fn new() -> Self {
        let life = Life { seconds: [Second::default(); HORIZON], took: Vec::new() };
        Self { began: Instant::now(), life: Arc::new(Mutex::new(life)) }
    }

    fn note(&self, what: impl FnOnce(&mut Second)) {
        let second = usize::try_from(self.began.elapsed().as_secs()).unwrap_or(usize::MAX);
        if let Some(second) = self.life.lock().expect("nobody panicked").seconds.get_mut(second) {
            what(second);
        }
    }
}

fn server(book: &Book) -> Client {
    let (book, in_flight) = (book.clone(), Arc::new(AtomicU32::new(0)));
    Client::new(service_fn(move |_| {
        let (book, in_flight) = (book.clone(), Arc::clone(&in_flight));
        async move {
            book.note(|second| second.attempts += 1);
            // The server goes on, whether somebody waits for it or not.
            let work = tokio::spawn(async move {
                sleep(seconds(exponential(0.1))).await;
                let busy = in_flight.fetch_add(1, Relaxed) + 1;
                sleep(seconds(1.0 + 0.01 * f64::from(busy))).await;
                in_flight.fetch_sub(1, Relaxed);
                sleep(seconds(exponential(0.1))).await;
            });
            if timeout(Duration::from_secs(3), work).await.is_err() {
                book.note(|second| second.timeouts += 1);
                return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            }
            Ok(answer(StatusCode::OK))
        }
    }))
}

fn run(load: Load, strategy: &Strategy, seed: u64) -> Life {
    live(seed, async {
        let book = Book::new();
        let client = strategy.around(server(&book));
        // The same requests for each strategy.
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut at = 0.01;
        while load.rate(at) > 0.0 && at < 80.0 {
            sleep_until(book.began + seconds(at)).await;
            book.note(|second| second.starts += 1);
            let (client, book) = (client.clone(), book.clone());
            tokio::spawn(async move {
                let start = Instant::now();
                if !has_failed(&client.oneshot(request()).await) {
                    book.note(|second| second.successes += 1);
                    let took = start.elapsed().as_secs_f64();
                    book.life.lock().expect("nobody panicked").took.push(took);
                }
            });
            at -= (1.0 - dice.f64()).ln() / load.rate(at);
        }
        sleep_until(book.began + seconds(80.0)).await;
        let life = book.life.lock().expect("nobody panicked");
        life.clone()
    })
}

/// What came of the runs.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub success: f64,
    pub retries: f64,
    pub tail: f64,
    /// A second.
    pub last_timeout: usize,
    pub p50: f64,
    pub p99: f64,
    /// On average in each second.
    pub starts: [f64; HORIZON],
    pub successes: [f64; HORIZON],
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are thousands"
)]
fn outcome(lives: &[Life]) -> Outcome {
    let mean = |of: fn(&Second) -> u32| -> [f64; HORIZON] {
        let sum =
            |at: usize| lives.iter().map(|life| f64::from(of(&life.seconds[at]))).sum::<f64>();
        std::array::from_fn(|at| sum(at) / lives.len() as f64)
    };
    let (starts, successes) = (mean(|it| it.starts), mean(|it| it.successes));
    let (attempts, timeouts) = (mean(|it| it.attempts), mean(|it| it.timeouts));
    let sum = |seconds: &[f64]| seconds.iter().sum::<f64>();
    let mut took: Vec<f64> = lives.iter().flat_map(|life| life.took.iter().copied()).collect();
    took.sort_by(f64::total_cmp);
    let percentile = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    Outcome {
        success: sum(&successes) / sum(&starts),
        retries: (sum(&attempts) - sum(&starts)) / sum(&starts),
        tail: sum(&successes[60..]) / sum(&starts[60..]),
        last_timeout: timeouts.iter().rposition(|&timeouts| timeouts >= 1.0).unwrap_or(0),
        p50: percentile(0.5),
        p99: percentile(0.99),
        starts,
        successes,
    }
}

/// What came of the spike and of the ramp.
pub type Rows = Vec<(Strategy, [Outcome; 2])>;

/// Each strategy under each load.
pub fn outcomes(strategies: Vec<Strategy>) -> Rows {
    let loads = [Load::Spike, Load::Ramp];
    let jobs: Vec<_> = strategies
        .iter()
        .flat_map(|it| {
            loads.iter().flat_map(move |&load| (0..RUNS).map(move |seed| (it, load, seed)))
        })
        .collect();
    let lives = side_by_side(&jobs, |&(strategy, load, seed)| run(load, strategy, seed));
    let outcomes: Vec<_> = lives.chunks(jobs.len() / strategies.len() / 2).map(outcome).collect();
    let each: Vec<_> = outcomes.chunks(2).map(|two| [two[0].clone(), two[1].clone()]).collect();
    strategies.into_iter().zip(each).collect()
}

/// What was published, and what people use.
pub fn strategies() -> Vec<Strategy> {
    let on_success = |capacity| Limit::Bucket(bucket(capacity, 1.0, 0.0, 0.1));
    let published = |name, limit| Strategy::published(name, 3, at_once, limit);
    let mut all = vec![
        strategy::no_retry(),
        published("3 tries at once", Limit::None),
        Strategy::published("3 tries, long jitter", 3, long, Limit::None),
        published("a bucket of 5, 10 % on success", on_success(5.0)),
        published("a bucket of 50, 10 % on success", on_success(50.0)),
        published("AWS 2.1 (500, 14)", aws(14.0)),
        published("AWS 2.0 (500, 10)", aws(10.0)),
        published("a bucket of 100, 20 % on start", Limit::Bucket(bucket(100.0, 1.0, 0.2, 0.0))),
    ];
    let known = ["no retry", "3 attempts, long jitter"];
    all.extend(strategy::in_use().into_iter().filter(|it| !known.contains(&it.name)));
    all
}

/// Ways to pace.
pub fn paces() -> Vec<Strategy> {
    type Change = fn(&mut Pace);
    let changes: [(&str, Change); 16] = [
        ("10 tokens, 6 %, no limit, first come first served", |_| {}),
        ("3 tokens", |pace| pace.reserve = 3),
        ("50 tokens", |pace| pace.reserve = 50),
        ("2 %", |pace| pace.percent = 2),
        ("5 %", |pace| pace.percent = 5),
        ("7 %", |pace| pace.percent = 7),
        ("8 %", |pace| pace.percent = 8),
        ("10 %", |pace| pace.percent = 10),
        ("20 %", |pace| pace.percent = 20),
        ("newest first", |pace| pace.newest_first = true),
        ("10 s", |pace| pace.patience = Some(10)),
        ("20 s", |pace| pace.patience = Some(20)),
        ("40 s", |pace| pace.patience = Some(40)),
        ("20 s, newest first", |pace| (pace.patience, pace.newest_first) = (Some(20), true)),
        ("20 s, cut off", |pace| (pace.patience, pace.cut_off) = (Some(20), true)),
        ("20 s, cut off, newest first", |pace| {
            (pace.patience, pace.cut_off, pace.newest_first) = (Some(20), true, true);
        }),
    ];
    changes.map(|(name, change)| Pace::with(name, change)).into()
}

#[derive(Clone, Copy)]
struct Pace {
    reserve: u32,
    percent: u16,
    patience: Option<u64>,
    newest_first: bool,
    cut_off: bool,
}

impl Pace {
    fn with(name: &'static str, change: fn(&mut Self)) -> Strategy {
        let mut pace =
            Self { reserve: 10, percent: 6, patience: None, newest_first: false, cut_off: false };
        change(&mut pace);
        Strategy::new(name, move |api| pace.around(api))
    }

    fn around(self, api: Client) -> Client {
        let mut policy = policy(3);
        if let Some(patience) = self.patience {
            policy = policy.deadline(Duration::from_secs(patience));
        }
        let ratio = Ratio::percent(self.percent).expect("a share");
        let budget = Budget::pace().with_reserve(self.reserve).expect("tokens").with_ratio(ratio);
        let mut layer = RetryLayer::new(policy.build().expect("a policy")).budget(budget);
        if self.newest_first {
            layer = layer.newest_first();
        }
        if self.cut_off {
            Client::new(layer.cut_off().layer(api))
        } else {
            Client::new(layer.layer(api))
        }
    }
}

/// The outcomes, as a table.
pub fn table(rows: &Rows) -> Table {
    let of = ["success", "retries", "tail", "last timeout", "p50", "p99"];
    let columns = ["spike", "ramp"].iter().flat_map(|load| of.map(|of| format!("{load}: {of}")));
    let mut table = Table::new("", columns);
    for (strategy, outcomes) in rows {
        let cells = outcomes.iter().flat_map(|it| {
            let shares = [it.success, it.retries, it.tail].map(|share| format!("{share:.3}"));
            let last = if it.last_timeout >= HORIZON - 2 {
                String::from("never over")
            } else {
                format!("{} s", it.last_timeout)
            };
            shares
                .into_iter()
                .chain([last])
                .chain([it.p50, it.p99].map(|took| format!("{took:.1}")))
        });
        table.row(strategy.name, cells);
    }
    table
}
