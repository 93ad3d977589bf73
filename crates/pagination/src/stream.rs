//! The scan as a stream over any tower service.

use core::fmt;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_core::Stream;
use http::header::LOCATION;
use http::{Request, Response, StatusCode, response};
use http_body::Body;
use retry_policy::attempts::Record;
use retry_policy::{Attempts, StopReason};
use serde::de::DeserializeOwned;
use tower_service::Service;

use crate::scan::{Ask, Rows, Scan, Step};
use crate::{Checkpoint, Error, Query, Report, Row};

/// The longest body of a page: 64 MiB. Our choice: a thousand times a usual page.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
/// How much of an error's body is kept. Our choice: an error message is far shorter.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// The rows of a collection, a page at a time.
///
/// After an `Err` the stream is over until [`resume`](Self::resume) is called; it then goes on at
/// the same row. Dropping it cancels what is in flight. Without prefetch, nothing is sent before it is polled.
pub struct Pages<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
{
    service: S,
    scan: Scan,
    /// An ask that waits for the service to be ready.
    next: Option<Ask>,
    flights: Vec<Flight<S::Future, RB>>,
    /// Failures of pages that do not come next yet.
    failures: Vec<(u64, Error<S::Error>)>,
    stopped: bool,
    request_body: PhantomData<fn() -> B>,
}

/// A request on its way.
struct Flight<F, RB> {
    id: u64,
    is_shrinkable: bool,
    record: Record,
    stage: Stage<F, RB>,
}

enum Stage<F, RB> {
    Call(Pin<Box<F>>),
    Read { head: response::Parts, body: Pin<Box<RB>>, bytes: BytesMut },
}

/// What a flight brought.
enum Landed<E> {
    Answer(response::Parts, Bytes),
    BodyError(Box<dyn std::error::Error + Send + Sync>),
    Error(E),
}

impl<S, B, RB> Pages<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
    B: From<Bytes>,
    RB: Body,
    RB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Reads the query's collection through this service, from the beginning.
    pub fn new(service: S, query: Query) -> Self {
        Self::of(service, Scan::new(query))
    }

    /// Goes on behind a checkpoint of the same query.
    pub fn from_checkpoint(service: S, query: Query, checkpoint: Checkpoint) -> Self {
        Self::of(service, Scan::resume(query, checkpoint))
    }

    fn of(service: S, scan: Scan) -> Self {
        Self {
            service,
            scan,
            next: None,
            flights: Vec::new(),
            failures: Vec::new(),
            stopped: false,
            request_body: PhantomData,
        }
    }

    /// The same rows one at a time, each as a `T`.
    pub fn items<T: DeserializeOwned>(self) -> Items<Self, T> {
        Items { pages: self, rows: None, taken: 0, here: None, item: PhantomData }
    }

    /// Goes on after an error: the page that failed is asked for again.
    pub fn resume(&mut self) {
        self.stopped = false;
        self.failures.clear();
        self.scan.retry_failed();
    }

    /// How the scan went so far, and how it ended.
    pub const fn report(&self) -> &Report {
        self.scan.report()
    }

    /// The place behind the rows that the stream has yielded; `None` before the first.
    pub const fn checkpoint(&self) -> Option<&Checkpoint> {
        self.scan.checkpoint()
    }

    /// The next page's rows; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Rows, Error<S::Error>>> {
        poll_fn(|cx| pin!(&mut *self).poll_next(cx)).await
    }

    /// Sends the ask at hand; whether the service was ready for it.
    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(ask) = self.next.take() else {
            return true;
        };
        let (id, is_shrinkable) = (ask.id(), ask.is_shrinkable());
        match self.service.poll_ready(cx) {
            Poll::Pending => {
                self.next = Some(ask);
                return false;
            }
            Poll::Ready(Err(source)) => {
                self.scan.failed(id);
                self.failures.push((id, Error::Fetch { source, attempts: None }));
                return true;
            }
            Poll::Ready(Ok(())) => {}
        }
        let mut request = match self.scan.request::<B>(&ask) {
            Ok(request) => request,
            Err(error) => {
                self.scan.failed(id);
                self.failures.push((id, Error::Ask(error)));
                return true;
            }
        };
        let record = Record::new();
        request.extensions_mut().insert(record.clone());
        let stage = Stage::Call(Box::pin(self.service.call(request)));
        self.flights.push(Flight { id, is_shrinkable, record, stage });
        true
    }

    /// Sends the pages ahead, as far as the query allows and the service is ready.
    fn send_ahead(&mut self, cx: &mut Context<'_>) {
        while self.scan.query().ahead() > 0 && self.send(cx) {
            match self.scan.ask() {
                Some(ask) => self.next = Some(ask),
                None => break,
            }
        }
        self.land(cx); // The first poll is what sends a request.
    }

    /// Hands in what has landed; whether anything has.
    fn land(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        let mut at = 0;
        while at < self.flights.len() {
            match self.flights[at].poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(landed) => {
                    let flight = self.flights.swap_remove(at);
                    self.landed(&flight, landed);
                    any = true;
                }
            }
        }
        any
    }

    fn landed(&mut self, flight: &Flight<S::Future, RB>, landed: Landed<S::Error>) {
        let id = flight.id;
        let attempts = flight.record.attempts();
        let sent = attempts.map_or(1, |attempts| u64::from(attempts.count()));
        let was_shrunk =
            attempts.and_then(|attempts| attempts.stop_reason()) == Some(StopReason::Shrink);
        let report = self.scan.report_mut();
        report.requests += sent;
        report.retries += sent.saturating_sub(1);
        report.waited += attempts.map_or_else(Default::default, |attempts| attempts.total_wait());
        // A layer below has decided for us; without one, the status alone decides.
        let too_heavy = was_shrunk || (attempts.is_none() && is_too_heavy(&landed));
        if too_heavy && flight.is_shrinkable && self.scan.too_heavy(id, attempts.as_ref()) {
            self.scan.report_mut().retries += 1;
            return;
        }
        match read(self.scan.query(), landed, attempts.map(Box::new)) {
            Ok(page) => self.scan.answer(id, page),
            Err(error) => {
                self.scan.failed(id);
                self.failures.push((id, error));
            }
        }
    }
}

