#[path = "../../../examples/clients/tower_http.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::any;
use bytes::Bytes;
use example::client;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use retry_layer::policy::{Attempts, Policy, backoff::Backoff, profile};
use retry_layer::{CollectLayer, RetryLayer};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};
use tower_http::compression::CompressionLayer;
use tower_http::decompression::DecompressionLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::bearer;

/// What came: path, authorization, user agent and body.
type Seen = Arc<Mutex<Vec<(String, String, String, String)>>>;

/// Answers by the number of the request.
async fn start<A: IntoResponse>(
    answer: impl Fn(usize) -> A + Clone + Send + Sync + 'static,
) -> (Seen, String) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let app = async move |uri: http::Uri, headers: HeaderMap, body: String| {
        let text = |name| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let mut log = log.lock().unwrap();
        log.push((uri.path().to_owned(), text("authorization"), text("user-agent"), body));
        answer(log.len())
    };
    let app = Router::new().fallback(any(app)).layer(CompressionLayer::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    (seen, url)
}

fn put(url: &str) -> Request<Full<Bytes>> {
    Request::put(format!("{url}/users")).body("body".into()).unwrap()
}

fn soon() -> Backoff {
    Backoff::constant(Duration::from_millis(1))
}

#[tokio::test]
async fn the_examples_order_sends_again_follows_and_decompresses() {
    let (seen, url) = start(|number| match number {
        1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        2 => Redirect::to("/there").into_response(),
        3 => StatusCode::BAD_GATEWAY.into_response(),
        _ => "text ".repeat(100).into_response(),
    })
    .await;
    let response = client(bearer()).oneshot(put(&url)).await.unwrap();
    assert_eq!(Attempts::of(&response).count(), 2, "of the last address");
    let body = response.into_body().collect().await.unwrap_or_else(|_| panic!("it was collected"));
    assert_eq!(body.to_bytes(), "text ".repeat(100));
    let of = |path: &str, body: &str| {
        (path.to_owned(), "Bearer key".to_owned(), "example".to_owned(), body.to_owned())
    };
    let (users, there) = (of("/users", "body"), of("/there", ""));
    assert_eq!(*seen.lock().unwrap(), [users.clone(), users, there.clone(), there]);
}

#[tokio::test]
async fn an_error_is_read_by_the_profile_only_if_it_is_decompressed_before_it_is_collected() {
    let limit =
        || (StatusCode::FORBIDDEN, format!("You have exceeded a secondary rate limit{:100}", ""));
    let policy = Policy::of(profile::GITHUB).throttled(soon()).build().unwrap();
    let http = || Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let retry = || RetryLayer::new(policy).credential(bearer());
    let request = |url: &str| {
        let mut request = put(url);
        request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
        request
    };

    let (seen, url) = start(move |_| limit()).await;
    let right = ServiceBuilder::new()
        .layer(retry())
        .layer(CollectLayer::new())
        .layer(DecompressionLayer::new())
        .service(http());
    assert_eq!(right.oneshot(request(&url)).await.unwrap().status(), 403);
    assert_eq!(seen.lock().unwrap().len(), 3);

    let (seen, url) = start(move |_| limit()).await;
    let wrong = ServiceBuilder::new()
        .layer(retry())
        .layer(DecompressionLayer::new())
        .layer(CollectLayer::new())
        .service(http());
    assert_eq!(wrong.oneshot(request(&url)).await.unwrap().status(), 403);
    assert_eq!(seen.lock().unwrap().len(), 1, "taken for a matter of rights");
}

#[tokio::test]
async fn a_timeout_inside_ends_an_attempt_and_outside_the_whole_request() {
    // The API never answers, and then in time.
    let (seen, url) = start(|_| ()).await;
    let timeout =
        |status, time| TimeoutLayer::with_status_code(status, Duration::from_millis(time));
    let http = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let policy = Policy::builder().backoff(soon()).build().unwrap();
    let hanging = |asked: Arc<Mutex<usize>>| {
        let http = http.clone();
        tower::service_fn(move |request| {
            let (http, asked) = (http.clone(), Arc::clone(&asked));
            async move {
                *asked.lock().unwrap() += 1;
                if *asked.lock().unwrap() == 1 {
                    std::future::pending::<()>().await;
                }
                http.request(request).await
            }
        })
    };
    for (outside, inside, status, asked_for) in [(60_000, 50, 200, 2), (50, 60_000, 408, 1)] {
        let asked = Arc::new(Mutex::new(0));
        let service = ServiceBuilder::new()
            .layer(timeout(StatusCode::REQUEST_TIMEOUT, outside))
            .layer(RetryLayer::new(policy).credential(bearer()))
            .layer(timeout(StatusCode::GATEWAY_TIMEOUT, inside))
            .layer(CollectLayer::new())
            .service(hanging(Arc::clone(&asked)));
        let response = service.oneshot(put(&url)).await.unwrap();
        assert_eq!((response.status().as_u16(), *asked.lock().unwrap()), (status, asked_for));
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_trace_outside_is_of_requests_and_inside_of_attempts() {
    let (_, url) =
        start(|number| if number < 3 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
            .await;
    let spans = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let trace = |spans: &Arc<AtomicUsize>| {
        let spans = Arc::clone(spans);
        TraceLayer::new_for_http().make_span_with(move |_: &Request<_>| {
            spans.fetch_add(1, SeqCst);
            tracing::Span::none()
        })
    };
    let policy = Policy::builder().backoff(soon()).build().unwrap();
    let service = ServiceBuilder::new()
        .layer(trace(&spans[0]))
        .layer(RetryLayer::new(policy).credential(bearer()))
        .layer(trace(&spans[1]))
        .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
    assert_eq!(service.oneshot(put(&url)).await.unwrap().status(), 200);
    assert_eq!(spans.map(|spans| spans.load(SeqCst)), [1, 3]);
}
