//! A generated client over the layers: its list calls get the unique sort, and its pages are walked.
//!
//! The SDK is `sdk.rs`: what progenitor generates from `users.openapi.json`, and one hook.
//!
//! Run: `cargo run -p client-examples --example generated_sdk`

use std::time::Duration;

use client_examples::sdk::types::{self, User};
use client_examples::sdk::{Client, Error};
use futures_util::{StreamExt, TryStreamExt};
use pagination::dialect::JUMPCLOUD_V1;
use pagination::fetch::Fetched;
use pagination::scan::PageRequest;
use pagination::{
    Failure, Key as RowKey, Order, Page, Pages, Query, Report, Scan, StableSortLayer,
};
use retry_layer::observe::on_end;
use retry_layer::policy::profile;
use retry_layer::reqwest::{ReqwestBodies, ReqwestService};
use retry_layer::{BoxError, Credential, Key, RetryLayer};
use simulated_api::{Api, Fault, SimulatedApi};
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

/// The SDK's client over our stack, and the layer that tells how many calls it has sorted.
pub fn client(base: &str, credential: Credential) -> Result<(Client, StableSortLayer), BoxError> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(30));
    let http = ReqwestService::build(http)?.read_ahead(1 << 20); // Cut off: sent again.
    let own = http.client().clone();
    let sort = StableSortLayer::new(JUMPCLOUD_V1)?;
    let retry = RetryLayer::new(profile::DEFAULT.policy())
        .credential(credential)
        .replay(ReqwestBodies::new(64 * 1024))
        .observe(on_end(|uri, attempts| println!("{}: {attempts}", uri.path())));
    let stack = ServiceBuilder::new().layer(sort.clone()).layer(retry).service(http);
    Ok((Client::new_with_client(base, own, BoxCloneSyncService::new(stack)), sort))
}
type Row = (Option<RowKey>, User);
/// One page by the SDK's own call.
async fn page(client: Client, ask: PageRequest) -> Fetched<Row, Error<types::Error>> {
    let (skip, order) = ask.rank().unwrap_or_default();
    // The ascending sort is left to the layer, as it is in code that was there before.
    let sort = (order == Order::Descending).then_some("-_id");
    match client.list_users(Some(ask.rows()), Some(skip), sort).await {
        Err(error) => {
            let meaning = error
                .status()
                .map_or(Failure::Temporary, |status| Failure::of_status(status.as_u16()));
            Fetched::failed(meaning, error)
        }
        Ok(users) => {
            let types::UserPage { results, total_count } = users.into_inner();
            let rows = results.into_iter().map(|user| (Some(RowKey::Text(user.id.clone())), user));
            Page::of(rows.collect()).with_total(total_count).into()
        }
    }
}

/// All users, each once, if the report says so.
pub async fn all_users(client: &Client, url: &str) -> Result<(Vec<User>, Report), BoxError> {
    let query = Query::new(JUMPCLOUD_V1, url.parse()?)?;
    let mut users = Pages::over(|ask| page(client.clone(), ask), Scan::new(query)).items();
    let all = users.by_ref().try_collect().await?;
    Ok((all, users.report().clone()))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let faults = [(1, Fault::status(503)), (3, Fault::CutBody)];
    let api = SimulatedApi::builder(Api::JumpCloudV1).rows(150).script(faults).build();
    let server = api.serve().await?;
    let credential = Credential::api_key(Key::fixed("key"))?;
    let (client, sort) = client(&format!("http://{}/api", server.address()), credential)?;
    let (users, report) = all_users(&client, &server.url()).await?;
    println!("{} users, {} calls sorted by the layer", users.len(), sort.counts().sorted);
    println!("{report}");
    Ok(())
}
