#[path = "../../../examples/clients/reqwest.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request as Incoming;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get};
use client_tests::{Raw, frame, read_first_request, read_head, rst_stream, write};
use example::client;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::{Body, Method, Request};
use retry_layer::delivery::of_reqwest_without_redirects;
use retry_layer::policy::attempts::Attempt;
use retry_layer::policy::{Attempts, Delivery, Policy, backoff::Backoff, profile, safety::Vouched};
use retry_layer::reqwest::{ReqwestBodies, ReqwestService};
use retry_layer::{BoxError, Record, RetryLayer};
use simulated_api::{Api, Fault};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceExt};

use crate::{api_key, asked, serve};

const BODY: &str = r#"{"limit": 2}"#;

async fn start(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    url
}

fn request(method: Method, url: &str, body: impl Into<Body>) -> http::Request<Body> {
    let mut request = Request::new(method, url.parse().unwrap());
    *request.body_mut() = Some(body.into());
    request.try_into().unwrap()
}

fn streamed(pieces: &'static [&'static str]) -> Body {
    let frames =
        pieces.iter().map(|it| Ok::<_, BoxError>(Frame::data(Bytes::from_static(it.as_bytes()))));
    Body::wrap(StreamBody::new(stream::iter(frames)))
}

/// Fails so often, then goes on.
fn fails(times: usize) -> impl Fn() -> bool + Clone {
    let asked = Arc::new(AtomicUsize::new(0));
    move || asked.fetch_add(1, SeqCst) < times
}

