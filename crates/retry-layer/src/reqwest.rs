//! reqwest's client as a service of `http` requests, and how its bodies are sent again.
//!
//! ```
//! use core::time::Duration;
//! use retry_layer::policy::Policy;
//! use retry_layer::RetryLayer;
//! use retry_layer::reqwest::{ReqwestBodies, ReqwestService};
//! use tower::{Layer, Service};
//!
//! let reqwest = ReqwestService::build(reqwest::Client::builder().timeout(Duration::from_secs(30)))?;
//! let service = RetryLayer::new(Policy::default())
//!     .replay(ReqwestBodies::new(64 * 1024))
//!     .layer(reqwest);
//! # fn is_service<S: Service<http::Request<reqwest::Body>, Error = reqwest::Error>>(_: &S) {}
//! # is_service(&service);
//! # Ok::<(), reqwest::Error>(())
//! ```
//!
//! Redirects, cookies, decompression and timeouts stay reqwest's and belong to each attempt. A `reqwest::Request` is
//! made into one for the service by `http::Request::try_from`, the answer into a `reqwest::Response` by `from`: its URL is
//! that at which the redirects ended.

use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};

use ::reqwest::{Body, Client, ClientBuilder, Error, ResponseBuilderExt, Url, redirect, retry};
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::response::Parts;
use http::{Request, Response};
use http_body::Body as _;
use pin_project_lite::pin_project;
use retry_policy::Safety;
use tower_service::Service;

use crate::closure::OfRedirect;
use crate::collect::{ErrorBody, is_last_call};
use crate::peek::Peeked;
use crate::replay::{Captured, Kept, Replay};

/// reqwest's client as a `Service<http::Request<reqwest::Body>>`, whose errors are reqwest's own.
///
/// An answer that redirects led to is not an answer to the request, which was processed before. So one that is not
/// idempotent is not sent again after it, not even after a 429 or with a fresh credential.
#[derive(Clone, Debug)]
pub struct ReqwestService {
    client: Client,
    read_ahead: usize,
}

impl ReqwestService {
    /// Over a client that retries nothing by itself and follows redirects [`within_origin`], whatever the builder said of
    /// both. One that is to follow none goes into [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// If the client cannot be built.
    pub fn build(client: ClientBuilder) -> Result<Self, Error> {
        client.retry(retry::never()).redirect(within_origin()).build().map(Self::new)
    }

    /// Over this client. It should be built with `.retry(reqwest::retry::never())` and `.redirect(within_origin())`, as
    /// [`build`](Self::build) does. With another redirect policy, one that leads back to the address of the request is
    /// not noticed.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client, read_ahead: 0 }
    }

    /// Reads up to so many bytes of each body as part of the attempt: one that is cut off within them is an error of the
    /// attempt, and profiles see what an error says. What is longer streams on behind them. It is not for answers whose
    /// events come one by one: they would wait for each other.
    #[must_use]
    pub fn read_ahead(self, bytes: usize) -> Self {
        Self { read_ahead: bytes, ..self }
    }

    /// The client, which builds requests.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

