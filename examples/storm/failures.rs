//! A server that fails each attempt by chance, whatever its load: what a strategy saves, and what it adds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tower::{Service, ServiceExt, service_fn};

use crate::published::{Bucket, Limit, at_once, aws, bucket};
use crate::strategy::{self, Strategy};
use crate::table::Table;
use crate::world::{Client, answer, exponential, has_failed, live, request, seconds, side_by_side};

pub const TEXT: &str = "\
## A server that fails by chance

Each attempt fails with the same chance, whatever the load. *Load* is attempts for each call, *success* the share of calls that
ended well.

![Attempts for each call, by the share of attempts that fail](amplification.svg)

The tables, in their order:

1. What was published in Brooker's \"Fixing retries with token buckets and circuit breakers\", with its strategies as its source
   defines them: success, load. 100 clients begin 10 calls a second each for 10 s, by chance.
2. The same for 10, 100 and 1,000 clients that begin 100 calls a second together for 30 s: with a bucket for each
   client, more clients make more retries of the same calls.
3. What was published of strategies in use, again as their sources define them: load, success. 100 clients make 1,000 calls each, one
   after the other, ten a second, without waits.
4. The same calls through our layer and what people use, with their waits. Three attempts where nothing else is
   said. *Pace* is in the next table only, as here it waits and makes fewer calls.
5. 30 clients begin 10 calls a second each for 100 s, by chance, whatever became of the ones before: load, success.
6. Total failure: load in the second ten minutes, and before that the additional attempts of each client, by the number of clients
   that begin 100 calls a second together. That is the price of the tokens which a bucket holds at first, and of the
   probes of an empty one.
";

/// The mean of a leg, in seconds.
const LEG: f64 = 0.01;

/// Who calls, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub clients: u32,
    /// Calls a second of each client.
    pub rate: f64,
    pub seconds: f64,
    /// One call after the other, and no time for an attempt.
    pub in_turn: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub calls: u64,
    pub attempts: u64,
    pub successes: u64,
}

#[allow(clippy::cast_precision_loss, reason = "there are millions")]
impl Counts {
    /// Attempts for each call.
    pub fn load(self) -> f64 {
        self.attempts as f64 / self.calls as f64
    }

    /// The share of calls that succeeded.
    pub fn success(self) -> f64 {
        self.successes as f64 / self.calls as f64
    }

    fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            attempts: self.attempts + other.attempts,
            successes: self.successes + other.successes,
        }
    }
}

/// Counts that still go up.
#[derive(Debug, Default)]
struct Counting {
    calls: AtomicU64,
    attempts: AtomicU64,
    successes: AtomicU64,
}

impl Counting {
    fn counts(&self) -> Counts {
        let [calls, attempts, successes] =
            [&self.calls, &self.attempts, &self.successes].map(|count| count.load(Relaxed));
        Counts { calls, attempts, successes }
    }
}

/// The server, which fails an attempt with this chance.
fn server(counting: &Arc<Counting>, chance: f64, takes_no_time: bool) -> Client {
    let counting = Arc::clone(counting);
    Client::new(service_fn(move |_| {
        counting.attempts.fetch_add(1, Relaxed);
        async move {
            if !takes_no_time {
                sleep(seconds(exponential(LEG) + exponential(LEG))).await;
            }
            let fails = fastrand::f64() < chance;
            Ok(answer(if fails { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }))
        }
    }))
}

async fn call(client: &mut Client, counting: &Counting) {
    counting.calls.fetch_add(1, Relaxed);
    let client = client.ready().await.expect("it is always ready");
    if !has_failed(&client.call(request()).await) {
        counting.successes.fetch_add(1, Relaxed);
    }
}

/// One client, until its time is up.
async fn client_of(setting: Setting, mut client: Client, counting: Arc<Counting>) {
    let began = Instant::now();
    let end = began + seconds(setting.seconds);
    if setting.in_turn {
        for number in 0_u32.. {
            sleep_until(began + seconds(f64::from(number) / setting.rate)).await;
            if Instant::now() >= end {
                return;
            }
            call(&mut client, &counting).await;
        }
    }
    let mut calls = JoinSet::new();
    let mut due = exponential(LEG);
    while due < setting.seconds {
        sleep_until(began + seconds(due)).await;
        while calls.try_join_next().is_some() {}
        let (mut client, counting) = (client.clone(), Arc::clone(&counting));
        calls.spawn(async move { call(&mut client, &counting).await });
        due += exponential(1.0 / setting.rate);
    }
    // A call that waits for a token may wait for good.
    let _ = tokio::time::timeout(seconds(setting.seconds), calls.join_all()).await;
}

