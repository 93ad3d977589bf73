//! What the user configures.

use core::fmt;
use core::num::{NonZeroU32, NonZeroUsize};
use core::time::Duration;
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, Uri};
use retry_policy::{Budget, Policy};
use tower_layer::Layer;

use super::Retry;
use super::service::Shared;
use super::strategies::{AnswerOrStopped, LastAnswer, Strategies, With};
use crate::Observer;
use crate::credential::Credential;
use crate::delivery::{KnownErrors, OfFunction};
use crate::header::IdempotencyKey;
use crate::limits::{Gate, Limits, Line, LineTerms, ScopeOf};
use crate::replay::CloneBody;
use crate::timer::Timer;
#[cfg(feature = "tokio")]
use crate::timer::TokioTimer;

/// Our choice: a hundred times the reserve; more would wait in vain.
const LINE: usize = 1000;
/// Our choice: a page of rows; more costs more than a new connection.
const DRAINED: Drain = Drain { bytes: 64 * 1024, time: Duration::from_millis(100) };

/// Sends requests again where that is allowed and useful.
///
/// All services made by one layer, and all their clones, share its credential, and for each origin a budget
/// and a gate.
///
/// # Numbers
///
/// | what | default | bounds | source |
/// | --- | --- | --- | --- |
/// | retries that wait for a token | 1,000 for each origin | at least 1 | our choice: a hundred times the reserve; more would wait in vain |
/// | read of a discarded answer | 64 KiB, 100 ms | | our choice: more costs more than a new connection |
pub struct RetryLayer<W: Strategies> {
    config: Config,
    strategies: W,
    made: Arc<OnceLock<Arc<Shared<W>>>>,
}

/// What does not depend on a type.
pub(super) struct Config {
    pub(super) policy: Policy,
    budget: Option<Budget>,
    gate: Option<Gate>,
    fails_fast: bool,
    closes_after: Option<NonZeroU32>,
    line: LineTerms,
    pub(super) scope_of: Option<Arc<ScopeOf>>,
    pub(super) credential: Option<Credential>,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) drain: Drain,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) counts_attempts: bool,
    pub(super) is_nested: bool,
}

/// How much of a discarded answer is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

impl Config {
    /// What the requests of one origin share.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            budget: self.budget.as_ref().map(Budget::fresh),
            line: Line::new(self.line),
            gate: self.gate.as_ref().map(|gate| gate.fresh(self.fails_fast, self.closes_after)),
        }
    }
}

#[cfg(feature = "tokio")]
impl RetryLayer<With<CloneBody, LastAnswer, KnownErrors, TokioTimer>> {
    /// A layer with this policy, a budget that sheds, a gate, cloned bodies and tokio's timer.
    ///
    /// It looks at a deadline between attempts only; see [`cut_off`](RetryLayer::cut_off).
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self::with_timer(policy, TokioTimer::new())
    }
}

impl<T: Timer> RetryLayer<With<CloneBody, LastAnswer, KnownErrors, T>> {
    /// As [`new`](RetryLayer::new), by another timer.
    #[must_use]
    pub fn with_timer(policy: Policy, timer: T) -> Self {
        let config = Config {
            policy,
            budget: Some(Budget::shed()),
            gate: Some(Gate::new()),
            fails_fast: false,
            closes_after: None,
            line: LineTerms { most: LINE, newest_first: false },
            scope_of: None,
            credential: None,
            attempt_timeout: None,
            drain: DRAINED,
            observer: None,
            key: None,
            counts_attempts: false,
            is_nested: false,
        };
        let (answer, deliver) = (LastAnswer, KnownErrors);
        Self::of(config, With { replay: CloneBody, answer, deliver, timer })
    }
}

impl<W: Strategies> RetryLayer<W> {
    fn of(config: Config, strategies: W) -> Self {
        Self { config, strategies, made: Arc::default() }
    }

    fn with(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self { mut config, strategies, .. } = self;
        change(&mut config);
        Self::of(config, strategies)
    }

    /// Decides by this policy.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        self.with(|config| config.policy = policy)
    }

    /// Bounds the retries of each origin by a budget on these terms; `None` lifts the bound on extra load.
    #[must_use]
    pub fn budget(self, budget: impl Into<Option<Budget>>) -> Self {
        self.with(|config| config.budget = budget.into())
    }

    /// Lets at most so many retries of an origin wait for a token of a budget that paces.
    #[must_use]
    pub fn longest_line(self, retries: NonZeroUsize) -> Self {
        self.with(|config| config.line.most = retries.get())
    }

    /// Gives the tokens of a budget that paces to the newest of the waiting retries first. With a deadline, in an overload
    /// that passes, fewer get one in time; `cargo run --release -p storm -- pace` compares the two orders. In one that
    /// does not pass, more of the new ones do. A line that is full still refuses the newest.
    #[must_use]
    pub fn newest_first(self) -> Self {
        self.with(|config| config.line.newest_first = true)
    }

    /// Holds the requests of each origin back by a gate on these terms; `None` lets each wait on its own.
    #[must_use]
    pub fn gate(self, gate: impl Into<Option<Gate>>) -> Self {
        self.with(|config| config.gate = gate.into())
    }

    /// Shares budget and gate among the requests for which this function says the same, in place of
    /// those of one origin.
    #[must_use]
    pub fn scope_by(self, scope: impl Fn(&Uri, &HeaderMap) -> u64 + Send + Sync + 'static) -> Self {
        self.with(|config| config.scope_of = Some(Arc::new(scope)))
    }

    /// Sends this credential with every attempt and takes a fresh one after a 401. It goes to
    /// [one origin](crate::credential) only.
    #[must_use]
    pub fn credential(self, credential: Credential) -> Self {
        self.with(|config| config.credential = Some(credential))
    }

    /// Tells this observer of attempts, ends and gates.
    #[must_use]
    pub fn observe(self, observer: impl Observer + 'static) -> Self {
        self.with(|config| config.observer = Some(Arc::new(observer)))
    }

    /// Reads at most so much of an answer that is not returned, so that an HTTP/1 connection can be used
    /// again.
    #[must_use]
    pub fn drain(self, bytes: usize, time: Duration) -> Self {
        self.with(|config| config.drain = Drain { bytes, time })
    }

    /// Gives requests that are not idempotent an `Idempotency-Key`, unless they have one.
    #[must_use]
    pub fn idempotency_key(self, key: IdempotencyKey) -> Self {
        self.with(|config| config.key = Some(key))
    }

    /// Numbers the attempts in the header `x-attempt`, from 1.
    #[must_use]
    pub fn attempt_header(self) -> Self {
        self.with(|config| config.counts_attempts = true)
    }

    /// Sends a request once that carries an `x-attempt`: the layer that numbered it sends it again.
    #[must_use]
    pub fn nested(self) -> Self {
        self.with(|config| config.is_nested = true)
    }
}

