//! What a client may do about failures: ours, what people use instead, and what was published.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use retry_layer::{RetryLayer, Stack};
use retry_policy::ratio::Ratio;
use retry_policy::{Budget, Policy, profile};
use tower::retry::backoff::{
    Backoff as _, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff,
};
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::util::rng::Rng;
use tower::{Layer, ServiceExt};

use crate::published::{self, Limit, Rule, at_once};
use crate::world::{Answer, Body, Client, has_failed};

/// A name, and what makes a client of a service. Each client made has a budget of its own.
#[derive(Clone)]
pub struct Strategy {
    pub name: &'static str,
    around: Arc<dyn Fn(Client) -> Client + Send + Sync>,
}

impl Strategy {
    /// Any strategy.
    pub fn new(
        name: &'static str,
        around: impl Fn(Client) -> Client + Send + Sync + 'static,
    ) -> Self {
        Self { name, around: Arc::new(around) }
    }

    /// One of the publications.
    pub fn published(
        name: &'static str,
        attempts: u32,
        delay: fn(u32) -> f64,
        limit: Limit,
    ) -> Self {
        Self::new(name, move |api| published::client(api, Rule { attempts, delay, limit }))
    }

    /// The real layer, by the default policy with so many attempts.
    pub fn layer(name: &'static str, attempts: u32, budget: fn() -> Option<Budget>) -> Self {
        let policy = policy(attempts).build().expect("a policy");
        Self::new(name, move |api| Client::new(RetryLayer::new(policy).budget(budget()).layer(api)))
    }

    /// A client of this service.
    pub fn around(&self, api: Client) -> Client {
        (self.around)(api)
    }
}

/// The default policy with so many attempts.
pub fn policy(attempts: u32) -> retry_policy::policy::Builder {
    Policy::builder().max_attempts(NonZeroU32::new(attempts).expect("at least one"))
}

/// The base.
pub fn no_retry() -> Strategy {
    Strategy::published("no retry", 1, at_once, Limit::None)
}

/// What people use, and ours.
pub fn in_use() -> Vec<Strategy> {
    let grpc = || Budget::grpc(10, Ratio::percent(10).expect("a share")).ok();
    vec![
        no_retry(),
        Strategy::layer("3 attempts", 3, || None),
        Strategy::published("3 attempts, long jitter", 3, published::long, Limit::None),
        Strategy::published("reqwest-retry's defaults", 4, of_reqwest_retry, Limit::None),
        Strategy::new("tower's TpsBudget", tower_as_documented),
        Strategy::layer("AWS standard", 3, || Some(Budget::aws())),
        Strategy::layer("gRPC (10, 0.1)", 4, grpc),
        Strategy::layer("Finagle", 3, || Some(Budget::finagle())),
        shed(),
        pace(),
    ]
}

/// Ours: the default of the layer.
pub fn shed() -> Strategy {
    Strategy::layer("shed", 3, || Some(Budget::shed()))
}

/// Ours: the stack for jobs.
pub fn pace() -> Strategy {
    Strategy::new("Stack::pace", |api| {
        let stack = Stack::new(profile::DEFAULT).pace().around(api);
        Client::new(stack.map_response(|answer| answer.map(|_| Body::new())))
    })
}

/// Three retries after U(0, 1 s), U(0, 2 s), U(0, 4 s): `ExponentialBackoff::builder().build_with_max_retries(3)`.
fn of_reqwest_retry(attempt: u32) -> f64 {
    fastrand::f64() * f64::from(1_u32 << (attempt - 2))
}

/// tower's retry with the policy of its documentation, and three attempts as the others here have.
fn tower_as_documented(api: Client) -> Client {
    let backoff = ExponentialBackoffMaker::new(
        Duration::from_millis(50),
        Duration::from_millis(u64::MAX),
        0.99,
        Dice,
    );
    let policy = OfTower {
        retries: 2,
        budget: Arc::new(TpsBudget::default()),
        backoff: backoff.expect("tower's own numbers").make_backoff(),
    };
    Client::new(tower::retry::Retry::new(policy, api))
}

#[derive(Clone)]
struct OfTower {
    retries: u32,
    budget: Arc<TpsBudget>,
    backoff: ExponentialBackoff<Dice>,
}

impl tower::retry::Policy<Request<Body>, http::Response<Body>, retry_layer::BoxError> for OfTower {
    type Future = tokio::time::Sleep;

    fn retry(&mut self, _: &mut Request<Body>, answer: &mut Answer) -> Option<Self::Future> {
        if !has_failed(answer) {
            self.budget.deposit();
            return None;
        }
        self.retries = self.retries.checked_sub(1)?;
        self.budget.withdraw().then(|| self.backoff.next_backoff())
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

/// The dice of this world, in place of tower's, whose seeds differ from run to run.
#[derive(Clone, Debug)]
struct Dice;

impl Rng for Dice {
    fn next_u64(&mut self) -> u64 {
        fastrand::u64(..)
    }
}
