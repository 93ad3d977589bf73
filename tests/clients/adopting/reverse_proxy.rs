#[path = "../../../examples/clients/reverse_proxy.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use bytes::Bytes;
use example::{KEPT, proxy};
use futures_util::StreamExt;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use simulated_api::{Api, Fault};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::{asked, serve};

async fn start(app: Router) -> http::uri::Authority {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address.to_string().parse().unwrap()
}

/// A search whose body has this many bytes and comes in pieces.
fn upload(to: &http::uri::Authority, size: usize) -> (Request<Body>, Bytes) {
    let body = Bytes::from(format!("{:size$}", r#"{"limit": 2}"#));
    let pieces: Vec<_> = body.chunks(1000).map(Bytes::copy_from_slice).collect();
    let pieces =
        pieces.into_iter().map(|piece| Ok::<_, axum::Error>(http_body::Frame::data(piece)));
    let stream = Body::new(StreamBody::new(futures_util::stream::iter(pieces)));
    let uri = format!("http://{to}{}", Api::JumpCloudSearch.path());
    (Request::post(uri).header("x-api-key", "key").body(stream).unwrap(), body)
}

async fn send(request: Request<Body>) -> http::Response<hyper::body::Incoming> {
    Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap()
}

#[tokio::test]
async fn an_upload_within_the_limit_is_sent_again_and_a_longer_one_once() {
    for (size, statuses) in [(KEPT, &[503, 503, 200][..]), (KEPT + 1, &[503]), (3 * KEPT, &[503])] {
        let faults = [(1, Fault::status(503)), (2, Fault::status(503))];
        let (api, server) = serve(Api::JumpCloudSearch, faults).await;
        let to = start(proxy(server.address().to_string().parse().unwrap())).await;
        let (request, body) = upload(&to, size);
        let answer = send(request).await;
        assert_eq!(answer.status().as_u16(), *statuses.last().unwrap());
        let post = |status: &u16| ("POST".to_owned(), Some(*status), body.clone());
        assert_eq!(asked(&api), statuses.iter().map(post).collect::<Vec<_>>(), "{size}");
    }
}

#[tokio::test]
async fn whoever_numbers_its_attempts_is_left_to_send_them_again() {
    let (api, server) = serve(Api::JumpCloudSearch, [(1, Fault::status(503))]).await;
    let to = start(proxy(server.address().to_string().parse().unwrap())).await;
    let (mut request, _) = upload(&to, 20);
    request.headers_mut().insert("x-attempt", "1".parse().unwrap());
    assert_eq!(send(request).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(api.log().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_bad_gateway() {
    let to = start(proxy("127.0.0.1:1".parse().unwrap())).await;
    assert_eq!(send(upload(&to, 20).0).await.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn the_answer_streams_through_untouched() {
    let (pieces, rest) = mpsc::channel::<Bytes>(1);
    let body = futures_util::stream::unfold(rest, async |mut rest| {
        let piece = rest.recv().await?;
        Some((Ok::<_, axum::Error>(piece), rest))
    });
    let answer = Response::builder()
        .header("content-encoding", "gzip")
        .header("x-own", "kept")
        .body(Body::from_stream(body))
        .unwrap();
    let answer = Arc::new(Mutex::new(Some(answer)));
    let app = Router::new().fallback(async move || answer.lock().unwrap().take().unwrap());
    let to = start(proxy(start(app).await)).await;
    let request = Request::get(format!("http://{to}/any")).body(Body::empty()).unwrap();
    let answer = send(request).await;
    assert_eq!(
        (&answer.headers()["content-encoding"], &answer.headers()["x-own"]),
        (&"gzip".parse().unwrap(), &"kept".parse().unwrap())
    );
    let mut stream = Body::new(answer.into_body()).into_data_stream();
    // Each piece arrives before the next is sent.
    for piece in ["not really gzip", "but nobody looks"] {
        pieces.send(Bytes::from_static(piece.as_bytes())).await.unwrap();
        assert_eq!(next(&mut stream).await.unwrap(), piece);
    }
    drop(pieces);
    assert_eq!(next(&mut stream).await, None);
}

async fn next(stream: &mut BodyDataStream) -> Option<Bytes> {
    let piece = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
    piece.expect("it streams").transpose().unwrap()
}

#[tokio::test]
async fn what_is_meant_for_the_next_hop_goes_no_further() {
    let app = Router::new().fallback(async |headers: HeaderMap| {
        let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names.join(",")
    });
    let to = start(proxy(start(app).await)).await;
    let request = Request::get(format!("http://{to}/any")).header("connection", "x-secret");
    let request = request.header("x-secret", "1").header("te", "trailers").header("x-own", "1");
    let answer = send(request.body(Body::empty()).unwrap()).await;
    let names = Body::new(answer.into_body()).collect().await.unwrap().to_bytes();
    assert_eq!(names, "host,x-own");
}

#[tokio::test]
async fn a_limit_of_one_caller_holds_no_other_back() {
    let app = Router::new().fallback(async |headers: HeaderMap| {
        let is_first = headers["x-api-key"] == "first";
        let status = if is_first { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::OK };
        (status, [("retry-after", "1")])
    });
    let to = start(proxy(start(app).await)).await;
    let ask = |key: &str| {
        let request = Request::get(format!("http://{to}/any")).header("x-api-key", key);
        send(request.body(Body::empty()).unwrap())
    };
    let began = std::time::Instant::now();
    let first = ask("first");
    let second = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let answer = ask("second").await;
        (answer.status(), began.elapsed())
    };
    let (first, (second, after)) = tokio::join!(first, second);
    assert_eq!((first.status(), second), (StatusCode::TOO_MANY_REQUESTS, StatusCode::OK));
    assert!(after < Duration::from_secs(1) && began.elapsed() >= Duration::from_secs(2));
}
