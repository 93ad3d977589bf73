//! A client that writes to the list after each answer, and knows which rows were present
//! throughout the scan.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// The rows of a list before the first request.
const ROWS: u32 = 1_000;

/// The lowest number: the ids have two to four digits, so the order of the texts differs from that
/// of the numbers at `"101"` on the first page and at `"1001"` on the fifth.
const LOWEST: u32 = 95;

/// The deletes, and the inserts, after each answer.
const WRITES: u32 = 3;

/// The requests after which a sweep fails. A quiet sweep needs about 12.
const MAX_REQUESTS: u32 = 300;

/// Why a request fails.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A list of each server, named after its ids.
#[derive(Clone, Copy, Debug)]
pub enum List {
    /// Texts whose order disregards case: `"A0095"`, `"a0097"`, `"A0099"`.
    NoCase,
    /// Numbers.
    Numbers,
    /// Numbers as texts, in the order of the numbers: `"95"`, `"97"`, `"101"`.
    Texts,
}

/// A client of one list.
#[derive(Clone)]
pub struct Writer {
    client: Client<HttpConnector, Full<Bytes>>,
    list: List,
    /// The address by which the server takes writes to the list.
    address: String,
    rows: Arc<Mutex<Rows>>,
}

/// What the list holds, by number.
struct Rows {
    random: Rng,
    present: Vec<u32>,
    absent: Vec<u32>,
    /// The rows that were present at every request.
    throughout: BTreeSet<u32>,
    /// The rows that the writer has deleted since the newest answer.
    deleted: Vec<u32>,
    requests: u32,
}

impl List {
    /// The list's name in an address.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCase => "nocase",
            Self::Numbers => "numbers",
            Self::Texts => "texts",
        }
    }

    fn id(self, number: u32) -> String {
        match self {
            Self::NoCase if matches!(number % 6, 0 | 1) => format!("a{number:04}"),
            Self::NoCase => format!("A{number:04}"),
            Self::Numbers | Self::Texts => number.to_string(),
        }
    }

    fn row(self, number: u32) -> Value {
        let id = match self {
            Self::Numbers => Value::from(number),
            Self::NoCase | Self::Texts => Value::from(self.id(number)),
        };
        json!({ "id": id, "number": number, "grp": number % 5 })
    }
}

impl Writer {
    /// Fills the list with 1,000 rows, every second number that the writer draws from, in random
    /// order.
    pub async fn new(server: &str, list: List, seed: u64) -> Self {
        let (mut present, absent) =
            (LOWEST..LOWEST + 2 * ROWS).partition::<Vec<_>, _>(|number| number % 2 == LOWEST % 2);
        let mut random = Rng::with_seed(seed);
        random.shuffle(&mut present);
        let all = present.iter().map(|number| list.row(*number)).collect();
        let throughout = present.iter().copied().collect();
        let rows = Rows { random, present, absent, throughout, deleted: Vec::new(), requests: 0 };
        let client = Client::builder(TokioExecutor::new()).build_http();
        let address = format!("{server}/{}", list.name());
        let writer = Self { client, list, address, rows: Arc::new(Mutex::new(rows)) };
        writer.write(Method::PUT, "", &all).await.expect("the server takes the rows");
        writer
    }

    /// Sends a request of the scan, and writes before it hands on the answer. One request is under
    /// way at a time, and the mutex is fair, so a prefetching scan meets the same rows in each run.
    pub async fn answer(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, Failure> {
        let mut guard = self.rows.lock().await;
        let Rows { random, present, absent, throughout, deleted, requests } = &mut *guard;
        *requests += 1;
        if *requests > MAX_REQUESTS {
            return Err(format!("no end after {MAX_REQUESTS} requests").into());
        }
        for number in deleted.drain(..) {
            throughout.remove(&number);
        }
        let answer = self.send(request).await?;
        for _ in 0..WRITES {
            let number = present.swap_remove(random.usize(..present.len()));
            self.write(Method::DELETE, &format!("/{}", self.list.id(number)), &json!({})).await?;
            absent.push(number);
            deleted.push(number);
            let number = absent.swap_remove(random.usize(..absent.len()));
            self.write(Method::POST, "", &self.list.row(number)).await?;
            present.push(number);
        }
        Ok(answer)
    }

    /// The ids of the rows that were present throughout the scan, and the number of its requests.
    pub async fn truth(&self) -> (BTreeSet<String>, u32) {
        let rows = self.rows.lock().await;
        let ids = rows.throughout.iter().map(|number| self.list.id(*number)).collect();
        (ids, rows.requests)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Failure> {
        let (head, body) = self.client.request(request).await?.into_parts();
        Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
    }

    async fn write(&self, method: Method, path: &str, body: &Value) -> Result<(), Failure> {
        let address = format!("{}{path}", self.address);
        let request = Request::builder().method(method).uri(&address);
        let request = request.header(CONTENT_TYPE, "application/json");
        let status = self.send(request.body(body.to_string().into())?).await?.status();
        if status.is_success() { Ok(()) } else { Err(format!("{address}: {status}").into()) }
    }
}
