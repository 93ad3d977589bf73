//! A reverse proxy: an axum handler that calls upstream through the layer. Bodies stream in both directions.
//!
//! Run: `cargo run -p client-examples --example reverse_proxy`

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HOST};
use axum::http::uri::{Authority, Scheme};
use axum::http::{Request, Response, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use retry_layer::policy::{profile, safety::Vouched};
use retry_layer::replay::Captured;
use retry_layer::{BoxError, Record, RetryLayer};
use simulated_api::{Api, Fault, SimulatedApi};
use tower::{Layer, ServiceExt};

/// What is kept of an upload, so that it can be sent again. A longer one is sent once.
pub const KEPT: usize = 16 * 1024;

/// Forwards everything to this upstream.
pub fn proxy(upstream: Authority) -> Router {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false) // The layer sends again what a dead connection lost.
        .build_http();
    let layer =
        RetryLayer::new(profile::DEFAULT.policy()).replay(Captured::new(KEPT, Body::new)).nested(); // Whoever numbers its attempts sends them again: we do not.
    let client = layer.layer(client);
    Router::new().fallback(async move |mut request: Request<Body>| {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(upstream.clone()));
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| StatusCode::BAD_REQUEST)?;
        request.headers_mut().remove(HOST); // The client writes its own.
        request.headers_mut().remove(CONNECTION);
        if request.uri().path() == Api::JumpCloudSearch.path() {
            request.extensions_mut().insert(Vouched::new()); // A POST that only reads.
        }
        let record = Record::new();
        request.extensions_mut().insert(record.clone());
        let answer = client.oneshot(request).await;
        record.attempts().inspect(|attempts| println!("{attempts}"));
        answer.map(|answer: Response<_>| answer.map(Body::new)).map_err(|_| StatusCode::BAD_GATEWAY)
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
