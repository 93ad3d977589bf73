//! What asking ahead saves where an answer takes its time.

use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use page_turner::prelude::{Limit, PageTurner, RequestAhead, TurnedPage, TurnedPageResult};
use pagination::dialect::JUMPCLOUD_V1;
use pagination::partition::Partitions;
use pagination::{Pages, Query};
use simulated_api::{AnswerBody, Api, SimulatedApi};
use tokio::runtime::Runtime;
use tower::{BoxError, Service};

pub const ROWS: usize = 9_901;
/// How long an answer takes.
pub const ANSWER: Duration = Duration::from_millis(50);

/// A way to read all of them: how long it took, and how many times as fast as page after page it has to be.
#[derive(Debug)]
pub struct Read {
    pub name: &'static str,
    pub time: Duration,
    pub least: f64,
}

/// A hundred pages of an API that takes its time for each, within this runtime.
pub fn reads(runtime: &Runtime) -> Vec<Read> {
    runtime.block_on(async {
        vec![
            read("page-turner", 1.0, turned(1)).await,
            read("page-turner, 5 ahead", 0.0, turned(5)).await,
            read("pagination", 0.95, walked(0, 1)).await,
            read("pagination, prefetch 4", 4.7, walked(4, 1)).await,
            read("pagination, 4 ranges", 3.5, walked(0, 4)).await,
            read("pagination, 4 ranges, prefetch 4", 11.0, walked(4, 4)).await,
        ]
    })
}

async fn read(name: &'static str, least: f64, rows: impl Future<Output = usize>) -> Read {
    let began = tokio::time::Instant::now();
    assert_eq!(rows.await, ROWS, "{name}");
    Read { name, time: began.elapsed(), least }
}

/// The API, behind its latency.
#[derive(Clone)]
struct Slow(SimulatedApi);

impl Slow {
    fn new() -> Self {
        Self(SimulatedApi::builder(Api::JumpCloudV1).rows(ROWS as u64).build())
    }
}

impl Service<Request<Full<Bytes>>> for Slow {
    type Response = Response<AnswerBody>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        request.headers_mut().insert("x-api-key", HeaderValue::from_static("key"));
        let mut api = self.0.clone();
        Box::pin(async move {
            tokio::time::sleep(ANSWER).await;
            api.call(request).await
        })
    }
}

const USERS: &str = "http://api.example/api/systemusers";

async fn walked(prefetch: usize, parts: u32) -> usize {
    let uri = USERS.parse().expect("an address");
    let query = Query::new(JUMPCLOUD_V1, uri).expect("a query").prefetch(prefetch);
    if parts == 1 {
        let pages = Pages::new(Slow::new(), query);
        return pages.fold(0, |sum, rows| ready(sum + rows.expect("a page").rows().len())).await;
    }
    let split = Partitions::split(Slow::new(), query, parts).await.expect("ranges");
    split.fold(0, |sum, rows| ready(sum + rows.expect("a page").1.rows().len())).await
}

/// Which rows a page begins after.
struct Skip(usize);

impl RequestAhead for Skip {
    fn next_request(&self) -> Self {
        Self(self.0 + PAGE)
    }
}

/// The largest page of the API.
const PAGE: usize = 100;

impl PageTurner<Skip> for Slow {
    type PageItems = Vec<Row>;
    type PageError = BoxError;

    async fn turn_page(&self, skip: Skip) -> TurnedPageResult<Self, Skip> {
        let uri = format!("{USERS}?limit={PAGE}&sort=_id&skip={}", skip.0);
        let request = Request::get(uri).body(Full::default()).expect("a request");
        let body = self.clone().call(request).await?.into_body().collect().await?.to_bytes();
        let list: List = serde_json::from_slice(&body).expect("a list");
        let next = Skip(skip.0 + PAGE);
        Ok(TurnedPage::new(list.results, (next.0 < list.total).then_some(next)))
    }
}

#[derive(serde::Deserialize)]
struct List {
    results: Vec<Row>,
    #[serde(rename = "totalCount")]
    total: usize,
}

type Row = Box<serde_json::value::RawValue>;

async fn turned(ahead: usize) -> usize {
    let pages = Slow::new().into_pages_ahead(ahead, Limit::None, Skip(0));
    pages.fold(0, |sum, rows| ready(sum + rows.expect("a page").len())).await
}
