//! What becomes of an answer that is not returned, and of each wait that ends without an attempt.

use core::pin::Pin;
use core::task::{Context, Poll};

use http_body::{Body, Frame};

use super::*;

/// A body of some frames that says when it is dropped and how much was read of it.
struct Watched {
    frames: u32,
    /// Whether it stalls instead of ending.
    stalls: bool,
    seen: Seen,
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(u32, Option<Instant>)>>);

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.frames.checked_sub(1) {
            Some(left) => {
                self.frames = left;
                self.seen.0.lock().unwrap().0 += 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 1024])))))
            }
            None if self.stalls => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.seen.0.lock().unwrap().1 = Some(Instant::now());
    }
}

/// A service whose first answer is a 503 with this body; when each call came.
fn service(frames: u32, stalls: bool) -> (Seen, Arc<Mutex<Vec<Duration>>>, impl Inner + use<>) {
    let seen = Seen::default();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let began = Instant::now();
    let service = {
        let (seen, calls) = (seen.clone(), Arc::clone(&calls));
        service_fn(move |_: Request<String>| {
            let mut calls = calls.lock().unwrap();
            calls.push(began.elapsed());
            let is_first = calls.len() == 1;
            let seen = if is_first { seen.clone() } else { Seen::default() };
            let body = Watched { frames: if is_first { frames } else { 0 }, stalls, seen };
            let status = if is_first { 503 } else { 200 };
            core::future::ready(Ok(Response::builder().status(status).body(body).unwrap()))
        })
    };
    (seen, calls, service)
}

trait Inner: Service<Request<String>, Response = Response<Watched>, Error = BoxError> + Clone {}

impl<S> Inner for S where
    S: Service<Request<String>, Response = Response<Watched>, Error = BoxError> + Clone
{
}

#[tokio::test(start_paused = true)]
async fn is_read_to_its_end_and_gone_before_the_wait() {
    let (seen, calls, service) = service(64, false);
    let began = Instant::now();
    RetryLayer::new(policy(5).build().unwrap()).layer(service).oneshot(get()).await.unwrap();
    let (read, dropped) = *seen.0.lock().unwrap();
    assert_eq!((read, dropped.unwrap() - began), (64, Duration::ZERO));
    assert_eq!(*calls.lock().unwrap(), [Duration::ZERO, secs(1)]);
}

