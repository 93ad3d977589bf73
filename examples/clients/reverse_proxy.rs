//! A reverse proxy: an axum handler that calls upstream through the layer. Bodies stream in both directions.
//!
//! Run: `cargo run -p client-examples --example reverse_proxy`

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HOST};
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use retry_layer::policy::{profile, safety::Vouched};
use retry_layer::{BoxError, RetryLayer, observe::on_end, replay::Captured};
use simulated_api::{Api, Fault, SimulatedApi};
use tower::{Layer, ServiceExt};

/// What is kept of an upload, so that it can be sent again. A longer one is sent once.
pub const KEPT: usize = 16 * 1024;
const CALLERS: BuildHasherDefault<DefaultHasher> = BuildHasherDefault::new();

/// RFC 9110 §7.6.1: what is meant for the next hop only, and what `Connection` names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    const ALWAYS: &str = "connection,keep-alive,proxy-authorization,proxy-connection,te,upgrade";
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = named.collect::<Vec<_>>().join(",");
    for name in named.split(',').chain(ALWAYS.split(',')) {
        headers.remove(name.trim());
    }
}

/// Forwards everything to this upstream.
pub fn proxy(upstream: Authority) -> Router {
    let mut hyper = Client::builder(TokioExecutor::new());
    let client = RetryLayer::new(profile::DEFAULT.policy())
        .replay(Captured::new(KEPT, Body::new))
        .nested() // Who numbers its attempts sends them again.
        .scope_by(|_, headers| CALLERS.hash_one(headers.get("x-api-key"))) // One's limit is no other's.
        .observe(on_end(|_, attempts| println!("{attempts}")))
        .layer(hyper.retry_canceled_requests(false).build_http::<Body>());
    Router::new().fallback(async move |mut request: Request<Body>| {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(upstream.clone()));
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| StatusCode::BAD_REQUEST)?;
        request.headers_mut().remove(HOST); // The client writes its own.
        remove_hop_by_hop(request.headers_mut());
        if request.uri().path() == Api::JumpCloudSearch.path() {
            request.extensions_mut().insert(Vouched::new()); // A POST that only reads.
        }
        let answer = client.oneshot(request).await;
        answer.map(|answer| answer.map(Body::new)).map_err(|_| StatusCode::BAD_GATEWAY)
    })
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let faults = [(1, Fault::status(503)), (3, Fault::status(503))];
    let api = SimulatedApi::builder(Api::JumpCloudSearch).rows(3).script(faults).build();
    let upstream = api.serve().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}{}", listener.local_addr()?, api.api().path());
    let app = proxy(upstream.address().to_string().parse()?);
    tokio::spawn(async { axum::serve(listener, app).await });

    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    for size in [KEPT, KEPT + 1] {
        let body = format!("{:size$}", r#"{"limit": 2}"#);
        let request = Request::post(&url).header("x-api-key", "key").body(body.into())?;
        let answer = client.request(request).await?;
        println!("an upload of {size} bytes: {}", answer.status());
        let page = answer.into_body().collect().await?.to_bytes();
        println!("  {} bytes came back", page.len());
    }
    Ok(())
}
