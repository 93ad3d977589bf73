//! What the user configures.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use retry_policy::{Budget, Policy};
use tower_layer::Layer;

use super::strategies::{AnswerOrStopped, Strategies, With};
use super::{Event, Retry};
use crate::credential::Credential;
use crate::delivery::OfFunction;
#[cfg(feature = "tokio")]
use crate::{delivery::KnownErrors, replay::CloneBody, timer::TokioTimer};

/// Sends requests again where that is allowed and useful.
///
/// All services made by one layer, and all their clones, share its budget and its credential.
#[derive(Clone)]
pub struct RetryLayer<W> {
    pub(super) config: Config,
    pub(super) strategies: W,
}

type Observer = dyn Fn(&Event<'_>) + Send + Sync;

/// What does not depend on a type.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) policy: Policy,
    pub(super) budget: Option<Arc<Budget>>,
    pub(super) credential: Option<Credential>,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) observer: Option<Arc<Observer>>,
}

#[cfg(feature = "tokio")]
impl RetryLayer<With<CloneBody, super::LastAnswer, KnownErrors, TokioTimer>> {
    /// A layer with this policy, a budget that sheds, cloned bodies and tokio's timer.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let strategies = super::strategies::Plain {
            replay: CloneBody,
            answer: super::LastAnswer,
            deliver: KnownErrors,
            timer: TokioTimer::new(),
        };
        let config = Config {
            policy,
            budget: Some(Arc::new(Budget::shed())),
            credential: None,
            attempt_timeout: None,
            observer: None,
        };
        Self { config, strategies }
    }
}

impl<R, A, D, T> RetryLayer<With<R, A, D, T>> {
    /// Shares this budget; `None` lifts the bound on extra load.
    #[must_use]
    pub fn budget(mut self, budget: impl Into<Option<Arc<Budget>>>) -> Self {
        self.config.budget = budget.into();
        self
    }

    /// Sends this credential with every attempt and takes a fresh one after a 401.
    #[must_use]
    pub fn credential(mut self, credential: Credential) -> Self {
        self.config.credential = Some(credential);
        self
    }

    /// Tells this function of every attempt.
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.config.observer = Some(Arc::new(observer));
        self
    }

    /// Cuts off an attempt after this time, and any attempt at the policy's deadline.
    ///
    /// A request without an answer then ends with [`Stopped`](retry_policy::Stopped), so the
    /// service's error must be able to hold it; boxed errors are.
    #[must_use]
    pub fn attempt_timeout(self, timeout: Duration) -> RetryLayer<With<R, AnswerOrStopped, D, T>> {
        let With { replay, deliver, timer, .. } = self.strategies;
        RetryLayer {
            config: Config { attempt_timeout: Some(timeout), ..self.config },
            strategies: With { replay, answer: AnswerOrStopped, deliver, timer },
        }
    }

    /// Sends bodies again in this way.
    #[must_use]
    pub fn replay<R2>(self, replay: R2) -> RetryLayer<With<R2, A, D, T>> {
        let With { answer, deliver, timer, .. } = self.strategies;
        RetryLayer { config: self.config, strategies: With { replay, answer, deliver, timer } }
    }

    /// Reads the service's errors by this function.
    #[must_use]
    pub fn delivery<F>(self, delivery: F) -> RetryLayer<With<R, A, OfFunction<F>, T>> {
        let With { replay, answer, timer, .. } = self.strategies;
        let deliver = OfFunction(delivery);
        RetryLayer { config: self.config, strategies: With { replay, answer, deliver, timer } }
    }

    /// Waits by this timer.
    #[must_use]
    pub fn timer<T2>(self, timer: T2) -> RetryLayer<With<R, A, D, T2>> {
        let With { replay, answer, deliver, .. } = self.strategies;
        RetryLayer { config: self.config, strategies: With { replay, answer, deliver, timer } }
    }
}

impl<S, W: Strategies + Clone> Layer<S> for RetryLayer<W> {
    type Service = Retry<S, W>;

    fn layer(&self, inner: S) -> Retry<S, W> {
        Retry::new(inner, self)
    }
}

impl<W> fmt::Debug for RetryLayer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .field("credential", &self.credential)
            .field("attempt_timeout", &self.attempt_timeout)
            .finish_non_exhaustive()
    }
}
