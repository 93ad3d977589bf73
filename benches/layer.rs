//! What the layer costs over the bare service, in instructions and allocations, which repeat exactly.
//!
//! Run: `cargo bench -p benches --bench layer` (needs valgrind). It runs itself under callgrind, once for each
//! scenario, and fails if one is dearer than its limit. Requests carry 5 headers, 2 of them made at run
//! time; waits are zero; the bare service makes as many calls, each with a request made before.

use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use benches::{argument, counts, measured};
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::Full;
use retry_layer::RetryLayer;
use retry_layer::delivery::KnownErrors;
use retry_layer::replay::CloneBody;
use retry_layer::retry::{LastAnswer, With};
use retry_layer::timer::TokioTimer;
use retry_policy::backoff::Backoff;
use retry_policy::safety::Forbidden;
use retry_policy::{Budget, Policy};
use tower::{Layer, Service};

/// How many requests are sent in one scenario.
const REQUESTS: u64 = 256;

/// Scenario, calls of the service for each request; instructions and allocations over the bare service:
/// the project's target, and the limit above which this fails, a little over what was measured.
const SCENARIOS: [(&str, u64, u64, u64, u64); 5] = [
    ("GET", 1, 2_100, 2_630, 5),
    ("ruled out beforehand", 1, 450, 850, 0),
    ("503, then 200", 2, 2_700, 6_600, 11),
    ("five attempts exhausted", 5, 3_200, 13_200, 15),
    ("POST", 1, 2_100, 3_100, 6),
];

type Body = Full<Bytes>;
type Answer = Result<Response<Body>, std::convert::Infallible>;

/// Drops the request and answers at once, by its own count of calls.
#[derive(Clone)]
struct Bare {
    calls: Arc<AtomicU64>,
    status: fn(u64) -> u16,
}

impl Service<Request<Body>> for Bare {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let call = self.calls.fetch_add(1, Relaxed);
        let mut response = Response::new(Body::default());
        *response.status_mut() = http::StatusCode::from_u16((self.status)(call)).expect("a status");
        ready(Ok(response))
    }
}

fn request(scenario: &str) -> Request<Body> {
    let body = if scenario == "POST" { Bytes::from(vec![7; 1024]) } else { Bytes::new() };
    let mut request = Request::new(Body::new(body));
    *request.uri_mut() = http::Uri::from_static("http://api.example/items?limit=100");
    if scenario == "POST" {
        *request.method_mut() = Method::POST;
    }
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static("bench"));
    let fresh = |text: &str| HeaderValue::from_maybe_shared(Bytes::from(text.to_owned()));
    headers.insert(AUTHORIZATION, fresh("Bearer of a token of some length").expect("a header"));
    let id = http::HeaderName::from_static("x-request-id");
    headers.insert(id, fresh("7d1f2b1c-5a86-4d1e-9a38").expect("a header"));
    if scenario == "ruled out beforehand" {
        request.extensions_mut().insert(Forbidden::new());
    }
    request
}

fn status(scenario: &str) -> fn(u64) -> u16 {
    match scenario {
        "503, then 200" => |call| if call % 2 == 0 { 503 } else { 200 },
        "five attempts exhausted" => |_| 503,
        _ => |_| 200,
    }
}

