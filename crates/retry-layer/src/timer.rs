//! The clock, the waiting and the dice, as one trait.
//!
//! ```
//! use core::time::Duration;
//! use retry_layer::{RetryLayer, policy::Policy, timer::Timer};
//!
//! /// A test's clock: every wait is over at once, time stands still, and the dice show the lowest.
//! struct AtOnce;
//!
//! impl Timer for AtOnce {
//!     type Instant = ();
//!     type Sleep = core::future::Ready<()>;
//!
//!     fn now(&self) {}
//!     fn since(&self, (): ()) -> Duration { Duration::ZERO }
//!     fn sleep(&self, _: Duration) -> Self::Sleep { core::future::ready(()) }
//!     fn draw(&self) -> u32 { 0 }
//! }
//!
//! let layer = RetryLayer::with_timer(Policy::default(), AtOnce);
//! ```

use core::future::Future;
use core::time::Duration;

/// A monotonic clock, a way to wait on it, and the dice that spread the waits.
pub trait Timer {
    /// A moment of the clock.
    type Instant: Copy;
    /// Is ready once the wait is over.
    type Sleep: Future<Output = ()>;

    /// This moment.
    fn now(&self) -> Self::Instant;

    /// The time that has passed since `earlier`.
    fn since(&self, earlier: Self::Instant) -> Duration;

    /// A future that waits for `wait` from now on.
    fn sleep(&self, wait: Duration) -> Self::Sleep;

    /// A draw that is uniform over a `u32`; a test may fix it. The default is a generator of the thread.
    fn draw(&self) -> u32 {
        fastrand::u32(..)
    }
}

/// Tokio's clock and timer; both stand still in a test with a paused clock.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TokioTimer;

#[cfg(feature = "tokio")]
impl TokioTimer {
    /// The timer of the runtime that polls it.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[cfg(feature = "tokio")]
impl Timer for TokioTimer {
    type Instant = tokio::time::Instant;
    type Sleep = tokio::time::Sleep;

    fn now(&self) -> Self::Instant {
        tokio::time::Instant::now()
    }

    fn since(&self, earlier: Self::Instant) -> Duration {
        self.now().saturating_duration_since(earlier)
    }

    fn sleep(&self, wait: Duration) -> Self::Sleep {
        tokio::time::sleep(wait)
    }
}

/// Tokio's clock with a draw that is always the same, for tests.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded(pub(crate) u32);

#[cfg(test)]
impl Timer for Loaded {
    type Instant = tokio::time::Instant;
    type Sleep = tokio::time::Sleep;

    fn now(&self) -> Self::Instant {
        TokioTimer.now()
    }

    fn since(&self, earlier: Self::Instant) -> Duration {
        TokioTimer.since(earlier)
    }

    fn sleep(&self, wait: Duration) -> Self::Sleep {
        TokioTimer.sleep(wait)
    }

    fn draw(&self) -> u32 {
        self.0
    }
}