#[tokio::test]
async fn a_body_of_bytes_or_a_stream_comes_again_as_it_came() {
    for body in [Body::from(BODY), streamed(&[r#"{"li"#, r#"mit": 2}"#])] {
        let faults = [(1, Fault::status(503)), (2, Fault::ResetBeforeHead)];
        let (api, server) = serve(Api::JumpCloudSearch, faults).await;
        let mut request = request(Method::POST, &server.url(), body);
        request.extensions_mut().insert(Vouched::new());
        let response = client(api_key()).unwrap().1.oneshot(request).await.unwrap();
        assert_eq!(Attempts::of(&response).count(), 3);
        let post = |status| ("POST".to_owned(), status, BODY.into());
        assert_eq!(asked(&api), [post(Some(503)), post(None), post(Some(200))]);
        let page: serde_json::Value = reqwest::Response::from(response).json().await.unwrap();
        assert_eq!(page["results"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_error_is_reqwests_own() {
    let (api, server) = serve(Api::JumpCloudSearch, [(1, Fault::ResetBeforeHead)]).await;
    let post = request(Method::POST, &server.url(), BODY);
    let error: reqwest::Error = client(api_key()).unwrap().1.oneshot(post).await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    assert_eq!((error.url().unwrap().as_str(), api.log().len()), (server.url().as_str(), 1));
}

#[tokio::test]
async fn an_address_that_is_not_absolute_is_told_at_once() {
    let (_, mut service) = client(api_key()).unwrap();
    let record = Record::new();
    let mut request = http::Request::get("/users").body(Body::default()).unwrap();
    request.extensions_mut().insert(record.clone());
    let error = service.ready().await.unwrap().call(request).await.unwrap_err();
    assert!(error.is_builder());
    assert_eq!(record.attempts().unwrap().to_string(), "1 attempt: no answer; a permanent error");
}

#[tokio::test]
async fn redirects_are_followed_with_the_body_and_the_last_address_is_told() {
    let is_bad = fails(1);
    let there = async move |body: String| {
        let status = if is_bad() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        (status, body)
    };
    let app = Router::new()
        .route("/here", any(async || Redirect::temporary("/there")))
        .route("/there", any(there));
    let url = start(app).await;
    let put = request(Method::PUT, &format!("{url}/here"), "body");
    let response = client(api_key()).unwrap().1.oneshot(put).await.unwrap();
    assert_eq!(Attempts::of(&response).count(), 2);
    let response = reqwest::Response::from(response);
    assert_eq!(response.url().as_str(), format!("{url}/there"));
    assert_eq!(response.text().await.unwrap(), "body");
}

#[tokio::test]
async fn a_post_that_was_processed_and_redirected_to_nowhere_is_not_sent_again() {
    for nowhere in [Raw::nobody().await, "ftp://localhost/".into(), "mailto:a@localhost".into()] {
        let posted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&posted);
        let app = Router::new().fallback(async move || {
            count.fetch_add(1, SeqCst);
            Redirect::to(&nowhere)
        });
        let record = Record::new();
        let mut request = request(Method::POST, &start(app).await, "one");
        request.extensions_mut().insert(record.clone());
        reading_ahead(0).oneshot(request).await.unwrap_err();
        assert_eq!(posted.load(SeqCst), 1);
        assert!(record.attempts().unwrap().iter().all(|it| it.delivery() == Delivery::Unknown));
    }
}

#[tokio::test]
async fn a_cookie_of_a_failed_attempt_goes_with_the_next() {
    let is_bad = fails(1);
    let app = Router::new().fallback(async move |headers: HeaderMap| {
        if is_bad() {
            return (StatusCode::SERVICE_UNAVAILABLE, [("set-cookie", "node=7")], "")
                .into_response();
        }
        format!("{:?}", headers["cookie"]).into_response()
    });
    let get = request(Method::GET, &start(app).await, "");
    let response = client(api_key()).unwrap().1.oneshot(get).await.unwrap();
    assert_eq!(reqwest::Response::from(response).text().await.unwrap(), "\"node=7\"");
}

#[tokio::test]
async fn a_compressed_answer_is_read() {
    let is_bad = fails(1);
    let text = async move || {
        if is_bad() {
            (StatusCode::BAD_GATEWAY, "bad ".repeat(100))
        } else {
            (StatusCode::OK, "good ".repeat(100))
        }
    };
    let app = Router::new().fallback(text).layer(tower_http::compression::CompressionLayer::new());
    let get = request(Method::GET, &start(app).await, "");
    let response = client(api_key()).unwrap().1.oneshot(get).await.unwrap();
    assert_eq!(Attempts::of(&response).count(), 2);
    assert_eq!(reqwest::Response::from(response).text().await.unwrap(), "good ".repeat(100));
}

#[tokio::test]
async fn a_timeout_of_reqwest_is_a_timeout() {
    let app = Router::new().fallback(async || std::future::pending::<()>().await);
    let record = Record::new();
    let mut put = request(Method::PUT, &start(app).await, "");
    put.extensions_mut().insert(record.clone());
    let client = reqwest::Client::builder().timeout(Duration::from_millis(50)).build().unwrap();
    let soon = Backoff::constant(Duration::from_millis(1));
    let layer = RetryLayer::new(Policy::builder().backoff(soon).build().unwrap());
    let service = layer.replay(ReqwestBodies::new(0)).layer(ReqwestService::new(client));
    assert!(service.oneshot(put).await.unwrap_err().is_timeout());
    assert!(record.attempts().unwrap().iter().all(Attempt::timed_out));
    assert_eq!(record.attempts().unwrap().count(), 3);
}

fn reading_ahead(
    bytes: usize,
) -> impl Service<http::Request<Body>, Response = http::Response<Body>, Error = reqwest::Error> {
    let soon = Backoff::constant(Duration::from_millis(1));
    let policy = Policy::of(profile::GITHUB).backoff(soon).throttled(soon).build().unwrap();
    let client = reqwest::Client::builder().gzip(true).build().unwrap();
    let layer = RetryLayer::new(policy).credential(api_key()).replay(ReqwestBodies::new(0));
    layer.layer(ReqwestService::new(client).read_ahead(bytes))
}

#[tokio::test]
async fn a_body_that_is_cut_off_within_what_is_read_ahead_is_asked_for_again() {
    for (read_ahead, requests) in [(100_000, 2), (0, 1)] {
        let (api, server) = serve(Api::JumpCloudV1, [(1, Fault::CutBody)]).await;
        let get = request(Method::GET, &server.url(), "");
        let response = reading_ahead(read_ahead).oneshot(get).await.unwrap();
        let body = reqwest::Response::from(response).bytes().await;
        assert_eq!((body.is_ok(), api.log().len()), (requests == 2, requests));
    }
}

#[tokio::test]
async fn what_is_longer_than_what_is_read_ahead_arrives_whole() {
    let long = "x".repeat(300_000);
    let app = Router::new().fallback(get(async move || long));
    let get = request(Method::GET, &start(app).await, "");
    let response = reqwest::Response::from(reading_ahead(1000).oneshot(get).await.unwrap());
    assert_eq!(response.content_length(), Some(300_000));
    assert_eq!(response.text().await.unwrap(), "x".repeat(300_000));
}

#[tokio::test]
async fn what_an_error_says_is_read_by_the_profile() {
    for (read_ahead, attempts) in [(1000, 2), (0, 1)] {
        let is_bad = fails(1);
        let app = Router::new().fallback(async move |_: Incoming| {
            if is_bad() {
                (StatusCode::FORBIDDEN, "a secondary rate limit")
            } else {
                (StatusCode::OK, "")
            }
        });
        let get = request(Method::GET, &start(app).await, "");
        let response = reading_ahead(read_ahead).oneshot(get).await.unwrap();
        assert_eq!(Attempts::of(&response).count(), attempts);
    }
}

/// As `docs/adopting.md` says: reqwest sends a refused stream again by itself, and one line ends that.
#[tokio::test]
async fn one_who_retries_is_enough() {
    for (retries, seen) in [(None, 1), (Some(reqwest::retry::never()), 2)] {
        let (api, server) = serve(Api::JumpCloudSearch, [(1, Fault::Refused)]).await;
        let builder = reqwest::Client::builder().http2_prior_knowledge();
        let builder = match retries {
            Some(retries) => builder.retry(retries),
            None => builder,
        };
        let layer = RetryLayer::new(profile::DEFAULT.policy()).credential(api_key());
        let layer = layer.replay(ReqwestBodies::new(0));
        let layer = layer.delivery(of_reqwest_without_redirects);
        let service = layer.layer(ReqwestService::new(builder.build().unwrap()));
        let post = request(Method::POST, &server.url(), BODY);
        let response = service.oneshot(post).await.unwrap();
        assert_eq!((api.log().len(), Attempts::of(&response).count()), (2, seen));
    }
}

#[tokio::test]
async fn the_credential_goes_along_no_redirect_to_another_origin() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let other = start(Router::new().fallback(async move |headers: HeaderMap| {
        count.fetch_add(1, SeqCst);
        headers.get("x-api-key").map_or("no key", |_| "the key")
    }))
    .await;
    let app = Router::new().fallback(async move || Redirect::temporary(&other));
    let url = start(app).await;
    let get = || request(Method::GET, &url, "");
    let response = client(api_key()).unwrap().1.oneshot(get()).await.unwrap();
    assert_eq!((response.status().as_u16(), seen.load(SeqCst)), (307, 0));
    // What reqwest does by itself.
    let layer = RetryLayer::new(profile::DEFAULT.policy()).credential(api_key());
    let service = layer.replay(ReqwestBodies::new(0));
    let service = service.layer(ReqwestService::new(reqwest::Client::new()));
    let response = reqwest::Response::from(service.oneshot(get()).await.unwrap());
    assert_eq!(response.text().await.unwrap(), "the key");
}

#[tokio::test]
async fn redirects_without_an_end_are_followed_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let app = Router::new().fallback(async move || {
        count.fetch_add(1, SeqCst);
        Redirect::temporary("/again")
    });
    let get = request(Method::GET, &start(app).await, "");
    assert!(client(api_key()).unwrap().1.oneshot(get).await.unwrap_err().is_redirect());
    assert_eq!(asked.load(SeqCst), 11, "ten redirects");
}

#[tokio::test]
async fn an_answer_that_a_redirect_led_to_is_none_to_a_post() {
    // The order was taken; what throttles or refuses is the page that it leads to, even at its own address.
    for status in [401, 421, 425, 429] {
        for page in ["/orders/1", "/orders"] {
            let orders = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&orders);
            let order = async move || {
                count.fetch_add(1, SeqCst);
                Redirect::to(page)
            };
            let read = async move || StatusCode::from_u16(status).unwrap();
            let app = Router::new().route("/orders", axum::routing::post(order).get(read));
            let app = app.route("/orders/1", get(read));
            let post = request(Method::POST, &format!("{}/orders", start(app).await), "one");
            let response = client(api_key()).unwrap().1.oneshot(post).await.unwrap();
            assert_eq!((response.status().as_u16(), orders.load(SeqCst)), (status, 1), "{page}");
        }
    }
}

#[tokio::test]
async fn what_an_error_asks_for_counts_whatever_becomes_of_its_body() {
    for (ends, name) in [(true, "cut"), (false, "stalled")] {
        let server = Raw::serve(move |number, mut stream| async move {
            read_head(&mut stream).await.unwrap();
            if number > 1 {
                return write(&mut stream, "HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
            }
            let head = "HTTP/1.1 429 x\r\nretry-after: 1\r\ncontent-length: 9\r\n\r\nhalf";
            write(&mut stream, head).await;
            if !ends {
                std::future::pending::<()>().await;
            }
        })
        .await;
        let client = reqwest::Client::builder().timeout(Duration::from_millis(300));
        let service = ReqwestService::build(client).unwrap().read_ahead(1000);
        let layer = RetryLayer::new(profile::DEFAULT.policy()).replay(ReqwestBodies::new(0));
        let post = request(Method::POST, &server.url(), "");
        let response = layer.layer(service).oneshot(post).await.unwrap();
        let attempts = Attempts::of(&response);
        assert_eq!((response.status().as_u16(), attempts.count()), (200, 2), "{name}");
        assert!(attempts.total_wait() >= Duration::from_secs(1), "{name}: {attempts}");
    }
}

#[tokio::test]
async fn what_breaks_the_body_of_an_answer_says_nothing_of_the_request() {
    let server = Raw::serve(async |_, mut stream| {
        if read_first_request(&mut stream).await.is_some() {
            // A head of status 200, a piece of the body, and then: refused.
            let head = frame(1, 0x4, 1, &[0x88]);
            let answer = [head, frame(0, 0, 1, b"created"), rst_stream(1, 7)].concat();
            let _ = stream.write_all(&answer).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let client = reqwest::Client::builder().http2_prior_knowledge();
    let client = client.retry(reqwest::retry::never()).redirect(reqwest::redirect::Policy::none());
    let service = ReqwestService::new(client.build().unwrap()).read_ahead(1000);
    let layer = RetryLayer::new(profile::DEFAULT.policy()).replay(ReqwestBodies::new(0));
    let record = Record::new();
    let mut post = request(Method::POST, &server.url(), "one");
    post.extensions_mut().insert(record.clone());
    let service = layer.delivery(of_reqwest_without_redirects).layer(service);
    assert!(service.oneshot(post).await.is_err());
    assert_eq!(record.attempts().unwrap().count(), 1);
}
