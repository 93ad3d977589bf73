//! A server with a rate limit, which answers 429 and says how long to wait: one gate for all, or each on its own.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use retry_layer::{Gate, RetryLayer};
use retry_policy::Budget;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::strategy::policy;
use crate::table::Table;
use crate::world::{Client, answer, exponential, has_failed, live, request, seconds, side_by_side};

pub const TEXT: &str = "\
## A server with a rate limit

A thousand tasks that share one client ask a server which takes 100 requests a second; each sends a hundred requests, one after
the other, and in the second table ten. A leg takes 20 ms on average. What is too much is answered with 429 and a
`Retry-After` in whole seconds.

*On its own* each request waits as long as it was asked to. With a *gate*, all wait when one is asked to, and leave one by one,
5 ms apart: the default of our layer. A *paced gate* learns the rate from the second refusal on (`Gate::paced`). Those three
have no budget and as many attempts as it takes; *paced gate and budget* is with `Budget::pace` and three attempts: of the
200,000 requests of both runs, or 20,000, some could fail.

The time is that of the limit alone, times so much; refused are requests for each one that was served; the mean of 2 runs.
Nothing is known of the limit beforehand. So all thousand begin at once and most of those are refused, whoever waits: that is one
refusal for a hundred requests in the first table, and one for ten in the second. A paced gate takes some 50 s to learn a rate, which a
job of 100 s hardly has. A limit in each second is missed most easily, and a refusal costs a whole one: there a
paced gate takes 6 % longer than the limit, and more than each on its own. The default gate knows no rate: 5 ms between two are too
little for a bucket of 10, which is refused over and over and takes more than five times its limit. `Gate::paced` is for such a limit.

![Requests a second that reach the server, with a paced gate and without any](gate.svg)

The picture has the bucket of 10.
";

const CLIENTS: u32 = 1000;
/// How many requests each sends.
pub const EACH: [u32; 2] = [100, 10];
const RUNS: u64 = 2;
/// The mean of a leg, in seconds.
const LEG: f64 = 0.02;

/// What the server takes.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// So many a second, and so many at once.
    Bucket(f64, f64),
    /// So many in each period of so many seconds.
    Window(u32, f64),
}

/// The limits that were tried: all of them 100 a second.
pub const LIMITS: [(&str, Limit); 6] = [
    ("100 in each second", Limit::Window(100, 1.0)),
    ("1,000 in 10 s", Limit::Window(1000, 10.0)),
    ("6,000 in a minute", Limit::Window(6000, 60.0)),
    ("a bucket of 10", Limit::Bucket(100.0, 10.0)),
    ("a bucket of 100", Limit::Bucket(100.0, 100.0)),
    ("a bucket of 1,000", Limit::Bucket(100.0, 1000.0)),
];

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    OnItsOwn,
    Gate,
    Paced,
    PacedAndBudget,
}

/// The ways of waiting, as the page has them.
pub const WAITS: [(&str, Waiting); 4] = [
    ("on its own", Waiting::OnItsOwn),
    ("gate", Waiting::Gate),
    ("paced gate", Waiting::Paced),
    ("paced gate and budget", Waiting::PacedAndBudget),
];

/// What the server has counted.
#[derive(Debug, Default)]
struct Meter {
    window: f64,
    used: u32,
    tokens: f64,
    at: f64,
    /// Requests of each second.
    seconds: Vec<u32>,
}

impl Meter {
    fn reached(&mut self, limit: Limit, now: Duration) -> Result<(), f64> {
        let second = usize::try_from(now.as_secs()).expect("no run is as long");
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, 0);
        }
        self.seconds[second] += 1;
        limit.admit(self, now.as_secs_f64())
    }
}

impl Limit {
    fn meter(self) -> Meter {
        let tokens = if let Self::Bucket(_, burst) = self { burst } else { 0.0 };
        Meter { tokens, ..Meter::default() }
    }

    /// Lets a request pass, or says how long to wait.
    fn admit(self, meter: &mut Meter, now: f64) -> Result<(), f64> {
        match self {
            Self::Window(most, length) => {
                let window = (now / length).floor();
                if window > meter.window {
                    (meter.window, meter.used) = (window, 0);
                }
                if meter.used == most {
                    return Err((window + 1.0) * length - now);
                }
                meter.used += 1;
            }
            Self::Bucket(rate, burst) => {
                meter.tokens = (meter.tokens + rate * (now - meter.at)).min(burst);
                meter.at = now;
                if meter.tokens < 1.0 {
                    return Err((1.0 - meter.tokens) / rate);
                }
                meter.tokens -= 1.0;
            }
        }
        Ok(())
    }

