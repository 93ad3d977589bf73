//! reqwest under the layer. Redirects, cookies, decompression and the errors stay reqwest's.
//!
//! Run: `cargo run -p client-examples --example reqwest`

use std::time::Duration;

use reqwest::{Body, Client, Error};
use retry_layer::policy::{Attempts, profile, safety::Vouched};
use retry_layer::reqwest::{ReqwestBodies, ReqwestService};
use retry_layer::{BoxError, Credential, Key, RetryLayer};
use serde_json::json;
use simulated_api::{Api, Fault, SimulatedApi};
use tower::{Layer, Service, ServiceExt};

/// The service through which requests are sent, and the client that builds them.
pub fn client(
    credential: Credential,
) -> Result<
    (
        Client,
        impl Service<http::Request<Body>, Response = http::Response<Body>, Error = Error> + Clone,
    ),
    Error,
> {
    // Its own retries are turned off, and redirects are followed within their origin.
    let reqwest = ReqwestService::build(
        Client::builder()
            .timeout(Duration::from_secs(30)) // Of each attempt.
            .cookie_store(true)
            .gzip(true),
    )?;
    let layer = RetryLayer::new(profile::DEFAULT.policy())
        .credential(credential)
        .replay(ReqwestBodies::new(64 * 1024));
    Ok((reqwest.client().clone(), layer.layer(reqwest)))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let faults = [(1, Fault::status(503)), (2, Fault::ResetBeforeHead)];
    let api = SimulatedApi::builder(Api::JumpCloudSearch).rows(3).script(faults).build();
    let server = api.serve().await?;
    let (client, service) = client(Credential::api_key(Key::fixed("key"))?)?;

    // Requests are built as ever, and sent through the service instead of `.send()`.
    let request = client.post(server.url()).json(&json!({ "limit": 2 })).build()?;
    let mut request = http::Request::try_from(request)?;
    request.extensions_mut().insert(Vouched::new()); // A search: a POST that changes nothing.
    let response = service.oneshot(request).await?;
    println!("{}", Attempts::of(&response));

    // And the answer is reqwest's own.
    let response = reqwest::Response::from(response).error_for_status()?;
    let page: serde_json::Value = response.json().await?;
    println!("{} of {} users", page["results"].as_array().map_or(0, Vec::len), page["totalCount"]);
    Ok(())
}
