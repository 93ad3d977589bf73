//! Times, for people: a decision, a request through each way to send it again, the pieces, the walks.
//!
//! Run: `cargo bench -p benches --bench times`; `-- "503, 200"` for one scenario.

use std::hint::black_box;
use std::time::Duration;

use benches::peers::PEERS;
use benches::pieces::{PIECES, TIMES};
use benches::walks::{PAGES, RAW, ROWS};
use benches::wiring::{SCENARIOS, request, runtime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use retry_policy::{Delivery, Outcome, Policy, Run, Safety};

fn decide(c: &mut Criterion) {
    let run = Run::new(Policy::default(), Safety::Idempotent);
    let elapsed = Duration::from_millis(20);
    for (name, status) in [("a decision: success", 200), ("a decision: retry", 503)] {
        let outcome = Outcome::new(Delivery::Answered(status));
        c.bench_function(name, |b| {
            b.iter(|| {
                black_box(run.clone()).after(black_box(&outcome), elapsed, black_box(1 << 31))
            });
        });
    }
}

fn send(c: &mut Criterion) {
    let runtime = runtime();
    for scenario in SCENARIOS {
        let mut group = c.benchmark_group(scenario.name);
        for peer in PEERS {
            let mut send = runtime.block_on(async { (peer.wire)(scenario) });
            let each = if peer.sends_again { 1 } else { scenario.answers.len() };
            let made = || (0..each).map(|_| request(scenario.body_bytes, scenario.is_forbidden));
            group.bench_function(peer.name, |b| {
                b.iter_batched(
                    || send(made().collect()),
                    |sending| runtime.block_on(sending),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

fn pieces(c: &mut Criterion) {
    let mut group = c.benchmark_group("pieces");
    group.throughput(Throughput::Elements(TIMES));
    for piece in &PIECES {
        group.bench_function(format!("{} {}", piece.of, piece.name), |b| b.iter(piece.run));
    }
}

fn walks(c: &mut Criterion) {
    let mut group = c.benchmark_group("raw pages");
    group.throughput(Throughput::Elements(PAGES * ROWS));
    for walk in &RAW {
        group.bench_function(walk.name, |b| b.iter(walk.run));
    }
}

criterion_group!(benches, decide, send, pieces, walks);
criterion_main!(benches);