impl<R, A, D, T: Timer> RetryLayer<With<R, A, D, T>> {
    /// Ends a request at the policy's deadline, whatever it is waiting for then.
    ///
    /// A request without an answer then ends with [`Stopped`](retry_policy::Stopped), so the
    /// service's error must be able to hold it; boxed errors are.
    #[must_use]
    pub fn cut_off(self) -> RetryLayer<With<R, AnswerOrStopped, D, T>> {
        let With { replay, deliver, timer, .. } = self.strategies;
        RetryLayer::of(self.config, With { replay, answer: AnswerOrStopped, deliver, timer })
    }

    /// Cuts off an attempt after this time, and any attempt at the policy's deadline, as
    /// [`cut_off`](Self::cut_off) does.
    #[must_use]
    pub fn attempt_timeout(self, timeout: Duration) -> RetryLayer<With<R, AnswerOrStopped, D, T>> {
        self.with(|config| config.attempt_timeout = Some(timeout)).cut_off()
    }

    /// Ends a request that meets a pause at once, with
    /// [`StopReason::Paused`](retry_policy::StopReason::Paused). The request that was asked to wait does wait. The
    /// service's error must be able to hold it, as for [`cut_off`](Self::cut_off).
    #[must_use]
    pub fn fail_fast(self) -> RetryLayer<With<R, AnswerOrStopped, D, T>> {
        self.with(|config| config.fails_fast = true).cut_off()
    }

    /// Sends nothing more to an origin that refused so many requests in a row for their credential, or
    /// says that it blocks this client, but for a probe [now and then](crate::limits::gate). Requests end with
    /// [`StopReason::Closed`](retry_policy::StopReason::Closed). The service's error must be able to hold it, as for
    /// [`cut_off`](Self::cut_off).
    #[must_use]
    pub fn closes_after(self, refused: NonZeroU32) -> RetryLayer<With<R, AnswerOrStopped, D, T>> {
        self.with(|config| config.closes_after = Some(refused)).cut_off()
    }

    /// Sends bodies again in this way.
    #[must_use]
    pub fn replay<R2>(self, replay: R2) -> RetryLayer<With<R2, A, D, T>> {
        let With { answer, deliver, timer, .. } = self.strategies;
        RetryLayer::of(self.config, With { replay, answer, deliver, timer })
    }

    /// Reads the service's errors by this function. Inside of a [`Stack`](crate::Stack) they are boxed.
    #[must_use]
    pub fn delivery<F>(self, delivery: F) -> RetryLayer<With<R, A, OfFunction<F>, T>> {
        self.errors(OfFunction(delivery))
    }

    /// Reads the service's errors by this reader: by [`AnyError`](crate::delivery::AnyError), for example.
    #[must_use]
    pub fn errors<D2>(self, deliver: D2) -> RetryLayer<With<R, A, D2, T>> {
        let With { replay, answer, timer, .. } = self.strategies;
        RetryLayer::of(self.config, With { replay, answer, deliver, timer })
    }
}

impl<S, W: Strategies + Clone> Layer<S> for RetryLayer<W> {
    type Service = Retry<S, W>;

    fn layer(&self, inner: S) -> Retry<S, W> {
        let made = || Arc::new(Shared::new(self.config.clone(), self.strategies.clone()));
        Retry::new(inner, Arc::clone(self.made.get_or_init(made)))
    }
}

impl<W: Strategies + Clone> Clone for RetryLayer<W> {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            strategies: self.strategies.clone(),
            made: Arc::clone(&self.made),
        }
    }
}

impl Clone for Config {
    fn clone(&self) -> Self {
        Self {
            policy: self.policy,
            budget: self.budget.as_ref().map(Budget::fresh),
            gate: self.gate,
            fails_fast: self.fails_fast,
            closes_after: self.closes_after,
            line: self.line,
            scope_of: self.scope_of.clone(),
            credential: self.credential.clone(),
            attempt_timeout: self.attempt_timeout,
            drain: self.drain,
            observer: self.observer.clone(),
            key: self.key,
            counts_attempts: self.counts_attempts,
            is_nested: self.is_nested,
        }
    }
}

impl<W: Strategies> fmt::Debug for RetryLayer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .field("gate", &self.gate)
            .field("credential", &self.credential)
            .field("attempt_timeout", &self.attempt_timeout)
            .finish_non_exhaustive()
    }
}
