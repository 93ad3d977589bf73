//! The credential of each attempt, and how it is made fresh.

use super::*;
use crate::credential::Secret;

/// Tokens that are numbered and take a second to be had; how often they were.
fn tokens(lifetime: Option<Duration>) -> (Arc<Mutex<u32>>, impl crate::credential::Source + use<>) {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let source = move || {
        let number = {
            let mut asked = count.lock().unwrap();
            *asked += 1;
            *asked
        };
        async move {
            tokio::time::sleep(secs(1)).await;
            let secret = Secret::new(format!("t{number}"));
            Ok(lifetime.map_or(Secret::new(format!("t{number}")), |it| secret.expires_in(it)))
        }
    };
    (asked, source)
}

/// A service that accepts one token; when each call came, and with which.
type Seen = Arc<Mutex<Vec<(u64, String)>>>;

fn accepts(
    token: &'static str,
) -> (
    Seen,
    impl Service<Request<String>, Response = Response<String>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + use<>,
) {
    let seen = Seen::default();
    let calls = Arc::clone(&seen);
    let began = Instant::now();
    let service = service_fn(move |request: Request<String>| {
        let given =
            request.headers().get("authorization").map_or("none", |it| it.to_str().unwrap());
        calls.lock().unwrap().push((began.elapsed().as_secs(), given.to_owned()));
        let status = if given == format!("Bearer {token}") { 200 } else { 401 };
        core::future::ready(Ok(Response::builder().status(status).body(String::new()).unwrap()))
    });
    (seen, service)
}

fn with<S>(
    credential: Credential,
    service: S,
) -> impl Service<Request<String>, Response = Response<String>, Error = BoxError, Future: Send>
+ Clone
+ Send
where
    S: Service<Request<String>, Response = Response<String>, Error = BoxError, Future: Send>
        + Clone
        + Send,
{
    RetryLayer::new(policy(5).build().unwrap()).credential(credential).layer(service)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_with_a_stale_token_wait_for_one_refresh() {
    let (asked, source) = tokens(None);
    let credential = Credential::bearer_from(source).await.unwrap();
    let (seen, service) = accepts("t2");
    let service = with(credential, service);
    let all: Vec<_> = (0..100).map(|_| service.clone().oneshot(get())).collect();
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    assert_eq!(*asked.lock().unwrap(), 2);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 200);
    assert!(seen[..100].iter().all(|it| *it == (0, "Bearer t1".into())));
    assert!(seen[100..].iter().all(|it| *it == (1, "Bearer t2".into())));
}

