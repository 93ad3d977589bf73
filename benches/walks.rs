//! Each way to walk over a thousand pages of a hundred rows.
//!
//! Raw pages are lists of numbers from memory, so that the walk's own cost is left; JSON pages are read into items that own
//! a text. Each walk runs in a task of its own.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use async_stream::try_stream;
use aws_smithy_async::future::pagination_stream::fn_stream::FnStream;
use aws_smithy_async::future::pagination_stream::{PaginationStream, TryFlatMap};
use bytes::Bytes;
use futures_util::stream::{Stream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use page_turner::prelude::{PageTurner, PagesStream, TurnedPage, TurnedPageResult};
use pagination::dialect::{Dialect, Method};
use pagination::fetch::Fetched;
use pagination::page::Next;
use pagination::scan::PageRequest;
use pagination::{Fetch, FromRow, InvalidQuery, KeyRef, Keyed, Page, Pages, Query, Scan};
use serde::Deserialize;
use tower::Service;

use crate::counts::{argument, measured};
use crate::wiring::runtime;

pub const PAGES: u64 = 1_000;
/// Of a page, unless an argument asks for another number.
pub const ROWS: u64 = 100;

static ROWS_HERE: LazyLock<u64> =
    LazyLock::new(|| argument("rows").map_or(ROWS, |rows| rows.parse().expect("a number")));

/// A way to walk.
#[derive(Debug)]
pub struct Walk {
    pub name: &'static str,
    /// Ours only: the most instructions for an item, and allocations for a page over the hand loop's, a little over
    /// what was measured.
    pub limit: Option<(f64, f64)>,
    pub run: fn(),
}

/// The first is the base of the others.
pub const RAW: [Walk; 9] = [
    Walk { name: "hand loop", limit: None, run: || finish(hand(Raw)) },
    Walk { name: "try_unfold, pages", limit: None, run: || finish(pages(Raw, unfold)) },
    Walk { name: "try_unfold, items", limit: None, run: || finish(unfold_items(Raw)) },
    Walk { name: "try_stream!, items", limit: None, run: || finish(stream_items(Raw)) },
    Walk { name: "smithy, pages", limit: None, run: || finish(smithy_pages(Raw)) },
    Walk { name: "smithy, items", limit: None, run: || finish(smithy_items(Raw)) },
    Walk { name: "page-turner, pages", limit: None, run: || finish(pages(Raw, turner)) },
    Walk { name: "pagination, pages", limit: Some((40.0, 0.06)), run: || finish(our_raw_pages()) },
    Walk { name: "pagination, items", limit: Some((52.0, 0.06)), run: || finish(our_raw_items()) },
];

/// The first is the base of the others.
pub const JSON: [Walk; 9] = [
    Walk { name: "hand loop", limit: None, run: || finish(hand(Json::new())) },
    Walk { name: "try_unfold, pages", limit: None, run: || finish(pages(Json::new(), unfold)) },
    Walk { name: "try_unfold, items", limit: None, run: || finish(unfold_items(Json::new())) },
    Walk { name: "try_stream!, items", limit: None, run: || finish(stream_items(Json::new())) },
    Walk { name: "smithy, pages", limit: None, run: || finish(smithy_pages(Json::new())) },
    Walk { name: "smithy, items", limit: None, run: || finish(smithy_items(Json::new())) },
    Walk { name: "page-turner, pages", limit: None, run: || finish(pages(Json::new(), turner)) },
    Walk {
        name: "pagination, pages of raw rows",
        limit: Some((3_750.0, 0.0)),
        run: || finish(our_json_pages(Json::new())),
    },
    Walk {
        name: "pagination, items",
        limit: Some((5_450.0, 17.0)),
        run: || finish(our_json_items(Json::new())),
    },
];

/// A collection with pages behind cursors. Every way but ours asks it.
trait Source: Clone + Send + Sync + 'static {
    type Item: Send + 'static;

    /// The rows of one page, and the cursor behind it.
    fn page(&self, cursor: Option<Arc<str>>) -> impl Future<Output = Listed<Self::Item>> + Send;

    fn number(item: &Self::Item) -> u64;
}

type Listed<T> = Result<(Vec<T>, Option<Arc<str>>), Infallible>;

/// The sum of the numbers, and how many there were.
type Walked = (u64, u64);

/// To the end of a walk.
fn finish(walk: impl Future<Output = Walked> + Send + 'static) {
    let runtime = runtime();
    let walk = runtime.spawn(walk);
    let (sum, rows) = measured(|| runtime.block_on(walk)).expect("it ends");
    let all = PAGES * *ROWS_HERE;
    assert_eq!(rows, all);
    assert_eq!(sum, all * (all - 1) / 2);
}

#[derive(Clone)]
struct Raw;

impl Source for Raw {
    type Item = u64;

    async fn page(&self, cursor: Option<Arc<str>>) -> Listed<u64> {
        Ok(raw_page(cursor.as_deref()))
    }

    fn number(item: &u64) -> u64 {
        *item
    }
}

