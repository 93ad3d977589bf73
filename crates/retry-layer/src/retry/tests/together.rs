//! What many requests do to each other: the gate, the line, the scopes.

use core::num::NonZeroUsize;

use retry_policy::attempts::Closing;
use retry_policy::ratio::Ratio;

use super::*;
use crate::{GateState, Observer};

/// A server that asks the first request to wait, and notes when each request came.
fn one_429(after: &'static str) -> (Calls, impl Inner + use<>) {
    scripted(&[RetryAfter(429, after)])
}

/// What the tests' services have in common.
trait Inner:
    Service<Request<String>, Response = Response<String>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Inner for S where
    S: Service<Request<String>, Response = Response<String>, Error = BoxError, Future: Send>
        + Clone
        + Send
        + 'static
{
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_requests_none_is_sent_in_the_pause_and_they_leave_one_by_one() {
    let (calls, service) = one_429("30");
    let service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
    // The one that is asked to wait, and 999 that come a second later.
    let first = tokio::spawn(service.clone().oneshot(get()));
    tokio::time::sleep(secs(1)).await;
    let rest: Vec<_> = (0..999).map(|_| tokio::spawn(service.clone().oneshot(get()))).collect();
    for request in rest.into_iter().chain([first]) {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    let times: Vec<u128> = calls.lock().unwrap().iter().map(|(at, ..)| at.as_millis()).collect();
    assert_eq!(times.len(), 1001);
    // Nothing between the answer and the end of the pause; then one every 5 ms, the one that was asked
    // to wait before all others.
    let expected: Vec<u128> = [0].into_iter().chain((0..1000).map(|n| 30_000 + 5 * n)).collect();
    assert_eq!(times, expected);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(service.origin(&get()).gate, Some(GateState::Open));
}

#[tokio::test(start_paused = true)]
async fn those_in_flight_when_the_pause_begins_are_all_that_is_sent() {
    let began = Instant::now();
    let script: Vec<_> = (0..10).map(|_| Slow(200, secs(2))).collect();
    let (calls, service) = scripted(&[&[SlowRetryAfter(429, "5", secs(1))], &script[..]].concat());
    let service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
    let requests: Vec<_> = (0..11).map(|_| tokio::spawn(service.clone().oneshot(get()))).collect();
    tokio::time::sleep(secs(3)).await;
    assert_eq!(calls.lock().unwrap().len(), 11, "sent before the answer came");
    let late = service.clone().oneshot(get()).await.unwrap();
    assert_eq!(
        (late.status().as_u16(), began.elapsed()),
        (200, secs(6) + Duration::from_millis(5))
    );
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn another_origin_and_another_scope_are_not_paused() {
    let (calls, service) = one_429("30");
    let service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
    let to = |uri: &str| Request::get(uri).body(String::new()).unwrap();
    let _paused = tokio::spawn(service.clone().oneshot(to("http://one.example/")));
    tokio::task::yield_now().await;
    service.clone().oneshot(to("http://two.example/")).await.unwrap();
    assert_eq!(times(&calls), [0, 0]);

    let (calls, service) = one_429("30");
    let scoped = RetryLayer::new(policy(5).build().unwrap()).scope_by(|_, headers| {
        headers.get("x-org-id").map_or(0, |org| u64::from(org.as_bytes()[0]))
    });
    let service = scoped.layer(service);
    let of = |org: &str| Request::get("/").header("x-org-id", org).body(String::new()).unwrap();
    let _paused = tokio::spawn(service.clone().oneshot(of("a")));
    tokio::task::yield_now().await;
    service.clone().oneshot(of("b")).await.unwrap();
    service.clone().oneshot(of("a")).await.unwrap();
    assert_eq!(times(&calls), [0, 0, 30, 30]);
}

#[tokio::test(start_paused = true)]
async fn all_services_of_a_layer_and_their_clones_share_a_pause() {
    let (calls, service) = one_429("30");
    let layer = RetryLayer::new(policy(5).build().unwrap());
    let other = layer.clone().layer(service.clone());
    let _paused = tokio::spawn(layer.layer(service).oneshot(get()));
    tokio::task::yield_now().await;
    other.oneshot(get()).await.unwrap();
    assert_eq!(times(&calls), [0, 30, 30]);
}

#[tokio::test(start_paused = true)]
async fn without_a_gate_each_waits_on_its_own() {
    let (calls, service) = one_429("30");
    let service = RetryLayer::new(policy(5).build().unwrap()).gate(None).layer(service);
    let _waiting = tokio::spawn(service.clone().oneshot(get()));
    tokio::task::yield_now().await;
    service.clone().oneshot(get()).await.unwrap();
    assert_eq!(times(&calls), [0, 0]);
    assert_eq!(service.origin(&get()).gate, None);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_meets_a_pause_fails_fast_or_at_its_deadline_without_being_sent() {
    let paused = StopReason::Paused { wait: secs(30) };
    let late = StopReason::Deadline { wait: secs(30) };
    let plain = RetryLayer::new(policy(5).build().unwrap()).fail_fast();
    let hasty = RetryLayer::new(policy(5).deadline(secs(20)).build().unwrap()).cut_off();
    for (layer, reason) in [(plain, paused), (hasty, late)] {
        let (calls, service) = one_429("30");
        let service = layer.layer(service);
        let _waiting = tokio::spawn(service.clone().oneshot(get()));
        tokio::task::yield_now().await;
        let error = service.clone().oneshot(get()).await.unwrap_err();
        let stopped = error.downcast_ref::<Stopped>().unwrap();
        assert_eq!(stopped.attempts().stop_reason(), Some(reason));
        assert_eq!((stopped.attempts().count(), calls.lock().unwrap().len()), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_answers_at_once_and_lets_a_probe_through() {
    #[derive(Default)]
    struct States(Mutex<Vec<GateState>>);
    impl Observer for States {
        fn attempt(&self, _: &Event<'_>) {}
        fn gate(&self, _: &http::Uri, state: GateState) {
            self.0.lock().unwrap().push(state);
        }
    }
    let (calls, service) = scripted(&[Status(403); 4]);
    let states = Arc::new(States::default());
    let closes = NonZeroU32::new(3).unwrap();
    let layer = RetryLayer::new(policy(5).build().unwrap()).closes_after(closes);
    let service = layer.observe(Arc::clone(&states)).layer(service);
    for _ in 0..3 {
        assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 403);
    }
    let why = Closing::Refused { streak: 3 };
    let error = service.clone().oneshot(get()).await.unwrap_err();
    let stopped = *error.downcast_ref::<Stopped>().unwrap().attempts();
    assert_eq!(stopped.stop_reason(), Some(StopReason::Closed { why }));
    assert_eq!(
        error.to_string(),
        "no answer: 0 attempts; no request is sent: 3 in a row were refused"
    );
    tokio::time::sleep(secs(300)).await;
    assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 403, "the probe");
    assert!(service.clone().oneshot(get()).await.is_err());
    tokio::time::sleep(secs(600)).await;
    assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 200);
    assert_eq!(calls.lock().unwrap().len(), 5);
    let shut = GateState::Closed { why, probe_after: secs(300) };
    assert_eq!(*states.0.lock().unwrap(), [shut, GateState::Open]);
    // A caller who has mended it need not wait.
    let (_, service) = scripted(&[Status(403); 3]);
    let service = RetryLayer::new(policy(5).build().unwrap()).closes_after(closes).layer(service);
    for _ in 0..3 {
        let _ = service.clone().oneshot(get()).await;
    }
    assert!(service.clone().oneshot(get()).await.is_err());
    service.open(&get());
    assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_plain_layer_never_closes() {
    let (calls, service) = scripted(&[Status(403); 50]);
    let service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
    for _ in 0..50 {
        assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 403);
    }
    assert_eq!(calls.lock().unwrap().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_earned_let_waiting_retries_go() {
    let (calls, service) = scripted(&[Status(503); 6]);
    let backoff = Backoff::constant(Duration::from_millis(1));
    let budget = Budget::pace().with_reserve(1).unwrap().with_ratio(Ratio::percent(100).unwrap());
    let policy = policy(9).backoff(backoff).build().unwrap();
    let service = RetryLayer::new(policy).budget(budget).layer(service);
    let request = || tokio::spawn(service.clone().oneshot(get()));
    let waiting: Vec<_> = (0..5).map(|_| request()).collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    // Five, and the one retry that the reserve allowed, which failed as well.
    assert_eq!((calls.lock().unwrap().len(), service.origin(&get()).waiting), (6, 5));
    // One success earns one token, which lets one go; that is a success, and lets the next.
    service.clone().oneshot(get()).await.unwrap();
    let began = Instant::now();
    for request in waiting {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!((began.elapsed(), calls.lock().unwrap().len()), (Duration::ZERO, 12));
    assert_eq!(service.origin(&get()).waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn who_finds_the_line_full_gets_its_last_answer() {
    let (_, service) = scripted(&[Status(503); 9]);
    let (policy, budget) = paced(5);
    let service = RetryLayer::new(policy.build().unwrap())
        .budget(budget)
        .longest_line(NonZeroUsize::new(2).unwrap())
        .layer(service);
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(service.clone().oneshot(get()))).collect();
    // The first retry takes the token and fails; then both are in line.
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(service.origin(&get()).waiting, 2);
    let response = service.clone().oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::Budget));
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn who_is_dropped_in_line_leaves_it_and_the_next_is_served() {
    let (calls, service) = scripted(&[Status(503); 5]);
    let (policy, budget) = paced(9);
    let service = RetryLayer::new(policy.build().unwrap()).budget(budget).layer(service);
    let first = tokio::spawn(service.clone().oneshot(get()));
    let second = tokio::spawn(service.clone().oneshot(get()));
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(service.origin(&get()).waiting, 2);
    first.abort();
    let _ = first.await;
    assert_eq!(service.origin(&get()).waiting, 1);
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    assert_eq!(service.origin(&get()).waiting, 0);
    assert!(calls.lock().unwrap().len() > 3);
}

/// A scan without pages ahead: nobody else earns tokens for it.
#[tokio::test(start_paused = true)]
async fn one_who_sends_one_after_the_other_finishes_although_every_request_fails_once() {
    let script: Vec<_> = (0..200).flat_map(|_| [Status(503), Status(200)]).collect();
    let (calls, service) = scripted(&script);
    let layer = RetryLayer::new(policy(3).build().unwrap()).budget(Budget::pace());
    let service = layer.layer(service);
    for page in 0..200 {
        let response = service.clone().oneshot(get()).await.unwrap();
        assert_eq!(response.status(), 200, "page {page}");
    }
    assert_eq!(calls.lock().unwrap().len(), 400);
}

#[tokio::test(start_paused = true)]
async fn each_origin_has_a_budget_of_its_own() {
    let (_, service) = scripted(&[Status(503), Status(503), Status(503)]);
    let service = RetryLayer::new(policy(3).build().unwrap()).layer(service);
    let to = |uri: &str| Request::get(uri).body(String::new()).unwrap();
    let [one, two] = ["http://one.example/a", "http://two.example/a"].map(to);
    service.clone().oneshot(to("http://one.example/b")).await.unwrap();
    assert_eq!((service.origin(&one).tokens, service.origin(&two).tokens), (Some(8), Some(10)));
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_although_more_requests_come_than_leave_one_by_one() {
    let (_, service) = scripted(&[RetryAfter(429, "1")]);
    let service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
    let began = Instant::now();
    let mut last = None;
    for _ in 0..2500 {
        last = Some(tokio::spawn(service.clone().oneshot(get())));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    last.unwrap().await.unwrap().unwrap();
    assert_eq!(began.elapsed(), secs(5), "500 a second, and nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn requests_that_give_up_leave_their_places_to_others() {
    // A rate of one in two seconds: each needs the place of one that could not wait for it.
    let (calls, service) = scripted(&[Status(429); 20]);
    let policy = policy(1).deadline(secs(1)).build().unwrap();
    let service = RetryLayer::new(policy).gate(crate::Gate::new().paced()).cut_off().layer(service);
    let mut succeeded = 0;
    for _ in 0..3000 {
        succeeded += u32::from(service.clone().oneshot(get()).await.is_ok());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(succeeded > 1000, "{succeeded} of {} calls", calls.lock().unwrap().len());
    assert_eq!(service.origin(&get()).gate, Some(GateState::Open));

    let (_, service) = one_429("1");
    let service = RetryLayer::new(self::policy(5).build().unwrap()).layer(service);
    let _asked = tokio::spawn(service.clone().oneshot(get()));
    tokio::task::yield_now().await;
    let dropped: Vec<_> = (0..2000).map(|_| tokio::spawn(service.clone().oneshot(get()))).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    for request in dropped {
        request.abort();
        let _ = request.await;
    }
    let began = Instant::now();
    service.clone().oneshot(get()).await.unwrap();
    assert_eq!(began.elapsed(), secs(1) + Duration::from_millis(4));
}

#[tokio::test(start_paused = true)]
async fn two_that_wait_in_one_task_are_both_woken() {
    for is_one_task in [true, false] {
        let began = Instant::now();
        let (_, service) = scripted(&[Status(503), Status(503), Status(400)]);
        let (policy, budget) = paced(2);
        let service = RetryLayer::new(policy.build().unwrap()).budget(budget).layer(service);
        // Each of them fails once, and a third request has spent the token.
        let (one, two) = (service.clone().oneshot(get()), service.clone().oneshot(get()));
        if is_one_task {
            let _ = futures_util::future::join(one, two).await;
        } else {
            let (one, two) = (tokio::spawn(one), tokio::spawn(two));
            let _ = futures_util::future::join(one, two).await;
        }
        assert_eq!(began.elapsed(), Duration::from_millis(1100), "{is_one_task}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_known_to_be_closed_returns_the_answer_at_once() {
    let closes = NonZeroU32::new(1).unwrap();
    let (_, service) = scripted(&[Slow(503, secs(1)), Status(403)]);
    let service = RetryLayer::new(policy(5).build().unwrap()).closes_after(closes).layer(service);
    let slow = tokio::spawn(service.clone().oneshot(get()));
    tokio::task::yield_now().await;
    let _ = service.clone().oneshot(get()).await.unwrap();
    let began = Instant::now();
    let response = slow.await.unwrap().unwrap();
    assert_eq!((response.status().as_u16(), began.elapsed()), (503, secs(1)));
    let attempts = Attempts::of(&response);
    assert!(matches!(attempts.stop_reason(), Some(StopReason::Closed { .. })), "{attempts}");
    assert_eq!(attempts.total_wait(), Duration::ZERO, "it did not wait");
}

#[tokio::test(start_paused = true)]
async fn what_is_shared_is_found_by_the_callers_key_too() {
    let closes = NonZeroU32::new(1).unwrap();
    let (_, service) = scripted(&[Status(403)]);
    let layer = RetryLayer::new(policy(5).build().unwrap()).closes_after(closes).scope_by(|_, _| 7);
    let service = layer.layer(service);
    let _ = service.clone().oneshot(get()).await;
    assert!(matches!(service.origin(&get()).gate, Some(GateState::Closed { .. })));
    service.open(&get());
    assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_clock_that_stands_still_hangs_nothing() {
    struct AtOnce;
    impl crate::timer::Timer for AtOnce {
        type Instant = ();
        type Sleep = core::future::Ready<()>;
        fn now(&self) {}
        fn since(&self, (): ()) -> Duration {
            Duration::ZERO
        }
        fn sleep(&self, _: Duration) -> Self::Sleep {
            core::future::ready(())
        }
    }
    impl Clone for AtOnce {
        fn clone(&self) -> Self {
            Self
        }
    }
    for script in [&[RetryAfter(429, "1")][..], &[Status(503); 12]] {
        let budget = Budget::pace().with_reserve(1).unwrap();
        let (calls, service) = scripted(script);
        let layer = RetryLayer::with_timer(policy(20).build().unwrap(), AtOnce).budget(budget);
        assert_eq!(layer.layer(service).oneshot(get()).await.unwrap().status(), 200);
        assert_eq!(calls.lock().unwrap().len(), script.len() + 1);
    }
}

#[test]
fn threads_that_wait_for_tokens_all_get_theirs() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(4).enable_time().build().unwrap().block_on(async {
        for _ in 0..20 {
            // Every third call fails, and each success pays for one retry.
            let calls = Arc::new(std::sync::atomic::AtomicU32::new(0));
            let service = service_fn(move |_: Request<String>| {
                let number = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let status = if number % 3 == 0 { 503 } else { 200 };
                async move {
                    tokio::task::yield_now().await;
                    let answer = Response::builder().status(status).body(String::new());
                    Ok::<_, Infallible>(answer.unwrap())
                }
            });
            let policy = policy(1000).backoff(Backoff::constant(Duration::ZERO)).build().unwrap();
            let all = Ratio::percent(100).unwrap();
            let budget = Budget::pace().with_reserve(1).unwrap().with_ratio(all);
            let service = RetryLayer::new(policy).budget(budget).layer(service);
            let mut requests = tokio::task::JoinSet::new();
            for number in 0..64 {
                let service = service.clone();
                requests.spawn(async move {
                    // Some give up, wherever they are then.
                    let call = service.oneshot(get());
                    let patience = if number % 7 == 0 { Duration::ZERO } else { secs(60) };
                    tokio::time::timeout(patience, call).await.map_err(|_| number % 7 == 0)
                });
            }
            while let Some(ended) = requests.join_next().await {
                match ended.unwrap() {
                    Ok(answer) => assert_eq!(answer.unwrap().status(), 200),
                    Err(was_impatient) => assert!(was_impatient, "it was never woken"),
                }
            }
            assert_eq!(service.origin(&get()).waiting, 0);
        }
    });
}
