//! The service that starts a request's life.

use core::fmt;
use core::task::{Context, Poll};
use std::sync::Arc;

use http::{Request, Response};
use tower_service::Service;

use super::ResponseFuture;
use super::layer::{Config, RetryLayer};
use super::strategies::{Answer, Strategies};
use crate::delivery::Deliver;
use crate::replay::Replay;
use crate::timer::Timer;

/// A service that sends again what may be sent again.
pub struct Retry<S, W: Strategies> {
    inner: S,
    shared: Arc<Shared<W>>,
}

/// What all clones have in common.
pub(super) struct Shared<W: Strategies> {
    pub(super) config: Config,
    pub(super) strategies: W,
    /// Where the budget's clock starts.
    pub(super) epoch: <W::Timer as Timer>::Instant,
}

impl<S, W: Strategies + Clone> Retry<S, W> {
    pub(super) fn new(inner: S, layer: &RetryLayer<W>) -> Self {
        let strategies = layer.strategies.clone();
        let epoch = strategies.timer().now();
        Self { inner, shared: Arc::new(Shared { config: layer.config.clone(), strategies, epoch }) }
    }
}

impl<S, B, RB, W> Service<Request<B>> for Retry<S, W>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
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
        // The instance that was made ready takes the call; the clone has yet to become ready.
        let clone = self.inner.clone();
        let ready = core::mem::replace(&mut self.inner, clone);
        ResponseFuture::new(ready, Arc::clone(&self.shared), request)
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