fn raw_page(cursor: Option<&str>) -> (Vec<u64>, Option<Arc<str>>) {
    let page: u64 = cursor.map_or(0, |cursor| cursor.parse().expect("a number"));
    let on_each = *ROWS_HERE;
    let rows = (page * on_each..(page + 1) * on_each).collect();
    let mut digits = [0; 8];
    (rows, (page + 1 < PAGES).then(|| decimal(page + 1, &mut digits).into()))
}

fn decimal(number: u64, digits: &mut [u8; 8]) -> &str {
    for (power, digit) in (0..8).rev().zip(&mut *digits) {
        *digit = b'0' + u8::try_from(number / 10_u64.pow(power) % 10).expect("a digit");
    }
    std::str::from_utf8(digits).expect("digits")
}

/// An API whose answers were made before anything is measured.
#[derive(Clone)]
struct Json {
    pages: Arc<Vec<Bytes>>,
}

impl Json {
    fn new() -> Self {
        let row = |n| format!("{{\"id\":\"{n:024x}\",\"n\":{n},\"name\":\"user {n}\"}}");
        let page = |page| {
            let rows: Vec<String> = (page * ROWS..(page + 1) * ROWS).map(row).collect();
            Bytes::from(format!("[{}]", rows.join(",")))
        };
        Self { pages: Arc::new((0..PAGES).map(page).collect()) }
    }

    fn answer(&self, request: &Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        let query = request.uri().query().unwrap_or_default();
        let at: usize = query.strip_prefix("from=").map_or(0, |at| at.parse().expect("a number"));
        let mut response = Response::new(Full::new(self.pages[at].clone()));
        if at + 1 < self.pages.len() {
            response.headers_mut().insert("next", HeaderValue::from(at + 1));
        }
        response
    }
}

impl Service<Request<Full<Bytes>>> for Json {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

impl Source for Json {
    type Item = Item;

    async fn page(&self, cursor: Option<Arc<str>>) -> Listed<Item> {
        let uri = match cursor {
            None => "http://api.example/items".to_owned(),
            Some(from) => format!("http://api.example/items?from={from}"),
        };
        let response = self.answer(&Request::get(uri).body(Full::default()).expect("a request"));
        let next = response.headers().get("next");
        let next = next.map(|next| next.to_str().expect("a cursor").into());
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Ok((serde_json::from_slice(&body).expect("a list"), next))
    }

