//! Why the layers stand in their order: each wrong order of `ORDER.md`, beside the right one.

use std::convert::Infallible;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use retry_layer::policy::backoff::Backoff;
use retry_layer::policy::jitter::Jitter;
use retry_layer::policy::{Attempts, Policy, StopReason, profile};
use retry_layer::{BoxError, CollectLayer, Credential, Key, PeekLayer, RetryLayer};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Waits of exactly 1, 2, … s.
fn policy() -> Policy {
    let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60)).unwrap();
    let policy = Policy::builder().backoff(backoff).throttled(backoff).jitter(Jitter::None);
    policy.build().unwrap()
}

fn retry() -> RetryLayer<
    retry_layer::retry::With<
        retry_layer::replay::CloneBody,
        retry_layer::retry::LastAnswer,
        retry_layer::delivery::KnownErrors,
        retry_layer::timer::TokioTimer,
    >,
> {
    RetryLayer::new(policy())
}

fn get() -> Request<String> {
    Request::new(String::new())
}

/// What each attempt was answered.
type Calls = Arc<Mutex<u32>>;

/// A service whose answers come from a function of the call's number, from 1.
fn server<F>(
    answer: F,
) -> (
    Calls,
    impl Service<Request<String>, Response = Response<Body>, Error = BoxError, Future: Send>
    + Clone
    + Send,
)
where
    F: Fn(u32, &Request<String>) -> Response<Body> + Clone + Send + 'static,
{
    let calls = Calls::default();
    let count = Arc::clone(&calls);
    let service = service_fn(move |request: Request<String>| {
        let number = {
            let mut calls = count.lock().unwrap();
            *calls += 1;
            *calls
        };
        std::future::ready(Ok(answer(number, &request)))
    });
    (calls, service)
}

fn status(status: u16) -> Response<Body> {
    text(status, "")
}

