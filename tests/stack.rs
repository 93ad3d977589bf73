//! The layers over hyper's client and a server on loopback: what each fault means and what is done.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use pagination::dialect::JUMPCLOUD_V1;
use pagination::{Error, Outcome, Pages, Proof, Query};
use retry_layer::{BoxError, CollectLayer, Collected, RetryLayer};
use retry_policy::attempts::Record;
use retry_policy::backoff::Backoff;
use retry_policy::safety::Vouched;
use retry_policy::{Attempts, Delivery, Policy, StopReason, Stopped};
use simulated_api::{Api, Fault, Server, SimulatedApi};
use tower::{ServiceBuilder, ServiceExt};

type HttpClient = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

fn policy() -> Policy {
    let backoff = Backoff::exponential(Duration::from_millis(1), Duration::from_millis(4)).unwrap();
    Policy::builder().backoff(backoff).throttled(backoff).build().unwrap()
}

async fn serve(script: impl IntoIterator<Item = (u64, Fault)>) -> (SimulatedApi, Server) {
    let api = SimulatedApi::builder(Api::JumpCloudV1).rows(50).script(script).build();
    let server = api.serve().await.unwrap();
    (api, server)
}

fn request(method: Method, url: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(url).header("x-api-key", "key");
    request.body(Full::default()).unwrap()
}

/// Sends it through the whole stack: retries, attempt timeout, collected bodies.
async fn send(request: Request<Full<Bytes>>) -> Result<Response<Collected>, BoxError> {
    ServiceBuilder::new()
        .layer(RetryLayer::new(policy()).attempt_timeout(Duration::from_millis(100)))
        .layer(CollectLayer::new())
        .service(client())
        .oneshot(request)
        .await
}

fn deliveries(attempts: &Attempts) -> Vec<Delivery> {
    attempts.iter().map(retry_policy::attempts::Attempt::delivery).collect()
}

#[tokio::test]
async fn every_fault_of_the_wire_is_an_attempt_that_failed() {
    for (fault, delivery) in [
        (Fault::status(503), Delivery::Answered(503)),
        (Fault::ResetBeforeHead, Delivery::Unknown),
        (Fault::ResetAfterHead, Delivery::Unknown),
        (Fault::CutBody, Delivery::Unknown),
        (Fault::StallBody, Delivery::Unknown),
        (Fault::Hang, Delivery::Unknown),
    ] {
        let (api, server) = serve([(1, fault.clone())]).await;
        let response = send(request(Method::GET, &server.url())).await.unwrap();
        assert_eq!(response.status(), 200);
        let attempts = Attempts::of(&response);
        assert_eq!(deliveries(&attempts), [delivery, Delivery::Answered(200)], "{fault:?}");
        assert_eq!(api.log().len(), 2);
        assert!(attempts.may_have_been_applied());
    }
}

#[tokio::test]
async fn an_unsafe_request_whose_fate_is_unknown_is_sent_once() {
    for fault in [Fault::ResetBeforeHead, Fault::Hang, Fault::status(500)] {
        let (api, server) = serve([(1, fault.clone())]).await;
        let record = Record::new();
        let mut post = request(Method::POST, &server.url());
        post.extensions_mut().insert(record.clone());
        let _ = send(post).await;
        assert_eq!(api.log().len(), 1, "{fault:?}");
        let attempts = record.attempts().unwrap();
        assert_eq!(attempts.stop_reason(), Some(StopReason::NotRepeatable));

        // The caller's word makes it repeatable: the second answer is the API's own 405.
        let (api, server) = serve([(1, fault)]).await;
        let mut post = request(Method::POST, &server.url());
        post.extensions_mut().insert(Vouched::new());
        assert_eq!(send(post).await.unwrap().status(), 405);
        assert_eq!(api.log().len(), 2);
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_was_not_sent_and_even_a_post_may_be_repeated() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for url in [url.as_str(), "http://no-such-name.invalid/"] {
        let record = Record::new();
        let mut post = request(Method::POST, url);
        post.extensions_mut().insert(record.clone());
        send(post).await.unwrap_err();
        let attempts = record.attempts().unwrap();
        assert_eq!(deliveries(&attempts), [Delivery::NotSent; 3], "{url}");
        assert_eq!(attempts.stop_reason(), Some(StopReason::Attempts));
    }
}

#[tokio::test]
async fn the_last_real_answer_is_returned_with_its_reason() {
    let (api, server) = serve((1..9).map(|at| (at, Fault::status(503)))).await;
    let response = send(request(Method::GET, &server.url())).await.unwrap();
    assert_eq!(response.status(), 503);
    let attempts = Attempts::of(&response);
    assert_eq!((attempts.count(), attempts.stop_reason()), (3, Some(StopReason::Attempts)));
    assert_eq!(api.log().len(), 3);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"{\"message\""), "its body is whole");
}

