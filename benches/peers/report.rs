//! What a request costs through each of them, side by side.
//!
//! Run: `cargo bench -p peers --bench report` (needs valgrind). It runs itself once for each figure and prints tables as
//! Markdown. The bare service drops the request and answers at once; where a peer sends a request again, the bare
//! service gets as many requests that were made before.

mod stacks;
mod wiring;

use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use benches::{Counts, argument, counts, measured};
use http::Request;
use wiring::{Body, CALLS, PEERS, Peer, request};

/// How many requests are sent for one figure.
const REQUESTS: u64 = 256;
/// How often a time is taken.
const ROUNDS: usize = 101;

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// What each call is answered with, over and over.
    pub answers: &'static [u16],
    pub body_bytes: Option<usize>,
}

pub const SCENARIOS: [Scenario; 6] = [
    Scenario { name: "GET", answers: &[200], body_bytes: None },
    Scenario { name: "POST 1 KiB", answers: &[200], body_bytes: Some(1 << 10) },
    Scenario { name: "POST 1 MiB", answers: &[200], body_bytes: Some(1 << 20) },
    Scenario { name: "503, 200", answers: &[503, 200], body_bytes: None },
    Scenario { name: "429, 200", answers: &[429, 200], body_bytes: None },
    Scenario { name: "503 five times", answers: &[503; 5], body_bytes: None },
];

fn main() -> ExitCode {
    if let (Some(peer), Some(scenario)) = (argument("peer"), argument("scenario")) {
        let peer = PEERS.iter().find(|it| it.name == peer).expect("a peer");
        let scenario = SCENARIOS.iter().find(|it| it.name == scenario).expect("a scenario");
        if argument("time").is_some() {
            println!("nanoseconds {}", nanoseconds(peer, *scenario));
        } else {
            once(peer, *scenario);
        }
        return ExitCode::SUCCESS;
    }
    let all: Vec<Vec<Counts>> =
        PEERS.iter().map(|peer| SCENARIOS.map(|it| counts(&arguments(peer, it))).into()).collect();
    let each = |count: u64| (count + REQUESTS / 2) / REQUESTS;
    table("instructions", |peer, scenario| each(all[peer][scenario].instructions));
    table("allocations", |peer, scenario| each(all[peer][scenario].allocations));
    table("bytes allocated", |peer, scenario| each(all[peer][scenario].bytes));
    table("nanoseconds, the median", |peer, scenario| {
        let output = Command::new(std::env::current_exe().expect("this program has a path"))
            .args(arguments(&PEERS[peer], SCENARIOS[scenario]))
            .arg("--time=yes")
            .output()
            .expect("it can be run");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = said.trim().strip_prefix("nanoseconds ");
        number.unwrap_or_else(|| panic!("{output:?}")).parse().expect("a number")
    });
    println!("\n| size of the future, in bytes | |\n|---|--:|");
    for peer in PEERS {
        if let Some(size) = peer.size {
            println!("| {} | {} |", peer.name, size());
        }
    }
    ExitCode::SUCCESS
}

fn arguments(peer: &Peer, scenario: Scenario) -> Vec<String> {
    vec![format!("--peer={}", peer.name), format!("--scenario={}", scenario.name)]
}

/// A figure for each peer and scenario, and how much that is over the peer's base.
fn table(what: &str, figure: impl Fn(usize, usize) -> u64) {
    let names = SCENARIOS.map(|scenario| scenario.name).join(" | ");
    println!("\n| {what} | {names} |\n|---|{}", "--:|".repeat(SCENARIOS.len()));
    let mut figures: Vec<Vec<u64>> = Vec::new();
    for (at, peer) in PEERS.iter().enumerate() {
        figures.push((0..SCENARIOS.len()).map(|scenario| figure(at, scenario)).collect());
        let base = PEERS.iter().position(|it| it.name == peer.base).expect("a base before it");
        let cells = (0..SCENARIOS.len()).map(|scenario| {
            let (figure, base) = (figures[at][scenario], figures[base][scenario]);
            if peer.base == peer.name {
                format!("{figure}")
            } else {
                format!("{figure} ({:+})", figure.cast_signed() - base.cast_signed())
            }
        });
        println!("| {} | {} |", peer.name, cells.collect::<Vec<_>>().join(" | "));
    }
}

fn requests(peer: &Peer, scenario: Scenario) -> Vec<Request<Body>> {
    let each = if peer.sends_again { 1 } else { scenario.answers.len() as u64 };
    (0..REQUESTS * each).map(|_| request(scenario.body_bytes)).collect()
}

fn once(peer: &Peer, scenario: Scenario) {
    let runtime = wiring::runtime();
    let mut send = runtime.block_on(async { (peer.wire)(scenario) });
    let sending = send(requests(peer, scenario));
    measured(|| runtime.block_on(sending));
    let expected = REQUESTS * scenario.answers.len() as u64;
    assert_eq!(CALLS.load(Relaxed) as u64, expected, "calls of the bare service");
}

/// The time of one request: the median of the rounds.
fn nanoseconds(peer: &Peer, scenario: Scenario) -> u128 {
    let runtime = wiring::runtime();
    let mut send = runtime.block_on(async { (peer.wire)(scenario) });
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let sending = send(requests(peer, scenario));
            let began = Instant::now();
            runtime.block_on(sending);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2].as_nanos() / u128::from(REQUESTS)
}
