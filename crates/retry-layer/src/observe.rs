//! What the layer tells while it works: metrics without a dependency.
//!
//! An [`Observer`] hears of every attempt, of every end and of what changes for a whole origin. With the
//! feature `tracing` the same goes to spans and events.
//!
//! ```
//! use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use std::sync::Arc;
//! use retry_layer::{Event, Observer, RetryLayer, observe::on_attempt, policy::{Attempts, Policy}};
//!
//! #[derive(Default)]
//! struct Counts { attempts: AtomicU32, requests: AtomicU32 }
//!
//! impl Observer for Counts {
//!     fn attempt(&self, _: &Event<'_>) { self.attempts.fetch_add(1, Relaxed); }
//!     fn end(&self, _: &http::Uri, _: &Attempts) { self.requests.fetch_add(1, Relaxed); }
//! }
//!
//! let counts = Arc::new(Counts::default());
//! let layer = RetryLayer::new(Policy::default()).observe(Arc::clone(&counts));
//! assert_eq!(counts.requests.load(Relaxed), 0);
//! // A closure will do where only the attempts are of interest.
//! let layer = layer.observe(on_attempt(|event| println!("{}", event.attempt)));
//! ```

use std::sync::Arc;

use http::Uri;
use retry_policy::{Attempts, Class, Decision, Delivery};

use crate::limits::GateState;

/// Hears what the layer does. Every function is called on the path of a request, so it must not block.
pub trait Observer: Send + Sync {
    /// An attempt has ended. It is told of each once; why a wait after it ended the request stands in the
    /// attempts of [`end`](Self::end).
    fn attempt(&self, event: &Event<'_>);

    /// A request has ended, in any way; being dropped is one.
    fn end(&self, uri: &Uri, attempts: &Attempts) {
        let _ = (uri, attempts);
    }

    /// This request's answer has changed something for all requests of its origin.
    fn gate(&self, uri: &Uri, state: GateState) {
        let _ = (uri, state);
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn attempt(&self, event: &Event<'_>) {
        (**self).attempt(event);
    }

    fn end(&self, uri: &Uri, attempts: &Attempts) {
        (**self).end(uri, attempts);
    }

    fn gate(&self, uri: &Uri, state: GateState) {
        (**self).gate(uri, state);
    }
}

/// An observer of attempts alone.
pub fn on_attempt<F: Fn(&Event<'_>) + Send + Sync>(attempt: F) -> OnAttempt<F> {
    OnAttempt(attempt)
}

/// What [`on_attempt`] makes of a function.
#[derive(Clone, Copy, Debug)]
pub struct OnAttempt<F>(F);

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for OnAttempt<F> {
    fn attempt(&self, event: &Event<'_>) {
        (self.0)(event);
    }
}

/// An observer of ends alone: one line for each request, for example.
///
/// ```
/// use retry_layer::{RetryLayer, observe::on_end, policy::Policy};
///
/// let layer = RetryLayer::new(Policy::default())
///     .observe(on_end(|uri, attempts| println!("{}: {attempts}", uri.path())));
/// ```
pub fn on_end<F: Fn(&Uri, &Attempts) + Send + Sync>(end: F) -> OnEnd<F> {
    OnEnd(end)
}

/// What [`on_end`] makes of a function.
#[derive(Clone, Copy, Debug)]
pub struct OnEnd<F>(F);

impl<F: Fn(&Uri, &Attempts) + Send + Sync> Observer for OnEnd<F> {
    fn attempt(&self, _: &Event<'_>) {}

    fn end(&self, uri: &Uri, attempts: &Attempts) {
        (self.0)(uri, attempts);
    }
}

/// One attempt, and what comes next.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The request's target. Its query may hold what should not be logged.
    pub uri: &'a Uri,
    /// The attempt that ended, counted from one.
    pub attempt: u32,
    /// What became of it.
    pub delivery: Delivery,
    /// The kind of failure it was; `None` for a success.
    pub class: Option<Class>,
    /// The error in words, where there was no answer.
    pub error: Option<String>,
    /// Whether our own timeout cut it off.
    pub timed_out: bool,
    /// What comes next.
    pub decision: Decision,
}
