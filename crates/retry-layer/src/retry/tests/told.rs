//! What the layer tells: headers, observers, records.

use super::*;
use crate::{IdempotencyKey, Observer};

type Values = Arc<Mutex<Vec<Option<String>>>>;

/// A service that fails so often; a header of each call.
fn failing(
    times: usize,
    header: &'static str,
) -> (
    Values,
    impl Service<Request<String>, Response = Response<String>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + use<>,
) {
    let seen = Values::default();
    let calls = Arc::clone(&seen);
    let service = service_fn(move |request: Request<String>| {
        let mut calls = calls.lock().unwrap();
        let value = request.headers().get(header).map(|it| it.to_str().unwrap().to_owned());
        calls.push(value);
        let status = if calls.len() > times { 200 } else { 503 };
        core::future::ready(Ok(Response::builder().status(status).body(String::new()).unwrap()))
    });
    (seen, service)
}

#[tokio::test(start_paused = true)]
async fn a_key_is_made_once_for_a_request_and_makes_it_repeatable_only_if_it_is_honoured() {
    let key = IdempotencyKey::new();
    for (key, attempts) in [(key, 1), (key.honoured_by_server(), 3)] {
        let (seen, service) = failing(2, "idempotency-key");
        let layer = RetryLayer::new(policy(5).build().unwrap()).idempotency_key(key);
        let service = layer.layer(service);
        let _ = service.clone().oneshot(post()).await.unwrap();
        let first: Vec<_> = seen.lock().unwrap().drain(..).map(Option::unwrap).collect();
        assert_eq!(first.len(), attempts);
        assert!(first.iter().all(|it| *it == first[0]), "the same on all attempts: {first:?}");
        assert_eq!(first[0].len(), 38, "a quoted UUID: {first:?}");
        let _ = service.clone().oneshot(post()).await.unwrap();
        assert_ne!(
            seen.lock().unwrap()[0].as_ref(),
            Some(&first[0]),
            "another request, another key"
        );
        // The caller's own key stays.
        seen.lock().unwrap().clear();
        let mut theirs = post();
        theirs.headers_mut().insert("idempotency-key", "mine".parse().unwrap());
        let _ = service.oneshot(theirs).await.unwrap();
        assert_eq!(seen.lock().unwrap()[0].as_deref(), Some("mine"));
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_numbered_and_an_inner_layer_leaves_the_repeating_to_the_outer() {
    for (is_nested, calls) in [(false, 9), (true, 3)] {
        let (seen, service) = failing(99, "x-attempt");
        let inner = RetryLayer::new(policy(3).build().unwrap()).budget(None);
        let inner = if is_nested { inner.nested() } else { inner };
        let outer = RetryLayer::new(policy(3).build().unwrap()).attempt_header();
        let response = outer.layer(inner.layer(service)).oneshot(get()).await.unwrap();
        assert_eq!(response.status(), 503);
        let seen: Vec<_> = seen.lock().unwrap().iter().flatten().cloned().collect();
        assert_eq!(seen.len(), calls, "nested: {is_nested}");
        if is_nested {
            assert_eq!(seen, ["1", "2", "3"]);
        }
    }
    // Without the number it is as any layer.
    let (seen, service) = failing(1, "x-attempt");
    let layer = RetryLayer::new(policy(3).build().unwrap()).nested();
    assert_eq!(layer.layer(service).oneshot(get()).await.unwrap().status(), 200);
    assert_eq!(*seen.lock().unwrap(), [None, None]);
}

/// Attempts, decisions and ends, in words.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn attempt(&self, event: &Event<'_>) {
        let class = event.class.map_or("success", retry_policy::Class::name);
        let text = format!("{} {class} {:?}", event.attempt, event.decision);
        self.0.lock().unwrap().push(text);
    }

    fn end(&self, uri: &http::Uri, attempts: &Attempts) {
        self.0.lock().unwrap().push(format!("{uri} {attempts}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_of_every_attempt_and_every_end() {
    let heard = Arc::new(Heard::default());
    let layer = RetryLayer::new(policy(2).build().unwrap()).observe(Arc::clone(&heard));
    let service = layer.layer(scripted(&[Status(503), Status(200), Status(404), Hang]).1);
    let _ = service.clone().oneshot(get()).await.unwrap();
    let _ = service.clone().oneshot(get()).await.unwrap();
    let dropped = tokio::time::timeout(secs(5), service.oneshot(get())).await;
    assert!(dropped.is_err());
    assert_eq!(
        *heard.0.lock().unwrap(),
        [
            "1 server error Retry { after: 1s, source: Backoff }",
            "2 success Return",
            "/ 2 attempts: 503 (waited 1 s), 200; an earlier attempt may have been applied",
            "1 content error Stop { reason: Permanent }",
            "/ 1 attempt: 404; a permanent error",
            "1 network error Stop { reason: Cancelled }",
            "/ 1 attempt: no answer; cancelled by the caller",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_is_filled_in_every_case() {
    let record = |script: &[Scripted], attempts| {
        let record = Record::new();
        let mut request = get();
        request.extensions_mut().insert(record.clone());
        let layer = RetryLayer::new(policy(attempts).build().unwrap());
        (record, layer.layer(scripted(script).1).oneshot(request))
    };
    let (success, call) = record(&[], 2);
    call.await.unwrap();
    let (exhausted, call) = record(&[Status(503), Status(503)], 2);
    call.await.unwrap();
    let (in_flight, call) = record(&[Status(503), Hang], 2);
    let _ = tokio::time::timeout(secs(5), call).await;
    let (unpolled, call) = record(&[], 2);
    drop(call);
    for (record, text) in [
        (success, "1 attempt: 200"),
        (exhausted, "2 attempts: 503 (waited 1 s), 503; all attempts are used"),
        (
            in_flight,
            "2 attempts: 503 (waited 1 s), no answer; cancelled by the caller; \
             an earlier attempt may have been applied",
        ),
    ] {
        assert!(record.attempts().unwrap().to_string().starts_with(text), "{record:?} {text}");
    }
    assert_eq!(unpolled.attempts(), None, "the service was not even called");
}

#[tokio::test(start_paused = true)]
async fn waits_are_spread_by_the_draws_that_are_given() {
    let (calls, service) = scripted(&[Status(503), Status(503)]);
    let backoff = Backoff::exponential(secs(2), secs(100)).unwrap();
    let policy = policy(3).backoff(backoff).jitter(Jitter::Full).build().unwrap();
    let layer = RetryLayer::with_timer(policy, crate::timer::Loaded(u32::MAX / 2 + 1));
    layer.layer(service).oneshot(get()).await.unwrap();
    assert_eq!(times(&calls), [0, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_sent_once_is_not_copied() {
    /// A body that counts its copies.
    struct Counted(Arc<Mutex<u32>>);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            *self.0.lock().unwrap() += 1;
            Self(Arc::clone(&self.0))
        }
    }
    let service = service_fn(|_: Request<Counted>| async {
        Ok::<_, BoxError>(Response::builder().status(503).body(String::new()).unwrap())
    });
    for (attempts, is_forbidden, copies) in [(1, false, 0), (3, true, 0), (3, false, 3)] {
        let count = Arc::new(Mutex::new(0));
        let mut request = Request::new(Counted(Arc::clone(&count)));
        if is_forbidden {
            request.extensions_mut().insert(retry_policy::safety::Forbidden::new());
        }
        let layer = RetryLayer::new(policy(attempts).build().unwrap());
        let response = layer.layer(service).oneshot(request).await.unwrap();
        assert_eq!(*count.lock().unwrap(), copies, "{attempts} {is_forbidden}");
        let reason = if is_forbidden { StopReason::Forbidden } else { StopReason::Attempts };
        assert_eq!(Attempts::of(&response).stop_reason(), Some(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_sent_once_after_a_pause_gets_its_answer() {
    for answer in [200, 503, 404] {
        let (calls, service) = scripted(&[RetryAfter(429, "5"), Status(answer)]);
        let service = RetryLayer::new(policy(5).build().unwrap()).replay(SendOnce).layer(service);
        assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 429);
        let response = service.oneshot(get()).await.unwrap();
        assert_eq!((response.status().as_u16(), times(&calls)), (answer, vec![0, 5]));
    }
}

#[tokio::test]
async fn a_wait_of_zero_makes_no_timer() {
    #[derive(Clone)]
    struct NoSleep;
    impl crate::timer::Timer for NoSleep {
        type Instant = std::time::Instant;
        type Sleep = core::future::Pending<()>;
        fn now(&self) -> std::time::Instant {
            std::time::Instant::now()
        }
        fn since(&self, earlier: std::time::Instant) -> Duration {
            earlier.elapsed()
        }
        fn sleep(&self, _: Duration) -> core::future::Pending<()> {
            panic!("a timer was made")
        }
    }
    let none = Backoff::constant(Duration::ZERO);
    let policy = policy(5).backoff(none).throttled(none).build().unwrap();
    let (calls, service) = scripted(&[Status(503), RetryAfter(429, "0"), Status(500)]);
    let layer = RetryLayer::with_timer(policy, NoSleep);
    assert_eq!(layer.layer(service).oneshot(get()).await.unwrap().status(), 200);
    assert_eq!(calls.lock().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_did_not_come_to_pass_is_not_told() {
    let (_, service) = scripted(&[Status(503)]);
    let layer = RetryLayer::new(policy(5).build().unwrap()).budget(Budget::strict());
    let response = layer.layer(service).oneshot(get()).await.unwrap();
    let attempts = Attempts::of(&response);
    assert_eq!(attempts.to_string(), "1 attempt: 503; the retry budget is empty");
    assert_eq!((attempts.total_wait(), attempts.elapsed()), (Duration::ZERO, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_401_without_a_credential_is_a_refused_credential_on_whichever_attempt() {
    for (script, attempts) in
        [(&[401][..], 3), (&[401], 1), (&[503, 401], 2), (&[503, 503, 401], 3)]
    {
        let script: Vec<_> = script.iter().copied().map(Status).collect();
        let layer = RetryLayer::new(policy(attempts).build().unwrap());
        let response = layer.layer(scripted(&script).1).oneshot(get()).await.unwrap();
        let reason = Attempts::of(&response).stop_reason();
        assert_eq!(reason, Some(StopReason::CredentialRefused), "{attempts}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_promises_nothing_promises_an_inner_layer_nothing() {
    let (seen, service) = failing(99, "idempotency-key");
    let inner = RetryLayer::new(policy(3).build().unwrap()).layer(service);
    let outer = RetryLayer::new(policy(3).build().unwrap()).idempotency_key(IdempotencyKey::new());
    let _ = outer.layer(inner).oneshot(post()).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_if_no_second_sending_follows() {
    use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
    type Upload = UnsyncBoxBody<Bytes, BoxError>;
    let kept = Arc::new(Mutex::new(None));
    let early = Arc::clone(&kept);
    let service = service_fn(move |request: Request<Upload>| {
        // It answers before it has read the body, and reads on.
        *early.lock().unwrap() = Some(request.into_body());
        core::future::ready(Ok::<_, BoxError>(
            Response::builder().status(503).body(String::new()).unwrap(),
        ))
    });
    let layer = RetryLayer::new(policy(3).build().unwrap())
        .budget(Budget::strict())
        .replay(crate::replay::Captured::new(100, Upload::new));
    let body = Full::new(Bytes::from("whole")).map_err(|never| match never {}).boxed_unsync();
    let response =
        layer.layer(service).oneshot(Request::put("/").body(body).unwrap()).await.unwrap();
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::Budget));
    let upload = kept.lock().unwrap().take().unwrap();
    assert_eq!(upload.collect().await.unwrap().to_bytes(), "whole");
}
