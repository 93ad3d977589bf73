//! How a page is had: over any tower service of `http` requests, or by a function of your own.

use core::fmt;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::LOCATION;
use http::{Request, Response, StatusCode, response};
use http_body::Body;
use pin_project_lite::pin_project;
use retry_policy::StopReason;
use retry_policy::attempts::{Attempts, Record};
use tower_service::Service;

use crate::page::{Answer, Page};
use crate::scan::PageRequest;
use crate::{Error, InvalidQuery, Keyed, Query, Row};

/// The longest body of a page: 64 MiB. Our choice: a thousand times a usual page.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
/// How much of an error's body is kept. Our choice: an error message is far shorter.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// What a failure means for the page that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// Asking again would fail again.
    Permanent,
    /// Asking again may help.
    Temporary,
    /// A smaller page may come through: a timeout, or a gateway that gave up.
    TooHeavy,
    /// The API gives no more rows than this.
    TooMany {
        /// The largest page.
        ceiling: u32,
    },
}

impl Failure {
    /// What a status says without a layer below. 413 (RFC 9110 §15.5.14), 502 and 504 ("prevented by minimizing the scope
    /// of the request", IXON) ask for less; 408, 500, 503 (RFC 9110), 425 (RFC 8470) and 429 (RFC 6585) may pass.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            413 | 502 | 504 => Self::TooHeavy,
            408 | 425 | 429 | 500 | 503 => Self::Temporary,
            _ => Self::Permanent,
        }
    }
}

/// What became of a request for a page.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "who fetches makes one")]
pub struct Fetched<R, E> {
    /// The page, or why there is none.
    pub page: Result<Page<R>, (Failure, Error<E>)>,
    /// What was tried, if a layer recorded it.
    pub attempts: Option<Attempts>,
}

impl<R, E> From<Page<R>> for Fetched<R, E> {
    fn from(page: Page<R>) -> Self {
        Self { page: Ok(page), attempts: None }
    }
}

impl<R, E> Fetched<R, E> {
    /// There is no page, for this reason.
    pub const fn failed(failure: Failure, source: E) -> Self {
        Self { page: Err((failure, Error::fetch(source))), attempts: None }
    }
}

impl<R, E> From<Result<Page<R>, (Failure, Error<E>)>> for Fetched<R, E> {
    fn from(page: Result<Page<R>, (Failure, Error<E>)>) -> Self {
        Self { page, attempts: None }
    }
}

/// Fetches the pages of a scan. [`Http`] does it over a tower service; a function from an [`PageRequest`] to a future pages an
/// SDK's own calls, with rows of its own type. It asks for what the [`PageRequest`] says; the query's address is not needed
/// then, only that it tells one list from another.
///
/// ```
/// use std::convert::Infallible;
/// use pagination::dialect::{Dialect, Method};
/// use pagination::fetch::Fetched;
/// use pagination::scan::PageRequest;
/// use pagination::{KeyRef, Keyed, Order, Page, Pages, Query, Scan};
///
/// /// What the SDK has: a type, and a function that lists it.
/// struct User { id: String }
///
/// async fn list_users(skip: u64, limit: u32, descending: bool) -> (Vec<User>, u64) {
///     let id = |at: u64| User { id: format!("user {at}") };
///     let at = |rank| if descending { 2 - rank } else { rank };
///     ((skip..3).take(limit as usize).map(|rank| id(at(rank))).collect(), 3)
/// }
///
/// impl Keyed for User {
///     fn key(&self) -> Option<KeyRef<'_>> {
///         Some(KeyRef::Text(&self.id))
///     }
/// }
///
/// async fn fetch(ask: PageRequest) -> Fetched<User, Infallible> {
///     let (skip, order) = ask.rank().unwrap_or_default();
///     let (users, total) = list_users(skip, ask.rows(), order == Order::Descending).await;
///     Page::of(users).with_total(total).into()
/// }
///
/// const SDK: Dialect = Dialect::new("sdk", Method::Offset).key(&["id"]).sorted_by(&["id"]);
///
/// # use futures_util::FutureExt;
/// # async {
/// let query = Query::new(SDK, "https://api.example.com/users".parse()?)?;
/// let mut pages = Pages::over(fetch, Scan::new(query));
/// let rows = pages.next().await.expect("there are users")?;
/// assert_eq!(rows.rows()[2].id, "user 2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }.now_or_never().unwrap().unwrap();
/// ```
pub trait Fetch {
    /// The rows of a page.
    type Row: Keyed;
    /// Why a request for a page failed.
    type Error;
    /// One request.
    type Future: Future<Output = Fetched<Self::Row, Self::Error>>;

    /// Whether a request can be sent now.
    ///
    /// # Errors
    ///
    /// If none can be sent any more, for now or for ever.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Asks for a page.
    ///
    /// # Errors
    ///
    /// If the request for it cannot be made.
    fn fetch(
        &mut self,
        query: &Arc<Query>,
        ask: &PageRequest,
    ) -> Result<Self::Future, InvalidQuery>;
}

