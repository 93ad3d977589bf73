//! The layers in the one right order.
#![doc = include_str!("../ORDER.md")]

use core::fmt;
use core::future::Future;
use core::num::NonZeroU32;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use http::Request;
use pin_project_lite::pin_project;
use retry_policy::{Budget, Policy, Profile};
use tower_layer::Layer;
use tower_service::Service;

use crate::BoxError;
use crate::collect::CollectLayer;
use crate::credential::Credential;
use crate::delivery::KnownErrors;
use crate::replay::CloneBody;
use crate::retry::{AnswerOrStopped, Retry, RetryLayer, Strategies, With};
use crate::timer::Timer;
#[cfg(feature = "tokio")]
use crate::timer::TokioTimer;

/// Our choice, where the vendor's documents say nothing: the usual timeout of a load balancer is 60 s, and
/// an answer that takes half of it is no longer waited for.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Our choice: well below what looks like an attack.
const CLOSES_AFTER: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// The layers in the one right order: retries, an attempt timeout, a credential, a budget, a gate, and
/// bodies read as part of the attempt.
///
/// ```
/// use http::{Request, Response};
/// use retry_layer::{BoxError, Credential, Key, Stack, policy::profile};
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let client = service_fn(|request: Request<String>| async move {
/// #     assert_eq!(request.headers()["x-api-key"], "secret");
/// #     Ok::<_, std::io::Error>(Response::new(String::from("[]")))
/// # });
/// let key = Credential::api_key(Key::fixed("secret"))?;
/// let api = Stack::new(profile::JUMPCLOUD).credential(key).pace().around(client);
///
/// let response = api.oneshot(Request::new(String::new())).await?;
/// assert_eq!(response.body().bytes(), "[]");
/// # Ok(())
/// # }
/// ```
///
/// # Numbers
///
/// | what | default | source |
/// | --- | --- | --- |
/// | attempt timeout | the profile's, or else 30 s | our choice: half of a load balancer's usual 60 s |
/// | gate closed after | 10 refused in a row | our choice: well below what looks like an attack |
/// | longest body | 64 MiB | [`collect`](crate::collect) |
pub struct Stack<W: Strategies, C = CollectLayer> {
    retry: RetryLayer<W>,
    bodies: C,
}

#[cfg(feature = "tokio")]
impl Stack<With<CloneBody, AnswerOrStopped, KnownErrors, TokioTimer>> {
    /// The layers for an API of this profile.
    #[must_use]
    pub fn new(profile: &'static Profile) -> Self {
        Self::with_timer(profile, TokioTimer::new())
    }
}

impl<T: Timer> Stack<With<CloneBody, AnswerOrStopped, KnownErrors, T>> {
    /// As [`new`](Stack::new), by another timer than tokio's.
    #[must_use]
    pub fn with_timer(profile: &'static Profile, timer: T) -> Self {
        let timeout = profile.attempt_timeout().unwrap_or(ATTEMPT_TIMEOUT);
        let retry = RetryLayer::with_timer(profile.policy(), timer)
            .attempt_timeout(timeout)
            .closes_after(CLOSES_AFTER);
        Self { retry, bodies: CollectLayer::new() }
    }
}

impl<W: Strategies, C> Stack<W, C> {
    /// Sends this credential with every attempt and takes a fresh one after a 401. It goes to
    /// [one origin](crate::credential) only.
    #[must_use]
    pub fn credential(self, credential: Credential) -> Self {
        Self { retry: self.retry.credential(credential), ..self }
    }

    /// With this policy in place of the profile's own.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        Self { retry: self.retry.policy(policy), ..self }
    }

    /// For jobs: a retry waits for its token of the budget instead of giving up, until the policy's deadline.
    ///
    /// Without a deadline it waits for as long as the server is down, when one probe leaves every 120 s. A
    /// thousand retries wait at most, unless [`longest_line`](RetryLayer::longest_line) says otherwise; the others end
    /// with their answer. The attempts of the policy still end a request. What pacing costs in waiting time, and what it
    /// saves, is in the tables of `docs/storm`.
    #[must_use]
    pub fn pace(self) -> Self {
        Self { retry: self.retry.budget(Budget::pace()), ..self }
    }

    /// With the retry layer changed by this function, which gets the one that was set up so far.
    #[must_use]
    pub fn with_retry<W2: Strategies>(
        self,
        change: impl FnOnce(RetryLayer<W>) -> RetryLayer<W2>,
    ) -> Stack<W2, C> {
        Stack { retry: change(self.retry), bodies: self.bodies }
    }

    /// With another layer for bodies: a [`CollectLayer`] of another limit, or
    /// `(`[`PeekLayer`](crate::PeekLayer)`, `[`Streaming`]`)`. Its errors have to be boxed.
    #[must_use]
    pub fn bodies<C2>(self, bodies: C2) -> Stack<W, C2> {
        Stack { retry: self.retry, bodies }
    }

    /// Bodies go to the caller as they come. What fails within one is then no attempt that failed.
    #[must_use]
    pub fn streaming(self) -> Stack<W, Streaming> {
        self.bodies(Streaming)
    }

    /// The client, made safe to use.
    pub fn around<S>(&self, client: S) -> Retry<C::Service, W>
    where
        C: Layer<S>,
        W: Clone,
    {
        self.retry.layer(self.bodies.layer(client))
    }
}

impl<S, W: Strategies + Clone, C: Layer<S>> Layer<S> for Stack<W, C> {
    type Service = Retry<C::Service, W>;

    fn layer(&self, client: S) -> Self::Service {
        self.around(client)
    }
}

impl<W: Strategies + Clone, C: Clone> Clone for Stack<W, C> {
    fn clone(&self) -> Self {
        Self { retry: self.retry.clone(), bodies: self.bodies.clone() }
    }
}

impl<W: Strategies, C: fmt::Debug> fmt::Debug for Stack<W, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("retry", &self.retry).field("bodies", &self.bodies).finish()
    }
}

/// Leaves bodies alone and boxes errors, so that a [`Stack`] can answer without an answer.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "it has no settings")]
pub struct Streaming;

impl<S> Layer<S> for Streaming {
    type Service = BoxErrors<S>;

    fn layer(&self, inner: S) -> BoxErrors<S> {
        BoxErrors { inner }
    }
}

/// A service whose errors are boxed.
#[derive(Clone, Copy, Debug)]
pub struct BoxErrors<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for BoxErrors<S>
where
    S: Service<Request<B>, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxErrorsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        BoxErrorsFuture { call: self.inner.call(request) }
    }
}

pin_project! {
    /// The answer, or a boxed error.
    #[derive(Debug)]
    pub struct BoxErrorsFuture<F> {
        #[pin]
        call: F,
    }
}

impl<F, T, E> Future for BoxErrorsFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().call.poll(cx).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests;