/// 413, 502 and 504: a smaller page may come through.
fn is_too_heavy<E>(landed: &Landed<E>) -> bool {
    let Landed::Answer(head, _) = landed else {
        return false;
    };
    matches!(
        head.status,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The page in an answer.
fn read<E>(
    query: &Query,
    landed: Landed<E>,
    attempts: Option<Box<Attempts>>,
) -> Result<crate::page::Page, Error<E>> {
    let (head, body) = match landed {
        Landed::Answer(head, body) => (head, body),
        Landed::BodyError(source) => return Err(Error::Body { source, attempts }),
        Landed::Error(source) => return Err(Error::Fetch { source, attempts }),
    };
    let words = |body: &[u8]| (query.dialect.words)(body);
    if head.status == StatusCode::OK {
        return (query.dialect.page)(&head.headers, &body)
            .map_err(|why| Error::NotAPage { why, words: words(&body) });
    }
    let location = head.headers.get(LOCATION).filter(|_| head.status.is_redirection());
    Err(Error::Status {
        status: head.status,
        words: words(&body),
        location: location.map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned()),
        body: body.slice(..body.len().min(MAX_ERROR_BYTES)),
        attempts,
    })
}

impl<F, RB, E> Flight<F, RB>
where
    F: Future<Output = Result<Response<RB>, E>>,
    RB: Body,
    RB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Landed<E>> {
        loop {
            match &mut self.stage {
                Stage::Call(call) => match core::task::ready!(call.as_mut().poll(cx)) {
                    Err(error) => return Poll::Ready(Landed::Error(error)),
                    Ok(response) => {
                        let (head, body) = response.into_parts();
                        let body = Box::pin(body);
                        self.stage = Stage::Read { head, body, bytes: BytesMut::new() };
                    }
                },
                Stage::Read { head, body, bytes } => {
                    let frame = match core::task::ready!(body.as_mut().poll_frame(cx)) {
                        None => {
                            let body = core::mem::take(bytes).freeze();
                            return Poll::Ready(Landed::Answer(head.clone(), body));
                        }
                        Some(Err(error)) => return Poll::Ready(Landed::BodyError(error.into())),
                        Some(Ok(frame)) => frame,
                    };
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if data.remaining() > MAX_BODY_BYTES - bytes.len() {
                        let error = format!("the page is longer than {MAX_BODY_BYTES} bytes");
                        return Poll::Ready(Landed::BodyError(error.into()));
                    }
                    bytes.put(data);
                }
            }
        }
    }
}

