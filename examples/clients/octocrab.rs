//! octocrab over the layer: pages by `Link`, and a 403 that means an exhausted rate limit.
//!
//! Run: `cargo run -p client-examples --example octocrab`

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Uri};
use http_body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder, Page};
use retry_layer::observe::on_end;
use retry_layer::policy::backoff::Backoff;
use retry_layer::policy::{Policy, profile};
use retry_layer::replay::TryClone;
use retry_layer::{BoxError, CollectLayer, Credential, Key, RetryLayer};
use serde_json::Value;
use simulated_api::{Api, Fault, SimulatedApi};
use tower::ServiceBuilder;

/// octocrab over our stack.
pub fn client(base: Uri, credential: Credential, policy: Policy) -> Octocrab {
    // Its `Clone` shares one stream: a clone of a body that was sent is empty.
    let copy =
        |body: &OctoBody| body.try_clone().or_else(|| body.is_end_stream().then(OctoBody::empty));
    let retry = RetryLayer::new(policy)
        .credential(credential)
        .replay(TryClone::new(copy))
        .observe(on_end(|uri, attempts| println!("{}: {attempts}", uri.path())));
    let mut hyper = Client::builder(TokioExecutor::new());
    hyper.retry_canceled_requests(false);
    let service = ServiceBuilder::new()
        .layer(BaseUriLayer::new(base)) // Outside: the layer has to know the origin.
        .map_request(|mut request: http::Request<OctoBody>| {
            let agent = HeaderValue::from_static("octocrab"); // GitHub refuses requests without.
            request.headers_mut().insert("user-agent", agent);
            request
        })
        .layer(retry)
        .layer(CollectLayer::new()) // Cut short: asked for again. The profile reads what an error says.
        .service(hyper.build_http::<OctoBody>());
    let Ok(octocrab) =
        OctocrabBuilder::new_empty().with_service(service).with_auth(AuthState::None).build();
    octocrab
}

/// Every page, by octocrab's own calls.
pub async fn all(crab: &Octocrab, route: &str) -> octocrab::Result<Vec<Value>> {
    let mut page: Page<Value> = crab.get(route, None::<&()>).await?;
    let mut all = page.take_items();
    while let Some(next) = crab.get_page(&page.next).await? {
        page = next;
        all.extend(page.take_items());
    }
    Ok(all)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let reset = (SystemTime::now() + Duration::from_secs(2)).duration_since(UNIX_EPOCH)?.as_secs();
    let limit = Fault::status(403).header("x-ratelimit-remaining", "0");
    let limit = limit.header("x-ratelimit-reset", &reset.to_string());
    let api = SimulatedApi::builder(Api::Link).rows(5).script([(2, limit)]).build();
    let server = api.serve().await?;

    // GitHub's profile waits at least a minute, and longer where it is asked to; an example does not.
    let soon = Backoff::constant(Duration::from_millis(1));
    let policy = Policy::of(profile::GITHUB).throttled(soon).build()?;
    let base = format!("http://{}", server.address()).parse()?;
    let crab = client(base, Credential::bearer(Key::fixed("key"))?, policy);
    println!("{} issues", all(&crab, "/repos/demo/demo/issues?per_page=2").await?.len());
    Ok(())
}
