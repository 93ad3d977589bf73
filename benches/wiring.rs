//! Each way to send a request again: five attempts, no waits, and whatever budget it has, too large to run out.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use google_cloud_gax::backoff_policy::BackoffPolicy;
use google_cloud_gax::error::Error as GaxError;
use google_cloud_gax::retry_loop_internal::retry_loop;
use google_cloud_gax::retry_policy::{AlwaysRetry, RetryPolicy, RetryPolicyExt};
use google_cloud_gax::retry_state::RetryState;
use google_cloud_gax::retry_throttler::{AdaptiveThrottler, CircuitBreaker, RetryThrottler};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use retry_layer::RetryLayer;
use retry_layer::delivery::KnownErrors;
use retry_layer::replay::CloneBody;
use retry_layer::retry::{LastAnswer, With};
use retry_layer::timer::{Timer, TokioTimer};
use retry_policy::backoff::Backoff;
use retry_policy::safety::Forbidden;
use retry_policy::{Budget, Policy};
use tokio::runtime::Runtime;
use tower::Service;
use tower::retry::backoff::{ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::util::rng::HasherRng;

pub type Body = Full<Bytes>;
pub type Answer = Result<Response<Body>, Infallible>;
/// Sends them one after the other.
pub type Sender = Box<dyn FnMut(Vec<Request<Body>>) -> Pin<Box<dyn Future<Output = ()>>>>;

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// What each call is answered with, over and over.
    pub answers: &'static [u16],
    pub body_bytes: Option<usize>,
    /// The caller's mark rules out a second sending.
    pub is_forbidden: bool,
    /// Ours only, over the bare service: the most instructions, a little over what was measured, and the most
    /// allocations.
    pub limit: (u64, u64),
}

pub const GET: Scenario = Scenario {
    name: "GET",
    answers: &[200],
    body_bytes: None,
    is_forbidden: false,
    limit: (2_600, 5),
};

pub const SCENARIOS: [Scenario; 7] = [
    GET,
    Scenario { name: "POST 1 KiB", body_bytes: Some(1 << 10), limit: (3_050, 6), ..GET },
    Scenario { name: "POST 1 MiB", body_bytes: Some(1 << 20), limit: (2_850, 5), ..GET },
    Scenario { name: "GET, ruled out", is_forbidden: true, limit: (830, 0), ..GET },
    Scenario { name: "503, 200", answers: &[503, 200], limit: (7_200, 11), ..GET },
    Scenario { name: "429, 200", answers: &[429, 200], limit: (7_450, 11), ..GET },
    Scenario { name: "503 five times", answers: &[503; 5], limit: (12_400, 15), ..GET },
];

/// At most so many.
const ATTEMPTS: usize = 5;

/// A runtime whose waits take no time.
pub fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().expect("a runtime")
}

/// A request with five headers, two of them made at run time.
pub fn request(body_bytes: Option<usize>, is_forbidden: bool) -> Request<Body> {
    // A small body is made for its request, a large one is shared.
    static LARGE: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![7; 1 << 20]));
    let body = match body_bytes {
        None => Bytes::new(),
        Some(bytes) if bytes == LARGE.len() => LARGE.clone(),
        Some(bytes) => Bytes::from(vec![7; bytes]),
    };
    let mut request = Request::new(Body::new(body));
    *request.uri_mut() = Uri::from_static("http://api.example/items?limit=100");
    if body_bytes.is_some() {
        *request.method_mut() = Method::POST;
    }
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static("bench"));
    let fresh = |text: &str| HeaderValue::from_maybe_shared(Bytes::from(text.to_owned()));
    headers.insert(AUTHORIZATION, fresh("Bearer of a token of some length").expect("a header"));
    let id = HeaderName::from_static("x-request-id");
    headers.insert(id, fresh("7d1f2b1c-5a86-4d1e-9a38").expect("a header"));
    if is_forbidden {
        request.extensions_mut().insert(Forbidden::new());
    }
    request
}

/// How often the bare service was called.
pub static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Drops the request and answers by script.
#[derive(Clone, Debug)]
pub struct Bare {
    answers: &'static [u16],
}

impl Bare {
    pub fn new(scenario: Scenario) -> Self {
        Self { answers: scenario.answers }
    }

    pub fn get() -> Self {
        Self::new(GET)
    }
}

impl Service<Request<Body>> for Bare {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let call = CALLS.fetch_add(1, Relaxed);
        let status = StatusCode::from_u16(self.answers[call % self.answers.len()]);
        let mut response = Response::new(Body::default());
        *response.status_mut() = status.expect("a status");
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert("retry-after", HeaderValue::from_static("0"));
        }
        ready(Ok(response))
    }
}