#[tokio::test(start_paused = true)]
async fn a_refused_fresh_token_is_final() {
    let (asked, source) = tokens(None);
    let credential = Credential::bearer_from(source).await.unwrap();
    let (seen, service) = accepts("none of them");
    let response = with(credential, service).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::CredentialRefused));
    assert_eq!((*asked.lock().unwrap(), seen.lock().unwrap().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_not_sent_and_one_that_is_due_is_made_fresh_by_one_request() {
    let (asked, source) = tokens(Some(secs(100)));
    let credential = Credential::bearer_from(source).await.unwrap();
    let (seen, service) = accepts("t2");
    let service = with(credential.clone(), service);
    tokio::time::sleep(secs(200)).await;
    assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 200);
    assert_eq!(*seen.lock().unwrap(), [(201, "Bearer t2".to_owned())]);
    // 95 s later it is due: one request waits for the next token, the others go on with this one.
    tokio::time::sleep(secs(95)).await;
    let all: Vec<_> = (0..3).map(|_| service.clone().oneshot(get())).collect();
    let statuses: Vec<u16> = futures_util::future::join_all(all)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().status().as_u16())
        .collect();
    // The fresh one is refused by this server, and that is final: it was fresh.
    assert_eq!((statuses, *asked.lock().unwrap()), (vec![401, 200, 200], 3));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_bounded_by_the_deadline_and_the_answer_is_kept_meanwhile() {
    let slow = || async {
        tokio::time::sleep(secs(60)).await;
        Ok(Secret::new("t"))
    };
    let credential = Credential::bearer_from(slow).await.unwrap();
    let (seen, service) = accepts("another");
    let policy = policy(5).deadline(secs(10)).build().unwrap();
    let service = RetryLayer::new(policy).credential(credential).layer(service);
    let began = Instant::now();
    let response = service.oneshot(get()).await.unwrap();
    assert_eq!((response.status().as_u16(), began.elapsed()), (401, secs(10)));
    let reason = StopReason::Deadline { wait: Duration::ZERO };
    assert_eq!(Attempts::of(&response).stop_reason(), Some(reason));
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_source_is_down_is_sent_as_it_is_and_the_server_has_the_word() {
    let mut first = Some(Secret::new("t1").expires_in(secs(10)));
    let source = {
        let first = Arc::new(Mutex::new(first.take()));
        move || {
            let secret = first.lock().unwrap().take();
            core::future::ready(secret.ok_or_else(|| BoxError::from("down")))
        }
    };
    let credential = Credential::bearer_from(source).await.unwrap();
    let (seen, service) = accepts("t1");
    let service = with(credential, service);
    tokio::time::sleep(secs(20)).await;
    assert_eq!(service.oneshot(get()).await.unwrap().status(), 200);
    assert_eq!(*seen.lock().unwrap(), [(20, "Bearer t1".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_request_to_another_origin_goes_without_it() {
    let credential = Credential::bearer(Key::fixed("t")).unwrap();
    let (seen, service) = accepts("t");
    let service = with(credential, service);
    for uri in ["https://one.example/", "https://two.example/", "https://one.example/next"] {
        let request = Request::get(uri).body(String::new()).unwrap();
        let _ = service.clone().oneshot(request).await.unwrap();
    }
    let given: Vec<_> = seen.lock().unwrap().iter().map(|it| it.1.clone()).collect();
    assert_eq!(given, ["Bearer t", "none", "Bearer t"]);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_closed_on_a_credential_stays_closed_for_bodies_that_are_not_kept_too() {
    for is_kept in [true, false] {
        let credential = Credential::bearer(Key::fixed("t")).unwrap();
        let (seen, service) = accepts("another");
        let closes = NonZeroU32::new(3).unwrap();
        let layer = RetryLayer::new(policy(5).build().unwrap())
            .credential(credential)
            .closes_after(closes)
            .replay(TryClone::new(move |body: &String| is_kept.then(|| body.clone())));
        let service = layer.layer(service);
        for _ in 0..5 {
            let _ = service.clone().oneshot(get()).await;
        }
        assert_eq!(seen.lock().unwrap().len(), 3, "kept: {is_kept}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_leaves_no_request_waiting() {
    let count = Arc::new(Mutex::new(0));
    let source = move || {
        *count.lock().unwrap() += 1;
        assert!(*count.lock().unwrap() == 1, "the source is broken");
        core::future::ready(Ok(Secret::new("t")))
    };
    let credential = Credential::bearer_from(source).await.unwrap();
    let (_, service) = accepts("another");
    let service = with(credential, service);
    for _ in 0..2 {
        let call = tokio::spawn(service.clone().oneshot(get()));
        let ended = tokio::time::timeout(secs(60), call).await.expect("it ends");
        assert!(ended.unwrap_err().is_panic());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_a_refresh_mends_closes_nothing() {
    let (asked, source) = tokens(None);
    let credential = Credential::bearer_from(source).await.unwrap();
    let (_, service) = accepts("t2");
    let closes = NonZeroU32::new(10).unwrap();
    let layer = RetryLayer::new(policy(5).build().unwrap()).credential(credential);
    let service = layer.closes_after(closes).layer(service);
    let mut all = Vec::new();
    for _ in 0..100 {
        all.push(tokio::spawn(service.clone().oneshot(get())));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for request in all {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(*asked.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_opens_a_closed_gate_without_a_restart() {
    let file = std::env::temp_dir().join(format!("retry-layer-closed-{}", std::process::id()));
    std::fs::write(&file, "old").unwrap();
    let key = Credential::bearer(Key::file(&file)).unwrap();
    let (seen, service) = accepts("new");
    let layer = RetryLayer::new(policy(5).build().unwrap()).credential(key);
    let service = layer.closes_after(NonZeroU32::MIN).layer(service);
    assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 401);
    std::fs::write(&file, "new").unwrap();
    assert!(service.clone().oneshot(get()).await.is_err(), "nobody has looked yet");
    tokio::time::sleep(secs(10)).await;
    assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 200);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_given_as_long_as_an_attempt() {
    let first = Arc::new(Mutex::new(Some(Secret::new("t1").expires_in(secs(100)))));
    let source = move || {
        let secret = first.lock().unwrap().take();
        async move {
            match secret {
                Some(secret) => Ok(secret),
                None => core::future::pending().await,
            }
        }
    };
    let credential = Credential::bearer_from(source).await.unwrap();
    let (seen, service) = accepts("t1");
    let layer = RetryLayer::new(policy(5).build().unwrap()).credential(credential);
    let service = layer.attempt_timeout(secs(3)).layer(service);
    tokio::time::sleep(secs(95)).await;
    // It is due, and still good.
    assert_eq!(service.clone().oneshot(get()).await.unwrap().status(), 200);
    assert_eq!(seen.lock().unwrap()[0], (98, "Bearer t1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_made_before_they_are_polled_share_a_refresh_too() {
    let (asked, source) = tokens(Some(secs(100)));
    let credential = Credential::bearer_from(source).await.unwrap();
    let (_, service) = accepts("t2");
    let mut service = with(credential, service);
    tokio::time::sleep(secs(200)).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(service.ready().await.unwrap().call(get()));
    }
    for call in all {
        assert_eq!(call.await.unwrap().status(), 200);
    }
    assert_eq!(*asked.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_asks_for_a_fresh_token_at_most_once() {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let source = move || {
        *count.lock().unwrap() += 1;
        core::future::ready(Ok(Secret::new("same").expires_in(secs(100))))
    };
    let credential = Credential::bearer_from(source).await.unwrap();
    let (_, service) = accepts("another");
    let service = with(credential, service);
    tokio::time::sleep(secs(95)).await;
    let response = service.oneshot(get()).await.unwrap();
    assert_eq!((response.status().as_u16(), *asked.lock().unwrap()), (401, 2));
}

#[test]
fn threads_that_meet_the_same_stale_token_cause_one_refresh() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(4).enable_time().build().unwrap().block_on(async {
        for _ in 0..200 {
            let asked = Arc::new(Mutex::new(0));
            let count = Arc::clone(&asked);
            let source = move || {
                let count = Arc::clone(&count);
                async move {
                    tokio::task::yield_now().await;
                    // One that is abandoned by all does not land.
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    Ok(Secret::new(format!("t{count}")))
                }
            };
            let credential = Credential::bearer_from(source).await.unwrap();
            let (_, service) = accepts("t2");
            let service = with(credential, service);
            let all: Vec<_> =
                (0..32).map(|_| tokio::spawn(service.clone().oneshot(get()))).collect();
            for (number, call) in all.into_iter().enumerate() {
                if number % 5 == 0 {
                    call.abort();
                } else {
                    assert_eq!(call.await.unwrap().unwrap().status(), 200);
                }
            }
            assert_eq!(*asked.lock().unwrap(), 2);
        }
    });
}

#[tokio::test(start_paused = true)]
async fn what_happened_after_a_refresh_is_told_as_it_was() {
    // A wait at the gate, a slow 401, a refresh at once.
    let (_, service) = scripted(&[RetryAfter(429, "2"), Slow(401, secs(5))]);
    let count = Arc::new(Mutex::new(0));
    let source = move || {
        *count.lock().unwrap() += 1;
        let number = *count.lock().unwrap();
        core::future::ready(Ok(Secret::new(format!("t{number}"))))
    };
    let credential = Credential::bearer_from(source).await.unwrap();
    let service = with(credential, service);
    let asked = tokio::spawn(service.clone().oneshot(get()));
    tokio::task::yield_now().await;
    asked.abort();
    let response = service.oneshot(get()).await.unwrap();
    assert_eq!(Attempts::of(&response).to_string(), "2 attempts: 401, 200");
}

#[tokio::test(start_paused = true)]
async fn a_look_for_another_credential_is_short_and_a_late_one_ends_with_the_answer() {
    let slow = |seconds| {
        let first = Arc::new(Mutex::new(true));
        move || {
            let is_first = std::mem::take(&mut *first.lock().unwrap());
            async move {
                tokio::time::sleep(secs(if is_first { 0 } else { seconds })).await;
                Ok(Secret::new(if is_first { "t1" } else { "t2" }))
            }
        }
    };
    let credential = Credential::bearer_from(slow(1 << 20)).await.unwrap();
    let (_, service) = scripted(&[Status(403)]);
    let layer = RetryLayer::new(policy(5).build().unwrap()).credential(credential);
    let service = layer.closes_after(NonZeroU32::MIN).layer(service);
    let _ = service.clone().oneshot(get()).await;
    tokio::time::sleep(secs(11)).await;
    let began = Instant::now();
    assert!(service.oneshot(get()).await.is_err());
    assert_eq!(began.elapsed(), secs(1));

    // The refresh lands exactly at the deadline.
    let credential = Credential::bearer_from(slow(5)).await.unwrap();
    let (seen, service) = accepts("t2");
    let policy = policy(5).deadline(secs(5)).build().unwrap();
    let service = RetryLayer::new(policy).credential(credential).cut_off().layer(service);
    let response = service.oneshot(get()).await.unwrap();
    let reason = StopReason::Deadline { wait: Duration::ZERO };
    assert_eq!(Attempts::of(&response).stop_reason(), Some(reason));
    assert_eq!((response.status().as_u16(), seen.lock().unwrap().len()), (401, 1));
}