impl<F, Fut, R, E> Fetch for F
where
    F: FnMut(PageRequest) -> Fut,
    Fut: Future<Output = Fetched<R, E>>,
    R: Keyed,
{
    type Row = R;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn fetch(&mut self, _: &Arc<Query>, ask: &PageRequest) -> Result<Fut, InvalidQuery> {
        Ok(self(ask.clone()))
    }
}

/// Fetches pages over a tower service of `http` requests.
pub struct Http<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
{
    service: S,
    failures: fn(&S::Error) -> Failure,
    request_body: PhantomData<fn(B) -> RB>,
}

impl<S, B, RB> Http<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
{
    /// Over this service. Its errors count as temporary, unless a layer's record says otherwise.
    pub const fn new(service: S) -> Self {
        Self { service, failures: |_| Failure::Temporary, request_body: PhantomData }
    }

    /// What the service's own errors mean: for stacks whose timeouts are errors, and that keep no record.
    #[must_use]
    pub const fn failures(mut self, failures: fn(&S::Error) -> Failure) -> Self {
        self.failures = failures;
        self
    }
}

impl<S, B, RB> Clone for Http<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
{
    fn clone(&self) -> Self {
        let service = self.service.clone();
        Self { service, failures: self.failures, request_body: PhantomData }
    }
}

impl<S, B, RB> fmt::Debug for Http<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl<S, B, RB> Fetch for Http<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
    B: From<Bytes>,
    RB: Body,
    RB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Row = Row;
    type Error = S::Error;
    type Future = HttpPage<S::Future, RB, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn fetch(
        &mut self,
        query: &Arc<Query>,
        ask: &PageRequest,
    ) -> Result<Self::Future, InvalidQuery> {
        let mut request = query.request::<B>(ask)?;
        let record = Record::new();
        request.extensions_mut().insert(record.clone());
        let call = self.service.call(request);
        let reader =
            Reader { query: query.clone(), rows: ask.rows, record, failures: self.failures };
        Ok(HttpPage { stage: Stage::Call { call }, reader })
    }
}

pin_project! {
    /// One request for a page, until its body is read.
    pub struct HttpPage<F, RB, E> {
        #[pin]
        stage: Stage<F, RB>,
        reader: Reader<E>,
    }
}

pin_project! {
    #[project = StageNow]
    enum Stage<F, RB> {
        Call { #[pin] call: F },
        Read { head: Option<response::Parts>, #[pin] body: RB, bytes: Collected },
    }
}

impl<F, RB, E> fmt::Debug for HttpPage<F, RB, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPage").finish_non_exhaustive()
    }
}

impl<F, RB, E> Future for HttpPage<F, RB, E>
where
    F: Future<Output = Result<Response<RB>, E>>,
    RB: Body,
    RB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Output = Fetched<Row, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fetched<Row, E>> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageNow::Call { call } => match ready!(call.poll(cx)) {
                    Err(source) => return Poll::Ready(this.reader.error(source)),
                    Ok(response) => {
                        let (head, body) = response.into_parts();
                        let bytes = Collected::Nothing;
                        this.stage.set(Stage::Read { head: Some(head), body, bytes });
                    }
                },
                StageNow::Read { head, body, bytes } => {
                    let frame = match ready!(body.poll_frame(cx)) {
                        None => {
                            let head = head.take().expect("a future is not polled after its end");
                            return Poll::Ready(this.reader.answer(&head, &bytes.take()));
                        }
                        Some(Err(error)) => return Poll::Ready(this.reader.cut(error.into())),
                        Some(Ok(frame)) => frame,
                    };
                    if let Ok(data) = frame.into_data() {
                        if data.remaining() > MAX_BODY_BYTES - bytes.len() {
                            let error = format!("the page is longer than {MAX_BODY_BYTES} bytes");
                            return Poll::Ready(this.reader.cut(error.into()));
                        }
                        bytes.push(data);
                    }
                }
            }
        }
    }
}

/// A body so far: a single frame is taken as it is.
enum Collected {
    Nothing,
    One(Bytes),
    More(BytesMut),
}

impl Collected {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(bytes) => bytes.len(),
            Self::More(bytes) => bytes.len(),
        }
    }

    fn push(&mut self, mut data: impl Buf) {
        match self {
            Self::Nothing => *self = Self::One(data.copy_to_bytes(data.remaining())),
            Self::One(first) => {
                let mut bytes = BytesMut::with_capacity(first.len() + data.remaining());
                bytes.put_slice(first);
                bytes.put(data);
                *self = Self::More(bytes);
            }
            Self::More(bytes) => bytes.put(data),
        }
    }

    fn take(&mut self) -> Bytes {
        match core::mem::replace(self, Self::Nothing) {
            Self::Nothing => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::More(bytes) => bytes.freeze(),
        }
    }
}

