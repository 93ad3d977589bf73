use core::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use retry_policy::profile;
use retry_policy::{Attempts, StopReason, Stopped};
use tokio::time::Instant;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::timer::Loaded;
use crate::{Key, PeekLayer};

trait Client:
    Service<Request<String>, Response = Response<Full<Bytes>>, Error = std::io::Error> + Clone
{
}

impl<S> Client for S where
    S: Service<Request<String>, Response = Response<Full<Bytes>>, Error = std::io::Error> + Clone
{
}

/// A client that answers by status and text, with errors of its own type.
fn client(status: u16, text: &'static str) -> (Arc<Mutex<u32>>, impl Client + use<>) {
    let calls = Arc::new(Mutex::new(0));
    let count = Arc::clone(&calls);
    let service = service_fn(move |_: Request<String>| {
        *count.lock().unwrap() += 1;
        let answer = Response::builder().status(status).body(Full::from(text)).unwrap();
        async move {
            if status == 200 && text.is_empty() {
                core::future::pending::<()>().await;
            }
            Ok(answer)
        }
    });
    (calls, service)
}

fn get() -> Request<String> {
    Request::new(String::new())
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_after_thirty_seconds_or_what_the_profile_says() {
    for (profile, seconds) in [
        (profile::DEFAULT, 30),
        (profile::IXON, profile::IXON.attempt_timeout().unwrap().as_secs()),
    ] {
        let (calls, client) = client(200, "");
        let api = Stack::with_timer(profile, Loaded(0)).around(client);
        let began = Instant::now();
        let mut call = Box::pin(api.oneshot(get()));
        let _ = tokio::time::timeout(
            Duration::from_secs(seconds).checked_sub(Duration::from_millis(1)).unwrap(),
            &mut call,
        )
        .await;
        assert_eq!(*calls.lock().unwrap(), 1);
        let error = call.await.unwrap_err();
        assert!(error.is::<Stopped>(), "{error}");
        assert!(*calls.lock().unwrap() > 1, "the next attempt follows");
        assert!(began.elapsed() >= Duration::from_secs(seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn ten_refusals_in_a_row_close_it() {
    let (calls, client) = client(403, "no");
    let key = Credential::api_key(Key::fixed("k")).unwrap();
    let api = Stack::new(profile::DEFAULT).credential(key).around(client);
    for _ in 0..10 {
        assert_eq!(api.clone().oneshot(get()).await.unwrap().status(), 403);
    }
    let error = api.oneshot(get()).await.unwrap_err();
    let reason = error.downcast_ref::<Stopped>().unwrap().attempts().stop_reason();
    assert!(matches!(reason, Some(StopReason::Closed { .. })), "{reason:?}");
    assert_eq!(*calls.lock().unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_for_its_tokens_where_others_give_up() {
    for (is_paced, attempts) in [(false, 11), (true, 12)] {
        let (calls, client) = client(503, "down");
        let stack = Stack::with_timer(profile::DEFAULT, Loaded(0));
        let stack = if is_paced { stack.pace() } else { stack };
        let many = 12.try_into().unwrap();
        let policy = Policy::of(profile::DEFAULT).max_attempts(many).build().unwrap();
        let api = stack.policy(policy).around(client);
        let response = api.oneshot(get()).await.unwrap();
        let said = Attempts::of(&response);
        assert_eq!((said.count(), *calls.lock().unwrap()), (attempts, attempts), "{said}");
    }
}

#[tokio::test]
async fn bodies_are_whole_or_stream_or_are_peeked_at() {
    let read = |body: Bytes| String::from_utf8(body.to_vec()).unwrap();
    let (_, inner) = client(404, "not here");
    let whole = Stack::new(profile::DEFAULT).around(inner.clone()).oneshot(get()).await.unwrap();
    assert_eq!(read(whole.body().bytes().clone()), "not here");
    let streaming = Stack::new(profile::DEFAULT).streaming().around(inner.clone());
    let body = streaming.oneshot(get()).await.unwrap().into_body();
    assert_eq!(read(body.collect().await.unwrap().to_bytes()), "not here");
    // IXON says only in the body that this 401 is final.
    let (calls, inner) = client(401, r#"{"data": [{"message": "2FA is required"}]}"#);
    let peek = PeekLayer::new(NonZeroUsize::new(4096).unwrap());
    let key = Credential::bearer(Key::fixed("k")).unwrap();
    let peeking = Stack::new(profile::IXON).credential(key).bodies((peek, Streaming)).around(inner);
    let response = peeking.oneshot(get()).await.unwrap();
    assert_eq!(Attempts::of(&response).stop_reason(), Some(StopReason::Permanent));
    assert_eq!(*calls.lock().unwrap(), 1);
}
