//! Reads the response body as part of the attempt.
//!
//! Inside a retry, a body that is cut short, stalls or takes too long is then an attempt that failed,
//! under the attempt's own timeout, instead of a surprise for the caller after the last decision
//! was made. The price is memory: an answer is held as a whole, up to a limit.
//!
//! An error, a status of 400 and above, is an answer all the same: its head says what it means and how long to wait. If its
//! body is cut short, or stalls until the attempt's time is up, it is returned with as much of it as came.
//!
//! # Numbers
//!
//! | what | default | bounds | source |
//! | --- | --- | --- | --- |
//! | limit | 64 MiB | at least 1 byte | our choice: a thousand times a usual page |

use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::num::NonZeroUsize;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::response::Parts;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::BoxError;

/// The longest body that is held: 64 MiB.
pub const DEFAULT_LIMIT: NonZeroUsize =
    NonZeroUsize::new(64 * 1024 * 1024).expect("64 MiB is not zero");

/// Makes a service whose answers are complete.
#[derive(Clone, Copy, Debug)]
pub struct CollectLayer {
    limit: NonZeroUsize,
}

impl CollectLayer {
    /// A layer that holds bodies of up to [`DEFAULT_LIMIT`].
    #[must_use]
    pub const fn new() -> Self {
        Self { limit: DEFAULT_LIMIT }
    }

    /// With another limit, in bytes.
    #[must_use]
    pub const fn limit(self, limit: NonZeroUsize) -> Self {
        Self { limit }
    }
}

impl Default for CollectLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for CollectLayer {
    type Service = Collect<S>;

    fn layer(&self, inner: S) -> Collect<S> {
        Collect { inner, limit: self.limit.get() }
    }
}

/// A service whose answers are complete.
#[derive(Clone, Copy, Debug)]
pub struct Collect<S> {
    inner: S,
    limit: usize,
}

impl<S, B, RB> Service<Request<B>> for Collect<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: Into<BoxError>,
    RB: Body,
    RB::Error: Into<BoxError>,
{
    type Response = Response<Collected>;
    type Error = BoxError;
    type Future = CollectFuture<S::Future, RB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = self.inner.call(request);
        CollectFuture { state: State::Call { call }, limit: self.limit }
    }
}

pin_project! {
    /// The answer and its body.
    #[derive(Debug)]
    pub struct CollectFuture<F, RB> {
        #[pin]
        state: State<F, RB>,
        limit: usize,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<F, RB> {
        Call { #[pin] call: F },
        Read { head: Option<Parts>, #[pin] body: RB, read: Read },
    }
}

/// What was read so far. A body of one frame is not copied.
#[derive(Debug, Default)]
struct Read {
    first: Bytes,
    all: BytesMut,
    trailers: Option<http::HeaderMap>,
}

impl Read {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn push(&mut self, mut data: impl Buf) {
        if self.len() == 0 {
            self.first = data.copy_to_bytes(data.remaining());
            return;
        }
        if self.all.is_empty() {
            self.all.put(core::mem::take(&mut self.first));
        }
        self.all.put(data);
    }

    fn finish(self) -> Collected {
        let bytes = if self.all.is_empty() { self.first } else { self.all.freeze() };
        Collected { bytes, trailers: self.trailers }
    }
}

impl<F, E, RB> Future for CollectFuture<F, RB>
where
    F: Future<Output = Result<Response<RB>, E>>,
    E: Into<BoxError>,
    RB: Body,
    RB::Error: Into<BoxError>,
{
    type Output = Result<Response<Collected>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let too_large = CollectError::TooLarge { limit: *this.limit };
        loop {
            match this.state.as_mut().project() {
                StateProj::Call { call } => {
                    let (head, body) = ready!(call.poll(cx)).map_err(Into::into)?.into_parts();
                    if body.size_hint().lower() > *this.limit as u64 {
                        return Poll::Ready(Err(too_large.into()));
                    }
                    this.state.set(State::Read { head: Some(head), body, read: Read::default() });
                }
                StateProj::Read { head, body, read } => match body.poll_frame(cx) {
                    // The head of an error says what it means, and how long to wait, whatever becomes of its body.
                    Poll::Ready(Some(Err(error))) => {
                        let Some(head) = head.take_if(|head| head.status.as_u16() >= 400) else {
                            return Poll::Ready(Err(CollectError::Body(error.into()).into()));
                        };
                        return Poll::Ready(Ok(answer(head, core::mem::take(read))));
                    }
                    Poll::Pending => {
                        let is_said =
                            |head: &mut Parts| is_last_call() && head.status.as_u16() >= 400;
                        let Some(head) = head.take_if(is_said) else { return Poll::Pending };
                        return Poll::Ready(Ok(answer(head, core::mem::take(read))));
                    }
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => {
                            if data.remaining() > *this.limit - read.len() {
                                return Poll::Ready(Err(too_large.into()));
                            }
                            read.push(data);
                        }
                        Err(frame) => read.trailers = frame.into_trailers().ok(),
                    },
                    Poll::Ready(None) => {
                        let head = head.take().expect("polled after it was ready");
                        return Poll::Ready(Ok(answer(head, core::mem::take(read))));
                    }
                },
            }
        }
    }
}

thread_local! {
    static LAST_CALL: Cell<bool> = const { Cell::new(false) };
}

/// Polls an attempt whose time is up once more: who still reads the body of an error hands on what has come.
pub(crate) fn last_call<T>(poll: impl FnOnce() -> T) -> T {
    /// Ends the call even if the poll panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            LAST_CALL.set(false);
        }
    }
    let _end = End;
    LAST_CALL.set(true);
    poll()
}

pub(crate) fn is_last_call() -> bool {
    LAST_CALL.get()
}

fn answer(mut head: Parts, read: Read) -> Response<Collected> {
    let body = read.finish();
    if head.status.as_u16() >= 400 {
        head.extensions.insert(ErrorBody(body.bytes.clone()));
    }
    Response::from_parts(head, body)
}

/// A body that has arrived as a whole; that of an error may have been cut short.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    bytes: Bytes,
    trailers: Option<http::HeaderMap>,
}

impl Collected {
    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Body for Collected {
    type Data = Bytes;
    type Error = core::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if !self.bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(core::mem::take(&mut self.bytes)))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// A response extension: the body of an error or its beginning, in which some vendors say whether it
/// is final.
#[derive(Clone, Debug)]
pub struct ErrorBody(Bytes);

impl ErrorBody {
    pub(crate) const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Why an answer could not be read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum CollectError {
    /// The body failed on the way: cut short, reset, or not as announced.
    Body(BoxError),
    /// The body is longer than may be held.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl fmt::Display for CollectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(_) => f.write_str("the answer was cut off"),
            Self::TooLarge { limit } => write!(f, "the answer is longer than {limit} bytes"),
        }
    }
}

impl std::error::Error for CollectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Body(error) => Some(&**error),
            Self::TooLarge { .. } => None,
        }
    }
}
