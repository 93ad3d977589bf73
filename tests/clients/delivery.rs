//! Every row of the table of `retry_layer::delivery`, with the error of a real client at a server that does
//! the thing.

use std::time::Duration;

use bytes::Bytes;
use client_tests::{
    Raw, frame, goaway, ok, read_first_request, read_head, reset, rst_stream, write,
};
use http::{Method, Request};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Full, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use retry_layer::delivery::{Deliver, KnownErrors, of_reqwest_without_redirects};
use retry_layer::{BoxError, CollectLayer};
use retry_policy::Delivery::{self, NotSent, Refused, Unknown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::{Layer, ServiceBuilder, ServiceExt};

/// A client under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    HyperUtil,
    Reqwest,
}

const BOTH: [Which; 2] = [Which::HyperUtil, Which::Reqwest];

/// What the error of a request means, as it is and in a box. Its body is read as part of it.
async fn delivery(which: Which, is_http2: bool, url: &str) -> Result<u16, Delivery> {
    match which {
        Which::HyperUtil => {
            let client = || -> Client<HttpConnector, Full<Bytes>> {
                Client::builder(TokioExecutor::new()).http2_only(is_http2).build_http()
            };
            let answer = CollectLayer::new().layer(client()).oneshot(request(url)).await;
            if let Err(error) = client().request(request(url)).await {
                let collected = KnownErrors.delivery(answer.as_ref().unwrap_err());
                assert_eq!(KnownErrors.delivery(&error), collected, "{error:?}");
                assert!(KnownErrors.words(&error).is_some());
            }
            answer.map(|answer| answer.status().as_u16()).map_err(|it| KnownErrors.delivery(&it))
        }
        Which::Reqwest => {
            // It sends refused streams again by itself, on the same connection.
            let builder = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never());
            let builder = builder.redirect(reqwest::redirect::Policy::none());
            let builder = if is_http2 { builder.http2_prior_knowledge() } else { builder };
            let sent = builder.build().unwrap().post(url).body("body").send().await;
            let answer = match sent {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    answer.bytes().await.map(|_| status)
                }
                Err(error) => Err(error),
            };
            answer.map_err(|error| {
                let read = of_reqwest_without_redirects(&error);
                assert_eq!(KnownErrors.delivery(&error), Unknown, "it may be a redirect's");
                assert_eq!(KnownErrors.delivery(&BoxError::from(error)), Unknown);
                read
            })
        }
    }
}

fn request(url: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(Method::POST).uri(url);
    request.body(Full::from("body")).unwrap()
}

#[tokio::test]
async fn nobody_is_listening() {
    for which in BOTH {
        assert_eq!(delivery(which, false, &Raw::nobody().await).await, Err(NotSent), "{which:?}");
        assert_eq!(delivery(which, true, &Raw::nobody().await).await, Err(NotSent), "{which:?}");
    }
}

#[tokio::test]
async fn the_name_is_not_found() {
    for which in BOTH {
        let url = "http://no-such-name.invalid/";
        assert_eq!(delivery(which, false, url).await, Err(NotSent), "{which:?}");
    }
}

/// How a connection of HTTP/1 ends, once the head of the request was read.
#[derive(Clone, Copy, Debug)]
enum Ends {
    ClosedBeforeHead,
    ResetBeforeHead,
    ResetWithinHead,
    ResetAfterHead,
    ResetWithinBody,
    ClosedWithinBody,
}