#[tokio::test]
async fn a_request_without_an_answer_in_time_ends_with_what_was_tried() {
    let (_, server) = serve((1..9).map(|at| (at, Fault::Hang))).await;
    let started = Instant::now();
    let error = send(request(Method::GET, &server.url())).await.unwrap_err();
    let stopped = error.downcast_ref::<Stopped>().unwrap();
    assert_eq!(deliveries(stopped.attempts()), [Delivery::Unknown; 3]);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn discarded_answers_leave_their_connection_to_the_next_attempt() {
    let (_, server) = serve((1..3).map(|at| (at, Fault::status(503)))).await;
    let connections = Arc::new(Mutex::new(0));
    let count = Arc::clone(&connections);
    let connector = hyper_util::client::legacy::connect::HttpConnector::new();
    let counting = ServiceBuilder::new()
        .map_request(move |uri: http::Uri| {
            *count.lock().unwrap() += 1;
            uri
        })
        .service(connector);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(counting);
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::new(policy()))
        .layer(CollectLayer::new())
        .service(client);
    let response = stack.oneshot(request(Method::GET, &server.url())).await.unwrap();
    assert_eq!((response.status().as_u16(), *connections.lock().unwrap()), (200, 1));
}

#[tokio::test]
async fn after_a_failed_page_the_stream_is_over_until_it_is_resumed_at_the_same_row() {
    for fails in 1..=6 {
        let api = SimulatedApi::builder(Api::JumpCloudV1).rows(50).writes(|number, rows| {
            if number > 1 {
                rows.delete_at(0);
            }
        });
        let api = api.script([(fails, Fault::status(403))]).build();
        let query = Query::new(JUMPCLOUD_V1, "http://in.process/api/systemusers".parse().unwrap());
        let query = query.unwrap().page_size(12).unwrap();
        let keyed = ServiceBuilder::new()
            .map_request(|mut request: Request<Full<Bytes>>| {
                request.headers_mut().insert("x-api-key", "key".parse().unwrap());
                request
            })
            .service(api.clone());
        let mut items = Pages::new(keyed, query).items::<serde_json::Value>();
        let (mut keys, mut errors) = (Vec::new(), 0);
        loop {
            match items.next().await {
                Some(Ok(row)) => keys.push(row["_id"].as_str().unwrap().to_owned()),
                Some(Err(Error::Status { status, .. })) => {
                    assert_eq!(status, 403);
                    assert!(items.next().await.is_none(), "over until it is resumed");
                    errors += 1;
                    items.resume();
                }
                Some(Err(error)) => panic!("{error}"),
                None => break,
            }
        }
        assert_eq!(
            (errors, items.report().outcome()),
            (1, Some(&Outcome::Complete { proof: Proof::Fenced }))
        );
        let proof = api.proof(&keys);
        assert_eq!((proof.missing, proof.twice), (0, 0), "request {fails} failed");
    }
}

#[tokio::test]
async fn one_bad_row_is_an_error_of_its_own() {
    #[derive(Debug)]
    struct Row;
    impl<'de> serde::Deserialize<'de> for Row {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let row = serde_json::Value::deserialize(from)?;
            match row["_id"].as_str() {
                Some("b") => Err(serde::de::Error::custom("not this one")),
                _ => Ok(Self),
            }
        }
    }
    let rows =
        ["a", "b", "c"].map(|key| simulated_api::Row::new(key, format!("{{\"_id\":\"{key}\"}}")));
    let api = SimulatedApi::builder(Api::JumpCloudV1).rows_of(rows).build();
    let server = api.serve().await.unwrap();
    let keyed = ServiceBuilder::new()
        .map_request(|mut request: Request<Full<Bytes>>| {
            request.headers_mut().insert("x-api-key", "key".parse().unwrap());
            request
        })
        .service(client());
    let query = Query::new(JUMPCLOUD_V1, server.url().parse().unwrap()).unwrap();
    let mut items = Pages::new(keyed, query).items::<Row>();
    let mut seen = Vec::new();
    while let Some(item) = items.next().await {
        seen.push(match item {
            Ok(Row) => "good".to_owned(),
            Err(Error::Row { row, .. }) => String::from_utf8(row.json().to_vec()).unwrap(),
            Err(error) => panic!("{error}"),
        });
    }
    assert_eq!(seen, ["good", "{\"_id\":\"b\"}", "good"]);
}

/// The README has no figure of cost that the bench has not printed.
#[test]
fn the_readmes_figures_of_cost_are_those_of_the_page_that_the_bench_prints() {
    let (readme, page) = (include_str!("../README.md"), include_str!("../docs/benchmarks.md"));
    let cost = readme.split("## ").find(|part| part.starts_with("What it costs")).unwrap();
    let rows: Vec<_> = cost.lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        assert!(page.contains(row), "{row}");
    }
    let numbers: Vec<_> = cost
        .lines()
        .filter(|line| !line.starts_with('|'))
        .flat_map(|line| line.split(' '))
        .filter(|word| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.'))
        .collect();
    assert_eq!(numbers, ["4.76"]);
    for number in numbers {
        assert!(page.contains(&format!(" {number} |")), "{number}");
    }
}

/// The README shows the function that `examples/read_all.rs` compiles and runs.
#[test]
fn the_readmes_program_is_the_examples() {
    let example = include_str!("../examples/read_all.rs");
    let start = example.find("async fn read_all").unwrap();
    let end = example.find("#[tokio::main]").unwrap();
    assert!(include_str!("../README.md").contains(example[start..end].trim_end()));
}