/// Copies what is sent, up to the last attempt, and decides nothing: it knows how often it will be called.
pub fn copies(scenario: Scenario) -> Sender {
    let bare = Bare::new(scenario);
    Box::new(move |requests| {
        let mut bare = bare.clone();
        Box::pin(async move {
            for request in requests {
                let mut request = Some(request);
                for call in 1..=scenario.answers.len() {
                    let sent = if call < ATTEMPTS { request.clone() } else { request.take() };
                    let _ = black_box(bare.call(sent.expect("one is left")).await);
                }
            }
        })
    })
}

/// Sends through a service.
pub fn service<S>(service: S) -> Sender
where
    S: Service<Request<Body>> + Clone + 'static,
{
    Box::new(move |requests| {
        let mut service = service.clone();
        Box::pin(async move {
            for request in requests {
                let _ = black_box(service.call(request).await);
            }
        })
    })
}

pub fn size<S: Service<Request<Body>>>(mut service: S) -> usize {
    let runtime = runtime();
    let _entered = runtime.enter();
    size_of_val(&service.call(request(None, false)))
}

fn has_failed(answer: &Answer) -> bool {
    let answer = answer.as_ref().expect("it is never an error");
    answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS
}

type Ours<T> = RetryLayer<With<CloneBody, LastAnswer, KnownErrors, T>>;

fn policy() -> Policy {
    let none = Backoff::constant(Duration::ZERO);
    let policy = Policy::builder().max_attempts(NonZeroU32::new(5).expect("five"));
    policy.backoff(none).throttled(none).build().expect("a policy")
}

/// The default policy, but for attempts and waits.
pub fn ours() -> Ours<TokioTimer> {
    RetryLayer::new(policy()).budget(Budget::shed().with_reserve(1_000_000).expect("tokens"))
}

/// The layer without what it shares and looks up.
pub fn alone() -> Ours<Still> {
    RetryLayer::with_timer(policy(), Still).budget(None).gate(None).scope_by(|_, _| 0)
}

/// A clock that stands still.
#[derive(Clone, Copy, Debug)]
pub struct Still;

impl Timer for Still {
    type Instant = ();
    type Sleep = Ready<()>;

    fn now(&self) {}

    fn since(&self, (): ()) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Ready<()> {
        ready(())
    }
}

/// The policy of tower's documentation, of its `budget` module: it copies each request.
#[derive(Clone)]
pub struct OfTower<B> {
    attempts_left: usize,
    budget: Arc<TpsBudget>,
    backoff: B,
}

impl<B> OfTower<B> {
    fn new(backoff: B) -> Self {
        let budget = TpsBudget::new(Duration::from_secs(10), 1_000_000, 0.2);
        Self { attempts_left: ATTEMPTS - 1, budget: Arc::new(budget), backoff }
    }
}

/// It sends again at once, as all of the documentation's policies.
pub fn of_tower() -> OfTower<NoWait> {
    OfTower::new(NoWait)
}

/// With tower's own backoff, which always makes a timer.
pub fn of_tower_that_waits() -> OfTower<ExponentialBackoff> {
    let (zero, random) = (Duration::ZERO, HasherRng::default());
    let maker = ExponentialBackoffMaker::new(zero, Duration::from_nanos(1), 0.0, random);
    OfTower::new(maker.expect("tower's bounds").make_backoff())
}

/// A backoff that makes no timer.
#[derive(Clone)]
pub struct NoWait;

impl tower::retry::backoff::Backoff for NoWait {
    type Future = Ready<()>;

    fn next_backoff(&mut self) -> Ready<()> {
        ready(())
    }
}

