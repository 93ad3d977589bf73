//! The service that starts a request's life.

use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::ResponseFuture;
use super::layer::Config;
use super::strategies::{Answer, Strategies};
use crate::delivery::Deliver;
use crate::limits::{GateState, Limits, Origins, Scope};
use crate::replay::Replay;
use crate::timer::Timer;

/// A service that sends again what may be sent again.
pub struct Retry<S, W: Strategies> {
    inner: S,
    shared: Arc<Shared<W>>,
}

/// What all clones have in common. It shares no cache line with the count of its owners, which every
/// request of every thread writes.
#[repr(align(128))]
pub(super) struct Shared<W: Strategies> {
    pub(super) config: Config,
    pub(super) strategies: W,
    /// Where the clock of all that is shared starts.
    epoch: <W::Timer as Timer>::Instant,
    origins: Origins,
}

impl<W: Strategies> Shared<W> {
    pub(super) fn new(config: Config, strategies: W) -> Self {
        let epoch = strategies.timer().now();
        let origins = Origins::new(|| config.limits());
        Self { config, strategies, epoch, origins }
    }

    /// The time on the clock of all that is shared.
    pub(super) fn now(&self) -> Duration {
        self.strategies.timer().since(self.epoch)
    }

    pub(super) fn limits(&self, scope: Scope) -> &Limits {
        self.origins.get(scope)
    }

    pub(super) fn scope<B>(&self, request: &Request<B>) -> Scope {
        match &self.config.scope_of {
            Some(scope_of) => self
                .origins
                .of_key(scope_of(request.uri(), request.headers()), || self.config.limits()),
            None => self.origins.of_uri(request.uri(), || self.config.limits()),
        }
    }
}

/// What the requests of one origin share at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OriginState {
    /// The whole tokens of its retry budget; `None` without a budget.
    pub tokens: Option<u32>,
    /// The retries that wait for a token.
    pub waiting: usize,
    /// How its gate stands; `None` without a gate.
    pub gate: Option<GateState>,
}

impl<S, W: Strategies> Retry<S, W> {
    pub(super) const fn new(inner: S, shared: Arc<Shared<W>>) -> Self {
        Self { inner, shared }
    }

    /// What requests like this one share.
    #[must_use]
    pub fn origin<B>(&self, like: &Request<B>) -> OriginState {
        let limits = self.shared.limits(self.shared.scope(like));
        OriginState {
            tokens: limits.budget.as_ref().map(retry_policy::Budget::tokens),
            waiting: limits.line.len(),
            gate: limits.gate.as_ref().map(|gate| gate.state(self.shared.now())),
        }
    }

    /// Opens the gate of requests like this one if it is closed.
    pub fn open<B>(&self, like: &Request<B>) {
        if let Some(gate) = &self.shared.limits(self.shared.scope(like)).gate {
            gate.open();
        }
    }
}

impl<S, B, RB, W> Service<Request<B>> for Retry<S, W>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    RB: Body,
    W: Strategies,
    W::Replay: Replay<B>,
    W::Answer: Answer<S::Error>,
    W::Deliver: Deliver<S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, W>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(&mut self.inner, &self.shared, request)
    }
}

impl<S: Clone, W: Strategies> Clone for Retry<S, W> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, W: Strategies> fmt::Debug for Retry<S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("config", &self.shared.config)
            .finish()
    }
}
