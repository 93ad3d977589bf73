//! What one decision costs.
//!
//! Run: `cargo bench -p benches`

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use retry_policy::{Delivery, Outcome, Policy, Run, Safety};

fn decide(c: &mut Criterion) {
    let run = Run::new(Policy::default(), Safety::Idempotent);
    let elapsed = Duration::from_millis(20);
    for (name, status) in [("success", 200), ("a retry", 503)] {
        let outcome = Outcome::new(Delivery::Answered(status));
        c.bench_function(name, |b| {
            b.iter(|| {
                black_box(run.clone()).after(black_box(&outcome), elapsed, black_box(1 << 31))
            });
        });
    }
}

criterion_group!(benches, decide);
criterion_main!(benches);
