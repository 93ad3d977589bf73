//! The README's program: every row of a paged API, once, through a client that survives its bad days.
//!
//! Run: `cargo run --example read_all`

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use pagination::dialect::JUMPCLOUD_V1;
use pagination::{Outcome, Pages, Query};
use retry_layer::policy::profile;
use retry_layer::{BoxError, Credential, Key, Stack};
use simulated_api::{Api, Fault, SimulatedApi};

async fn read_all(url: &str, key: Key) -> Result<Option<Outcome>, BoxError> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let api = Stack::new(profile::DEFAULT).credential(Credential::api_key(key)?).around(client);
    let active = JUMPCLOUD_V1.field("active").eq(true);
    let query = Query::new(JUMPCLOUD_V1, url.parse()?)?.filter(active);
    let mut users = Pages::new(api, query).items::<serde_json::Value>();
    while let Some(user) = users.next().await {
        println!("{}", user?["username"]);
    }
    eprintln!("{}", users.report()); // complete (fenced): 166 rows in 2 pages, 4 requests, …
    Ok(users.report().outcome().cloned())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // An API whose second answer is a 503.
    let api = SimulatedApi::builder(Api::JumpCloudV1).rows(250).script([(2, Fault::status(503))]);
    let server = api.build().serve().await?;
    let outcome = read_all(&server.url(), Key::fixed("key")).await?;
    assert!(matches!(outcome, Some(Outcome::Complete { .. })));
    Ok(())
}
