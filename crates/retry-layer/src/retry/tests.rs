//! The layer on a paused clock: exact waits, exact calls, and what a dropped future gives back.

mod contract;
mod credentials;
mod discarded;
mod pauses;
mod together;
mod told;

use core::convert::Infallible;
use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Full, StreamBody};
use retry_policy::attempts::Record;
use retry_policy::backoff::Backoff;
use retry_policy::hint::Source;
use retry_policy::jitter::Jitter;
use retry_policy::safety::Shrinkable;
use retry_policy::{Attempts, Budget, Decision, Delivery, Policy, StopReason, Stopped};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::collect::{CollectError, CollectLayer};
use crate::replay::{SendOnce, TryClone};
use crate::{BoxError, Credential, Event, Key};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Waits of exactly 1, 2, 4, … s.
fn policy(attempts: u32) -> retry_policy::policy::Builder {
    let backoff = Backoff::exponential(secs(1), secs(1 << 20)).unwrap();
    let attempts = NonZeroU32::new(attempts).unwrap();
    Policy::builder()
        .max_attempts(attempts)
        .backoff(backoff)
        .throttled(backoff)
        .jitter(Jitter::None)
}

/// What a scripted service does with one call.
#[derive(Clone, Copy)]
enum Scripted {
    Status(u16),
    RetryAfter(u16, &'static str),
    Hang,
    Slow(u16, Duration),
    SlowRetryAfter(u16, &'static str, Duration),
}

use Scripted::{Hang, RetryAfter, Slow, SlowRetryAfter, Status};

/// When each call arrived, and with which body and key.
type Calls = Arc<Mutex<Vec<(Duration, String, Option<String>)>>>;

/// A service that answers by script and then with 200.
fn scripted(
    script: &[Scripted],
) -> (
    Calls,
    impl Service<Request<String>, Response = Response<String>, Error = BoxError, Future: Send>
    + Clone
    + use<>,
) {
    let calls = Calls::default();
    let began = Instant::now();
    let script = Arc::new(Mutex::new(std::collections::VecDeque::from(script.to_vec())));
    let seen = Arc::clone(&calls);
    let service = service_fn(move |request: Request<String>| {
        let key = request.headers().get("x-api-key").map(|key| key.to_str().unwrap().to_owned());
        seen.lock().unwrap().push((began.elapsed(), request.into_body(), key));
        let answer = script.lock().unwrap().pop_front().unwrap_or(Status(200));
        async move {
            let mut response = Response::builder();
            let status = match answer {
                Status(status) => status,
                RetryAfter(status, value) => {
                    response = response.header("retry-after", value);
                    status
                }
                Hang => core::future::pending().await,
                Slow(status, after) => {
                    tokio::time::sleep(after).await;
                    status
                }
                SlowRetryAfter(status, value, after) => {
                    tokio::time::sleep(after).await;
                    response = response.header("retry-after", value);
                    status
                }
            };
            Ok::<_, BoxError>(response.status(status).body(String::new()).unwrap())
        }
    });
    (calls, service)
}

fn times(calls: &Calls) -> Vec<u64> {
    calls.lock().unwrap().iter().map(|(at, ..)| at.as_secs()).collect()
}

fn get() -> Request<String> {
    Request::new("body".to_owned())
}

fn post() -> Request<String> {
    Request::post("/").body("body".to_owned()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn waits_as_the_policy_says_and_sends_the_same_body_again() {
    let (calls, service) = scripted(&[Status(503), Status(500), Status(429)]);
    let layer = RetryLayer::new(policy(5).build().unwrap());
    let response = layer.layer(service).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(times(&calls), [0, 1, 3, 7]);
    assert!(calls.lock().unwrap().iter().all(|(_, body, _)| body == "body"));
    assert_eq!(
        Attempts::of(&response).to_string(),
        "4 attempts: 503 (waited 1 s), 500 (waited 2 s), 429 (waited 4 s), 200; \
         an earlier attempt may have been applied"
    );
}

#[tokio::test(start_paused = true)]
async fn a_first_success_is_passed_on_as_it_is() {
    let (calls, service) = scripted(&[]);
    let layer = RetryLayer::new(Policy::default());
    let response = layer.layer(service).oneshot(get()).await.unwrap();
    assert!(response.extensions().get::<Attempts>().is_none());
    assert_eq!(Attempts::of(&response).count(), 1);
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn waits_exactly_as_long_as_the_server_asks_if_that_is_longer() {
    let (calls, service) = scripted(&[RetryAfter(429, "30"), RetryAfter(503, "1")]);
    let layer = RetryLayer::new(policy(5).build().unwrap());
    layer.layer(service).oneshot(get()).await.unwrap();
    assert_eq!(times(&calls), [0, 30, 32]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_attempts_and_waits_and_the_next_attempt_gets_what_is_left() {
    let (calls, service) = scripted(&[Slow(503, secs(3)), Hang]);
    let policy = policy(9).deadline(secs(10)).build().unwrap();
    let layer = RetryLayer::new(policy).attempt_timeout(secs(60));
    let began = Instant::now();
    let error = layer.layer(service).oneshot(get()).await.unwrap_err();
    assert_eq!(times(&calls), [0, 4]);
    assert_eq!(began.elapsed(), secs(10));
    let stopped = error.downcast_ref::<Stopped>().unwrap();
    assert_eq!(
        stopped.attempts().stop_reason(),
        Some(StopReason::Deadline { wait: Duration::ZERO })
    );
}

#[tokio::test(start_paused = true)]
async fn a_plain_layer_never_cuts_an_attempt_off() {
    let (calls, service) = scripted(&[Slow(200, secs(3600))]);
    let layer = RetryLayer::new(policy(9).deadline(secs(1)).build().unwrap());
    let response = layer.layer(service).oneshot(get()).await.unwrap();
    assert_eq!((response.status().as_u16(), calls.lock().unwrap().len()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn returns_the_last_response_when_the_budget_is_empty() {
    let (calls, service) = scripted(&[Status(503); 64]);
    // All in one moment, before a probe is due.
    let at_once = policy(8).backoff(Backoff::constant(Duration::ZERO)).build().unwrap();
    let service = RetryLayer::new(at_once).layer(service);
    service.clone().oneshot(get()).await.unwrap();
    let response = service.oneshot(get()).await.unwrap();
    // Seven retries, then the three tokens that are left.
    assert_eq!(calls.lock().unwrap().len(), 8 + 4);
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::Budget));
    assert_eq!(response.status(), 503);
}

/// Waits of 100 ms, and one token that is soon spent.
fn paced(attempts: u32) -> (retry_policy::policy::Builder, Budget) {
    let backoff = Backoff::constant(Duration::from_millis(100));
    (policy(attempts).backoff(backoff), Budget::pace().with_reserve(1).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_paced_retry_waits_for_its_token_after_its_backoff() {
    let (policy, budget) = paced(5);
    let (calls, service) = scripted(&[Status(503), Status(503), Status(503)]);
    let service = RetryLayer::new(policy.build().unwrap()).budget(budget).layer(service);
    let response = service.oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 200);
    // The token, then the probes 1 s after the bucket became empty and 2 s after that.
    let times: Vec<_> = calls.lock().unwrap().iter().map(|(at, ..)| at.as_millis()).collect();
    assert_eq!(times, [0, 100, 1100, 3100]);
    assert_eq!(Attempts::of(&response).total_wait(), Duration::from_millis(3100));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_come_before_the_deadline_ends_the_request_with_its_last_answer() {
    let (policy, budget) = paced(5);
    let (calls, service) = scripted(&[Status(503), Status(503)]);
    let policy = policy.deadline(secs(1)).build().unwrap();
    let service = RetryLayer::new(policy).budget(budget).layer(service);
    let began = Instant::now();
    let response = service.clone().oneshot(get()).await.unwrap();
    assert_eq!((response.status().as_u16(), calls.lock().unwrap().len()), (503, 2));
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::Budget));
    assert_eq!((began.elapsed(), service.origin(&get()).waiting), (secs(1), 0));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_would_be_cut_off_leaves_its_token_to_another_in_time() {
    const SLOW: Scripted = Slow(503, Duration::from_millis(400));
    let (policy, budget) = paced(5);
    let layer = RetryLayer::new(policy.deadline(Duration::from_millis(1800)).build().unwrap());
    // Two attempts of 400 ms and two waits of 100 ms; the next token is a probe at 1.5 s.
    let (_, service) = scripted(&[SLOW, SLOW]);
    let cut_off = layer.clone().budget(budget.fresh()).cut_off().layer(service);
    let began = Instant::now();
    let response = cut_off.oneshot(get()).await.unwrap();
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::Budget));
    // Before its deadline, by as much as an attempt takes.
    assert_eq!((response.status().as_u16(), began.elapsed().as_millis()), (503, 1400));
    let (_, service) = scripted(&[SLOW, SLOW]);
    let plain = layer.budget(budget).layer(service);
    let began = Instant::now();
    assert_eq!(plain.oneshot(get()).await.unwrap().status(), 200);
    assert_eq!(began.elapsed().as_millis(), 1500);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_never_left_costs_no_token() {
    let failing = service_fn(|_: Request<String>| async { Err::<Response<String>, _>(()) });
    let service = RetryLayer::new(policy(4).build().unwrap())
        .delivery(|(): &()| Delivery::NotSent)
        .layer(failing);
    service.clone().oneshot(get()).await.unwrap_err();
    assert_eq!(service.origin(&get()).tokens, Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_in_its_wait_gives_its_token_back_and_is_not_sent() {
    let (calls, service) = scripted(&[Status(503), Status(503)]);
    let service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
    let record = Record::new();
    let mut request = get();
    request.extensions_mut().insert(record.clone());
    let mut call = Box::pin(service.clone().oneshot(request));
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut call).await.is_err());
    assert_eq!(service.origin(&get()).tokens, Some(9), "it is taken before the wait");
    drop(call);
    assert_eq!(service.origin(&get()).tokens, Some(10), "and given back");
    tokio::time::sleep(secs(60)).await;
    assert_eq!(calls.lock().unwrap().len(), 1);
    assert_eq!(
        record.attempts().unwrap().to_string(),
        "1 attempt: 503 (waited 1 s); cancelled by the caller"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unsafe_request_is_repeated_only_where_it_was_not_processed() {
    for (status, sent) in [(503, 1), (500, 1), (408, 1), (409, 1), (429, 2), (425, 2), (421, 2)] {
        let (calls, service) = scripted(&[Status(status)]);
        let layer = RetryLayer::new(policy(5).build().unwrap());
        layer.layer(service).oneshot(post()).await.unwrap();
        assert_eq!(calls.lock().unwrap().len(), sent, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_kept_is_sent_once() {
    let (calls, service) = scripted(&[Status(503)]);
    let layer = RetryLayer::new(policy(5).build().unwrap()).replay(SendOnce);
    let response = layer.layer(service.clone()).oneshot(get()).await.unwrap();
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::BodyNotKept));
    assert_eq!(calls.lock().unwrap().len(), 1);
    // A copy that cannot be had a second time is the same.
    let (calls, service) = scripted(&[Status(503), Status(503)]);
    let copies = Arc::new(Mutex::new(2));
    let layer = RetryLayer::new(policy(5).build().unwrap()).budget(None).replay(TryClone::new(
        move |body: &String| {
            let mut copies = copies.lock().unwrap();
            *copies -= 1;
            (*copies >= 0).then(|| body.clone())
        },
    ));
    let response = layer.layer(service).oneshot(get()).await.unwrap();
    assert_eq!((response.status().as_u16(), calls.lock().unwrap().len()), (503, 2));
}

#[tokio::test(start_paused = true)]
async fn a_401_is_answered_with_a_fresh_key_at_once_and_only_once() {
    let path = std::env::temp_dir().join(format!("retry-layer-fresh-{}", std::process::id()));
    std::fs::write(&path, "old").unwrap();
    let key = Credential::api_key(Key::file(&path)).unwrap();
    std::fs::write(&path, "new").unwrap();
    let (calls, service) = scripted(&[Status(401), Status(401)]);
    let layer = RetryLayer::new(policy(5).build().unwrap()).credential(key);
    let response = layer.layer(service).oneshot(post()).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::CredentialRefused));
    let keys: Vec<_> = calls.lock().unwrap().iter().map(|(_, _, key)| key.clone()).collect();
    assert_eq!(keys, [Some("old".to_owned()), Some("new".to_owned())]);
    assert_eq!(times(&calls), [0, 0]);
    // A success after a refresh took no token and gets none back: it is an ordinary success, which finds
    // the bucket as full as it was.
    std::fs::write(&path, "newer").unwrap();
    let (_, service) = scripted(&[Status(401)]);
    let service = layer.layer(service);
    let response = service.clone().oneshot(post()).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(service.origin(&post()).tokens, Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_shrinkable_request_waits_and_hands_its_answer_back() {
    let (calls, service) = scripted(&[Status(504)]);
    let layer = RetryLayer::new(policy(5).build().unwrap());
    let mut request = get();
    request.extensions_mut().insert(Shrinkable::new());
    let began = Instant::now();
    let response = layer.layer(service).oneshot(request).await.unwrap();
    assert_eq!((response.status().as_u16(), calls.lock().unwrap().len()), (504, 1));
    assert_eq!(began.elapsed(), secs(1));
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::Shrink));
}

#[tokio::test(start_paused = true)]
async fn the_observer_hears_of_every_attempt() {
    let (_, service) = scripted(&[Status(503), Status(200)]);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&heard);
    let layer = RetryLayer::new(policy(5).build().unwrap()).observe(crate::observe::on_attempt(
        move |event| {
            tell.lock().unwrap().push((event.attempt, event.delivery, event.decision));
        },
    ));
    layer.layer(service).oneshot(get()).await.unwrap();
    let retry = Decision::Retry { after: secs(1), source: Source::Backoff };
    assert_eq!(
        *heard.lock().unwrap(),
        [(1, Delivery::Answered(503), retry), (2, Delivery::Answered(200), Decision::Return)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_waits_until_the_service_is_ready_again() {
    /// Ready for one call a minute.
    #[derive(Clone)]
    struct OneAMinute(Arc<Mutex<(u32, Option<Instant>)>>);
    impl Service<Request<String>> for OneAMinute {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = core::future::Ready<Result<Response<String>, Infallible>>;
        fn poll_ready(&mut self, cx: &mut core::task::Context<'_>) -> Poll<Result<(), Infallible>> {
            let next = self.0.lock().unwrap().1;
            match next {
                Some(at) if at > Instant::now() => {
                    let waker = cx.waker().clone();
                    tokio::spawn(async move {
                        tokio::time::sleep_until(at).await;
                        waker.wake();
                    });
                    Poll::Pending
                }
                _ => Poll::Ready(Ok(())),
            }
        }
        fn call(&mut self, _: Request<String>) -> Self::Future {
            let mut state = self.0.lock().unwrap();
            assert!(state.1.is_none_or(|at| at <= Instant::now()), "called before it was ready");
            state.0 += 1;
            state.1 = Some(Instant::now() + secs(60));
            let status = if state.0 == 1 { 503 } else { 200 };
            core::future::ready(Ok(Response::builder().status(status).body(String::new()).unwrap()))
        }
    }
    let began = Instant::now();
    let service = OneAMinute(Arc::default());
    let layer = RetryLayer::new(policy(5).build().unwrap());
    layer.layer(service).oneshot(get()).await.unwrap();
    assert_eq!(began.elapsed(), secs(60));
}

/// A client whose error is anything: no bound on it, and no `Send`.
#[tokio::test(start_paused = true)]
async fn any_error_type_will_do_and_the_caller_may_read_it() {
    struct NoError;
    let calls = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = std::rc::Rc::clone(&calls);
    let service = service_fn(move |_: Request<String>| {
        count.set(count.get() + 1);
        async { Err::<Response<String>, _>(NoError) }
    });
    let unknown = RetryLayer::new(policy(5).build().unwrap());
    assert!(unknown.layer(service.clone()).oneshot(post()).await.is_err());
    assert_eq!(calls.take(), 1, "its fate is unknown");
    let not_sent = unknown.delivery(|_: &NoError| Delivery::NotSent);
    assert!(not_sent.layer(service).oneshot(post()).await.is_err());
    assert_eq!(calls.get(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_body_above_the_limit_is_an_error_and_no_second_request() {
    for (size, is_fine) in [(1024, true), (1025, false)] {
        let calls = Arc::new(Mutex::new(0));
        let count = Arc::clone(&calls);
        let service = service_fn(move |_: Request<String>| {
            *count.lock().unwrap() += 1;
            let body = Full::new(Bytes::from(vec![0; size]));
            async move { Ok::<_, BoxError>(Response::new(body)) }
        });
        let limit = core::num::NonZeroUsize::new(1024).unwrap();
        let collect = CollectLayer::new().limit(limit).layer(service);
        let layer = RetryLayer::new(policy(5).build().unwrap());
        let answer = layer.layer(collect).oneshot(get()).await;
        assert_eq!(answer.is_ok(), is_fine, "{size}");
        if let Err(error) = answer {
            assert!(matches!(error.downcast_ref(), Some(CollectError::TooLarge { limit: 1024 })));
        }
        assert_eq!(*calls.lock().unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_body_is_cut_short_still_says_what_it_means() {
    for (status, attempts, waited) in [(429, 2, 7), (503, 2, 7), (400, 1, 0), (200, 2, 1)] {
        let calls = Arc::new(Mutex::new(0));
        let service = service_fn(move |_: Request<String>| {
            *calls.lock().unwrap() += 1;
            let is_first = *calls.lock().unwrap() == 1;
            let end = is_first.then_some(Err(BoxError::from("cut")));
            let half = Ok(http_body::Frame::data(Bytes::from_static(b"half")));
            let body = StreamBody::new(futures_util::stream::iter([half].into_iter().chain(end)));
            let answer = Response::builder().status(if is_first { status } else { 200 });
            let answer = if status == 200 { answer } else { answer.header("retry-after", "7") };
            async move { Ok::<_, BoxError>(answer.body(body).unwrap()) }
        });
        let began = Instant::now();
        let layer = RetryLayer::new(policy(5).build().unwrap());
        let answer = layer.layer(CollectLayer::new().layer(service)).oneshot(get()).await.unwrap();
        assert_eq!(answer.body().bytes(), "half", "{status}: what had come, or all of it");
        let seen = (Attempts::of(&answer).count(), began.elapsed());
        assert_eq!(seen, (attempts, secs(waited)), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_body_never_ends_still_says_what_it_means() {
    // The attempt is cut off after 5 s; what follows is what the head says, or a timeout's backoff of 1 s.
    for (status, attempts, elapsed) in [(429, 2, 5 + 60), (400, 1, 5), (200, 2, 5 + 1)] {
        let calls = Arc::new(Mutex::new(0));
        let service = service_fn(move |_: Request<String>| {
            *calls.lock().unwrap() += 1;
            let is_first = *calls.lock().unwrap() == 1;
            let half = Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(b"half")));
            let half = futures_util::stream::iter([half]);
            let end = futures_util::stream::poll_fn(move |_| {
                if is_first { Poll::Pending } else { Poll::Ready(None) }
            });
            let body = StreamBody::new(futures_util::StreamExt::chain(half, end));
            let answer = Response::builder().status(if is_first { status } else { 200 });
            let answer = if status == 200 { answer } else { answer.header("retry-after", "60") };
            async move { Ok::<_, BoxError>(answer.body(body).unwrap()) }
        });
        let began = Instant::now();
        let layer = RetryLayer::new(policy(5).build().unwrap()).attempt_timeout(secs(5));
        let collect = CollectLayer::new().layer(service);
        let answer = layer.layer(collect).oneshot(get()).await.unwrap();
        assert_eq!(answer.body().bytes(), "half", "{status}");
        let seen = (Attempts::of(&answer).count(), began.elapsed());
        assert_eq!(seen, (attempts, secs(elapsed)), "{status}");
    }
}
