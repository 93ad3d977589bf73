//! What one piece costs in instructions and writes, which repeat exactly, unlike times.
//!
//! Run: `cargo bench -p benches --bench instructions` (needs valgrind). It runs itself under callgrind, once
//! for each piece, and fails if one is dearer than its limit.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use benches::{Counts, argument, counts, measured};
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
    if let Some(piece) = argument("piece") {
        run(&piece);
        return ExitCode::SUCCESS;
    }
    println!("| piece | instructions | limit | writes |");
    println!("| --- | --: | --: | --: |");
    let mut base = None;
    let mut is_within = true;
    for (piece, limit, most_writes) in PIECES {
        let counts = counts(&[format!("--piece={piece}")]);
        let Counts { instructions, writes, .. } = *base.get_or_insert(counts);
        if limit == u64::MAX {
            continue;
        }
        let each = |count: u64, base| (count.saturating_sub(base) + TIMES / 2) / TIMES;
        let (instructions, writes) =
            (each(counts.instructions, instructions), each(counts.writes, writes));
        println!("| {piece} | {instructions} | {limit} | {writes} |");
        is_within &= instructions <= limit && most_writes.is_none_or(|most| writes <= most);
    }
    if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
        "backoff with full jitter" => often(|| {
            let jitter = black_box(Jitter::Full);
            black_box(jitter.delay(black_box(backoff), third, Duration::ZERO, black_box(1 << 31)));
        }),
        "a Retry-After of seconds" => often(|| {
            black_box(rules.retry_after(black_box(b"120"), || now));
        }),
        "all headers of an answer with Retry-After" => often(|| {
            black_box(rules.read(black_box(&headers), now));
        }),
        "deposit into a full budget" => often(|| {
            black_box(&budget).end(Decision::Return, None);
        }),
        "one decision: a 503 is retried" => {
            runs.resize(usize::try_from(TIMES).expect("a small number"), runs[0].clone());
            let mut runs = runs.iter_mut();
            often(|| {
                if let Some(run) = runs.next() {
                    black_box(run.after(black_box(&down), Duration::ZERO, black_box(1 << 31)));
                }
            });
        }
        // What hands a piece its arguments is no part of it.
        _ => often(|| {
            black_box(&budget);
        }),
    }
}

/// Does it so often.
fn often(mut piece: impl FnMut()) {
    measured(|| (0..TIMES).for_each(|_| piece()));
}
