//! Who is compared, and how each is set up.

use tower::Layer;

use crate::stacks;
use crate::wiring::{
    Bare, Scenario, Sender, Tuned, alone, backon, copies, gax, of_tower, of_tower_that_waits, ours,
    resilience, service, size, size_of_backon, size_of_gax,
};

/// A way to send requests.
pub struct Peer {
    pub name: &'static str,
    /// The crate whose version counts.
    pub from: &'static str,
    /// How it is set up, and where its documentation says so.
    pub setup: &'static str,
    /// The one without retries that it is compared with.
    pub base: &'static str,
    /// Whether one request is enough for a scenario with several calls.
    pub sends_again: bool,
    pub wire: fn(Scenario) -> Sender,
    /// The size of the future of one request.
    pub size: Option<fn() -> usize>,
}

const BARE: &str = "the bare service";
pub const OURS: &str = "retry-layer";
pub const ALONE: &str = "retry-layer, nothing shared";

pub const PEERS: [Peer; 14] = [
    Peer {
        name: BARE,
        from: "tower",
        setup: "drops the request and answers",
        base: BARE,
        sends_again: false,
        wire: |it| service(Bare::new(it)),
        size: Some(|| size(Bare::get())),
    },
    Peer {
        name: "a copy",
        from: "http",
        setup: "sends a copy, and what is left at the fifth attempt; decides nothing: the floor",
        base: BARE,
        sends_again: true,
        wire: copies,
        size: None,
    },
    Peer {
        name: OURS,
        from: OURS,
        setup: "the defaults, but for attempts, waits, and a reserve of a million tokens",
        base: BARE,
        sends_again: true,
        wire: |it| service(ours().layer(Bare::new(it))),
        size: Some(|| size(ours().layer(Bare::get()))),
    },
    Peer {
        name: ALONE,
        from: OURS,
        setup: "`.budget(None).gate(None).scope_by(|_, _| 0)` and a clock that stands still: what is left is the layer",
        base: BARE,
        sends_again: true,
        wire: |it| service(alone().layer(Bare::new(it))),
        size: Some(|| size(alone().layer(Bare::get()))),
    },
    Peer {
        name: "tower, as documented",
        from: "tower",
        setup: "`Retry` with the policy of its `budget` module: copies always, `TpsBudget`, again at once",
        base: BARE,
        sends_again: true,
        wire: |it| service(tower::retry::Retry::new(of_tower(), Bare::new(it))),
        size: Some(|| size(tower::retry::Retry::new(of_tower(), Bare::get()))),
    },
    Peer {
        name: "tower, with its backoff",
        from: "tower",
        setup: "the same with its `ExponentialBackoff` of 0 ms and no jitter: a timer for each retry",
        base: BARE,
        sends_again: true,
        wire: |it| service(tower::retry::Retry::new(of_tower_that_waits(), Bare::new(it))),
        size: Some(|| size(tower::retry::Retry::new(of_tower_that_waits(), Bare::get()))),
    },
    Peer {
        name: "tower, tuned",
        from: "tower",
        setup: "`Retry` with a policy of ours: copies what may be repeated, but not for the last attempt; our `Budget::shed`; \
                no timer for no wait; reads no header and computes no wait",
        base: BARE,
        sends_again: true,
        wire: |it| service(tower::retry::Retry::new(Tuned::default(), Bare::new(it))),
        size: Some(|| size(tower::retry::Retry::new(Tuned::default(), Bare::get()))),
    },
    Peer {
        name: "backon",
        from: "backon",
        setup: "`(|| send(request.clone())).retry(ExponentialBuilder).when(..)` from 0 ms; it has no budget",
        base: BARE,
        sends_again: true,
        wire: backon,
        size: Some(size_of_backon),
    },
    Peer {
        name: "gax",
        from: "google-cloud-gax",
        setup: "its hidden `retry_loop`, declared idempotent, a copy for each attempt, a backoff of none; `AdaptiveThrottler`, \
                but `CircuitBreaker` where attempts fail, which the other would refuse by chance",
        base: BARE,
        sends_again: true,
        wire: gax,
        size: Some(size_of_gax),
    },
    Peer {
        name: "tower-resilience",
        from: "tower-resilience-retry",
        setup: "`RetryLayer` with `fixed_backoff`, `retry_on_response` and a token bucket",
        base: BARE,
        sends_again: true,
        wire: |it| service(resilience().layer(Bare::new(it))),
        size: Some(|| size(resilience().layer(Bare::get()))),
    },
    Peer {
        name: "reqwest-middleware",
        from: "reqwest-middleware",
        setup: "a last middleware that answers: the base of the next",
        base: "reqwest-middleware",
        sends_again: false,
        wire: |it| stacks::reqwest(it, false),
        size: None,
    },
    Peer {
        name: "reqwest-retry",
        from: "reqwest-retry",
        setup: "`RetryTransientMiddleware::new_with_policy(ExponentialBackoff)` above it",
        base: "reqwest-middleware",
        sends_again: true,
        wire: |it| stacks::reqwest(it, true),
        size: None,
    },
    Peer {
        name: "smithy, no retries",
        from: "aws-smithy-runtime",
        setup: "`Operation` with `no_retry()` over a connector that answers: the base of the next",
        base: "smithy, no retries",
        sends_again: false,
        wire: |it| stacks::smithy(it, false),
        size: None,
    },
    Peer {
        name: "smithy, standard",
        from: "aws-smithy-runtime",
        setup: "`standard_retry` with an unlimited token bucket; its connector sends no `Retry-After`",
        base: "smithy, no retries",
        sends_again: true,
        wire: |it| stacks::smithy(it, true),
        size: None,
    },
];
