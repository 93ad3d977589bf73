#[path = "../../../examples/clients/without_tower.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use example::{agent, blocking, with_closure};
use http::Request;
use retry_layer::policy::attempts::Attempt;
use retry_layer::policy::{Delivery, Run, Safety, StopReason, profile};
use simulated_api::{Api, Fault, SimulatedApi};

use crate::{asked, serve};

const BODY: &str = r#"{"limit": 2}"#;

/// How the request is sent.
#[derive(Clone, Copy, Debug)]
enum How {
    Async,
    Blocking,
}

/// The status of the answer, if there is one, and what happened.
async fn send<const N: usize>(
    how: How,
    faults: [(u64, Fault); N],
    safety: Safety,
) -> (Option<u16>, Run, SimulatedApi) {
    let (api, server) = serve(Api::JumpCloudSearch, faults).await;
    let request = Request::post(server.url()).header("x-api-key", "key").body(BODY).unwrap();
    let mut run = Run::new(profile::DEFAULT.policy(), safety);
    match how {
        How::Async => {
            let client = reqwest::Client::builder().retry(reqwest::retry::never()).build().unwrap();
            let answer = with_closure(&client, &request, &mut run).await;
            (answer.ok().map(|answer| answer.status().as_u16()), run, api)
        }
        How::Blocking => {
            let sent = tokio::task::spawn_blocking(move || {
                let answer = blocking(&agent(), &request, &mut run);
                (answer.ok().map(|answer| answer.status().as_u16()), run)
            });
            let (status, run) = sent.await.unwrap();
            (status, run, api)
        }
    }
}

#[tokio::test]
async fn the_same_decisions_are_made_around_a_closure_and_a_blocking_client() {
    for how in [How::Async, How::Blocking] {
        let faults = [(1, Fault::status(503)), (2, Fault::ResetBeforeHead)];
        let (status, run, api) = send(how, faults, Safety::Vouched).await;
        assert_eq!(status, Some(200), "{how:?}");
        let deliveries: Vec<_> = run.attempts().iter().map(Attempt::delivery).collect();
        let expected = [Delivery::Answered(503), Delivery::Unknown, Delivery::Answered(200)];
        assert_eq!(deliveries, expected, "{how:?}");
        let post = |status| ("POST".to_owned(), status, BODY.into());
        assert_eq!(asked(&api), [post(Some(503)), post(None), post(Some(200))]);

        let (status, run, api) = send(how, [(1, Fault::ResetBeforeHead)], Safety::Unsafe).await;
        assert_eq!((status, api.log().len()), (None, 1), "{how:?}");
        assert_eq!(run.attempts().stop_reason(), Some(StopReason::NotRepeatable));

        let wait = Fault::status(429).header("retry-after", "1");
        let (status, run, api) = send(how, [(1, wait)], Safety::Unsafe).await;
        assert_eq!((status, run.attempts().total_wait().as_secs()), (Some(200), 1), "{how:?}");
        let log = api.log();
        assert!((log[1].at - log[0].at).as_secs() >= 1);
    }
}

#[tokio::test]
async fn a_connection_that_was_refused_is_tried_again_whatever_the_request_is() {
    let url = client_tests::Raw::nobody().await;
    let request = Request::post(url).body(BODY).unwrap();
    let mut run = Run::new(profile::DEFAULT.policy(), Safety::Unsafe);
    let sent = tokio::task::spawn_blocking(move || (blocking(&agent(), &request, &mut run), run));
    let (answer, run) = sent.await.unwrap();
    let error = answer.unwrap_err();
    assert!(
        run.attempts().iter().all(|attempt| attempt.delivery() == Delivery::NotSent),
        "{error:?}"
    );
    assert_eq!(run.attempts().count(), 3);
}