#[tokio::test]
async fn a_connection_that_ends_once_the_request_was_sent_leaves_its_fate_unknown() {
    for ends in [
        Ends::ClosedBeforeHead,
        Ends::ResetBeforeHead,
        Ends::ResetWithinHead,
        Ends::ResetAfterHead,
        Ends::ResetWithinBody,
        Ends::ClosedWithinBody,
    ] {
        let server = Raw::serve(move |_, mut stream| async move {
            read_head(&mut stream).await.unwrap();
            let _ = stream.read_exact(&mut [0; 4]).await;
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
            let said = match ends {
                Ends::ClosedBeforeHead | Ends::ResetBeforeHead => "",
                Ends::ResetWithinHead => &head[..20],
                Ends::ResetAfterHead => head,
                Ends::ResetWithinBody | Ends::ClosedWithinBody => &format!("{head}four"),
            };
            write(&mut stream, said).await;
            // What was said has to arrive before the reset takes it back.
            tokio::time::sleep(Duration::from_millis(20)).await;
            if !matches!(ends, Ends::ClosedBeforeHead | Ends::ClosedWithinBody) {
                reset(stream);
            }
        })
        .await;
        for which in BOTH {
            assert_eq!(
                delivery(which, false, &server.url()).await,
                Err(Unknown),
                "{which:?} {ends:?}"
            );
        }
    }
}