impl Service<Request<Body>> for ReqwestService {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Sending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Service::<::reqwest::Request>::poll_ready(&mut self.client, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Sending {
        let is_unsafe = Safety::of(&request) == Safety::Unsafe;
        let mut sent_to = None;
        let stage = match ::reqwest::Request::try_from(request) {
            Ok(request) => {
                sent_to = is_unsafe.then(|| Box::new(request.url().clone()));
                Stage::Sent { pending: self.client.call(request) }
            }
            Err(error) => Stage::Invalid { error: Some(error) },
        };
        Sending { stage, sent_to, was_redirected: false, read_ahead: self.read_ahead }
    }
}

pin_project! {
    /// A request on its way, and its answer while the beginning of its body is read.
    pub struct Sending {
        #[pin]
        stage: Stage,
        // Where a request went that is not idempotent.
        sent_to: Option<Box<Url>>,
        was_redirected: bool,
        read_ahead: usize,
    }
}

pin_project! {
    #[project = Now]
    enum Stage {
        Sent { #[pin] pending: <Client as Service<::reqwest::Request>>::Future },
        Read { answer: Option<(Parts, Peeked<Body>)> },
        /// It is no request that reqwest can send: its address is not absolute.
        Invalid { error: Option<Error> },
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

impl Future for Sending {
    type Output = Result<Response<Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                Now::Invalid { error } => {
                    return Poll::Ready(Err(error.take().expect("polled after its end")));
                }
                Now::Sent { pending } => {
                    REDIRECTED.set(false);
                    let sent = pending.poll(cx);
                    *this.was_redirected |= REDIRECTED.get();
                    let response = ready!(sent)?;
                    let is_elsewhere =
                        this.sent_to.as_ref().is_some_and(|sent_to| **sent_to != *response.url());
                    let mut response = with_url(response);
                    if this.sent_to.is_some() && (is_elsewhere || *this.was_redirected) {
                        response.extensions_mut().insert(OfRedirect);
                    }
                    if *this.read_ahead == 0 {
                        return Poll::Ready(Ok(response));
                    }
                    let (head, body) = response.into_parts();
                    this.stage.set(Stage::Read { answer: Some((head, Peeked::new(body))) });
                }
                Now::Read { answer } => {
                    let (head, body) = answer.as_mut().expect("polled after its end");
                    let is_known = || is_last_call() && head.status.as_u16() >= 400;
                    if body.poll_beginning(*this.read_ahead, cx).is_pending() && !is_known() {
                        return Poll::Pending;
                    }
                    let (mut head, mut body) = answer.take().expect("it was just there");
                    // The head of an error says what it means, whatever becomes of its body.
                    if head.status.as_u16() < 400 {
                        if let Some(error) = body.failure() {
                            return Poll::Ready(Err(error));
                        }
                    } else if !head.headers.contains_key(CONTENT_ENCODING) {
                        let beginning = body.first_bytes(*this.read_ahead);
                        head.extensions.insert(ErrorBody::new(beginning));
                    }
                    return Poll::Ready(Ok(Response::from_parts(head, Body::wrap(body))));
                }
            }
        }
    }
}

/// The conversion drops the URL, and only a builder can put it back.
fn with_url(response: ::reqwest::Response) -> Response<Body> {
    let url = Response::builder().url(response.url().clone()).body(());
    let mut response = Response::from(response);
    if let Ok(url) = url {
        response.extensions_mut().extend(url.into_parts().0.extensions);
    }
    response
}

thread_local! {
    /// Whether a redirect was met by the request that is being polled: reqwest asks its policy within the poll.
    static REDIRECTED: Cell<bool> = const { Cell::new(false) };
}

/// A redirect policy that follows up to ten redirects within the origin of the request and returns any other as the answer.
///
/// The credential of the layer is for one origin, and reqwest takes along what it does not know to be a secret: of the
/// usual headers it drops `Authorization`, but not `x-api-key`.
///
/// ```
/// let client = reqwest::Client::builder()
///     .redirect(retry_layer::reqwest::within_origin())
///     .build();
/// ```
#[must_use]
pub fn within_origin() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        REDIRECTED.set(true);
        let first = attempt.previous().first();
        if first.is_some_and(|first| first.origin() == attempt.url().origin()) {
            redirect::Policy::default().redirect(attempt)
        } else {
            attempt.stop()
        }
    })
}

/// Sends reqwest's bodies again: bytes as they are and without a copy, a stream as [`Captured`] does.
///
/// Bytes stay bytes, so that reqwest can still follow a 307 with them.
#[derive(Clone, Copy, Debug)]
pub struct ReqwestBodies(Captured<Body>);

impl ReqwestBodies {
    /// Keeps bytes of any length, and up to `limit` bytes of a stream.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self(Captured::new(limit, Body::wrap))
    }
}

/// What [`ReqwestBodies`] keeps of a body.
pub struct KeptBody(Content);

impl fmt::Debug for KeptBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptBody").finish_non_exhaustive()
    }
}

enum Content {
    Bytes(Bytes),
    Stream(Kept<Body>),
}

impl Replay<Body> for ReqwestBodies {
    type Kept = KeptBody;

    fn keep(&self, mut body: Body) -> (Body, Option<KeptBody>) {
        if body.as_bytes().is_none() {
            let (body, kept) = self.0.keep(body);
            return (body, kept.map(|kept| KeptBody(Content::Stream(kept))));
        }
        // It is at hand: nobody is waited for.
        let mut cx = Context::from_waker(Waker::noop());
        let mut bytes = Bytes::new();
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) {
            if let Ok(data) = frame.into_data() {
                bytes = if bytes.is_empty() { data } else { [bytes, data].concat().into() };
            }
        }
        (bytes.clone().into(), Some(KeptBody(Content::Bytes(bytes))))
    }

    fn again(&self, kept: &mut KeptBody) -> Option<Body> {
        match &mut kept.0 {
            Content::Bytes(bytes) => Some(bytes.clone().into()),
            Content::Stream(stream) => self.0.again(stream),
        }
    }
}
