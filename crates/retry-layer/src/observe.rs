//! What the layer tells while it works: metrics without a dependency.
//!
//! An [`Observer`] hears of every attempt, of every end and of what changes for a whole origin. With the
//! feature `tracing` the same goes to spans and events.
//!
//! ```
//! use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use retry_layer::{Event, Observer, RetryLayer, policy::{Attempts, Policy}};
//!
//! #[derive(Default)]
//! struct Counts { attempts: AtomicU32, requests: AtomicU32 }
//!
//! impl Observer for Counts {
//!     fn attempt(&self, _: &Event<'_>) { self.attempts.fetch_add(1, Relaxed); }
//!     fn end(&self, _: &http::Uri, _: &Attempts) { self.requests.fetch_add(1, Relaxed); }
//! }
//!
//! let layer = RetryLayer::new(Policy::default()).observe(Counts::default());
//! // A closure will do where only the attempts are of interest.
//! let layer = layer.observe(|event: &Event<'_>| println!("{}", event.attempt));
//! ```

use http::Uri;
use retry_policy::{Attempts, Class, Decision, Delivery};

use crate::limits::GateState;

/// Hears what the layer does. Every function is called on the path of a request, so it must not block.
pub trait Observer: Send + Sync {
    /// An attempt has ended, or its request after it.
    fn attempt(&self, event: &Event<'_>);

    /// A request has ended, in any way; being dropped is one.
    fn end(&self, uri: &Uri, attempts: &Attempts) {
        let _ = (uri, attempts);
    }

    /// Something has changed for all requests of this one's origin.
    fn gate(&self, uri: &Uri, state: GateState) {
        let _ = (uri, state);
    }
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn attempt(&self, event: &Event<'_>) {
        self(event);
    }
}

/// One attempt, and what comes next. It is told once more if a wait ends the request after all.
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