impl<B> tower::retry::Policy<Request<Body>, Response<Body>, Infallible> for OfTower<B>
where
    B: tower::retry::backoff::Backoff,
{
    type Future = B::Future;

    fn retry(&mut self, _: &mut Request<Body>, answer: &mut Answer) -> Option<B::Future> {
        if !has_failed(answer) {
            self.budget.deposit();
            return None;
        }
        self.attempts_left = self.attempts_left.checked_sub(1)?;
        self.budget.withdraw().then(|| self.backoff.next_backoff())
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

/// What a policy for tower's retry can do: it copies what may be repeated, but not for the last attempt, makes no timer for
/// no wait, and looks at its budget without a lock.
#[derive(Clone)]
pub struct Tuned {
    attempts: usize,
    budget: Arc<Budget>,
}

impl Default for Tuned {
    fn default() -> Self {
        let budget = Budget::shed().with_reserve(1_000_000).expect("tokens");
        Self { attempts: 0, budget: Arc::new(budget) }
    }
}

impl tower::retry::Policy<Request<Body>, Response<Body>, Infallible> for Tuned {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<Body>, answer: &mut Answer) -> Option<Ready<()>> {
        if !has_failed(answer) {
            self.budget.end(retry_policy::Decision::Return, None);
            return None;
        }
        self.attempts += 1;
        let _paid = self.budget.take(retry_policy::Class::Server, Duration::ZERO).ok()?;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        let is_kept = self.attempts < ATTEMPTS - 1
            && request.method().is_idempotent()
            && request.extensions().get::<Forbidden>().is_none();
        is_kept.then(|| request.clone())
    }
}

/// A failure as an error, for those who only repeat after one. Its box allocates nothing.
#[derive(Debug)]
pub struct Failed;

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

/// `(|| send(request.clone())).retry(..).when(..)`
fn backs_on(bare: &Bare, request: Request<Body>) -> impl Future<Output = Result<Answer, Failed>> {
    let bare = bare.clone();
    let send = move || {
        let (mut bare, request) = (bare.clone(), request.clone());
        async move {
            let answer = bare.call(request).await;
            if has_failed(&answer) { Err(Failed) } else { Ok(answer) }
        }
    };
    let waits = ExponentialBuilder::default().with_min_delay(Duration::ZERO);
    send.retry(waits.with_max_times(ATTEMPTS - 1)).when(|_| true)
}

pub fn backon(scenario: Scenario) -> Sender {
    let bare = Bare::new(scenario);
    Box::new(move |requests| {
        let bare = bare.clone();
        Box::pin(async move {
            for request in requests {
                let _ = black_box(backs_on(&bare, request).await);
            }
        })
    })
}

pub fn size_of_backon() -> usize {
    size_of_val(&backs_on(&Bare::get(), request(None, false)))
}

#[derive(Debug)]
struct AtOnce;

impl BackoffPolicy for AtOnce {
    fn on_failure(&self, _: &RetryState) -> Duration {
        Duration::ZERO
    }
}

/// What the requests of one of Google's clients share.
#[derive(Clone)]
struct OfGoogle {
    bare: Bare,
    throttler: Arc<Mutex<dyn RetryThrottler>>,
    policy: Arc<dyn RetryPolicy>,
    backoff: Arc<dyn BackoffPolicy>,
}

impl OfGoogle {
    fn new(scenario: Scenario) -> Self {
        // Its default refuses some retries by chance where most fail.
        let throttler: Arc<Mutex<dyn RetryThrottler>> = if scenario.answers.len() == 1 {
            Arc::new(Mutex::new(AdaptiveThrottler::default()))
        } else {
            Arc::new(Mutex::new(CircuitBreaker::new(1_000_000, 0, 1).expect("a breaker")))
        };
        let policy = Arc::new(AlwaysRetry.with_attempt_limit(5));
        Self { bare: Bare::new(scenario), throttler, policy, backoff: Arc::new(AtOnce) }
    }

    /// The loop that Google's clients share.
    fn send(&self, request: Request<Body>) -> impl Future<Output = Result<Answer, GaxError>> {
        let Self { bare, throttler, policy, backoff } = self.clone();
        let send = async move |_: Option<Duration>| {
            let answer = bare.clone().call(request.clone()).await;
            if has_failed(&answer) { Err(GaxError::io(Failed)) } else { Ok(answer) }
        };
        let sleep = async |wait| tokio::time::sleep(wait).await;
        retry_loop(send, sleep, true, throttler, policy, backoff)
    }
}

pub fn gax(scenario: Scenario) -> Sender {
    let client = OfGoogle::new(scenario);
    Box::new(move |requests| {
        let client = client.clone();
        Box::pin(async move {
            for request in requests {
                let _ = black_box(client.send(request).await);
            }
        })
    })
}

pub fn size_of_gax() -> usize {
    size_of_val(&OfGoogle::new(GET).send(request(None, false)))
}

pub fn resilience() -> tower_resilience_retry::RetryLayer<Request<Body>, Response<Body>, Infallible>
{
    let budget = tower_resilience_retry::RetryBudgetBuilder::new().token_bucket();
    let budget = budget.max_tokens(1_000_000).initial_tokens(1_000_000).build();
    tower_resilience_retry::RetryLayer::builder()
        .max_attempts(5)
        .fixed_backoff(Duration::ZERO)
        .retry_on_response(|answer: &Response<Body>| {
            answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS
        })
        .budget(budget.expect("a budget"))
        .build()
}
