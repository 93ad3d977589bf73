//! The layer, its service and its future.

mod at;
mod between;
mod future;
mod layer;
mod life;
mod service;
mod strategies;
#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use layer::RetryLayer;
pub use service::{OriginState, Retry};
pub use strategies::{Answer, AnswerOrStopped, Answered, LastAnswer, Strategies, With};
