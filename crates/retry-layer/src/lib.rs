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
//! | [`retry`](mod@retry) | the layer, its service and its future |
//! | [`limits`] | what all requests of an origin share: the gate |
//! | [`replay`] | how a request body is sent a second time |
//! | `reqwest` | with the feature of that name: its client as a service, and its bodies |
//! | [`delivery`] | from a client's error to a delivery state |
//! | [`collect`], [`peek`] | reads the response body, or its beginning, as part of the attempt |
//! | [`credential`] | the key of every attempt, and a fresh one after a 401 |
//! | [`observe`] | what it tells while it works |
//! | [`stack`] | the layers in the one right order, and why |
//! | [`timer`] | the clock, the waiting and the dice |
//! | [`policy`] | the crate `retry-policy`, which decides |
//!
//! [`retry`](fn@retry) makes the same decisions around any future, without tower.
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `tokio` (default) | [`timer::TokioTimer`], and what needs no other timer to be named |
//! | `reqwest` | its client as a service of `http` requests, in the module of that name |
//! | `hyper`, `hyper-util`, `h2`, `reqwest` | what the errors of these clients say of a request's fate; without it they leave the fate unknown, and an unsafe request is not repeated |
//! | `tower` | tower's `Elapsed` is a timeout |
//! | `tracing` | a span for each request and each attempt, with OpenTelemetry's names |
//!
//! # What happened, and why
//!
//! [`Attempts::of`](policy::Attempts::of) a response tells of its attempts. An error is the service's own and tells
//! nothing of them: put a [`Record`] into the request's extensions, which is filled in every case.
//!
//! # Spawning
//!
//! `tokio::spawn(service.oneshot(request))` needs no more than the service's future to be `Send`. Around a service
//! whose type names a boxed error, as `BoxCloneService` does, an `async` block of the same does not compile
//! (a limit of the compiler, as with tower's own layers): spawn the future itself.
//!
//! # Cancellation
//!
//! Dropping the future ends the attempt or the wait, gives up its place in every line, and gives the
//! budget's token back. Nothing runs in the background.
#![doc = include_str!("../DESIGN.md")]

mod closure;
pub mod collect;
pub mod credential;
pub mod delivery;
mod header;
pub mod limits;
pub mod observe;
mod origin;
pub mod peek;
pub mod replay;
#[cfg(feature = "reqwest")]
pub mod reqwest;
pub mod retry;
pub mod stack;
pub mod timer;
mod trace;

pub use closure::{Ending, retry};
pub use collect::{CollectLayer, Collected};
pub use credential::{Credential, Key};
pub use header::IdempotencyKey;
pub use limits::{Gate, GateState};
pub use observe::{Event, Observer};
pub use peek::PeekLayer;
pub use retry::{Retry, RetryLayer};
pub use retry_policy as policy;
pub use retry_policy::attempts::Record;
pub use stack::Stack;

/// An error of any kind, as tower has it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
