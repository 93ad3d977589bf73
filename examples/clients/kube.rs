//! kube over the layer: a list by pages, through a 429 and an expired `continue` token.
//!
//! Run: `cargo run -p client-examples --example kube`

use futures_util::{StreamExt, TryStreamExt};
use http::Uri;
use hyper_util::{client::legacy::Client as HyperClient, rt::TokioExecutor};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, Error, api::ListParams, client::Body, client::middleware::BaseUriLayer};
use pagination::dialect::{Dialect, Method};
use pagination::{Failure, Key as RowKey, Page, Pages, Query, Report, Scan};
use pagination::{fetch::Fetched, page::Next, scan::PageRequest};
use retry_layer::{BoxError, Credential, Key, Stack};
use retry_layer::{observe::on_end, policy::profile, replay::TryClone};
use simulated_api::{Api as Simulated, Fault, SimulatedApi};
use tower::Layer;

/// kube's client over our stack. `ClientBuilder::try_from(config)` would bring retries of its own.
pub fn client(base: Uri, credential: Credential) -> Client {
    let stack = Stack::new(profile::DEFAULT).credential(credential).streaming();
    let stack = stack.with_retry(|retry| {
        retry
            .replay(TryClone::new(Body::try_clone))
            .observe(on_end(|uri, attempts| println!("{}: {attempts}", uri.path())))
    });
    let mut hyper = HyperClient::builder(TokioExecutor::new());
    let hyper = hyper.retry_canceled_requests(false).build_http::<Body>();
    // Outside: the stack has to know the origin.
    Client::new(BaseUriLayer::new(base).layer(stack.around(hyper)), "demo")
}

type Row = (Option<RowKey>, ConfigMap);
/// One page by kube's own call.
async fn page(maps: Api<ConfigMap>, ask: PageRequest) -> Fetched<Row, Error> {
    let mut params = ListParams::default().limit(ask.rows());
    params.continue_token = ask.cursor().map(str::to_owned);
    let mut answer = maps.list(&params).await;
    // A 410 may have a token that leads on: no object that was there all the time is lost.
    if let Err(Error::Api(status)) = &answer
        && let (410, Some(list)) = (status.code, &status.metadata)
        && let Some(token) = list.continue_.as_ref().filter(|token| !token.is_empty())
    {
        answer = maps.list(&params.continue_token(token)).await;
    }
    let list = match answer {
        Ok(list) => list,
        Err(error) => {
            let code = if let Error::Api(status) = &error { status.code } else { 503 };
            return Fetched::failed(Failure::of_status(code), error);
        }
    };
    let next = list.metadata.continue_.filter(|token| !token.is_empty());
    let next = next.map_or(Next::End, |token| Next::Cursor(token.into()));
    let rows = list.items.into_iter().map(|map| (map.metadata.uid.clone().map(RowKey::Text), map));
    Page::of(rows.collect()).with_next(next).into()
}

/// All objects, each once, if the report says so.
pub async fn all(client: Client) -> Result<(Vec<ConfigMap>, Report), BoxError> {
    const KUBERNETES: Dialect = Dialect::new("kubernetes", Method::Cursor).key(&["uid"]);
    let maps: Api<ConfigMap> = Api::namespaced(client, "demo");
    let list = format!("http://kubernetes{}", maps.resource_url()).parse()?;
    let query = Query::new(KUBERNETES, list)?.page_size(4)?;
    let mut items = Pages::over(|ask| page(maps.clone(), ask), Scan::new(query)).items();
    let all = items.by_ref().try_collect().await?;
    Ok((all, items.report().clone()))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let faults = [(2, Fault::status(429).header("retry-after", "1")), (4, Fault::Expired)];
    let api = SimulatedApi::builder(Simulated::Kubernetes).rows(10).script(faults).build();
    let server = api.serve().await?;
    let base = format!("http://{}", server.address()).parse()?;
    let client = client(base, Credential::bearer(Key::fixed("key"))?);
    let (maps, report) = all(client).await?;
    println!("{} config maps: {report}", maps.len());
    Ok(())
}
