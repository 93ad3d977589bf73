//! The layer, its service and its future.

mod future;
mod layer;
mod service;
mod strategies;
#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use layer::RetryLayer;
pub use service::Retry;
pub use strategies::{Answer, AnswerOrStopped, LastAnswer, Strategies, With};

use http::Uri;
use retry_policy::{Decision, Delivery};

/// What an observer of the layer hears: once after every attempt, and once more if the wait for a token
/// of the budget ends the request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The request's target. Its query may hold what should not be logged.
    pub uri: &'a Uri,
    /// The attempt that ended, counted from one.
    pub attempt: u32,
    /// What became of it.
    pub delivery: Delivery,
    /// The error in words, where there was no answer.
    pub error: Option<String>,
    /// Whether our own timeout cut it off.
    pub timed_out: bool,
    /// What comes next.
    pub decision: Decision,
}
