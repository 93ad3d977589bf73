//! Prints `docs/benchmarks.md`, and fails if something of ours is dearer than its limit.
//!
//! Run: `cargo bench -p benches --bench report` (needs valgrind; some minutes). It runs itself once for each figure.

use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use benches::counts::{Counts, argument, counts, measured, within};
use benches::latency::{ANSWER, ROWS as LISTED, reads};
use benches::page::{
    ABOUT_PAGES, ABOUT_PIECES, ABOUT_REQUESTS, ABOUT_THREADS, ABOUT_WAITS, HEAD, PER_PAGE,
    REQUESTS_READ, RUNNING, grouped, machine, round, two_digits, version,
};
use benches::peers::{ALONE, OURS, PEERS, Peer};
use benches::pieces::{PIECES, TIMES};
use benches::threads::rates;
use benches::walks::{JSON, PAGES, RAW, ROWS, Walk};
use benches::wiring::{self, Body, CALLS, SCENARIOS, Scenario, request};
use http::Request;
use tokio::runtime::Runtime;

/// How many requests are sent for one figure.
const REQUESTS: u64 = 256;
/// How often a time is taken.
const ROUNDS: usize = 101;

fn main() -> ExitCode {
    if let Some(figure) = argument("figure") {
        alone(&figure, argument("of").map_or(0, |at| at.parse().expect("a number")));
        return ExitCode::SUCCESS;
    }
    let mut found = Found::default();
    println!("{HEAD}\n");
    machine();
    requests(&mut found);
    pieces(&mut found);
    threads(&mut found);
    pages(&mut found);
    waits(&mut found);
    found.print_targets();
    for dearer in &found.dearer {
        eprintln!("dearer than its limit: {dearer}");
    }
    if found.dearer.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What one figure needs, in a process of its own.
fn alone(figure: &str, at: usize) {
    let (peer, scenario) = (at / SCENARIOS.len(), SCENARIOS[at % SCENARIOS.len()]);
    match figure {
        "request" => once(&PEERS[peer], scenario),
        "time" => println!("nanoseconds {}", nanoseconds(&PEERS[peer], scenario)),
        "running" => println!("nanoseconds {}", on_a_running_clock(&PEERS[at])),
        "piece" => (PIECES[at].run)(),
        "raw" => (RAW[at].run)(),
        "json" => (JSON[at].run)(),
        other => panic!("{other}"),
    }
}

fn arguments(figure: &str, at: usize) -> Vec<String> {
    vec![format!("--figure={figure}"), format!("--of={at}")]
}

/// The nanoseconds that such a process says.
fn time(figure: &str, at: usize) -> u64 {
    let output = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(arguments(figure, at))
        .output()
        .expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = said.lines().find_map(|line| line.strip_prefix("nanoseconds "));
    number.unwrap_or_else(|| panic!("{output:?}")).parse().expect("a number")
}

/// The least of five processes.
fn least(figure: &str, at: usize) -> u64 {
    (0..5).map(|_| time(figure, at)).min().expect("five times")
}

/// What is compared with what it should be.
#[derive(Default)]
struct Found {
    /// What, the target, what was found, what is in the way.
    targets: Vec<(&'static str, String, String, &'static str)>,
    dearer: Vec<String>,
}

impl Found {
    fn limit(&mut self, what: &str, figure: f64, most: f64) {
        if figure > most {
            self.dearer.push(format!("{what}: {figure} > {most}"));
        }
    }

    fn at_least(&mut self, what: &str, figure: f64, least: f64) {
        if figure < least {
            self.dearer.push(format!("{what}: {figure} < {least}"));
        }
    }

    fn target(&mut self, what: &'static str, figure: f64, most: f64, in_the_way: &'static str) {
        assert!(figure <= most || !in_the_way.is_empty(), "{what}: {figure}, and no reason");
        let why = if figure <= most { "" } else { in_the_way };
        let [most, figure] = [most, figure]
            .map(|it| if it.fract() == 0.0 { grouped(it) } else { format!("{it:.2}") });
        self.targets.push((what, format!("at most {most}"), figure, why));
    }

    fn print_targets(&self) {
        println!("\n## Targets\n");
        println!(
            "The best of the others, or a prototype that does nothing but repeat, is the measure of each.\n"
        );
        println!(
            "| ours, over the bare service or the hand loop | target | here | what is in the way |"
        );
        println!("|---|--:|--:|---|");
        for (what, target, figure, why) in &self.targets {
            println!("| {what} | {target} | {figure} | {why} |");
        }
    }
}

fn requests(found: &mut Found) {
    println!("\n## A request\n");
    println!("{REQUESTS} requests one after the other, {ABOUT_REQUESTS}\n");
    println!("| | version | set up as (`benches/wiring.rs`, `benches/stacks.rs`) |\n|---|---|---|");
    for peer in &PEERS {
        // A bar within a cell.
        let setup = peer.setup.replace('|', "\\|");
        println!("| {} | {} {} | {setup} |", peer.name, peer.from, version(peer.from));
    }
    let all: Vec<Vec<Counts>> = (0..PEERS.len())
        .map(|peer| {
            let at = peer * SCENARIOS.len();
            (0..SCENARIOS.len()).map(|it| counts(&arguments("request", at + it))).collect()
        })
        .collect();
    let each = |count: u64| (count + REQUESTS / 2) / REQUESTS;
    let instructions = table("instructions", |it, scenario| each(all[it][scenario].instructions));
    let allocations = table("allocations", |it, scenario| each(all[it][scenario].allocations));
    let bytes = table("bytes allocated", |it, scenario| each(all[it][scenario].bytes));
    let times = all_of(|it, scenario| least("time", it * SCENARIOS.len() + scenario));
    let names = SCENARIOS.map(|scenario| scenario.name).join(" | ");
    println!("\n| nanoseconds, two digits | {names} |\n|---|{}", "--:|".repeat(SCENARIOS.len()));
    for (peer, times) in PEERS.iter().zip(&times) {
        let times: Vec<_> = times.iter().map(|&time| grouped(two_digits(time))).collect();
        println!("| {} | {} |", peer.name, times.join(" | "));
    }
    let sizes = PEERS.each_ref().map(|it| it.size.map_or(String::new(), |size| size().to_string()));
    let running = core::array::from_fn::<_, { PEERS.len() }, _>(|at| {
        let is_timed = PEERS[at].sends_again;
        let time = || format!("{:.1} µs", least("running", at) as f64 / 1e3);
        if is_timed { time() } else { String::new() }
    });
    println!(
        "\n| | future, bytes, without what it boxes | a retry without a wait, on a running clock |\n|---|--:|--:|"
    );
    for (at, peer) in PEERS.iter().enumerate() {
        println!("| {} | {} | {} |", peer.name, sizes[at], running[at]);
    }
    println!("\n{RUNNING}");
    where_it_goes();
    println!("\n{REQUESTS_READ}");
    let at = |name| SCENARIOS.iter().position(|it| it.name == name).expect("a scenario");
    let (get, again, five) = (at("GET"), at("503, 200"), at("503 five times"));
    println!("\nIn short, over the base of each, instructions / allocations:\n");
    println!("| | GET | 503, then 200 | five attempts |\n|---|--:|--:|--:|");
    for (peer, name) in PEERS.iter().map(|peer| peer.name).enumerate() {
        if IN_SHORT.contains(&name) {
            let [get, again, five] = [get, again, five].map(|at| {
                format!("{} / {}", grouped(instructions[peer][at]), allocations[peer][at])
            });
            println!("| {name} | {get} | {again} | {five} |");
        }
    }
    let ours = PEERS.iter().position(|peer| peer.name == OURS).expect("ours");
    for (at, scenario) in SCENARIOS.iter().enumerate() {
        found.limit(scenario.name, instructions[ours][at] as f64, scenario.limit.0 as f64);
        found.limit(scenario.name, allocations[ours][at] as f64, scenario.limit.1 as f64);
    }
    let ours = |what: &[Vec<i64>], scenario: usize| what[ours][scenario] as f64;
    found.target("GET, instructions", ours(&instructions, get), 1_900.0, LAYER);
    found.target("GET, allocations", ours(&allocations, get), 5.0, "");
    found.target("GET, bytes", ours(&bytes, get), 900.0, "");
    let ours_at = PEERS.iter().position(|peer| peer.name == OURS).expect("ours");
    let time = two_digits(times[ours_at][get].saturating_sub(times[0][get]));
    found.target("GET, nanoseconds", time as f64, 200.0, LAYER);
    let ruled_out = at("GET, ruled out");
    found.target(
        "a request that is not repeated (GET, ruled out), instructions",
        ours(&instructions, ruled_out),
        200.0,
        ONCE,
    );
    found.target("the same, allocations", ours(&allocations, ruled_out), 0.0, "");
    found.target("503, 200, instructions", ours(&instructions, again), 2_500.0, AGAIN);
    found.target("503 five times, instructions", ours(&instructions, five), 3_000.0, AGAIN);
    let record = "the record in the answer's extensions, and the box of what follows a failure";
    found.target("503 five times, allocations", ours(&allocations, five), 11.0, record);
    let tick = "a timer's tick";
    found.target(
        "a retry without a wait, microseconds",
        round(least("running", ours_at) as f64 / 1e3),
        100.0,
        tick,
    );
    let size =
        PEERS.iter().find(|peer| peer.name == OURS).and_then(|peer| peer.size).expect("a size");
    found.target("future, bytes, with those of the service's", size() as f64, 200.0, "");
    found.limit("future", size() as f64, 200.0);
}

/// The lines of the README.
const IN_SHORT: [&str; 5] =
    [OURS, "tower, as documented", "tower, with its backoff", "tower, tuned", "backon"];

const LAYER: &str = "the copy is most of it; then moves of what is kept, and what is shared: origin, clock, gate, budget";
const ONCE: &str = "the row `nothing shared` is the layer itself; the rest is looking up the origin, a clock, gate and budget";
const AGAIN: &str = "moves of what is kept between two attempts, the allocator, the headers, the decision, the record; the tuned \
                     policy, which does nothing of that, is about the target";

/// Moves, the allocator and the rest, for what shows the floor.
fn where_it_goes() {
    println!("\nWhere the instructions go, those of the service and of the runtime included:\n");
    println!("| | moves (`memcpy`) | allocator | everything else |\n|---|--:|--:|--:|");
    for scenario in ["GET", "503, 200"] {
        for name in ["a copy", "tower, tuned", ALONE, OURS] {
            let peer = PEERS.iter().position(|it| it.name == name).expect("a peer");
            let at = SCENARIOS.iter().position(|it| it.name == scenario).expect("a scenario");
            let words: [&[&str]; 3] =
                [&["memcpy", "memmove"], &["malloc", "free", "unlink_chunk"], &[""]];
            let counted = within(&arguments("request", peer * SCENARIOS.len() + at), words);
            let [moves, allocator, all] = counted.map(|count| (count + REQUESTS / 2) / REQUESTS);
            let rest = all - moves - allocator;
            let [moves, allocator, rest] = [moves, allocator, rest].map(grouped);
            println!("| {name}: {scenario} | {moves} | {allocator} | {rest} |");
        }
    }
}

fn all_of(figure: impl Fn(usize, usize) -> u64) -> Vec<Vec<u64>> {
    let scenarios = |peer| (0..SCENARIOS.len()).map(|it| figure(peer, it)).collect();
    (0..PEERS.len()).map(scenarios).collect()
}

/// A figure for each peer and scenario, printed with what it is over the peer's base; what it is over it.
fn table(what: &str, figure: impl Fn(usize, usize) -> u64) -> Vec<Vec<i64>> {
    let names = SCENARIOS.map(|scenario| scenario.name).join(" | ");
    println!("\n| {what} | {names} |\n|---|{}", "--:|".repeat(SCENARIOS.len()));
    let figures: Vec<Vec<i64>> = all_of(figure)
        .into_iter()
        .map(|it| it.into_iter().map(u64::cast_signed).collect())
        .collect();
    let mut over = Vec::new();
    for (at, peer) in PEERS.iter().enumerate() {
        let base = PEERS.iter().position(|it| it.name == peer.base).expect("a base before it");
        let more: Vec<i64> =
            figures[at].iter().zip(&figures[base]).map(|(figure, base)| figure - base).collect();
        let cells = (0..SCENARIOS.len()).map(|it| {
            let (sign, more) = (if more[it] < 0 { '-' } else { '+' }, grouped(more[it].abs()));
            let figure = grouped(figures[at][it]);
            // One call of a stack repeats inside, and its base is called several times.
            let is_comparable = PEERS[base].from == "tower" || SCENARIOS[it].answers.len() == 1;
            if at == base || !is_comparable { figure } else { format!("{figure} ({sign}{more})") }
        });
        println!("| {} | {} |", peer.name, cells.collect::<Vec<_>>().join(" | "));
        over.push(more);
    }
    over
}

fn sent(peer: &Peer, scenario: Scenario, count: u64) -> Vec<Request<Body>> {
    let each = if peer.sends_again { 1 } else { scenario.answers.len() as u64 };
    (0..count * each).map(|_| request(scenario.body_bytes, scenario.is_forbidden)).collect()
}

fn once(peer: &Peer, scenario: Scenario) {
    let runtime = wiring::runtime();
    let mut send = runtime.block_on(async { (peer.wire)(scenario) });
    let sending = send(sent(peer, scenario, REQUESTS));
    measured(|| runtime.block_on(sending));
    let expected = REQUESTS * scenario.answers.len() as u64;
    assert_eq!(CALLS.load(Relaxed) as u64, expected, "calls of the bare service");
}

/// The time of one request: the median of the rounds.
fn nanoseconds(peer: &Peer, scenario: Scenario) -> u128 {
    median(&wiring::runtime(), peer, scenario, REQUESTS, ROUNDS)
}

/// The same on a clock that runs, where a timer for no wait waits for its next tick.
fn on_a_running_clock(peer: &Peer) -> u128 {
    let again = SCENARIOS.into_iter().find(|it| it.name == "503, 200").expect("a scenario");
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    median(&runtime.enable_time().build().expect("a runtime"), peer, again, 20, 5)
}

fn median(runtime: &Runtime, peer: &Peer, scenario: Scenario, count: u64, rounds: usize) -> u128 {
    let mut send = runtime.block_on(async { (peer.wire)(scenario) });
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let sending = send(sent(peer, scenario, count));
            let began = Instant::now();
            runtime.block_on(sending);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[rounds / 2].as_nanos() / u128::from(count)
}

fn pieces(found: &mut Found) {
    println!("\n## Pieces\n");
    println!("Each {} times; {ABOUT_PIECES}\n", grouped(TIMES));
    println!("| piece | of | instructions | memory writes |\n|---|---|--:|--:|");
    let all: Vec<Counts> = (0..PIECES.len()).map(|at| counts(&arguments("piece", at))).collect();
    let nothing = all[0];
    let each = |count: u64, nothing| (count.saturating_sub(nothing) + TIMES / 2) / TIMES;
    for (piece, counts) in PIECES.iter().zip(all).skip(1) {
        let instructions = each(counts.instructions, nothing.instructions);
        let writes = each(counts.writes, nothing.writes);
        println!("| {} | {} | {instructions} | {writes} |", piece.name, piece.of);
        let Some(most) = piece.limit else { continue };
        found.limit(piece.name, instructions as f64, most as f64);
        match piece.name {
            "backoff" => found.target("one backoff, instructions", instructions as f64, 100.0, ""),
            "deposit, full" => {
                found.limit("writes of a deposit", writes as f64, 0.0);
                found.target("deposit, instructions", instructions as f64, 10.0, "");
                found.target("deposit, writes", writes as f64, 0.0, "");
            }
            "Retry-After, seconds" => {
                found.target("`Retry-After` in seconds", instructions as f64, 80.0, "");
            }
            _ => {}
        }
    }
}

fn threads(found: &mut Found) {
    println!("\n## Two threads on one budget\n");
    println!("{ABOUT_THREADS}\n");
    println!("| millions in a second | one thread | two | two over one |\n|---|--:|--:|--:|");
    for (name, rates) in rates() {
        let times = rates.two / rates.one;
        println!("| {name} | {:.2} | {:.2} | {times:.2} |", rates.one, rates.two);
        if name == OURS {
            let why = if times < 1.9 {
                "what is shared, as far as a layer for each thread comes further; the allocator, as far as the bare service does not"
            } else {
                ""
            };
            let (target, figure) = ("at least 1.9".to_owned(), format!("{times:.2}"));
            found.targets.push(("two threads on one budget", target, figure, why));
        }
    }
}

fn pages(found: &mut Found) {
    println!("\n## Pages\n");
    println!("{} pages of {ROWS} rows {ABOUT_PAGES}\n", grouped(PAGES));
    let [unfold, stream] = ["futures-util", "async-stream"].map(version);
    let [smithy, turner] = ["aws-smithy-async", "page-turner"].map(version);
    println!(
        "futures-util {unfold}, async-stream {stream}, aws-smithy-async {smithy}, page-turner {turner}."
    );
    let raw = walks(found, "raw pages", "raw", &RAW);
    walks(found, "JSON pages", "json", &JSON);
    let of = |name: &str| raw[RAW.iter().position(|walk| walk.name == name).expect("a walk")];
    let (pages, items) = (of("pagination, pages"), of("pagination, items"));
    println!(
        "\nWhat ours adds to the instructions of each raw page, by how many rows are on it: {PER_PAGE}\n"
    );
    println!("| rows on a page | by page | by item |\n|--:|--:|--:|");
    for rows in [1, 10, 100, 400] {
        let of = |name: &str| {
            let at = RAW.iter().position(|walk| walk.name == name).expect("a walk");
            let mut arguments = arguments("raw", at);
            arguments.push(format!("--rows={rows}"));
            counts(&arguments).instructions
        };
        let hand = of("hand loop");
        let [pages, items] = ["pagination, pages", "pagination, items"].map(|name| of(name) - hand);
        println!("| {rows} | {} | {} |", grouped(pages / PAGES), grouped(items / PAGES));
    }
    let guards = "what is added to each page, above; with a hundred numbers on it that is most of the figure";
    found.target("raw pages, times the hand loop", round(pages.0 / raw[0].0), 1.06, guards);
    found.target("raw items, instructions each", round(items.0), 25.0, guards);
    let marks = "the set of marks against circles and of rows that came, which grows";
    found.target("raw pages, allocations each over the hand loop", round(pages.1), 0.0, marks);
}

/// The instructions of each walk for an item, and its allocations for a page over the first one's.
fn walks(found: &mut Found, what: &str, figure: &str, walks: &[Walk]) -> Vec<(f64, f64)> {
    println!(
        "\n| {what} | instructions an item | over the hand loop | allocations a page | ns an item |"
    );
    println!("|---|--:|--:|--:|--:|");
    let mut all: Vec<(f64, f64)> = Vec::new();
    let mut base = None;
    for (at, walk) in walks.iter().enumerate() {
        let counts = counts(&arguments(figure, at));
        let instructions = counts.instructions as f64 / (PAGES * ROWS) as f64;
        let allocations = counts.allocations as f64 / PAGES as f64;
        let (hand, hands) = *base.get_or_insert((instructions, allocations));
        println!(
            "| {} | {instructions:.1} | {:.3} | {allocations:.2} | {:.2} |",
            walk.name,
            instructions / hand,
            least(figure, at) as f64 / (PAGES * ROWS) as f64
        );
        if let Some((most, most_allocations)) = walk.limit {
            found.limit(walk.name, instructions, most);
            found.limit(walk.name, allocations - hands, most_allocations);
        }
        all.push((instructions, allocations - hands));
    }
    all
}

fn waits(found: &mut Found) {
    println!("\n## Waiting\n");
    println!(
        "{} rows of the simulated JumpCloud, {} ms an answer. {ABOUT_WAITS}\n",
        grouped(LISTED),
        ANSWER.as_millis()
    );
    println!("| | simulated clock, s | times as fast | running clock, s |\n|---|--:|--:|--:|");
    let mut running = tokio::runtime::Builder::new_current_thread();
    let running = reads(&running.enable_time().build().expect("a runtime"));
    let still = reads(&wiring::runtime());
    let base = still[0].time.as_secs_f64();
    for (read, running) in still.iter().zip(running) {
        let [seconds, running] = [read.time, running.time].map(|time| time.as_secs_f64());
        println!("| {} | {seconds:.2} | {:.2} | {running:.2} |", read.name, base / seconds);
        found.at_least(read.name, base / seconds, read.least);
    }
}