/// What had come of it by each of these times, in seconds, or when all calls had ended if none is given.
pub fn run(
    setting: Setting,
    strategy: &Strategy,
    chance: f64,
    seed: u64,
    by: &[f64],
) -> Vec<Counts> {
    live(seed, async {
        let (began, counting) = (Instant::now(), Arc::new(Counting::default()));
        let api = server(&counting, chance, setting.in_turn);
        let client = || client_of(setting, strategy.around(api.clone()), Arc::clone(&counting));
        let clients: JoinSet<()> = (0..setting.clients).map(|_| client()).collect();
        let mut counts = Vec::new();
        for &time in by {
            sleep_until(began + seconds(time)).await;
            counts.push(counting.counts());
        }
        if by.is_empty() {
            clients.join_all().await;
            counts.push(counting.counts());
        }
        counts
    })
}

/// A strategy's counts in each column of a table.
pub type Rows = Vec<(Strategy, Vec<Counts>)>;

/// Each strategy in each of these settings, at each of these failure rates.
fn rows(strategies: Vec<Strategy>, columns: &[(Setting, f64)], seeds: u64) -> Rows {
    let jobs: Vec<_> = strategies
        .iter()
        .flat_map(|it| columns.iter().map(move |&(setting, chance)| (it, setting, chance)))
        .collect();
    let ended = side_by_side(&jobs, |&(strategy, setting, chance)| {
        let counts = (0..seeds).map(|seed| run(setting, strategy, chance, seed, &[])[0]);
        counts.fold(Counts::default(), Counts::plus)
    });
    let each: Vec<_> = ended.chunks(columns.len()).map(<[_]>::to_vec).collect();
    strategies.into_iter().zip(each).collect()
}

/// The failure rates of tables 1, 2 and 3 to 5.
pub const RATES: [f64; 8] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0];
pub const FEW_RATES: [f64; 4] = [0.1, 0.3, 0.5, 1.0];
pub const GRID_RATES: [f64; 7] = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0];
/// The numbers of clients of table 2, and of table 6.
pub const CLIENTS: [u32; 3] = [10, 100, 1000];
pub const TOTAL_CLIENTS: [u32; 3] = [1, 100, 1000];

fn adaptive() -> [Strategy; 2] {
    let bucket = Limit::Bucket(Bucket { keeps_some: true, ..bucket(5.0, 1.0, 0.1, 0.0) });
    [
        Strategy::published("a token bucket, 10 %", u32::MAX, at_once, bucket),
        Strategy::published("a circuit breaker, 10 %", 4, at_once, Limit::Breaker(0.1)),
    ]
}

/// Table 1.
pub fn published() -> Rows {
    let setting = Setting { clients: 100, rate: 10.0, seconds: 10.0, in_turn: false };
    let mut strategies =
        vec![strategy::no_retry(), Strategy::published("3 retries", 4, at_once, Limit::None)];
    strategies.extend(adaptive());
    rows(strategies, &RATES.map(|chance| (setting, chance)), 4)
}

/// Table 2: for each failure rate, each number of clients.
pub fn by_clients() -> Rows {
    let setting = |clients| Setting {
        clients,
        rate: 100.0 / f64::from(clients),
        seconds: 30.0,
        in_turn: false,
    };
    let columns: Vec<_> = FEW_RATES
        .iter()
        .flat_map(|&chance| CLIENTS.map(|clients| (setting(clients), chance)))
        .collect();
    rows(adaptive().into(), &columns, 3)
}

/// Table 3.
pub fn grid() -> Rows {
    let on_success = bucket(5.0, 1.0, 0.0, 0.1);
    let starts_empty = Limit::Bucket(Bucket { start: 0.0, ..on_success });
    let strategies = vec![
        Strategy::published("3 attempts", 3, at_once, Limit::None),
        Strategy::published("AWS 2.1, transient", 3, at_once, aws(14.0)),
        Strategy::published("AWS 2.1, throttled", 3, at_once, aws(5.0)),
        Strategy::published("AWS 2.0, timeout", 3, at_once, aws(10.0)),
        Strategy::published("gRPC (10, 0.1), 4 attempts", 4, at_once, Limit::Grpc(10.0, 0.1)),
        Strategy::published("Finagle", 3, at_once, Limit::Window(10.0, 0.2)),
        Strategy::published("Finagle, no floor", 3, at_once, Limit::Window(0.0, 0.2)),
        Strategy::published("a bucket, 10 % on success", 4, at_once, Limit::Bucket(on_success)),
        Strategy::published("the same, empty at first", 4, at_once, starts_empty),
    ];
    rows(strategies, &in_turn(), 1)
}