/// Reads an answer by the query's dialect.
struct Reader<E> {
    query: Arc<Query>,
    rows: u32,
    record: Record,
    failures: fn(&E) -> Failure,
}

impl<E> Reader<E> {
    fn fetched(
        &self,
        page: impl FnOnce(Option<&Attempts>) -> Result<Page, (Failure, Error<E>)>,
    ) -> Fetched<Row, E> {
        let attempts = self.record.attempts();
        let page = page(attempts.as_ref());
        Fetched { page, attempts }
    }

    fn error(&self, source: E) -> Fetched<Row, E> {
        self.fetched(|attempts| {
            let failure = match attempts {
                Some(attempts) => from_stop_reason(attempts),
                None => (self.failures)(&source),
            };
            Err((failure, Error::Fetch { source, attempts: boxed(attempts) }))
        })
    }

    fn cut(&self, source: Box<dyn std::error::Error + Send + Sync>) -> Fetched<Row, E> {
        self.fetched(|attempts| {
            let failure = attempts.map_or(Failure::Temporary, from_stop_reason);
            let failure = if failure == Failure::Permanent { Failure::Temporary } else { failure };
            Err((failure, Error::Body { source, attempts: boxed(attempts) }))
        })
    }

    fn answer(&self, head: &response::Parts, body: &Bytes) -> Fetched<Row, E> {
        self.fetched(|attempts| {
            if head.status == StatusCode::OK {
                return self.page(head, body);
            }
            let words = (self.query.terms.spec.words)(body);
            let failure = match attempts {
                _ if head.status == StatusCode::BAD_REQUEST => self
                    .ceiling_in(words.as_ref().map(super::dialect::ApiWords::message))
                    .map_or(Failure::Permanent, |ceiling| Failure::TooMany { ceiling }),
                Some(attempts) if attempts.stop_reason().is_some() => from_stop_reason(attempts),
                _ => Failure::of_status(head.status.as_u16()),
            };
            let location = head.headers.get(LOCATION).filter(|_| head.status.is_redirection());
            let error = Error::Status {
                status: head.status,
                words,
                location: location.map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned()),
                body: body.slice(..body.len().min(MAX_ERROR_BYTES)),
                attempts: boxed(attempts),
            };
            Err((failure, error))
        })
    }

    fn page(&self, head: &response::Parts, body: &Bytes) -> Result<Page, (Failure, Error<E>)> {
        let terms = &self.query.terms;
        let answer = Answer { headers: &head.headers, body, key: terms.key };
        let mut page = (terms.spec.page)(&answer).map_err(|why| {
            // A body that was cut short is not the API's last word.
            let failure = match why {
                crate::NotAPage::NotJson { .. } => Failure::Temporary,
                _ => Failure::Permanent,
            };
            (failure, Error::NotAPage { why, words: (terms.spec.words)(body) })
        })?;
        if let Some((field, end)) = terms.before {
            if let Some(row) = page.rows.iter().find(|row| row.time(field).is_none()) {
                let why = crate::NotAPage::BadRow { index: row.index() as usize, key_field: field };
                return Err((Failure::Permanent, Error::NotAPage { why, words: None }));
            }
            page.rows.retain(|row| row.time(field).is_some_and(|time| time < end));
        }
        Ok(page)
    }

    /// The largest page that a refusal names: `request parameter "limit" exceeds maximum value of 100`.
    fn ceiling_in(&self, message: Option<&str>) -> Option<u32> {
        /// What stands before the largest page.
        const BOUNDS: [&str; 12] = [
            "maximum",
            "max ",
            "exceeds",
            "exceed ",
            "at most",
            "up to",
            "between",
            "<=",
            "larger than",
            "greater than",
            "less than",
            "limited to",
        ];
        let message = message?.to_ascii_lowercase();
        let is_about_size =
            ["limit", "page size", "pagesize", "page-size", "page_size", "per_page"]
                .iter()
                .any(|name| message.contains(name));
        let at = BOUNDS.iter().filter_map(|bound| message.rfind(bound)).max()?;
        let numbers = message[at..].split(|letter: char| !letter.is_ascii_digit());
        let ceiling = numbers.filter_map(|digits| digits.parse().ok()).next_back()?;
        (is_about_size && ceiling > 0 && ceiling < self.rows).then_some(ceiling)
    }
}

fn boxed(attempts: Option<&Attempts>) -> Option<Box<Attempts>> {
    attempts.copied().map(Box::new)
}

/// What a layer below has decided.
fn from_stop_reason(attempts: &Attempts) -> Failure {
    match attempts.stop_reason() {
        Some(StopReason::Shrink) => Failure::TooHeavy,
        Some(
            StopReason::AskedToStop
            | StopReason::BodyNotKept
            | StopReason::Cancelled
            | StopReason::Closed { .. }
            | StopReason::CredentialRefused
            | StopReason::Forbidden
            | StopReason::NotRepeatable
            | StopReason::Permanent,
        ) => Failure::Permanent,
        _ => Failure::Temporary,
    }
}
