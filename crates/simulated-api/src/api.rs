//! The API itself: what it answers, and what it knows to be true.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{BufMut, Bytes};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::Body;
use tower_service::Service;

use crate::body::AnswerBody;
use crate::collection::{Collection, Row};
use crate::fault::Fault;
use crate::query::Filters;
use crate::wire::{Api, List, PageText, Position, Refusal, Told};

/// What a fault script is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// The request's number, counted from one.
    pub number: u64,
    /// The rows that it asks for.
    pub limit: usize,
    /// The rank at which its page begins; zero for a cursor.
    pub skip: usize,
    /// Whether it asks for descending order.
    pub reverse: bool,
}

/// One request as the API saw it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogEntry {
    /// When it arrived.
    pub at: Instant,
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as far as it came.
    pub body: Bytes,
    /// The status that was answered; `None` where the connection failed instead.
    pub status: Option<u16>,
}

/// Whether a reader delivered what it owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// The rows that were there from the first request to the last.
    pub owed: usize,
    /// The owed rows that were delivered exactly once.
    pub once: usize,
    /// The owed rows that were not delivered.
    pub missing: usize,
    /// The rows, owed or not, that were delivered more than once.
    pub twice: usize,
}

type Faults = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;
type Writes = Box<dyn FnMut(u64, &mut Collection) + Send>;
type OnRotation = Box<dyn FnMut(&str) + Send>;

pub(crate) struct State {
    pub(crate) api: Api,
    pub(crate) rows: Collection,
    pub(crate) faults: Faults,
    pub(crate) writes: Writes,
    pub(crate) key: String,
    pub(crate) rotations: BTreeMap<u64, String>,
    pub(crate) on_rotation: OnRotation,
    pub(crate) ceiling: usize,
    pub(crate) caps: bool,
    pub(crate) requests: u64,
    pub(crate) log: Vec<LogEntry>,
}

/// A simulated API. Clones are the same API.
///
/// It is a `Service` of its own, for tests in one process, and [`serve`](Self::serve) puts it on a
/// loopback socket.
#[derive(Clone)]
pub struct SimulatedApi(pub(crate) Arc<Mutex<State>>);

/// What becomes of a request.
pub(crate) enum Reply {
    Answer(Response<AnswerBody>),
    Hang,
    Refuse,
    Reset,
}

