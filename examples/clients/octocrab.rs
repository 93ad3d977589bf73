//! octocrab over the layer: pages by `Link`, and a 403 that means an exhausted rate limit.
//!
//! Run: `cargo run -p client-examples --example octocrab`

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, TryStreamExt};
use http::{Uri, header::USER_AGENT};
use http_body::Body;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use octocrab::service::middleware::{base_uri::BaseUriLayer, extra_headers::ExtraHeadersLayer};
use octocrab::{AuthState, Error, OctoBody, Octocrab, OctocrabBuilder, Page as Links};
use pagination::{Failure, Key as RowKey, Page, Pages, Query, Report, Scan};
use pagination::{dialect::LINK, fetch::Fetched, page::Next, scan::PageRequest};
use retry_layer::{BoxError, Credential, Key, Stack};
use retry_layer::{observe::on_end, policy::profile, replay::TryClone};
use serde_json::Value;
use simulated_api::{Api, Fault, SimulatedApi};

/// octocrab over our stack.
pub fn client(base: Uri, credential: Credential) -> Octocrab {
    // Its `Clone` shares one stream: a clone of a body that was sent is empty.
    let copy =
        |body: &OctoBody| body.try_clone().or_else(|| body.is_end_stream().then(OctoBody::empty));
    let stack = Stack::new(profile::GITHUB).credential(credential).with_retry(|retry| {
        let said = on_end(|uri, attempts| println!("{}: {attempts}", uri.path()));
        retry.replay(TryClone::new(copy)).observe(said)
    });
    let mut hyper = Client::builder(TokioExecutor::new());
    let service = stack.around(hyper.retry_canceled_requests(false).build_http::<OctoBody>());
    let agent = Arc::new(vec![(USER_AGENT, "octocrab".parse().expect("a header's value"))]);
    let Ok(octocrab) = OctocrabBuilder::new_empty()
        .with_service(service)
        .with_layer(&ExtraHeadersLayer::new(agent)) // GitHub refuses requests without.
        .with_layer(&BaseUriLayer::new(base)) // Above the stack, which has to know the origin.
        .with_auth(AuthState::None)
        .build();
    octocrab
}
type Row = (Option<RowKey>, Value);
/// One page by octocrab's own calls.
async fn page(crab: Octocrab, list: &Uri, ask: PageRequest) -> Fetched<Row, Error> {
    let next = ask.cursor().and_then(|link| link.parse().ok());
    let answer = match next {
        None => crab.get(format!("{}?per_page={}", list.path(), ask.rows()), None::<&()>).await,
        Some(_) => crab.get_page(&next).await.map(Option::unwrap_or_default),
    };
    match answer {
        Err(error) => Fetched::failed(Failure::Temporary, error),
        Ok(Links { items, next, .. }) => {
            let next = next.map_or(Next::End, |link| Next::Cursor(link.to_string().into()));
            let key = |row: &Value| row["id"].as_str().map(|id| RowKey::Text(id.to_owned()));
            Page::of(items.into_iter().map(|row| (key(&row), row)).collect()).with_next(next).into()
        }
    }
}

/// All rows of a list. It goes by page numbers, so the report calls it best effort.
pub async fn all(crab: &Octocrab, list: &Uri) -> Result<(Vec<Value>, Report), BoxError> {
    let query = Query::new(LINK, list.clone())?.page_size(2)?;
    let mut rows = Pages::over(|ask| page(crab.clone(), list, ask), Scan::new(query)).items();
    Ok((rows.by_ref().try_collect().await?, rows.report().clone()))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let reset = (SystemTime::now() + Duration::from_secs(2)).duration_since(UNIX_EPOCH)?.as_secs();
    let limit = Fault::status(403).header("x-ratelimit-remaining", "0");
    let limit = limit.header("x-ratelimit-reset", &reset.to_string());
    let api = SimulatedApi::builder(Api::Link).rows(5).script([(2, limit)]).build();
    let server = api.serve().await?;

    let base = format!("http://{}", server.address()).parse()?;
    let crab = client(base, Credential::bearer(Key::fixed("key"))?);
    let (issues, report) = all(&crab, &server.url().parse()?).await?;
    println!("{} issues: {report}", issues.len());
    Ok(())
}
