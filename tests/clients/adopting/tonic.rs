#[path = "../../../examples/clients/tonic.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use std::time::Duration;

use client_examples::notes::Note;
use example::{client, idempotent};
use retry_layer::Record;
use retry_layer::policy::Delivery;
use simulated_api::{Api, Fault, SimulatedApi};
use tonic::{Code, IntoRequest};

use crate::{asked, bearer, origin, serve};

fn note() -> Note {
    Note { text: "milk".into() }
}

/// The message as gRPC frames it: not compressed, its length, field 1 of 4 bytes.
const FRAMED: &[u8] = b"\0\0\0\0\x06\x0a\x04milk";

/// What became of one call, and how many were sent.
async fn put<const N: usize>(
    faults: [(u64, Fault); N],
    is_idempotent: bool,
) -> (Result<String, Code>, SimulatedApi) {
    let (api, server) = serve(Api::Grpc, faults).await;
    let mut notes = client(origin(&server), bearer());
    let request = if is_idempotent { idempotent(note()) } else { note().into_request() };
    let answer = notes.put(request).await;
    (answer.map(|note| note.into_inner().text).map_err(|status| status.code()), api)
}

#[tokio::test]
async fn an_unavailable_call_is_sent_again_as_it_was_if_it_may_be() {
    let faults = || [(1, Fault::grpc(14)), (2, Fault::status(503))];
    let (answer, api) = put(faults(), true).await;
    assert_eq!(answer, Ok("milk".into()));
    let post = |status| ("POST".to_owned(), Some(status), FRAMED.into());
    assert_eq!(asked(&api), [post(200), post(503), post(200)]);
    let (answer, api) = put(faults(), false).await;
    assert_eq!((answer, api.log().len()), (Err(Code::Unavailable), 1));
}

#[tokio::test]
async fn a_pushback_is_waited_for_and_a_negative_one_is_the_end() {
    let pushed = |text| Fault::grpc(14).header("grpc-retry-pushback-ms", text);
    let (answer, api) = put([(1, pushed("300"))], true).await;
    assert_eq!(answer, Ok("milk".into()));
    let log = api.log();
    assert!(log[1].at - log[0].at >= Duration::from_millis(300));
    for refusal in ["-1", "soon"] {
        let (answer, api) = put([(1, pushed(refusal))], true).await;
        assert_eq!((answer, api.log().len()), (Err(Code::Unavailable), 1), "{refusal}");
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_whatever_it_is_and_a_reset_one_is_not() {
    let (answer, api) = put([(1, Fault::Refused)], false).await;
    assert_eq!((answer, api.log().len()), (Ok("milk".into()), 2));
    let (answer, api) = put([(1, Fault::ResetBeforeHead)], false).await;
    assert!(answer.is_err());
    assert_eq!(api.log().len(), 1);
    let (answer, api) = put([(1, Fault::ResetBeforeHead)], true).await;
    assert_eq!((answer, api.log().len()), (Ok("milk".into()), 2));
}

#[tokio::test]
async fn a_call_that_is_wrong_is_not_sent_again() {
    for code in [3, 5, 7, 13] {
        let (answer, api) = put([(1, Fault::grpc(code))], true).await;
        assert_eq!((answer, api.log().len()), (Err(Code::from(i32::from(code))), 1));
    }
}

#[tokio::test]
async fn what_could_not_connect_is_sent_again() {
    let (_, server) = serve(Api::Grpc, []).await;
    let origin = origin(&server);
    drop(server);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let record = Record::new();
    let mut request = note().into_request();
    request.extensions_mut().insert(record.clone());
    let status = client(origin, bearer()).put(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let attempts = record.attempts().unwrap();
    assert!(attempts.iter().all(|attempt| attempt.delivery() == Delivery::NotSent), "{attempts}");
    assert_eq!(attempts.count(), 3);
}