impl Reply {
    /// What a client meets.
    pub(crate) async fn sent(self) -> io::Result<Response<AnswerBody>> {
        match self {
            Self::Answer(response) => Ok(response),
            Self::Hang => std::future::pending().await,
            Self::Refuse | Self::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

impl SimulatedApi {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wire format.
    #[must_use]
    pub fn api(&self) -> Api {
        self.lock().api
    }

    /// The requests so far.
    #[must_use]
    pub fn log(&self) -> Vec<LogEntry> {
        self.lock().log.clone()
    }

    /// The rows that are there now, in the order of their keys.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        self.lock().rows.rows().to_vec()
    }

    /// Judges the keys that a reader delivered.
    #[must_use]
    pub fn proof<K: AsRef<str>>(&self, delivered: impl IntoIterator<Item = K>) -> Proof {
        self.proof_where(|_| true, delivered)
    }

    /// Judges a reader of which only some rows are expected, by their keys: one that went on where
    /// another had stopped.
    #[must_use]
    pub fn proof_where<K: AsRef<str>>(
        &self,
        is_expected: impl Fn(&str) -> bool,
        delivered: impl IntoIterator<Item = K>,
    ) -> Proof {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for key in delivered {
            *times.entry(key.as_ref().to_owned()).or_default() += 1;
        }
        let state = self.lock();
        let owed: Vec<&str> = state.rows.owed().filter(|key| is_expected(key)).collect();
        let count = |test: fn(usize) -> bool| {
            owed.iter().filter(|key| test(times.get(**key).copied().unwrap_or(0))).count()
        };
        Proof {
            owed: owed.len(),
            once: count(|times| times == 1),
            missing: count(|times| times == 0),
            twice: times.values().filter(|times| **times > 1).count(),
        }
    }

    /// Answers one request. `reset` makes the connection end with a reset instead of a close.
    pub(crate) fn reply<B>(
        &self,
        request: &Request<B>,
        body: &[u8],
        reset: &Arc<AtomicBool>,
    ) -> Reply {
        let mut state = self.lock();
        let state = &mut *state;
        state.requests += 1;
        let number = state.requests;
        (state.writes)(number, &mut state.rows);
        if let Some(key) = state.rotations.remove(&number) {
            (state.on_rotation)(&key);
            state.key = key;
        }
        let list = state.api.list(request.uri(), request.headers(), body);
        // The first request decides what is owed, even if it fails.
        let filters =
            list.as_ref().map_or_else(|_| Filters::default(), |list| list.filters.clone());
        if !state.rows.owes() {
            let _ = state.rows.matching(&filters);
        }
        let asked = list.as_ref().ok().map(|list| Asked {
            number,
            limit: list.limit,
            skip: list.skip(),
            reverse: list.reverse,
        });
        let fault = asked.and_then(|asked| (state.faults)(&asked));
        let reply = state.answer(request, body, list, fault.as_ref(), reset);
        state.log.push(LogEntry {
            at: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body: Bytes::copy_from_slice(body),
            status: match &reply {
                Reply::Answer(response) => Some(response.status().as_u16()),
                Reply::Hang | Reply::Refuse | Reply::Reset => None,
            },
        });
        reply
    }
}

impl State {
    fn answer<B>(
        &mut self,
        request: &Request<B>,
        message: &[u8],
        list: Result<List, Refusal>,
        fault: Option<&Fault>,
        reset: &Arc<AtomicBool>,
    ) -> Reply {
        match fault {
            Some(Fault::Hang) => return Reply::Hang,
            Some(Fault::ResetBeforeHead) => {
                reset.store(true, Ordering::Relaxed);
                return Reply::Reset;
            }
            Some(Fault::Refused) => return Reply::Refuse,
            Some(Fault::Status { status, headers, body }) => {
                let message = format!("simulated {status}");
                let refusal = Refusal::new(*status, message);
                let body = if body.is_empty() { self.api.error(&refusal) } else { body.clone() };
                let headers = headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
                let body = body.into();
                return Reply::Answer(response(
                    self.api,
                    *status,
                    headers,
                    body,
                    AnswerBody::whole,
                ));
            }
            _ => {}
        }
        let (headers, mut body) = match self.page(request, list, fault) {
            Ok((headers, _)) if self.api == Api::Grpc => (headers, Bytes::copy_from_slice(message)),
            Ok((headers, page)) => (headers, page.into()),
            Err(refusal) => {
                let (status, headers, body) = self.api.refused(&refusal);
                let body = body.into();
                return Reply::Answer(response(self.api, status, headers, body, AnswerBody::whole));
            }
        };
        let reset = Arc::clone(reset);
        let shape: Box<dyn FnOnce(Bytes) -> AnswerBody> = match fault {
            Some(Fault::CutBody) => Box::new(|bytes| AnswerBody::cut(&bytes, None)),
            Some(Fault::ResetAfterHead) => {
                Box::new(move |bytes| AnswerBody::cut(&bytes, Some(reset)))
            }
            Some(Fault::SlowBody(after)) => {
                let after = *after;
                Box::new(move |bytes| AnswerBody::slow(&bytes, after))
            }
            Some(Fault::StallBody) => Box::new(|bytes| AnswerBody::stalled(&bytes)),
            Some(Fault::Malformed) => {
                body.truncate(body.len() / 2);
                Box::new(AnswerBody::whole)
            }
            _ if self.api == Api::Grpc => Box::new(AnswerBody::message),
            _ => Box::new(AnswerBody::whole),
        };
        Reply::Answer(response(self.api, 200, headers, body, shape))
    }

    fn page<B>(
        &mut self,
        request: &Request<B>,
        list: Result<List, Refusal>,
        fault: Option<&Fault>,
    ) -> Result<PageText, Refusal> {
        if request.uri().path() != self.api.path() && self.api != Api::Grpc {
            return Err(Refusal::new(404, "Not Found"));
        }
        if *request.method() != self.api.method() {
            return Err(Refusal::new(405, "Method Not Allowed"));
        }
        if !self.api.is_authorized(request.headers(), &self.key) {
            return Err(self.api.unauthorized());
        }
        let mut list = list?;
        if matches!((fault, &list.position), (Some(Fault::Expired), Position::After(_))) {
            return Err(self.api.expired(&list.position));
        }
        if list.limit > self.ceiling && !self.caps {
            let message = format!(
                "Bad Request: request parameter \"limit\" exceeds maximum value of {}",
                self.ceiling
            );
            return Err(Refusal::bad_request(message));
        }
        if matches!(self.api, Api::Link | Api::JumpCloudV2Link) {
            list.capped(self.api, self.ceiling);
        }
        let limit = match fault {
            Some(Fault::ShortPage(rows)) => list.limit.min(*rows),
            Some(Fault::EmptyPage) => 0,
            _ => list.limit,
        }
        .min(self.ceiling);
        let mut rows = self.rows.matching(&list.filters);
        if list.reverse && !matches!(fault, Some(Fault::IgnoreReverse)) {
            rows.reverse();
        }
        let total = match fault {
            Some(Fault::WrongTotal(total)) => *total,
            _ => rows.len() as u64,
        };
        let start = match &list.position {
            _ if matches!(fault, Some(Fault::IgnorePosition)) => 0,
            Position::Skip(skip) => (*skip).min(rows.len()),
            Position::After(key) => {
                let is_before = |row: &&Row| {
                    if list.reverse { row.key() >= key.as_str() } else { row.key() <= key.as_str() }
                };
                rows.partition_point(is_before)
            }
        };
        let mut page: Vec<&Row> = rows[start..].iter().take(limit).copied().collect();
        let more = start + page.len() < rows.len();
        // Behind no row is before all of them.
        let behind = (start + page.len()).checked_sub(1);
        let next = behind.map_or(FIRST, |at| rows[at].key());
        let left = rows.len() - start - page.len();
        let next = more.then_some(next);
        if matches!(fault, Some(Fault::IgnoreSort)) {
            page.reverse();
        }
        Ok(self.api.page(&page, &Told { list: &list, total, next, left }))
    }
}

/// A cursor before every key.
const FIRST: &str = "-";

fn response<'a>(
    api: Api,
    status: u16,
    headers: impl IntoIterator<Item = (&'a str, String)>,
    body: Bytes,
    shape: impl FnOnce(Bytes) -> AnswerBody,
) -> Response<AnswerBody> {
    let mut builder = Response::builder().status(status).header("content-type", api.content_type());
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    // A script may name a header that is none: that is its author's mistake, told in the answer.
    builder.body(shape(body)).unwrap_or_else(|error| {
        let mut response = Response::new(AnswerBody::whole(error.to_string().into()));
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

impl<B> Service<Request<B>> for SimulatedApi
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Response = Response<AnswerBody>;
    type Error = io::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = io::Result<Response<AnswerBody>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = self.clone();
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, ());
        // What has no body is counted at once, in the order of the calls.
        let reply =
            (*request.method() == Method::GET).then(|| api.reply(&request, b"", &Arc::default()));
        Box::pin(async move {
            let reply = if let Some(reply) = reply {
                reply
            } else {
                let body = read(body).await.map_err(io::Error::other)?;
                api.reply(&request, &body, &Arc::default())
            };
            reply.sent().await
        })
    }
}

/// A request's whole body.
pub(crate) async fn read<B: Body>(body: B) -> Result<Vec<u8>, B::Error> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.put(data);
        }
    }
    Ok(bytes)
}

impl fmt::Debug for SimulatedApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("SimulatedApi")
            .field("api", &state.api)
            .field("rows", &state.rows.len())
            .field("requests", &state.requests)
            .finish_non_exhaustive()
    }
}
