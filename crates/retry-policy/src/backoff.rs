//! How long we wait without being asked: the growth of the delay.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

/// A delay that doubles with every retry, up to a cap.
///
/// ```
/// use core::{num::NonZeroU32, time::Duration};
/// use retry_policy::backoff::Backoff;
///
/// const BACKOFF: Backoff = match Backoff::exponential(
///     Duration::from_secs(30),
///     Duration::from_secs(600),
/// ) {
///     Ok(backoff) => backoff,
///     Err(_) => panic!("the backoff literal is invalid"),
/// };
/// let third = NonZeroU32::new(3).unwrap();
/// assert_eq!(BACKOFF.ceiling(third), Duration::from_secs(120));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

impl Backoff {
    /// A backoff of `first`, 2 × `first`, 4 × `first` and so on, at most `cap`.
    ///
    /// # Errors
    ///
    /// [`InvalidBackoff::ZeroFirst`] if `first` is zero, [`InvalidBackoff::CapBelowFirst`] if the
    /// cap is shorter than the first delay.
    pub const fn exponential(first: Duration, cap: Duration) -> Result<Self, InvalidBackoff> {
        if first.is_zero() {
            return Err(InvalidBackoff::ZeroFirst);
        }
        if cap.as_nanos() < first.as_nanos() {
            return Err(InvalidBackoff::CapBelowFirst { first, cap });
        }
        Ok(Self { first, cap })
    }

    /// The longest delay before retry number `retry`, counted from one.
    #[must_use]
    pub const fn ceiling(self, retry: NonZeroU32) -> Duration {
        let mut delay = self.first;
        let mut retries_left = retry.get();
        // At most 94 turns: a `Duration` holds fewer than 2^94 ns and `first` is at least 1 ns.
        while delay.as_nanos() < self.cap.as_nanos() {
            retries_left = retries_left.saturating_sub(1);
            if retries_left == 0 {
                return delay;
            }
            delay = delay.saturating_mul(2);
        }
        self.cap
    }

    /// How many delays are strictly longer than the one before: `first` and its doublings that
    /// are not above the cap. From 1 to 94.
    #[must_use]
    pub const fn steps(self) -> u32 {
        let mut delay = self.first;
        let mut steps = 1_u32;
        // At most 94 turns, as above.
        while delay.as_nanos() <= self.cap.as_nanos() / 2 {
            delay = delay.saturating_mul(2);
            steps = steps.saturating_add(1);
        }
        steps
    }

    /// The delay before the first retry.
    #[must_use]
    pub const fn first(self) -> Duration {
        self.first
    }

    /// The longest delay, jitter included.
    #[must_use]
    pub const fn cap(self) -> Duration {
        self.cap
    }
}

/// Why a [`Backoff`] cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidBackoff {
    /// The cap is shorter than the first delay.
    CapBelowFirst {
        /// The first delay that was asked for.
        first: Duration,
        /// The cap that was asked for.
        cap: Duration,
    },
    /// The first delay is zero, so no delay would ever grow.
    ZeroFirst,
}

impl fmt::Display for InvalidBackoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CapBelowFirst { first, cap } => {
                write!(f, "backoff cap {cap:?} is shorter than the first delay {first:?}")
            }
            Self::ZeroFirst => f.write_str("the first delay of a backoff must be longer than zero"),
        }
    }
}

#[cfg(feature = "std")]
impl std::error::Error for InvalidBackoff {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NANO: Duration = Duration::from_nanos(1);

    fn ceiling(backoff: Backoff, retry: u32) -> Duration {
        backoff.ceiling(NonZeroU32::new(retry).unwrap())
    }

    #[test]
    fn thirty_seconds_double_as_the_document_says() {
        let backoff =
            Backoff::exponential(Duration::from_secs(30), Duration::from_secs(300)).unwrap();
        let secs: Vec<u64> = (1..=6).map(|retry| ceiling(backoff, retry).as_secs()).collect();
        assert_eq!(secs, [30, 60, 120, 240, 300, 300]);
        assert_eq!(backoff.steps(), 4);
    }

    #[test]
    fn a_tiny_first_delay_still_reaches_a_huge_cap() {
        let backoff = Backoff::exponential(NANO, Duration::MAX).unwrap();
        assert_eq!(ceiling(backoff, u32::MAX), Duration::MAX);
        assert_eq!(backoff.steps(), 94);
    }

    #[test]
    fn a_wrong_literal_is_refused_with_its_values() {
        let (first, cap) = (Duration::from_secs(2), Duration::from_secs(1));
        let error = Backoff::exponential(first, cap).unwrap_err();
        assert_eq!(error.to_string(), "backoff cap 1s is shorter than the first delay 2s");
        let zero = Backoff::exponential(Duration::ZERO, cap).unwrap_err();
        assert_eq!(zero, InvalidBackoff::ZeroFirst);
    }

    proptest! {
        #[test]
        fn never_leaves_its_range_and_never_shrinks(
            first in 1..u64::MAX, cap in 0..u64::MAX, retry in 1..200_u32,
        ) {
            let (first, cap) = (Duration::from_nanos(first), Duration::from_nanos(cap));
            prop_assume!(first <= cap);
            let backoff = Backoff::exponential(first, cap).unwrap();
            let (this, next) = (ceiling(backoff, retry), ceiling(backoff, retry + 1));
            prop_assert!(first <= this && this <= next && next <= cap);
            prop_assert_eq!(this < next, retry < backoff.steps() || (this < cap && next == cap));
        }
    }
}
