//! The layer over and under what people use: hyper-util's client, axum's server, a proxy.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use client_tests::{Raw, read_head, write};
use http::{Request, StatusCode};
use http_body_util::{Full, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use retry_layer::policy::backoff::Backoff;
use retry_layer::policy::{Attempts, Policy, StopReason};
use retry_layer::replay::Captured;
use retry_layer::{BoxError, RetryLayer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Layer, ServiceExt};

fn policy() -> Policy {
    let backoff = Backoff::constant(Duration::from_millis(1));
    Policy::builder().backoff(backoff).throttled(backoff).build().unwrap()
}

fn client<B>() -> Client<HttpConnector, B>
where
    B: http_body::Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}

/// A server of HTTP/1 that keeps its connections, and answers two requests with a 503 of so many bytes.
async fn fails_twice(bytes: usize) -> Raw {
    let answered = Arc::new(Mutex::new(0));
    Raw::serve(move |_, mut stream| {
        let answered = Arc::clone(&answered);
        async move {
            while read_head(&mut stream).await.is_some() {
                let is_bad = {
                    let mut answered = answered.lock().unwrap();
                    *answered += 1;
                    *answered % 3 != 0
                };
                let (status, bytes) = if is_bad { (503, bytes) } else { (200, 0) };
                write(
                    &mut stream,
                    &format!("HTTP/1.1 {status} x\r\ncontent-length: {bytes}\r\n\r\n"),
                )
                .await;
                if stream.write_all(&vec![b'x'; bytes]).await.is_err() {
                    return; // The client has hung up: it wants no more of this.
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_discarded_answer_within_the_limits_leaves_its_connection_to_the_next_attempt() {
    let get = |server: &Raw| Request::get(server.url()).body(Full::<Bytes>::default()).unwrap();
    // 60 KB are read to their end; a megabyte is not, nor anything where nothing may be read.
    for (bytes, limit, connections) in
        [(60_000, None, 1), (1_000_000, None, 3), (60_000, Some(0), 3), (0, None, 1)]
    {
        let server = fails_twice(bytes).await;
        let layer = RetryLayer::new(policy());
        let layer = match limit {
            Some(bytes) => layer.drain(bytes, Duration::from_secs(1)),
            None => layer,
        };
        let response = layer.layer(client()).oneshot(get(&server)).await.unwrap();
        assert_eq!((response.status().as_u16(), Attempts::of(&response).count()), (200, 3));
        assert_eq!(server.connections(), connections, "{bytes} bytes, limit {limit:?}");
    }
}

/// An axum server that notes each body, and answers by its number of calls.
type Bodies = Arc<Mutex<Vec<Bytes>>>;

fn upstream(fails: usize) -> (Bodies, Router) {
    let bodies = Bodies::default();
    let answer = move |State(bodies): State<Bodies>, body: Bytes| async move {
        let mut bodies = bodies.lock().unwrap();
        bodies.push(body);
        if bodies.len() <= fails { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::CREATED }
    };
    let router = Router::new().fallback(answer).with_state(Arc::clone(&bodies));
    (bodies, router)
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/items", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

/// A body that streams, of so many pieces of 1 KiB.
fn streamed(pieces: usize) -> Body {
    let piece = || Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(&[b'x'; 1024])));
    let pieces: Vec<_> = (0..pieces).map(|_| piece()).collect();
    Body::new(StreamBody::new(futures_util::stream::iter(pieces)))
}

#[tokio::test]
async fn an_axum_server_as_the_inner_service() {
    let (bodies, router) = upstream(2);
    let service = RetryLayer::new(policy()).replay(Captured::new(4096, Body::new)).layer(router);
    let request = Request::put("/items").body(streamed(3)).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let bodies = bodies.lock().unwrap();
    assert_eq!(bodies.iter().map(Bytes::len).collect::<Vec<_>>(), [3072; 3]);
}

#[tokio::test]
async fn a_streamed_upload_is_sent_again_within_the_limit_and_once_above_it() {
    for (pieces, sent, status) in [(4, 3, 201), (5, 1, 503)] {
        let (bodies, router) = upstream(2);
        let url = serve(router).await;
        let layer = RetryLayer::new(policy()).replay(Captured::new(4096, Body::new));
        let request = Request::put(url).body(streamed(pieces)).unwrap();
        let response = layer.layer(client()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        let bodies = bodies.lock().unwrap();
        let sizes: Vec<_> = bodies.iter().map(Bytes::len).collect();
        assert_eq!(sizes, vec![pieces * 1024; sent], "always whole");
        if sent == 1 {
            let reason = Attempts::of(&response).stop_reason();
            assert_eq!(reason, Some(StopReason::BodyNotKept));
        }
    }
}

/// The server answers before it has read the body, and goes.
#[tokio::test]
async fn an_answer_before_the_upload_ends_sends_no_body_twice() {
    let received = Arc::new(Mutex::new(Vec::new()));
    let bodies = Arc::clone(&received);
    let server = Raw::serve(move |number, mut stream| {
        let bodies = Arc::clone(&bodies);
        async move {
            read_head(&mut stream).await.unwrap();
            if number == 1 {
                let early = "HTTP/1.1 503 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                write(&mut stream, early).await;
                // What was sent so far is read, so that closing does not reset the answer away.
                let _ = tokio::time::timeout(Duration::from_millis(50), async {
                    let mut some = [0; 1024];
                    while stream.read(&mut some).await.is_ok_and(|read| read > 0) {}
                })
                .await;
                return;
            }
            let mut body = vec![0; 300];
            stream.read_exact(&mut body).await.unwrap();
            bodies.lock().unwrap().push(String::from_utf8(body).unwrap());
            write(&mut stream, "HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    // The second piece comes only after the early answer.
    let pieces = futures_util::stream::unfold(0, |number| async move {
        if number > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let piece = Bytes::from(vec![b'a' + number; 100]);
        (number < 3).then_some((Ok::<_, BoxError>(http_body::Frame::data(piece)), number + 1))
    });
    let request = Request::put(server.url()).header("content-length", "300");
    let request = request.body(Body::new(StreamBody::new(pieces))).unwrap();
    let layer = RetryLayer::new(policy()).replay(Captured::new(4096, Body::new));
    let response = layer.layer(client()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let expected: String = ["a", "b", "c"].iter().map(|text| text.repeat(100)).collect();
    assert_eq!(*received.lock().unwrap(), [expected]);
}