    /// How long it takes if nothing is lost.
    fn ideal(self, each: u32) -> f64 {
        let total = f64::from(CLIENTS) * f64::from(each);
        match self {
            Self::Window(most, length) => ((total / f64::from(most)).ceil() - 1.0) * length,
            Self::Bucket(rate, burst) => (total - burst) / rate,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Times what the limit alone takes.
    pub time: f64,
    /// For each request that was served.
    pub refused: f64,
    pub failed: u64,
    /// Requests that reached the server in each second.
    pub seconds: Vec<u32>,
}

fn server(limit: Limit, meter: &Arc<Mutex<Meter>>, refused: &Arc<AtomicU64>) -> Client {
    let (began, meter, refused) = (Instant::now(), Arc::clone(meter), Arc::clone(refused));
    Client::new(service_fn(move |_| {
        let (meter, refused) = (Arc::clone(&meter), Arc::clone(&refused));
        async move {
            sleep(seconds(exponential(LEG))).await;
            let admitted = meter.lock().expect("nobody panicked").reached(limit, began.elapsed());
            sleep(seconds(exponential(LEG))).await;
            Ok(match admitted {
                Ok(()) => answer(StatusCode::OK),
                Err(wait) => {
                    refused.fetch_add(1, Relaxed);
                    let mut answer = answer(StatusCode::TOO_MANY_REQUESTS);
                    let wait = format!("{:.0}", wait.ceil()).parse().expect("a number");
                    answer.headers_mut().insert(RETRY_AFTER, wait);
                    answer
                }
            })
        }
    }))
}

/// One run.
#[allow(clippy::cast_precision_loss, reason = "they are few")]
pub fn run(limit: Limit, waiting: Waiting, each: u32, seed: u64) -> Outcome {
    live(seed, async move {
        let (meter, refused) = (Arc::new(Mutex::new(limit.meter())), Arc::new(AtomicU64::new(0)));
        let (attempts, budget, gate) = match waiting {
            Waiting::OnItsOwn => (u32::MAX, None, None),
            Waiting::Gate => (u32::MAX, None, Some(Gate::new())),
            Waiting::Paced => (u32::MAX, None, Some(Gate::new().paced())),
            Waiting::PacedAndBudget => (3, Some(Budget::pace()), Some(Gate::new().paced())),
        };
        let policy = policy(attempts).build().expect("a policy");
        let layer = RetryLayer::new(policy).budget(budget).gate(gate);
        let client = layer.layer(server(limit, &meter, &refused));
        let failed = Arc::new(AtomicU64::new(0));
        let began = Instant::now();
        let one = |mut client: retry_layer::Retry<_, _>, failed: Arc<AtomicU64>| async move {
            for _ in 0..each {
                let client = client.ready().await.expect("it is always ready");
                failed.fetch_add(has_failed(&client.call(request()).await).into(), Relaxed);
            }
        };
        let all: JoinSet<()> =
            (0..CLIENTS).map(|_| one(client.clone(), Arc::clone(&failed))).collect();
        all.join_all().await;
        let (time, failed) = (began.elapsed().as_secs_f64(), failed.load(Relaxed));
        let served = u64::from(CLIENTS) * u64::from(each) - failed;
        let refused = refused.load(Relaxed) as f64 / served as f64;
        let seconds = meter.lock().expect("nobody panicked").seconds.clone();
        Outcome { time: time / limit.ideal(each), refused, failed, seconds }
    })
}

/// For each limit, what came of each way of waiting: the mean of the runs.
#[allow(clippy::cast_precision_loss, reason = "there are few runs")]
pub fn outcomes(each: u32) -> Vec<(&'static str, Vec<Outcome>)> {
    let ways = LIMITS.iter().flat_map(|limit| WAITS.iter().map(move |wait| (limit.1, wait.1)));
    let jobs: Vec<_> = ways.flat_map(|way| (1..=RUNS).map(move |seed| (way, seed))).collect();
    let ended = side_by_side(&jobs, |&((limit, waiting), seed)| run(limit, waiting, each, seed));
    let runs = jobs.len() / LIMITS.len() / WAITS.len();
    let means = ended.chunks(runs).map(|runs| {
        let mean = |of: fn(&Outcome) -> f64| runs.iter().map(of).sum::<f64>() / RUNS as f64;
        let failed = runs.iter().map(|run| run.failed).sum();
        Outcome {
            time: mean(|it| it.time),
            refused: mean(|it| it.refused),
            failed,
            seconds: Vec::new(),
        }
    });
    let means: Vec<_> = means.collect();
    let of_limits = means.chunks(WAITS.len()).map(<[_]>::to_vec);
    LIMITS.iter().map(|(name, _)| *name).zip(of_limits).collect()
}

/// The outcomes, as a table.
pub fn table(each: u32, outcomes: &[(&str, Vec<Outcome>)]) -> Table {
    let columns = WAITS.map(|(name, waiting)| {
        let may_fail = waiting == Waiting::PacedAndBudget;
        format!("{name}: time, refused{}", if may_fail { ", failed" } else { "" })
    });
    let mut table = Table::new(&format!("{each} requests each"), columns);
    for (name, outcomes) in outcomes {
        let cell = |(it, (_, waiting)): (&Outcome, (_, Waiting))| {
            let may_fail = waiting == Waiting::PacedAndBudget;
            let failed = if may_fail { format!(", {}", it.failed) } else { String::new() };
            format!("{:.3}, {:.3}{failed}", it.time, it.refused)
        };
        table.row(name, outcomes.iter().zip(WAITS).map(cell));
    }
    table
}
