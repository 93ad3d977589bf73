//! Under OpenTelemetry's exporters, which have a client trait of their own.
//!
//! Run: `cargo run -p client-examples --example opentelemetry`

use std::fmt::Debug;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use retry_layer::policy::{Attempts, Class, Profile, classify::Meaning};
use retry_layer::policy::{profile::Reading, safety::Vouched};
use retry_layer::{BoxError, Collected, Credential, Key, Stack};
use simulated_api::{Api, Fault, SimulatedApi};
use tower::{Service, ServiceExt};

/// Any stack of ours, whose answers are whole.
#[derive(Clone, Debug)]
pub struct Exports<S>(pub S);

#[async_trait::async_trait]
impl<S> HttpClient for Exports<S>
where
    S: Service<
            Request<Full<Bytes>>,
            Response = Response<Collected>,
            Error = BoxError,
            Future: Send,
        >,
    S: Clone + Debug + Send + Sync,
{
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = request.map(Full::new);
        request.extensions_mut().insert(Vouched::new()); // OTLP prefers twice to never.
        let answer = self.0.clone().oneshot(request).await?;
        Ok(answer.map(|body| body.bytes().clone()))
    }
}

/// OTLP repeats 429, 502, 503 and 504, and no other failure. A 401 gets a fresh credential.
const OTLP: &Profile = &Profile::new("otlp").with_refinement(|answer| {
    let class = if answer.status() < 500 { Class::Content } else { Class::Server };
    let is_final = !matches!(answer.status(), 401 | 429 | 502 | 503 | 504);
    is_final.then_some(Reading::new(class, Meaning::Permanent))
});

/// For an exporter whose own retries are turned off: `.with_retry_policy(RetryPolicy::disabled())`.
pub fn exports(credential: Credential) -> impl HttpClient {
    let stack = Stack::new(OTLP).credential(credential);
    let mut hyper = Client::builder(TokioExecutor::new());
    Exports(stack.around(hyper.retry_canceled_requests(false).build_http()))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let faults = [(1, Fault::status(503)), (2, Fault::ResetBeforeHead)];
    let api = SimulatedApi::builder(Api::JumpCloudSearch).rows(3).script(faults).build();
    let server = api.serve().await?;

    let request = Request::post(server.url()).body(r#"{"limit": 2}"#.into())?;
    let answer = exports(Credential::api_key(Key::fixed("key"))?).send_bytes(request).await?;
    println!("{}: {} bytes", Attempts::of(&answer), answer.body().len());
    Ok(())
}
