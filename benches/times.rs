//! Times, for people: a decision, and a request through each way to send it again.
//!
//! Run: `cargo bench -p benches --bench times`; `-- "503, 200"` for one scenario.

use std::hint::black_box;
use std::time::Duration;

use benches::peers::PEERS;
use benches::wiring::{SCENARIOS, request, runtime};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
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

criterion_group!(benches, decide, send);
criterion_main!(benches);
