//! A tower layer that sends again what may be sent again.
//!
//! [`RetryLayer`] goes around any `Service<http::Request<B>>` whose answer is an `http::Response`.
//! It asks `retry-policy` what to do and does it: waits, sends the body again, takes a fresh
//! credential, shares a budget among all clones. Response and error type stay those of the service.
//!
//! ```
//! use http::{Request, Response};
//! use retry_layer::{RetryLayer, policy::{Attempts, Policy}};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), retry_layer::BoxError> {
//! let mut answers = [503, 200].into_iter();
//! let answer = std::sync::Arc::new(std::sync::Mutex::new(move || answers.next()));
//! let flaky = service_fn(move |_: Request<String>| {
//!     let status = (answer.lock().unwrap())().unwrap_or(500);
//!     async move { Response::builder().status(status).body(String::new()) }
//! });
//!
//! let client = RetryLayer::new(Policy::default()).layer(flaky);
//! let response = client.oneshot(Request::new(String::new())).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(Attempts::of(&response).count(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! | module | what it does |
//! | --- | --- |
//! | [`retry`] | the layer, its service and its future |
//! | [`replay`] | how a request body is sent a second time |
//! | [`delivery`] | from a client's error to a delivery state |
//! | [`collect`] | reads the response body as part of the attempt |
//! | [`credential`] | the key of every attempt, and a fresh one after a 401 |
//! | [`timer`] | the clock and the waiting |
//! | [`policy`] | the crate `retry-policy`, which decides |
//!
//! # Features
//!
//! `tokio` (default): [`timer::TokioTimer`]. `hyper-util`: knows which errors of that client mean that
//! nothing was sent; without it they leave the fate unknown, and an unsafe request is not repeated.
//!
//! # Order
//!
//! From outside to inside: [`RetryLayer`], [`CollectLayer`], the client. The body is then read inside
//! the attempt, and the attempt's timeout covers head and body together.
//!
//! # Cancellation
//!
//! Dropping the future ends the attempt or the wait and gives the budget's token back if the retry was
//! not sent yet. Nothing runs in the background.
#![doc = include_str!("../DESIGN.md")]

pub mod collect;
pub mod credential;
pub mod delivery;
mod header;
pub mod limits;
pub mod observe;
mod origin;
pub mod replay;
pub mod retry;
pub mod timer;
mod trace;

pub use collect::{CollectLayer, Collected};
pub use credential::{Credential, Key};
pub use header::IdempotencyKey;
pub use limits::{Gate, GateState};
pub use observe::{Event, Observer};
pub use retry::{Retry, RetryLayer};
pub use retry_policy as policy;

/// An error of any kind, as tower has it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