fn in_turn() -> [(Setting, f64); GRID_RATES.len()] {
    let setting = Setting { clients: 100, rate: 10.0, seconds: 100.0, in_turn: true };
    GRID_RATES.map(|chance| (setting, chance))
}

/// Table 4.
pub fn grid_in_use() -> Rows {
    let mut strategies = strategy::in_use();
    strategies.retain(|strategy| strategy.name != strategy::pace().name);
    rows(strategies, &in_turn(), 1)
}

/// Table 5.
pub fn open_in_use() -> Rows {
    let setting = Setting { clients: 30, rate: 10.0, seconds: 100.0, in_turn: false };
    rows(strategy::in_use(), &GRID_RATES.map(|chance| (setting, chance)), 1)
}

/// Table 6: for each number of clients, the load in the steady state and the attempts of each client before it.
#[allow(clippy::cast_precision_loss, reason = "there are thousands")]
pub fn at_total_failure() -> Vec<(Strategy, Vec<(f64, f64)>)> {
    let (before, end) = (600.0, 1200.0);
    let strategies = strategy::in_use();
    let jobs: Vec<_> = strategies
        .iter()
        .flat_map(|strategy| TOTAL_CLIENTS.map(|clients| (strategy, clients)))
        .collect();
    let ended = side_by_side(&jobs, |&(strategy, clients)| {
        let rate = 100.0 / f64::from(clients);
        let setting = Setting { clients, rate, seconds: end, in_turn: false };
        let counts = run(setting, strategy, 1.0, 1, &[before, end]);
        let (then, now) = (counts[0], counts[1]);
        let steady = (now.attempts - then.attempts) as f64 / (now.calls - then.calls) as f64;
        (steady, (then.attempts - then.calls) as f64 / f64::from(clients))
    });
    let each: Vec<_> = ended.chunks(TOTAL_CLIENTS.len()).map(<[_]>::to_vec).collect();
    strategies.into_iter().zip(each).collect()
}

/// A table of rows, with what a cell says of the counts.
fn table<C: Into<String>>(
    names: &str,
    columns: impl IntoIterator<Item = C>,
    rows: &Rows,
    cell: fn(Counts) -> String,
) -> Table {
    let mut table = Table::new(names, columns);
    for (strategy, counts) in rows {
        table.row(strategy.name, counts.iter().map(|&counts| cell(counts)));
    }
    table
}

fn success_load(counts: Counts) -> String {
    format!("{:.3}, {:.3}", counts.success(), counts.load())
}

fn load_success(counts: Counts) -> String {
    format!("{:.3}, {:.3}", counts.load(), counts.success())
}

fn percent(rate: f64) -> String {
    format!("{:.0} %", 100.0 * rate)
}

/// All six.
pub fn tables() -> Vec<Table> {
    vec![
        table_of_published(&published()),
        table_by_clients(&by_clients()),
        table_of_grid("3", &grid()),
        table_of_grid("4", &grid_in_use()),
        table_of_grid("5", &open_in_use()),
        table_at_total_failure(&at_total_failure()),
    ]
}

/// Table 1.
pub fn table_of_published(rows: &Rows) -> Table {
    table("1: success, load", RATES.map(percent), rows, success_load)
}

/// Tables 3, 4 and 5.
pub fn table_of_grid(number: &str, rows: &Rows) -> Table {
    table(&format!("{number}: load, success"), GRID_RATES.map(percent), rows, load_success)
}

/// Table 2.
pub fn table_by_clients(rows: &Rows) -> Table {
    let columns = FEW_RATES
        .iter()
        .flat_map(|&rate| CLIENTS.map(|clients| format!("{}, {clients}", percent(rate))));
    table("2: success, load", columns, rows, success_load)
}

/// Table 6.
pub fn table_at_total_failure(rows: &[(Strategy, Vec<(f64, f64)>)]) -> Table {
    let columns = ["1 client", "100 clients", "1,000 clients"];
    let mut table = Table::new("6: load, attempts before", columns);
    for (strategy, cells) in rows {
        table.row(strategy.name, cells.iter().map(|(load, more)| format!("{load:.3}, {more:.0}")));
    }
    table
}
