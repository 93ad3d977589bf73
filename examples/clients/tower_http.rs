//! tower-http's client layers around and below the retry: which goes where, and why.
//!
//! Run: `cargo run -p client-examples --example tower_http`

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use retry_layer::observe::on_end;
use retry_layer::policy::profile;
use retry_layer::{BoxError, CollectLayer, Credential, Key, RetryLayer};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::{
    compression::CompressionLayer, decompression::DecompressionLayer,
    follow_redirect::FollowRedirectLayer, set_header::SetRequestHeaderLayer, timeout::TimeoutLayer,
    trace::TraceLayer,
};

const AGENT: HeaderValue = HeaderValue::from_static("example");

/// The layers in their order, from outside to inside.
pub fn client(
    credential: Credential,
) -> impl Service<Request<Full<Bytes>>, Response = Response<impl Body<Data = Bytes>>, Error = BoxError>
{
    let mut hyper = Client::builder(TokioExecutor::new());
    ServiceBuilder::new()
        // One span for a request with all its attempts and waits. Inside it would be one for each attempt.
        .layer(TraceLayer::new_for_http())
        // The next address is a request of its own: where it fails, the one before was still processed.
        .layer(FollowRedirectLayer::new())
        // The same for all attempts. A key does not belong here: each attempt takes the newest.
        .layer(SetRequestHeaderLayer::if_not_present(USER_AGENT, AGENT))
        .layer(
            RetryLayer::new(profile::DEFAULT.policy())
                .credential(credential)
                .observe(on_end(|uri, attempts| println!("{}: {attempts}", uri.path()))),
        )
        // One attempt, its body included. 504 means: a request for less may come through.
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(30)))
        // A body that is cut short fails the attempt; what an error says is read as text.
        .layer(CollectLayer::new())
        .layer(DecompressionLayer::new())
        .service(hyper.retry_canceled_requests(false).build_http::<Full<Bytes>>())
}

/// Fails once, then sends to another address, where the answer is compressed.
fn flaky() -> Router {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let users = async || match ASKED.fetch_add(1, Relaxed) {
        0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => Redirect::permanent("/v2/users").into_response(),
    };
    Router::new()
        .route("/users", get(users))
        .route("/v2/users", get(async || "user ".repeat(100)))
        .layer(CompressionLayer::new())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/users", listener.local_addr()?);
    tokio::spawn(async { axum::serve(listener, flaky()).await });
    let request = Request::get(url).body(Full::default())?;
    let client = client(Credential::bearer(Key::fixed("key"))?);
    let response = client.oneshot(request).await?;
    println!("{}, {:?} bytes of text", response.status(), response.body().size_hint().exact());
    Ok(())
}
