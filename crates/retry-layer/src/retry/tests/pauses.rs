//! Pauses that grow, and who waits for them.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_pause_that_grows_while_many_wait_holds_all_of_them() {
    let (calls, service) =
        scripted(&[RetryAfter(429, "2"), SlowRetryAfter(429, "8", Duration::from_millis(2))]);
    let service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
    let all: Vec<_> = (0..6).map(|_| tokio::spawn(service.clone().oneshot(get()))).collect();
    for request in all {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    // The first leaves after its 2 s, and is asked to wait again 2 ms later: before the next one's place.
    let mut times: Vec<_> = calls.lock().unwrap().iter().map(|(at, ..)| at.as_millis()).collect();
    times.sort_unstable();
    assert_eq!(times, [0, 2000, 10_002, 10_007, 10_012, 10_017, 10_022, 10_027]);
}

/// The same on a clock that goes on between two readings.
#[tokio::test]
async fn who_was_asked_to_wait_waits_although_others_fail_fast() {
    for _ in 0..20 {
        let calls = Arc::new(Mutex::new(0));
        let count = Arc::clone(&calls);
        let service = service_fn(move |_: Request<String>| {
            *count.lock().unwrap() += 1;
            let status = if *count.lock().unwrap() == 1 { 429 } else { 200 };
            let answer = Response::builder().status(status).header("retry-after-ms", "5");
            core::future::ready(Ok::<_, BoxError>(answer.body(String::new()).unwrap()))
        });
        let at_once = Backoff::constant(Duration::ZERO);
        let policy = policy(3).throttled(at_once).build().unwrap();
        let service = RetryLayer::new(policy).fail_fast().layer(service);
        assert_eq!(service.oneshot(get()).await.unwrap().status(), 200);
        assert_eq!(*calls.lock().unwrap(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_a_pause_that_came_in_its_own_wait() {
    // Both in flight; the second is asked later, for as long.
    let asked = |after| SlowRetryAfter(429, "2", Duration::from_millis(after));
    let (calls, service) = scripted(&[asked(10), asked(110)]);
    let service = RetryLayer::new(policy(5).build().unwrap()).fail_fast().layer(service);
    let first = tokio::spawn(service.clone().oneshot(get()));
    let second = tokio::spawn(service.clone().oneshot(get()));
    for request in [first, second] {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    let mut times: Vec<_> = calls.lock().unwrap().iter().map(|(at, ..)| at.as_millis()).collect();
    times.sort_unstable();
    assert_eq!(times, [0, 0, 2110, 2115]);
}