#[tokio::test(start_paused = true)]
async fn is_dropped_above_the_limit_of_bytes() {
    for (limit, expected) in [(None, 65), (Some(2 * 1024), 3), (Some(0), 1)] {
        let (seen, _, service) = service(1000, false);
        let layer = RetryLayer::new(policy(5).build().unwrap());
        let layer = match limit {
            Some(bytes) => layer.drain(bytes, secs(1)),
            None => layer,
        };
        layer.layer(service).oneshot(get()).await.unwrap();
        assert_eq!(seen.0.lock().unwrap().0, expected, "{limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn is_dropped_when_it_stalls_and_the_wait_is_no_longer_for_it() {
    for (limit, dropped_after) in [(None, 100), (Some(300), 300)] {
        let (seen, calls, service) = service(1, true);
        let began = Instant::now();
        let layer = RetryLayer::new(policy(5).build().unwrap());
        let layer = match limit {
            Some(limit) => layer.drain(1 << 20, Duration::from_millis(limit)),
            None => layer,
        };
        layer.layer(service).oneshot(get()).await.unwrap();
        let dropped = seen.0.lock().unwrap().1.unwrap();
        assert_eq!(dropped - began, Duration::from_millis(dropped_after));
        assert_eq!(*calls.lock().unwrap(), [Duration::ZERO, secs(1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn is_kept_while_a_token_is_awaited_and_returned_if_none_comes() {
    let (policy, budget) = paced(5);
    let (_, spender) = scripted(&[Status(503), Status(400)]);
    let (seen, calls, service) = service(3, false);
    let policy = policy.deadline(Duration::from_millis(900)).build().unwrap();
    let layer = RetryLayer::new(policy).budget(budget);
    // Another request has taken the only token.
    let _ = layer.layer(spender).oneshot(get()).await.unwrap();
    // All services of a layer share its budget.
    let response = layer.layer(service).oneshot(get()).await.unwrap();
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::Budget));
    assert_eq!((response.status().as_u16(), calls.lock().unwrap().len()), (503, 1));
    assert_eq!(*seen.0.lock().unwrap(), (0, None), "it was neither read nor dropped");
}

#[tokio::test(start_paused = true)]
async fn with_pace_it_is_gone_once_the_token_is_there() {
    let (policy, budget) = paced(5);
    let (seen, calls, service) = service(3, false);
    let began = Instant::now();
    let layer = RetryLayer::new(policy.build().unwrap()).budget(budget);
    layer.layer(service).oneshot(get()).await.unwrap();
    let (read, dropped) = *seen.0.lock().unwrap();
    assert_eq!((read, dropped.unwrap() - began), (3, Duration::from_millis(100)));
    assert_eq!(calls.lock().unwrap().len(), 2);
}

/// A service that is ready once, and then says something else.
#[derive(Clone)]
struct ReadyOnce<S>(S, Arc<Mutex<u32>>, Later);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Later {
    Fails,
    Never,
}

impl<S: Service<Request<String>, Error = BoxError>> Service<Request<String>> for ReadyOnce<S> {
    type Response = S::Response;
    type Error = BoxError;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        *self.1.lock().unwrap() += 1;
        match (*self.1.lock().unwrap(), self.2) {
            (1, _) => self.0.poll_ready(cx),
            (_, Later::Fails) => Poll::Ready(Err("not ready".into())),
            (_, Later::Never) => Poll::Pending,
        }
    }

    fn call(&mut self, request: Request<String>) -> S::Future {
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_become_ready_is_the_answer_and_costs_no_token() {
    let (_, _, service) = service(0, false);
    let service = ReadyOnce(service, Arc::default(), Later::Fails);
    let service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
    let error = service.clone().oneshot(get()).await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), "not ready");
    assert_eq!(service.origin(&get()).tokens, Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_becomes_ready_ends_at_the_deadline_and_costs_no_token() {
    let (_, calls, service) = service(0, false);
    let service = ReadyOnce(service, Arc::default(), Later::Never);
    let policy = policy(5).deadline(secs(10)).build().unwrap();
    let service = RetryLayer::new(policy).cut_off().layer(service);
    let began = Instant::now();
    let error = service.clone().oneshot(get()).await.map(drop).unwrap_err();
    let stopped = error.downcast_ref::<Stopped>().unwrap();
    let reason = StopReason::Deadline { wait: Duration::ZERO };
    assert_eq!(stopped.attempts().stop_reason(), Some(reason));
    assert_eq!((began.elapsed(), calls.lock().unwrap().len()), (secs(10), 1));
    assert_eq!(service.origin(&get()).tokens, Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_closes_in_the_wait_ends_it_and_costs_no_token() {
    // The first request waits 1 s after its 503; meanwhile three others are refused.
    let (calls, service) = scripted(&[Status(503), Status(403), Status(403), Status(403)]);
    let closes = NonZeroU32::new(3).unwrap();
    let service = RetryLayer::new(policy(5).build().unwrap()).closes_after(closes).layer(service);
    let waiting = tokio::spawn(service.clone().oneshot(get()));
    tokio::task::yield_now().await;
    for _ in 0..3 {
        let _ = service.clone().oneshot(get()).await.unwrap();
    }
    let error = waiting.await.unwrap().unwrap_err();
    let stopped = *error.downcast_ref::<Stopped>().unwrap().attempts();
    assert!(matches!(stopped.stop_reason(), Some(StopReason::Closed { .. })), "{stopped}");
    assert_eq!((stopped.count(), calls.lock().unwrap().len()), (1, 4));
    assert_eq!(service.origin(&get()).tokens, Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_would_pass_the_deadline_returns_the_answer_instead() {
    let (calls, service) = scripted(&[Slow(503, secs(1)), RetryAfter(429, "30")]);
    let policy = policy(5).deadline(secs(10)).build().unwrap();
    let service = RetryLayer::new(policy).cut_off().layer(service);
    let slow = tokio::spawn(service.clone().oneshot(get()));
    tokio::task::yield_now().await;
    let _ = service.clone().oneshot(get()).await.unwrap();
    let response = slow.await.unwrap().unwrap();
    assert_eq!((response.status().as_u16(), calls.lock().unwrap().len()), (503, 2));
    let reason = Attempts::of(&response).stop_reason();
    assert_eq!(reason, Some(StopReason::Deadline { wait: secs(29) }));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_leaves_time_for_the_next_attempt() {
    for (deadline, second_after) in [(50, 25), (1000, 100)] {
        let (_, calls, service) = service(0, true);
        let none = Backoff::constant(Duration::ZERO);
        let policy =
            policy(2).backoff(none).deadline(Duration::from_millis(deadline)).build().unwrap();
        let layer = RetryLayer::new(policy).cut_off();
        layer.layer(service).oneshot(get()).await.unwrap();
        assert_eq!(calls.lock().unwrap()[1], Duration::from_millis(second_after));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_empty_frames_ends_as_well() {
    /// Always another frame of nothing.
    struct Empties;
    impl Body for Empties {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
        }
    }
    let service = service_fn(|_: Request<String>| async {
        Ok::<_, BoxError>(Response::builder().status(503).body(Empties).unwrap())
    });
    let peek = crate::PeekLayer::new(core::num::NonZeroUsize::new(4096).unwrap()).layer(service);
    let response =
        RetryLayer::new(policy(3).build().unwrap()).layer(peek).oneshot(get()).await.unwrap();
    assert_eq!(Attempts::of(&response).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_retry_dropped_before_it_is_sent_gives_its_token_back_and_no_other() {
    // In its wait, in the attempt that follows, and in the wait after that.
    for (after, attempts) in [(500, 1), (1500, 2), (2500, 2)] {
        let (calls, service) = scripted(&[Status(503), Slow(503, secs(1)), Status(503)]);
        let service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
        let call = service.clone().oneshot(get());
        let _ = tokio::time::timeout(Duration::from_millis(after), call).await;
        assert_eq!(calls.lock().unwrap().len(), attempts, "{after}");
        // An attempt that was sent has cost its token, whether somebody waited for the answer or not.
        let spent = u32::from(after > 500);
        assert_eq!(service.origin(&get()).tokens, Some(10 - spent), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_retry_comes_back_when_it_succeeds_after_a_refresh() {
    let count = Arc::new(Mutex::new(0));
    let source = move || {
        *count.lock().unwrap() += 1;
        let number = *count.lock().unwrap();
        core::future::ready(Ok(crate::credential::Secret::new(format!("t{number}"))))
    };
    let credential = Credential::bearer_from(source).await.unwrap();
    let (_, service) = scripted(&[Status(503), Status(401)]);
    let layer = RetryLayer::new(policy(5).build().unwrap()).credential(credential);
    let service = layer.layer(service);
    assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 200);
    assert_eq!(service.origin(&get()).tokens, Some(10));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_where_a_known_pause_leaves_no_time() {
    let asks = SlowRetryAfter(429, "30", Duration::from_millis(500));
    let (calls, service) = scripted(&[asks, Slow(503, secs(1))]);
    let policy = policy(5).deadline(secs(10)).build().unwrap();
    let service = RetryLayer::new(policy).layer(service);
    let began = Instant::now();
    let _asked = tokio::spawn(service.clone().oneshot(get()));
    tokio::task::yield_now().await;
    let response = service.oneshot(get()).await.unwrap();
    let reason = StopReason::Deadline { wait: Duration::from_millis(29_500) };
    assert_eq!(Attempts::of(&response).stop_reason(), Some(reason));
    assert_eq!((began.elapsed(), calls.lock().unwrap().len()), (secs(1), 2));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_comes_in_the_wait_and_passes_the_deadline_ends_it_and_costs_no_token() {
    // The answer is gone by then, so this needs an answer of our own.
    let asks = SlowRetryAfter(429, "30", Duration::from_millis(500));
    let (calls, service) = scripted(&[Status(503), asks]);
    let policy = policy(5).deadline(secs(10)).build().unwrap();
    let service = RetryLayer::new(policy).cut_off().layer(service);
    let began = Instant::now();
    let waiting = tokio::spawn(service.clone().oneshot(get()));
    tokio::task::yield_now().await;
    let _ = service.clone().oneshot(get()).await;
    let error = waiting.await.unwrap().unwrap_err();
    let stopped = *error.downcast_ref::<Stopped>().unwrap().attempts();
    let reason = StopReason::Deadline { wait: Duration::from_millis(29_500) };
    assert_eq!((stopped.stop_reason(), began.elapsed()), (Some(reason), secs(1)));
    assert_eq!((calls.lock().unwrap().len(), service.origin(&get()).tokens), (2, Some(10)));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_had_again_returns_the_answer_and_costs_no_token() {
    for budget in [Budget::shed(), Budget::pace()] {
        let (seen, calls, service) = service(3, false);
        let copies = Arc::new(Mutex::new(1));
        let once = TryClone::new(move |body: &String| {
            let mut copies = copies.lock().unwrap();
            *copies -= 1;
            (*copies >= 0).then(|| body.clone())
        });
        let layer = RetryLayer::new(policy(5).build().unwrap()).budget(budget);
        let service = layer.replay(once).layer(service);
        let response = service.clone().oneshot(get()).await.unwrap();
        assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::BodyNotKept));
        assert_eq!((calls.lock().unwrap().len(), service.origin(&get()).tokens), (1, Some(10)));
        assert_eq!(*seen.0.lock().unwrap(), (0, None), "it is the caller's");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_while_its_answer_drains_gives_its_token_back() {
    let (seen, calls, service) = service(1, true);
    let service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
    let call = service.clone().oneshot(get());
    let _ = tokio::time::timeout(Duration::from_millis(50), call).await;
    assert!(seen.0.lock().unwrap().1.is_some(), "the body is gone as well");
    assert_eq!((calls.lock().unwrap().len(), service.origin(&get()).tokens), (1, Some(10)));
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_keeps_no_token() {
    struct Once(Mutex<bool>);

    impl crate::Observer for Once {
        fn attempt(&self, _: &Event<'_>) {
            let panics = core::mem::take(&mut *self.0.lock().unwrap());
            assert!(!panics, "as planned");
        }
    }

    let observer = Once(Mutex::new(true));
    let (_, service) = scripted(&[Status(503)]);
    let service = RetryLayer::new(policy(3).build().unwrap()).observe(observer).layer(service);
    let ended = tokio::spawn(service.clone().oneshot(get())).await;
    assert!(ended.unwrap_err().is_panic());
    assert_eq!(service.origin(&get()).tokens, Some(10));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_a_retry_goes_with_the_answer() {
    let held = Arc::new(());
    let of_the_service = Arc::clone(&held);
    let inner = service_fn(move |_: Request<String>| {
        let owners = Arc::strong_count(&of_the_service);
        core::future::ready(Ok::<_, BoxError>(Response::new(owners.to_string())))
    });
    let mut service = RetryLayer::new(policy(3).build().unwrap()).layer(inner);
    let mut call = core::pin::pin!(service.call(get()));
    assert_eq!(Arc::strong_count(&held), 3, "the service, and its clone for a retry");
    assert_eq!(call.as_mut().await.unwrap().into_body(), "3");
    assert_eq!(Arc::strong_count(&held), 2);
}
