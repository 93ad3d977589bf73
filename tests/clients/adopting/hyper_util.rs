#[path = "../../../examples/clients/hyper_util.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use client_tests::{Raw, goaway, ok, read_first_request, read_head, reset, write};
use example::{client, streamed, whole};
use http::{Request, Version};
use http_body_util::BodyExt;
use retry_layer::policy::attempts::Attempt;
use retry_layer::policy::{Attempts, Delivery, safety::Vouched};
use simulated_api::{Api, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

use crate::{api_key, asked, serve};

const BODY: &str = r#"{"limit": 2}"#;

#[tokio::test]
async fn a_body_of_bytes_or_a_stream_comes_again_over_both_versions() {
    for (is_http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        for body in [whole(BODY), streamed(&[r#"{"li"#, r#"mit": 2}"#])] {
            let faults = [(1, Fault::status(503)), (2, Fault::ResetBeforeHead)];
            let (api, server) = serve(Api::JumpCloudSearch, faults).await;
            let request = Request::post(server.url()).extension(Vouched::new()).body(body).unwrap();
            let response = client(is_http2, api_key()).oneshot(request).await.unwrap();
            assert_eq!((response.status().as_u16(), response.version()), (200, version));
            let attempts: Vec<_> = Attempts::of(&response).iter().map(Attempt::delivery).collect();
            let expected = [Delivery::Answered(503), Delivery::Unknown, Delivery::Answered(200)];
            assert_eq!(attempts, expected);
            let post = |status| ("POST".to_owned(), status, BODY.into());
            assert_eq!(asked(&api), [post(Some(503)), post(None), post(Some(200))]);
            let page = response.into_body().collect().await.unwrap().to_bytes();
            let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
            assert_eq!(page["results"].as_array().unwrap().len(), 2);
        }
    }
}

#[tokio::test]
async fn a_get_is_sent_again_and_a_post_that_nobody_vouches_for_is_not() {
    for is_http2 in [false, true] {
        let (api, server) = serve(Api::JumpCloudV1, [(1, Fault::status(503))]).await;
        let request = Request::get(server.url()).body(whole("")).unwrap();
        let response = client(is_http2, api_key()).oneshot(request).await.unwrap();
        assert_eq!((response.status().as_u16(), api.log().len()), (200, 2));

        let (api, server) = serve(Api::JumpCloudSearch, [(1, Fault::status(503))]).await;
        let request = Request::post(server.url()).body(whole(BODY)).unwrap();
        let response = client(is_http2, api_key()).oneshot(request).await.unwrap();
        assert_eq!((response.status().as_u16(), api.log().len()), (503, 1));
    }
}

#[tokio::test]
async fn a_stream_that_was_refused_is_sent_again_whatever_it_is() {
    let (api, server) = serve(Api::JumpCloudSearch, [(1, Fault::Refused)]).await;
    let request = Request::post(server.url()).body(streamed(&[BODY])).unwrap();
    let response = client(true, api_key()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(Attempts::of(&response).iter().next().unwrap().delivery(), Delivery::Refused);
    assert_eq!(api.log().len(), 2);
}

/// How a connection that was answered on ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    /// Closed while it waits in the pool.
    Idle,
    /// Reset once the next request has come on it.
    InUse,
}

#[tokio::test]
async fn a_pooled_connection_that_died_costs_nothing_where_nothing_was_sent() {
    for (ends, method, answered, seen) in [
        (Ends::Idle, "GET", true, 2),
        (Ends::Idle, "POST", true, 2),
        // It came on the dead connection; a second one must not.
        (Ends::InUse, "POST", false, 2),
        (Ends::InUse, "GET", true, 3),
    ] {
        // The pool may or may not have heard of the end when the next request comes.
        for _ in 0..20 {
            let requests = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let count = std::sync::Arc::clone(&requests);
            let server = Raw::serve(move |number, mut stream| {
                let count = std::sync::Arc::clone(&count);
                async move {
                    let mut left = if number == 1 { 1 } else { usize::MAX };
                    while left > 0 && read_head(&mut stream).await.is_some() {
                        let mut body = [0; 4];
                        let _ = stream.read_exact(&mut body).await;
                        assert_eq!(&body, b"body");
                        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        write(&mut stream, "HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
                        left -= 1;
                    }
                    if ends == Ends::InUse && read_head(&mut stream).await.is_some() {
                        let _ = stream.read_exact(&mut [0; 4]).await;
                        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        reset(stream);
                    }
                }
            })
            .await;
            let client = client(false, api_key());
            let send = |method| {
                let request = Request::builder().method(method).uri(server.url());
                client.clone().oneshot(request.body(whole("body")).unwrap())
            };
            let first = send("GET").await.unwrap();
            first.into_body().collect().await.unwrap();
            let second = send(method).await;
            assert_eq!(second.is_ok(), answered, "{ends:?} {method} {second:?}");
            assert_eq!(
                requests.load(std::sync::atomic::Ordering::SeqCst),
                seen,
                "{ends:?} {method}"
            );
        }
    }
}

#[tokio::test]
async fn a_pooled_connection_of_http2_that_was_closed_costs_nothing() {
    for method in ["GET", "POST"] {
        for _ in 0..20 {
            let server = Raw::serve(async move |_, mut stream| {
                if read_first_request(&mut stream).await.is_some() {
                    // One answer, and the connection is gone.
                    let _ = stream.write_all(&[ok(1), goaway(1, 0)].concat()).await;
                }
            })
            .await;
            let client = client(true, api_key());
            for connections in [1, 2] {
                let request = Request::builder().method(method).uri(server.url());
                let request = request.body(whole("body")).unwrap();
                let response = client.clone().oneshot(request).await.unwrap();
                assert_eq!(response.status(), 200, "{method}");
                assert_eq!(server.connections(), connections, "{method}");
            }
        }
    }
}

#[tokio::test]
async fn a_pooled_connection_of_http2_that_died_with_a_request_leaves_its_fate_unknown() {
    for (method, requests, answered) in [("GET", 3, true), ("POST", 2, false)] {
        // The second request meets a reset on the connection of the first.
        let faults = [(2, Fault::ResetBeforeHead)];
        let api = if method == "GET" { Api::JumpCloudV1 } else { Api::JumpCloudSearch };
        let (api, server) = serve(api, faults).await;
        let client = client(true, api_key());
        let send = |method| {
            let request = Request::builder().method(method).uri(server.url());
            client.clone().oneshot(request.body(whole(BODY)).unwrap())
        };
        send(method).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(send(method).await.is_ok(), answered, "{method}");
        assert!(asked(&api).iter().all(|(_, _, body)| body == BODY));
        assert_eq!(api.log().len(), requests, "{method}");
    }
}