fn text(status: u16, text: &'static str) -> Response<Body> {
    let body = Full::from(text).map_err(|never: Infallible| match never {}).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_short_is_an_attempt_that_failed_only_inside_of_the_retry() {
    let cut_once = |number: u32, _: &Request<String>| {
        let frames = [
            Ok(http_body::Frame::data(Bytes::from("half"))),
            Err(BoxError::from("the connection broke")),
        ];
        match number {
            1 => Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()),
            _ => text(200, "whole"),
        }
    };
    let (calls, service) = server(cut_once);
    let right = ServiceBuilder::new().layer(retry()).layer(CollectLayer::new()).service(service);
    assert_eq!(right.oneshot(get()).await.unwrap().body().bytes(), "whole");
    assert_eq!(*calls.lock().unwrap(), 2);

    let (calls, service) = server(cut_once);
    let wrong = ServiceBuilder::new().layer(CollectLayer::new()).layer(retry()).service(service);
    let error = wrong.oneshot(get()).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), *calls.lock().unwrap()), ("the answer was cut off", 1));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_bounds_the_attempt_only_inside_of_the_retry() {
    let limit = Duration::from_millis(500);
    // The first two hang.
    let hangs_twice = || {
        let (calls, service) = server(|_, _| status(200));
        let count = Arc::clone(&calls);
        let hangs = service_fn(move |request: Request<String>| {
            let answer = service.clone().oneshot(request);
            let count = Arc::clone(&count);
            async move {
                let answer = answer.await;
                if *count.lock().unwrap() < 3 {
                    std::future::pending::<()>().await;
                }
                answer
            }
        });
        (calls, hangs)
    };
    let (calls, service) = hangs_twice();
    let right = ServiceBuilder::new().layer(retry()).timeout(limit).service(service);
    assert_eq!(right.oneshot(get()).await.unwrap().status(), 200);
    assert_eq!(*calls.lock().unwrap(), 3);

    let (calls, service) = hangs_twice();
    let wrong = ServiceBuilder::new().timeout(limit).layer(retry()).service(service);
    let error = wrong.oneshot(get()).await.unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>(), "no answer and no reason: {error}");
    assert_eq!(*calls.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_reaches_the_next_attempt_only_inside_of_the_retry() {
    // The key is rotated while the first attempt fails.
    for is_right in [true, false] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old").unwrap();
        let path = file.path().to_owned();
        let keys = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&keys);
        let (_, service) = server(move |number, request| {
            let key = request.headers()["x-api-key"].to_str().unwrap().to_owned();
            seen.lock().unwrap().push(key.clone());
            if number == 1 {
                std::fs::write(&path, "new").unwrap();
                return status(503);
            }
            status(if key == "new" { 200 } else { 401 })
        });
        let key = Credential::api_key(Key::file(file.path())).unwrap();
        let answer = if is_right {
            retry().credential(key).layer(service).oneshot(get()).await
        } else {
            let add_key = |mut request: Request<String>| {
                request.headers_mut().insert("x-api-key", HeaderValue::from_static("old"));
                request
            };
            let wrong = ServiceBuilder::new().map_request(add_key).layer(retry()).service(service);
            wrong.oneshot(get()).await
        };
        let (status, sent) = if is_right { (200, 3) } else { (401, 2) };
        assert_eq!(answer.unwrap().status(), status);
        assert_eq!(*keys.lock().unwrap(), ["old", "old", "new"][..sent]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_leaves_its_place_to_others_only_inside_of_a_concurrency_limit() {
    // The first fails once; the second comes while it waits for a second.
    for (is_right, second_after) in [(true, Duration::ZERO), (false, Duration::from_secs(1))] {
        let (_, service) = server(|number, _| status(if number == 1 { 503 } else { 200 }));
        let began = Instant::now();
        let (first, second) = if is_right {
            let stack = ServiceBuilder::new().layer(retry()).concurrency_limit(1).service(service);
            (tokio::spawn(stack.clone().oneshot(get())), tokio::spawn(stack.oneshot(get())))
        } else {
            let stack = ServiceBuilder::new().concurrency_limit(1).layer(retry()).service(service);
            (tokio::spawn(stack.clone().oneshot(get())), tokio::spawn(stack.oneshot(get())))
        };
        assert_eq!(second.await.unwrap().unwrap().status(), 200);
        assert_eq!(began.elapsed(), second_after, "{is_right}");
        assert_eq!(first.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_counts_retries_only_inside_of_the_retry() {
    // Two in ten seconds are allowed; the waits of 1 and 2 s would make it three.
    for (is_right, took) in [(true, 10), (false, 3)] {
        let (calls, service) = server(|number, _| status(if number < 3 { 503 } else { 200 }));
        let limit = tower::limit::RateLimitLayer::new(2, Duration::from_secs(10));
        let began = Instant::now();
        let answer = if is_right {
            // A rate limit has no clones: they share it through a buffer.
            let limited = ServiceBuilder::new().buffer(1).layer(limit).service(service);
            retry().layer(limited).oneshot(get()).await
        } else {
            limit.layer(retry().layer(service)).oneshot(get()).await
        };
        assert_eq!((answer.unwrap().status().as_u16(), *calls.lock().unwrap()), (200, 3));
        assert_eq!(began.elapsed(), Duration::from_secs(took), "{is_right}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_final_answer_that_says_so_in_its_body_is_known_only_inside_of_the_retry() {
    // For IXON a 401 that asks for a second factor is final: no other key would help.
    let second_factor = r#"{"type": "Error", "data": [{"message": "2FA is required"}]}"#;
    let peek = PeekLayer::new(NonZeroUsize::new(4096).unwrap());
    let policy = Policy::of(profile::IXON).max_attempts(NonZeroU32::MIN).build().unwrap();
    for (is_right, sent) in [(true, 1), (false, 2)] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old").unwrap();
        let key = Credential::bearer(Key::file(file.path())).unwrap();
        std::fs::write(file.path(), "new").unwrap();
        let (calls, service) = server(move |_, _| text(401, second_factor));
        let retry = RetryLayer::new(policy).credential(key);
        let attempts = if is_right {
            Attempts::of(&retry.layer(peek.layer(service)).oneshot(get()).await.unwrap())
        } else {
            Attempts::of(&peek.layer(retry.layer(service)).oneshot(get()).await.unwrap())
        };
        assert_eq!(*calls.lock().unwrap(), sent, "{attempts}");
        let reason = if is_right { StopReason::Permanent } else { StopReason::CredentialRefused };
        assert_eq!(attempts.stop_reason(), Some(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_of_a_retry_inside_of_a_retry_multiply_unless_they_see_each_other() {
    for (is_right, sent) in [(true, 3), (false, 9)] {
        let (calls, service) = server(|_, _| status(503));
        let (inner, outer) = (retry(), retry());
        let (inner, outer) =
            if is_right { (inner.nested(), outer.attempt_header()) } else { (inner, outer) };
        let response = outer.layer(inner.layer(service)).oneshot(get()).await.unwrap();
        assert_eq!((response.status().as_u16(), *calls.lock().unwrap()), (503, sent));
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_only_outside_of_the_retry() {
    /// Follows a 303 by a GET, as RFC 9110 §15.4.4 says; nobody listens there.
    fn follow<S>(
        inner: S,
    ) -> impl Service<Request<String>, Response = Response<Body>, Error = BoxError, Future: Send>
    + Clone
    + Send
    where
        S: Service<Request<String>, Response = Response<Body>, Error = BoxError, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        service_fn(move |request: Request<String>| {
            let inner = inner.clone();
            async move {
                let answer = inner.oneshot(request).await?;
                if answer.status() != 303 {
                    return Ok(answer);
                }
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
            }
        })
    }
    let post = || Request::post("/").body(String::new()).unwrap();
    for (is_right, processed) in [(true, 1), (false, 3)] {
        let (calls, service) = server(|_, _| status(303));
        let answer = if is_right {
            follow(retry().layer(service)).oneshot(post()).await
        } else {
            retry().layer(follow(service)).oneshot(post()).await
        };
        assert!(answer.is_err());
        assert_eq!(*calls.lock().unwrap(), processed, "how often it was processed");
    }
}