fn main() -> ExitCode {
    if let Some(scenario) = argument("scenario") {
        run(&scenario, argument("calls").map_or(0, |calls| calls.parse().expect("a number")));
        return ExitCode::SUCCESS;
    }
    println!("| over the bare service | instructions | target | limit | allocations | limit |");
    println!("| --- | --: | --: | --: | --: | --: |");
    let mut is_within = true;
    for (scenario, calls, target, most, most_allocations) in SCENARIOS {
        let [layer, bare] = [0, calls]
            .map(|calls| counts(&[format!("--scenario={scenario}"), format!("--calls={calls}")]));
        let each = |layer: u64, bare| (layer.saturating_sub(bare) + REQUESTS / 2) / REQUESTS;
        let instructions = each(layer.instructions, bare.instructions);
        let allocations = each(layer.allocations, bare.allocations);
        print!("| {scenario} | {instructions} | {target} | {most} |");
        println!(" {allocations} | {most_allocations} |");
        is_within &= instructions <= most && allocations <= most_allocations;
    }
    let (size, inner) = sizes();
    println!("\nfuture: {size} bytes around one of {inner}");
    let (control, ours) = (scaling(false), scaling(true));
    println!("two threads: {ours:.2} times one, where the bare service has {control:.2}");
    println!("a retry without delay: {:?}", zero_delay());
    if is_within && size <= inner + 56 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// No budget that could run out, no wait.
fn layer() -> RetryLayer<With<CloneBody, LastAnswer, KnownErrors, TokioTimer>> {
    let attempts = NonZeroU32::new(5).expect("five is not zero");
    let none = Backoff::constant(Duration::ZERO);
    let policy = Policy::builder().max_attempts(attempts).backoff(none).throttled(none);
    let budget = Budget::shed().with_reserve(1_000_000).expect("within the bounds");
    RetryLayer::new(policy.build().expect("five attempts are allowed")).budget(budget)
}

fn bare(scenario: &str) -> Bare {
    Bare { calls: Arc::default(), status: status(scenario) }
}

/// All requests of a scenario through the layer, or with `calls` so many for each through the bare service.
fn run(scenario: &str, calls: u64) {
    let count = REQUESTS * calls.max(1);
    let requests: Vec<_> = (0..count).map(|_| request(scenario)).collect();
    let bare = bare(scenario);
    let seen = Arc::clone(&bare.calls);
    if calls > 0 {
        send(bare, requests);
    } else {
        send(layer().layer(bare), requests);
    }
    let expected = SCENARIOS.iter().find(|it| it.0 == scenario).expect("a scenario").1;
    assert_eq!(seen.load(Relaxed), REQUESTS * expected, "calls of the service");
}

/// Sends them one after the other.
fn send<S>(mut service: S, requests: Vec<Request<Body>>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = std::convert::Infallible>,
{
    let mut cx = Context::from_waker(Waker::noop());
    measured(|| {
        for request in requests {
            let mut call = pin!(service.call(request));
            // Nothing in here waits.
            assert!(black_box(call.as_mut().poll(&mut cx)).is_ready());
        }
        service
    });
}

/// The size of the layer's future, and of the one inside.
fn sizes() -> (usize, usize) {
    let (mut bare, mut layered) = (bare("GET"), layer().layer(bare("GET")));
    (size_of_val(&layered.call(request("GET"))), size_of_val(&bare.call(request("GET"))))
}

/// How much more two threads do than one, best of several rounds.
fn scaling(layered: bool) -> f64 {
    let once = |threads: usize| {
        let layer = layer();
        let until = Instant::now() + Duration::from_millis(150);
        let count = || {
            // What is shared is the layer's, not the count of the bare service.
            let (mut bare, mut service) = (bare("GET"), layer.layer(bare("GET")));
            let mut done = 0_u64;
            let mut cx = Context::from_waker(Waker::noop());
            while Instant::now() < until {
                for _ in 0..100 {
                    let request = request("GET");
                    let is_ready = if layered {
                        pin!(service.call(request)).poll(&mut cx).is_ready()
                    } else {
                        pin!(bare.call(request)).poll(&mut cx).is_ready()
                    };
                    assert!(is_ready);
                    done += 1;
                }
            }
            done
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it ends")).sum::<u64>()
        })
    };
    let best = |threads| (0..9).map(|_| once(threads)).max().unwrap_or(0) as f64;
    best(2) / best(1)
}

/// How long a retry takes that has nothing to wait for, on a running clock: the mean of 200.
fn zero_delay() -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let mut service = layer().layer(bare("503, then 200"));
    runtime.expect("a runtime").block_on(async {
        let began = Instant::now();
        for _ in 0..200 {
            let _ = service.call(request("GET")).await;
        }
        began.elapsed() / 200
    })
}
