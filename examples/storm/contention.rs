//! Many writers of one row: which jitter lets them through with the fewest calls.
//!
//! The model of AWS's "Exponential Backoff And Jitter" (`aws-arch-backoff-simulator`). The source has no unit of time; here
//! it is a second.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::StatusCode;
use retry_layer::RetryLayer;
use retry_policy::Policy;
use retry_policy::backoff::Backoff;
use retry_policy::jitter::Jitter;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};

use crate::table::Table;
use crate::world::{Client, answer, has_failed, live, request, seconds, side_by_side};

pub const TEXT: &str = "\
## Which jitter?

Each client reads a row and writes it; the write succeeds if nobody else wrote meanwhile. Each message takes |N(10, 2)|,
the first backoff is 10 and the cap 2,000. Calls (writes) until all are through, and the time it took, by the number of
clients; the mean of 500 runs. The model is that of AWS's \"Exponential Backoff And Jitter\", the waits are our `Jitter`,
and the requests go through our layer.

![The waits before each retry, by jitter](waits.svg)

The picture has the default policy: 50 ms, doubling up to 20 s.
";

/// How many clients there are.
pub const CLIENTS: [u32; 5] = [10, 20, 50, 100, 200];
const RUNS: u64 = 500;
const CAP: f64 = 2000.0;

/// A way to spread the waits.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    backoff: Backoff,
    jitter: Jitter,
}

/// What it took until all were through.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Writes of all clients.
    pub calls: f64,
    pub time: f64,
}

/// The kinds of the source: base 5, cap 2000. Its counter is raised before it is used, so the first ceiling is 10.
pub fn kinds() -> [Kind; 5] {
    let from = |first| Backoff::exponential(seconds(first), seconds(CAP)).expect("below the cap");
    let (doubling, at_once) = (from(10.0), Backoff::constant(seconds(0.0)));
    [
        Kind { name: "no backoff", backoff: at_once, jitter: Jitter::None },
        Kind { name: "exponential, no jitter", backoff: doubling, jitter: Jitter::None },
        Kind { name: "decorrelated", backoff: from(5.0), jitter: Jitter::Decorrelated },
        Kind { name: "equal", backoff: doubling, jitter: Jitter::Equal },
        Kind { name: "full", backoff: doubling, jitter: Jitter::Full },
    ]
}

/// |N(10, 2)|.
fn message() -> f64 {
    let (radius, turn) = ((-2.0 * (1.0 - fastrand::f64()).ln()).sqrt(), fastrand::f64());
    (10.0 + 2.0 * radius * (std::f64::consts::TAU * turn).cos()).abs()
}

#[allow(clippy::cast_precision_loss, reason = "there are thousands")]
fn run(kind: Kind, clients: u32, seed: u64) -> Cost {
    live(seed, async {
        let (calls, version) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&calls);
        let api = Client::new(service_fn(move |_| {
            let (calls, version) = (Arc::clone(&counted), Arc::clone(&version));
            async move {
                sleep(seconds(message())).await;
                let read = version.load(Relaxed);
                sleep(seconds(message() + message())).await;
                calls.fetch_add(1, Relaxed);
                let written = version.compare_exchange(read, read + 1, Relaxed, Relaxed);
                sleep(seconds(message())).await;
                Ok(answer(written.map_or(StatusCode::SERVICE_UNAVAILABLE, |_| StatusCode::OK)))
            }
        }));
        let policy = Policy::builder().max_attempts(NonZeroU32::MAX).backoff(kind.backoff);
        let policy = policy.jitter(kind.jitter).build().expect("a policy");
        let client = RetryLayer::new(policy).budget(None).gate(None).layer(api);
        let began = Instant::now();
        let all: JoinSet<_> = (0..clients).map(|_| client.clone().oneshot(request())).collect();
        for answer in all.join_all().await {
            assert!(!has_failed(&answer), "each gets through");
        }
        Cost { calls: calls.load(Relaxed) as f64, time: began.elapsed().as_secs_f64() }
    })
}

/// For each kind and number of clients, the mean of the runs.
#[allow(clippy::cast_precision_loss, reason = "there are 500 runs")]
pub fn costs() -> Vec<(Kind, [Cost; CLIENTS.len()])> {
    let seeds: Vec<u64> = (0..RUNS).collect();
    let mean = |kind, clients| {
        let costs = side_by_side(&seeds, |&seed| run(kind, clients, seed));
        let sum = |of: fn(&Cost) -> f64| costs.iter().map(of).sum::<f64>() / RUNS as f64;
        Cost { calls: sum(|cost| cost.calls), time: sum(|cost| cost.time) }
    };
    kinds().map(|kind| (kind, CLIENTS.map(|clients| mean(kind, clients)))).into()
}

/// The costs, as a table.
pub fn table(costs: &[(Kind, [Cost; CLIENTS.len()])]) -> Table {
    let columns = CLIENTS.map(|clients| format!("{clients} clients: calls, time"));
    let mut table = Table::new("jitter", columns);
    for (kind, costs) in costs {
        table.row(kind.name, costs.map(|Cost { calls, time }| format!("{calls:.0}, {time:.0}")));
    }
    table
}