impl<S, B, RB> Stream for Pages<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
    B: From<Bytes>,
    RB: Body,
    RB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Item = Result<Rows, Error<S::Error>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.stopped {
            return Poll::Ready(None);
        }
        loop {
            let is_ready = this.send(cx);
            let landed = this.land(cx);
            match if is_ready { this.scan.step() } else { Step::Wait } {
                Step::Ask(ask) => this.next = Some(ask),
                Step::Rows(rows) => {
                    this.send_ahead(cx);
                    return Poll::Ready(Some(Ok(rows)));
                }
                Step::Done => {
                    this.stopped = true;
                    this.flights.clear();
                    return Poll::Ready(None);
                }
                Step::Failed { id } => {
                    this.stopped = true;
                    let at = this.failures.iter().position(|(failed, _)| *failed == id);
                    let at = at.expect("every page that failed has left its error");
                    return Poll::Ready(Some(Err(this.failures.swap_remove(at).1)));
                }
                Step::Wait if landed => {}
                Step::Wait => return Poll::Pending,
            }
        }
    }
}

impl<S, B, RB> Unpin for Pages<S, B, RB> where S: Service<Request<B>, Response = Response<RB>> {}

impl<S, B, RB> fmt::Debug for Pages<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("scan", &self.scan)
            .field("in_flight", &self.flights.len())
            .finish_non_exhaustive()
    }
}

/// The rows of a collection, one at a time.
///
/// A row that is no `T` is an error of its own; the stream goes on behind it. After any other error
/// it is over until [`resume`](Self::resume).
#[derive(Debug)]
pub struct Items<P, T> {
    pages: P,
    rows: Option<Rows>,
    taken: usize,
    here: Option<Checkpoint>,
    item: PhantomData<fn() -> T>,
}

impl<S, B, RB, T> Items<Pages<S, B, RB>, T>
where
    S: Service<Request<B>, Response = Response<RB>>,
    B: From<Bytes>,
    RB: Body,
    RB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T: DeserializeOwned,
{
    /// The next row; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<T, Error<S::Error>>> {
        poll_fn(|cx| pin!(&mut *self).poll_next(cx)).await
    }

    /// Goes on after an error, at the same row.
    pub fn resume(&mut self) {
        self.pages.resume();
    }

    /// How the scan went so far, and how it ended.
    pub const fn report(&self) -> &Report {
        self.pages.report()
    }

    /// The place behind the last row that the stream has yielded; `None` before the first.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        match &self.rows {
            Some(rows) if self.taken > 0 => Some(rows.checkpoint_after(self.taken)),
            _ => self.here.clone(),
        }
    }
}

impl<S, B, RB, T> Stream for Items<Pages<S, B, RB>, T>
where
    S: Service<Request<B>, Response = Response<RB>>,
    B: From<Bytes>,
    RB: Body,
    RB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T: DeserializeOwned,
{
    type Item = Result<T, Error<S::Error>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(row) = this.rows.as_ref().and_then(|rows| rows.rows().get(this.taken)) {
                this.taken += 1;
                let row: &Row = row;
                return Poll::Ready(Some(
                    row.decode().map_err(|source| Error::Row { row: row.clone(), source }),
                ));
            }
            this.here = this.pages.checkpoint().cloned();
            match core::task::ready!(Pin::new(&mut this.pages).poll_next(cx)) {
                Some(Ok(rows)) => (this.rows, this.taken) = (Some(rows), 0),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    (this.rows, this.taken) = (None, 0);
                    this.here = this.pages.checkpoint().cloned();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl<P, T> Unpin for Items<P, T> {}
