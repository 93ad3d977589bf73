//! tower's contract, poll by poll.

use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower_test::mock;

use super::*;
use crate::delivery::KnownErrors;
use crate::replay::CloneBody;
use crate::timer::TokioTimer;

type Mock = mock::Mock<Request<String>, Response<String>>;
type Plain = With<CloneBody, LastAnswer, KnownErrors, TokioTimer>;
type Handle = mock::Handle<Request<String>, Response<String>>;

/// A layer around a mock, as a mock of its own.
fn mocked(layer: RetryLayer<Plain>) -> (mock::Spawn<Retry<Mock, Plain>>, Handle) {
    mock::spawn_with(move |mock| layer.layer(mock))
}

fn answer(status: u16) -> Response<String> {
    Response::builder().status(status).body(String::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn is_ready_when_the_service_is_and_holds_no_readiness_while_it_waits() {
    let (mut service, mut handle) = mocked(RetryLayer::new(policy(5).build().unwrap()));
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut first = task::spawn(service.call(get()));
    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_response(answer(503));
    assert_pending!(first.poll());
    // In its wait it takes nothing from others: the one place is theirs.
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut second = task::spawn(service.call(get()));
    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_response(answer(200));
    assert_ready_ok!(second.poll());
    // After its wait it has to be let in again.
    tokio::time::advance(secs(1)).await;
    assert_pending!(first.poll());
    assert!(tokio::time::timeout(secs(1), handle.next_request()).await.is_err());
    handle.allow(1);
    assert_pending!(first.poll());
    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_response(answer(200));
    assert_ready_ok!(first.poll());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_meets_a_pause_gives_its_readiness_to_others() {
    let (mut service, mut handle) = mocked(RetryLayer::new(policy(5).build().unwrap()));
    handle.allow(2);
    assert_ready_ok!(service.poll_ready());
    let mut asked = task::spawn(service.call(get()));
    let (_, respond) = handle.next_request().await.unwrap();
    let mut too_many = answer(429);
    too_many.headers_mut().insert("retry-after", "30".parse().unwrap());
    respond.send_response(too_many);
    assert_pending!(asked.poll());
    // It was ready, and is not sent.
    assert_ready_ok!(service.poll_ready());
    let mut paused = task::spawn(service.call(get()));
    assert_pending!(paused.poll());
    assert!(tokio::time::timeout(secs(10), handle.next_request()).await.is_err());
    drop(asked);
    tokio::time::advance(secs(31)).await;
    assert_pending!(paused.poll());
    handle.allow(1);
    assert_pending!(paused.poll());
    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_response(answer(200));
    assert_ready_ok!(paused.poll());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_drops_the_attempt() {
    let held = Arc::new(());
    let service = {
        let held = Arc::clone(&held);
        service_fn(move |_: Request<String>| {
            let held = Arc::clone(&held);
            async move {
                core::future::pending::<()>().await;
                drop(held);
                Ok::<_, BoxError>(answer(200))
            }
        })
    };
    let mut service = RetryLayer::new(policy(5).build().unwrap()).layer(service);
    let before = Arc::strong_count(&held);
    let mut call = task::spawn(service.call(get()));
    assert_pending!(call.poll());
    assert!(Arc::strong_count(&held) > before + 1);
    drop(call);
    assert_eq!(Arc::strong_count(&held), before);
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_become_ready_is_passed_on() {
    let (mut service, mut handle) = mocked(RetryLayer::new(policy(5).build().unwrap()));
    handle.send_error("broken");
    let error = assert_ready!(service.poll_ready()).unwrap_err();
    assert_eq!(error.to_string(), "broken");
}
