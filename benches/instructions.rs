//! What one piece costs in instructions and writes, which repeat exactly, unlike times.
//!
//! Run: `cargo bench -p benches --bench instructions` (needs valgrind). It runs itself under callgrind, once
//! for each piece, and fails if one is dearer than its limit.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use retry_policy::backoff::Backoff;
use retry_policy::hint::Rules;
use retry_policy::jitter::Jitter;
use retry_policy::{Budget, Decision, Delivery, Outcome, Policy, Run, Safety};

/// How often a piece runs, so that what surrounds it does not count.
const TIMES: u64 = 10_000;

/// Piece, most instructions, most writes; the limits are the targets of the project where it has them.
const PIECES: [(&str, u64, Option<u64>); 6] = [
    ("nothing", u64::MAX, None),
    ("backoff with full jitter", 100, None),
    ("a Retry-After of seconds", 80, None),
    ("all headers of an answer with Retry-After", 400, None),
    ("deposit into a full budget", 10, Some(0)),
    ("one decision: a 503 is retried", 400, None),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(piece) = arguments.iter().find_map(|a| a.strip_prefix("--piece=")) {
        run(piece);
        return ExitCode::SUCCESS;
    }
    println!("| piece | instructions | limit | reads | writes |");
    println!("| --- | --: | --: | --: | --: |");
    let mut base = [0; 3];
    let mut is_within = true;
    for (piece, limit, most_writes) in PIECES {
        let counts = counts(piece);
        if piece == "nothing" {
            base = counts;
            continue;
        }
        let each = |at: usize| (counts[at].saturating_sub(base[at]) + TIMES / 2) / TIMES;
        println!("| {piece} | {} | {limit} | {} | {} |", each(0), each(1), each(2));
        is_within &= each(0) <= limit && most_writes.is_none_or(|most| each(2) <= most);
    }
    if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Instructions, reads and writes of a piece, all runs together.
fn counts(piece: &str) -> [u64; 3] {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--cache-sim=yes", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*measured*")
        .arg(std::env::current_exe().expect("this program has a path"))
        .arg(format!("--piece={piece}"))
        .output()
        .expect("valgrind can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")).expect("a count");
    let mut numbers = collected.1.split_whitespace().map(|number| number.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().expect("instructions, reads and writes"))
}

fn run(piece: &str) {
    let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(20))
        .expect("50 ms is below 20 s");
    let third = NonZeroU32::new(3).expect("three is not zero");
    let budget = Budget::shed();
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("120"));
    let (rules, now) = (Rules::new(), SystemTime::UNIX_EPOCH);
    let down = Outcome::new(Delivery::Answered(503));
    // Each attempt is the first of its run: as many runs as there are attempts, made before.
    let mut runs = vec![Run::new(Policy::default(), Safety::Idempotent)];
    match piece {
        "backoff with full jitter" => measured(|| {
            let jitter = black_box(Jitter::Full);
            black_box(jitter.delay(black_box(backoff), third, Duration::ZERO, black_box(1 << 31)));
        }),
        "a Retry-After of seconds" => measured(|| {
            black_box(rules.retry_after(black_box(b"120"), || now));
        }),
        "all headers of an answer with Retry-After" => measured(|| {
            black_box(rules.read(black_box(&headers), now));
        }),
        "deposit into a full budget" => measured(|| {
            black_box(&budget).end(Decision::Return, None);
        }),
        "one decision: a 503 is retried" => {
            runs.resize(usize::try_from(TIMES).expect("a small number"), runs[0].clone());
            let mut runs = runs.iter_mut();
            measured(|| {
                if let Some(run) = runs.next() {
                    black_box(run.after(black_box(&down), Duration::ZERO, black_box(1 << 31)));
                }
            });
        }
        // What hands a piece its arguments is no part of it.
        _ => measured(|| {
            black_box(&budget);
        }),
    }
}

/// Only what happens in here is counted.
#[inline(never)]
fn measured(mut piece: impl FnMut()) {
    for _ in 0..TIMES {
        piece();
    }
}