    fn number(item: &Item) -> u64 {
        item.n
    }
}

/// An item of a JSON page.
#[derive(Debug)]
struct Item {
    id: String,
    n: u64,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> serde::de::Visitor<'de> for Fields {
            type Value = Item;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an item")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                let mut item = Item { id: String::new(), n: 0 };
                while let Some(name) = map.next_key::<&str>()? {
                    match name {
                        "id" => item.id = map.next_value()?,
                        "n" => item.n = map.next_value()?,
                        _ => {
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(item)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

async fn hand<S: Source>(source: S) -> Walked {
    let (mut sum, mut count, mut cursor) = (0, 0, None);
    loop {
        let (rows, next) = source.page(cursor).await.expect("a page");
        for row in &rows {
            (sum, count) = (sum + black_box(S::number(row)), count + 1);
        }
        match next {
            Some(next) => cursor = Some(next),
            None => return (sum, count),
        }
    }
}

/// `try_unfold` as its documentation has it: the state is what comes next.
fn unfold<S: Source>(source: S) -> impl Stream<Item = Result<Vec<S::Item>, Infallible>> + Send {
    try_unfold(Some(None), move |next| {
        let source = source.clone();
        async move {
            let Some(cursor) = next else { return Ok(None) };
            let (rows, next) = source.page(cursor).await?;
            Ok(Some((rows, next.map(Some))))
        }
    })
}

async fn pages<S: Source, P>(source: S, walk: impl FnOnce(S) -> P) -> Walked
where
    P: Stream<Item = Result<Vec<S::Item>, Infallible>>,
{
    let (mut sum, mut count) = (0, 0);
    let mut pages = pin!(walk(source));
    while let Some(rows) = pages.next().await {
        for row in &rows.expect("a page") {
            (sum, count) = (sum + black_box(S::number(row)), count + 1);
        }
    }
    (sum, count)
}

async fn items<S: Source>(items: impl Stream<Item = Result<S::Item, Infallible>>) -> Walked {
    let (mut sum, mut count) = (0, 0);
    let mut items = pin!(items);
    while let Some(row) = items.next().await {
        (sum, count) = (sum + black_box(S::number(&row.expect("a row"))), count + 1);
    }
    (sum, count)
}

async fn unfold_items<S: Source>(source: S) -> Walked {
    let rows = |rows: Vec<S::Item>| futures_util::stream::iter(rows).map(Ok);
    items::<S>(unfold(source).map_ok(rows).try_flatten()).await
}

async fn stream_items<S: Source>(source: S) -> Walked {
    let rows = try_stream! {
        let mut cursor = None;
        loop {
            let (rows, next) = source.page(cursor).await?;
            for row in rows {
                yield row;
            }
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
    };
    items::<S>(rows).await
}

/// As the generated paginators of AWS's clients make one.
fn smithy<S: Source>(source: S) -> PaginationStream<Result<Vec<S::Item>, Infallible>> {
    PaginationStream::new(FnStream::new(move |tx| {
        Box::pin(async move {
            let mut cursor = None;
            loop {
                let (rows, next) = source.page(cursor).await.expect("a page");
                if tx.send(Ok(rows)).await.is_err() || next.is_none() {
                    return;
                }
                cursor = next;
            }
        }) as Pin<Box<dyn Future<Output = ()> + Send>>
    }))
}

async fn smithy_pages<S: Source>(source: S) -> Walked {
    let (mut sum, mut count) = (0, 0);
    let mut pages = smithy(source);
    while let Some(rows) = pages.next().await {
        for row in &rows.expect("a page") {
            (sum, count) = (sum + black_box(S::number(row)), count + 1);
        }
    }
    (sum, count)
}

async fn smithy_items<S: Source>(source: S) -> Walked {
    let (mut sum, mut count) = (0, 0);
    let mut rows = TryFlatMap::new(smithy(source)).flat_map(|rows| rows);
    while let Some(row) = rows.next().await {
        (sum, count) = (sum + black_box(S::number(&row.expect("a row"))), count + 1);
    }
    (sum, count)
}

struct Turner<S>(S);

impl<S: Source> PageTurner<Option<Arc<str>>> for Turner<S> {
    type PageItems = Vec<S::Item>;
    type PageError = Infallible;

    async fn turn_page(
        &self,
        cursor: Option<Arc<str>>,
    ) -> TurnedPageResult<Self, Option<Arc<str>>> {
        let (rows, next) = self.0.page(cursor).await?;
        Ok(TurnedPage::new(rows, next.map(Some)))
    }
}

fn turner<S: Source>(source: S) -> impl PagesStream<'static, Vec<S::Item>, Infallible> {
    Turner(source).into_pages(None)
}

/// A row of ours that is a number.
struct Number(u64);

impl Keyed for Number {
    fn key(&self) -> Option<KeyRef<'_>> {
        None
    }

    fn identify<H: std::hash::Hasher>(&self, hasher: &mut H) -> bool {
        hasher.write_u64(self.0);
        true
    }
}

impl FromRow<Self> for Number {
    fn from_row(row: &Self) -> Result<Self, serde_json::Error> {
        Ok(Self(row.0))
    }
}

struct Memory;

impl Fetch for Memory {
    type Row = Number;
    type Error = Infallible;
    type Future = Ready<Fetched<Number, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn fetch(&mut self, _: &Arc<Query>, ask: &PageRequest) -> Result<Self::Future, InvalidQuery> {
        let (rows, next) = raw_page(ask.cursor());
        // The same memory: a row is a number.
        let rows = rows.into_iter().map(Number).collect();
        let page = Page::of(rows).with_next(next.map_or(Next::End, Next::Cursor));
        Ok(ready(Ok(page).into()))
    }
}

const LIST: Dialect = Dialect::new("list", Method::Cursor)
    .key(&["id"])
    .call(|call| {
        if let Some(cursor) = call.cursor() {
            call.parameter("from", cursor);
        }
    })
    .page(|answer| {
        let next = answer.headers().get("next").and_then(|next| next.to_str().ok());
        let page = answer.list()?;
        Ok(page.with_next(next.map_or(Next::End, |next| Next::Cursor(next.into()))))
    });

fn query() -> Query {
    let uri = "http://api.example/items".parse().expect("an address");
    Query::new(LIST, uri).expect("a query")
}

async fn our_raw_pages() -> Walked {
    let (mut sum, mut count) = (0, 0);
    let mut pages = Pages::over(Memory, Scan::new(query()));
    while let Some(rows) = pages.next().await {
        for row in rows.expect("a page").rows() {
            (sum, count) = (sum + black_box(row.0), count + 1);
        }
    }
    (sum, count)
}

async fn our_raw_items() -> Walked {
    let (mut sum, mut count) = (0, 0);
    let mut items = Pages::over(Memory, Scan::new(query())).items::<Number>();
    while let Some(row) = items.next().await {
        (sum, count) = (sum + black_box(row.expect("a row").0), count + 1);
    }
    (sum, count)
}

async fn our_json_pages(api: Json) -> Walked {
    let (mut sum, mut count) = (0, 0);
    let mut pages = Pages::new(api, query());
    while let Some(rows) = pages.next().await {
        for row in rows.expect("a page").rows() {
            // They are not read: each counts as its number.
            black_box(row);
            (sum, count) = (sum + count, count + 1);
        }
    }
    (sum, count)
}

async fn our_json_items(api: Json) -> Walked {
    let (mut sum, mut count) = (0, 0);
    let mut items = Pages::new(api, query()).items::<Item>();
    while let Some(item) = items.next().await {
        (sum, count) = (sum + black_box(item.expect("an item").n), count + 1);
    }
    (sum, count)
}
