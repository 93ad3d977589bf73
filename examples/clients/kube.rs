//! kube over the layer: a list by pages, through a 429 and an expired `continue` token.
//!
//! Run: `cargo run -p client-examples --example kube`

use futures_util::{StreamExt, TryStreamExt};
use http::Uri;
use hyper_util::{client::legacy::Client as HyperClient, rt::TokioExecutor};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ListMeta};
use kube::{Api, Client, Error, api::ListParams, client::Body, client::middleware::BaseUriLayer};
use pagination::dialect::{Dialect, Method};
use pagination::{Failure, Key as RowKey, Page, Pages, Query, Scan};
use pagination::{fetch::Fetched, page::Next, scan::Ask};
use retry_layer::{BoxError, Credential, Key, RetryLayer};
use retry_layer::{observe::on_end, policy::profile, replay::TryClone};
use simulated_api::{Api as Simulated, Fault, SimulatedApi};
use tower::ServiceBuilder;

/// kube's client over our stack. `ClientBuilder::try_from(config)` would bring retries of its own.
pub fn client(base: Uri, credential: Credential) -> Client {
    let retry = RetryLayer::new(profile::DEFAULT.policy())
        .credential(credential)
        .replay(TryClone::new(Body::try_clone))
        .observe(on_end(|uri, attempts| println!("{}: {attempts}", uri.path())));
    let mut hyper = HyperClient::builder(TokioExecutor::new());
    let service = ServiceBuilder::new()
        .layer(BaseUriLayer::new(base)) // Outside: the layer has to know the origin.
        .layer(retry)
        .service(hyper.retry_canceled_requests(false).build_http::<Body>());
    Client::new(service, "demo")
}

/// One page by kube's own call.
async fn page(maps: Api<ConfigMap>, ask: Ask) -> Fetched<(Option<RowKey>, ConfigMap), Error> {
    let mut list = ListParams::default().limit(ask.rows());
    list.continue_token = ask.cursor().map(str::to_owned);
    let mut answer = maps.list(&list).await;
    // A 410 has a token that leads on: no object that was there all the time is lost.
    if let Err(Error::Api(status)) = &answer
        && let (410, Some(ListMeta { continue_: Some(token), .. })) =
            (status.code, &status.metadata)
    {
        answer = maps.list(&list.continue_token(token)).await;
    }
    let list = match answer {
        Ok(list) => list,
        Err(error) => {
            let is_final = matches!(&error, Error::Api(status) if status.code < 500);
            let meaning = if is_final { Failure::Permanent } else { Failure::Temporary };
            return Fetched::failed(meaning, error);
        }
    };
    let next = list.metadata.continue_.filter(|token| !token.is_empty());
    let next = next.map_or(Next::End, |token| Next::Cursor(token.into()));
    let rows = list.items.into_iter().map(|map| (map.metadata.uid.clone().map(RowKey::Text), map));
    Page::of(rows.collect()).with_next(next).into()
}

/// All objects, each once.
pub async fn all(client: Client) -> Result<Vec<ConfigMap>, BoxError> {
    const KUBERNETES: Dialect = Dialect::new("kubernetes", Method::Cursor).key(&["uid"]);
    let maps: Api<ConfigMap> = Api::namespaced(client, "demo");
    let list = format!("http://kubernetes{}", maps.resource_url()).parse()?;
    let query = Query::new(KUBERNETES, list)?.page_size(4)?;
    let mut items = Pages::over(|ask| page(maps.clone(), ask), Scan::new(query)).items();
    let all = items.by_ref().try_collect().await?;
    println!("{}", items.report());
    Ok(all)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let faults = [(2, Fault::status(429).header("retry-after", "1")), (4, Fault::Expired)];
    let api = SimulatedApi::builder(Simulated::Kubernetes).rows(10).script(faults).build();
    let server = api.serve().await?;
    let base = format!("http://{}", server.address()).parse()?;
    let client = client(base, Credential::bearer(Key::fixed("key"))?);
    println!("{} config maps", all(client).await?.len());
    Ok(())
}