/// What a server of HTTP/2 does once it has read the first request, and what that means.
#[tokio::test]
async fn streams_that_http2_says_were_not_processed() {
    const NO_ERROR: u32 = 0;
    const INTERNAL_ERROR: u32 = 2;
    const REFUSED_STREAM: u32 = 7;
    const ENHANCE_YOUR_CALM: u32 = 11;
    let cases: [(&str, Vec<u8>, Result<u16, Delivery>); 9] = [
        ("a GOAWAY above which the stream is", goaway(0, NO_ERROR), Err(Refused)),
        ("the same with an error", goaway(0, ENHANCE_YOUR_CALM), Err(Refused)),
        ("a GOAWAY that includes the stream, and the end", goaway(1, NO_ERROR), Err(Unknown)),
        ("the same with an error", goaway(1, INTERNAL_ERROR), Err(Unknown)),
        (
            "a GOAWAY that includes the stream, and its answer",
            [goaway(1, NO_ERROR), ok(1)].concat(),
            Ok(200),
        ),
        (
            "a GOAWAY that includes the stream, and its reset",
            [goaway(1, NO_ERROR), rst_stream(1, INTERNAL_ERROR)].concat(),
            Err(Unknown),
        ),
        ("REFUSED_STREAM", rst_stream(1, REFUSED_STREAM), Err(Refused)),
        ("another reset", rst_stream(1, INTERNAL_ERROR), Err(Unknown)),
        ("nonsense", frame(0, 0, 0, b"data of no stream"), Err(Unknown)),
    ];
    for (what, said, expected) in cases {
        for which in BOTH {
            let said = said.clone();
            let server = Raw::serve(move |_, mut stream: TcpStream| {
                let said = said.clone();
                async move {
                    if read_first_request(&mut stream).await.is_some() {
                        stream.write_all(&said).await.unwrap();
                        stream.flush().await.unwrap();
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            })
            .await;
            assert_eq!(delivery(which, true, &server.url()).await, expected, "{what}, {which:?}");
        }
    }
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced_and_the_request_sent_once() {
    let server = Raw::serve(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    for sent in 1..=5 {
        assert!(client.request(request(&server.url())).await.unwrap().status().is_success());
        assert_eq!(server.connections(), sent);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_pooled_connection_that_is_reset_by_the_next_request_leaves_its_fate_unknown() {
    let server = Raw::serve(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let _ = read_head(&mut stream).await;
        reset(stream);
    })
    .await;
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    client.request(request(&server.url())).await.unwrap();
    let error = client.request(request(&server.url())).await.unwrap_err();
    assert_eq!((KnownErrors.delivery(&error), server.connections()), (Unknown, 1));
}

#[tokio::test]
async fn a_handshake_of_tls_that_fails_has_sent_nothing() {
    let server = Raw::serve(|_, mut stream| async move {
        write(&mut stream, "this is no handshake\r\n").await;
    })
    .await;
    let tls = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(rustls::RootCertStore::empty())
    .with_no_client_auth();
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .build();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(https);
    let error = client.request(request(&server.https_url())).await.unwrap_err();
    assert_eq!(KnownErrors.delivery(&error), NotSent, "{error:?}");
}

#[tokio::test]
async fn time_that_is_up_is_a_timeout_and_leaves_the_fate_unknown() {
    let server = Raw::serve(|_, mut stream| async move {
        let _ = read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let limit = Duration::from_millis(20);
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let timed = ServiceBuilder::new().timeout(limit).service(client);
    let elapsed = timed.oneshot(request(&server.url())).await.unwrap_err();
    let client = reqwest::Client::builder().no_proxy().timeout(limit).build().unwrap();
    let reqwest = client.post(server.url()).send().await.unwrap_err();
    let tokio: BoxError =
        tokio::time::timeout(limit, std::future::pending::<()>()).await.unwrap_err().into();
    assert_eq!(KnownErrors.delivery(&reqwest), Unknown);
    assert!(KnownErrors.is_timeout(&reqwest));
    for error in [elapsed, tokio, reqwest.into()] {
        assert_eq!(KnownErrors.delivery(&error), Unknown, "{error:?}");
        assert!(KnownErrors.is_timeout(&error), "{error:?}");
    }
    let refused = client.post(Raw::nobody().await).send().await.unwrap_err();
    assert!(!KnownErrors.is_timeout(&refused));
}

#[tokio::test]
async fn a_request_that_was_processed_and_redirected_to_nowhere_is_not_one_that_was_not_sent() {
    let nowhere = Raw::nobody().await;
    let server = Raw::serve(move |_, mut stream| {
        let head = format!("HTTP/1.1 303 x\r\nlocation: {nowhere}\r\ncontent-length: 0\r\n\r\n");
        async move {
            read_head(&mut stream).await.unwrap();
            write(&mut stream, &head).await;
        }
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let error = client.post(server.url()).body("body").send().await.unwrap_err();
    assert!(error.is_connect(), "reqwest's own word for it: {error:?}");
    assert_eq!(KnownErrors.delivery(&error), Unknown);
}

#[tokio::test]
async fn a_request_that_waits_for_a_connection_that_ends_was_not_sent() {
    use hyper::client::conn::http1;
    let server = Raw::serve(|_, stream| async move { drop(stream) }).await;
    let stream = TcpStream::connect(server.url()[7..].trim_end_matches('/')).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(io).await.unwrap();
    // The connection ends before it has looked into its queue.
    let waiting = sender.send_request(request("/"));
    drop(connection);
    let error = waiting.await.unwrap_err();
    assert!(error.is_canceled(), "{error:?}");
    assert_eq!(KnownErrors.delivery(&error), NotSent);
}

#[tokio::test]
async fn a_socket_that_never_connects_has_sent_nothing() {
    let refused = TcpStream::connect(Raw::nobody().await[7..].trim_end_matches('/')).await;
    assert_eq!(KnownErrors.delivery(&refused.unwrap_err()), NotSent);
    // An address of another network, which no socket of this machine can have (RFC 5737).
    let foreign = "192.0.2.1:0".parse().unwrap();
    let unavailable = tokio::net::TcpSocket::new_v4().unwrap().bind(foreign).unwrap_err();
    assert_eq!(unavailable.kind(), std::io::ErrorKind::AddrNotAvailable);
    assert_eq!(KnownErrors.delivery(&unavailable), NotSent);
}

#[tokio::test]
async fn what_the_requests_own_body_met_says_nothing_of_the_request() {
    let server = Raw::serve(|_, mut stream| async move {
        let _ = read_head(&mut stream).await;
        let _ = stream.read_exact(&mut [0; 100]).await;
    })
    .await;
    // A body that comes from another server, which went away in the middle.
    let pieces = futures_util::stream::unfold(0, |number| async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let piece =
            if number == 0 { Ok(Frame::data(Bytes::from_static(b"half"))) } else { Err(refused) };
        Some((piece, number + 1))
    });
    let client: Client<HttpConnector, _> = Client::builder(TokioExecutor::new()).build_http();
    let body = UnsyncBoxBody::new(StreamBody::new(pieces));
    let error = client.request(Request::post(server.url()).body(body).unwrap()).await.unwrap_err();
    assert_eq!(KnownErrors.delivery(&error), Unknown, "{error:?}");
}
