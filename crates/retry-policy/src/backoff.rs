//! How long we wait without being asked: the growth of the delay.
//!
//! # Numbers
//!
//! Delays are counted in nanoseconds up to [`Backoff::LONGEST`], 584 years; a longer cap is no cap.
//! A factor is a fraction of two `u32`, at least 1. Powers of it are exact for whole numbers and within
//! 2⁻⁵⁸ of their value otherwise, rounded to the nearest nanosecond.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

const MILLISECOND: u64 = 1_000_000;

/// The delay before each retry, not yet spread: constant, or growing up to a cap.
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
    first: u64,
    cap: u64,
    growth: Growth,
}

/// What a delay becomes with the next retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// It doubles: the common case has the shortest way.
    Doubling,
    /// It grows by a factor, kept as 64 bits before and 64 after the point.
    Factor(u128),
    /// It grows by the first delay.
    Linear,
}

impl Backoff {
    /// The longest delay that is told from a longer one: 2⁶⁴ − 1 ns, 584 years.
    pub const LONGEST: Duration = Duration::from_nanos(u64::MAX);

    /// The same delay each time; zero is no wait at all.
    #[must_use]
    pub const fn constant(delay: Duration) -> Self {
        let delay = nanos(delay);
        Self { first: delay, cap: delay, growth: Growth::Linear }
    }

    /// A backoff of `first`, 2 × `first`, 3 × `first` and so on, at most `cap`.
    ///
    /// # Errors
    ///
    /// [`InvalidBackoff::ZeroFirst`] if `first` is zero, [`InvalidBackoff::CapBelowFirst`] if the
    /// cap is shorter than the first delay.
    pub const fn linear(first: Duration, cap: Duration) -> Result<Self, InvalidBackoff> {
        Self::growing(first, Growth::Linear, cap)
    }

    /// A backoff of `first`, 2 × `first`, 4 × `first` and so on, at most `cap`.
    ///
    /// # Errors
    ///
    /// [`InvalidBackoff::ZeroFirst`] if `first` is zero, [`InvalidBackoff::CapBelowFirst`] if the
    /// cap is shorter than the first delay.
    pub const fn exponential(first: Duration, cap: Duration) -> Result<Self, InvalidBackoff> {
        Self::growing(first, Growth::Doubling, cap)
    }

    /// A backoff that grows by `factor.0 / factor.1` with each retry, at most `cap`: `(3, 2)` grows
    /// by half.
    ///
    /// # Errors
    ///
    /// [`InvalidBackoff::ShrinkingFactor`] if the factor is below 1 or has no denominator, and as
    /// [`exponential`](Self::exponential).
    pub const fn exponential_by(
        first: Duration,
        factor: (u32, u32),
        cap: Duration,
    ) -> Result<Self, InvalidBackoff> {
        let (above, below) = (factor.0 as u128, factor.1 as u128);
        let Some(power) = (above << 64).checked_div(below) else {
            return Err(InvalidBackoff::ShrinkingFactor { factor });
        };
        if above < below {
            return Err(InvalidBackoff::ShrinkingFactor { factor });
        }
        let growth =
            if above == below.saturating_mul(2) { Growth::Doubling } else { Growth::Factor(power) };
        Self::growing(first, growth, cap)
    }

    const fn growing(
        first: Duration,
        growth: Growth,
        cap: Duration,
    ) -> Result<Self, InvalidBackoff> {
        if first.is_zero() {
            return Err(InvalidBackoff::ZeroFirst);
        }
        if cap.as_nanos() < first.as_nanos() {
            return Err(InvalidBackoff::CapBelowFirst { first, cap });
        }
        Ok(Self { first: nanos(first), cap: nanos(cap), growth })
    }

    /// The delay before retry number `retry`, counted from one, before it is spread.
    #[must_use]
    pub const fn ceiling(self, retry: NonZeroU32) -> Duration {
        Duration::from_nanos(self.ceiling_nanos(retry.get()))
    }

    #[inline]
    pub(crate) const fn ceiling_nanos(self, retry: u32) -> u64 {
        let earlier = retry.saturating_sub(1);
        let delay = match self.growth {
            // `first` is at least 1: shifted by all its leading zeros or less, no bit is lost.
            Growth::Doubling if earlier <= self.first.leading_zeros() => self.first << earlier,
            Growth::Doubling => u64::MAX,
            Growth::Linear => self.first.saturating_mul(retry as u64),
            Growth::Factor(factor) => scaled(self.first, power(factor, earlier)),
        };
        if delay < self.cap { delay } else { self.cap }
    }

    /// The delay before the first retry.
    #[must_use]
    pub const fn first(self) -> Duration {
        Duration::from_nanos(self.first)
    }

    /// The longest delay, jitter included.
    #[must_use]
    pub const fn cap(self) -> Duration {
        Duration::from_nanos(self.cap)
    }

    pub(crate) const fn first_nanos(self) -> u64 {
        self.first
    }

    pub(crate) const fn cap_nanos(self) -> u64 {
        self.cap
    }

    /// The delay before retry number `retry` in whole milliseconds: rounded up, except at the cap.
    pub(crate) const fn rising_ms(self, retry: u32) -> u64 {
        let delay = self.ceiling_nanos(retry).div_ceil(MILLISECOND);
        let cap = self.cap / MILLISECOND;
        if delay < cap { delay } else { cap }
    }

    /// The first retry from number `from` on whose delay has at least `ms` milliseconds.
    pub(crate) const fn first_of_at_least(self, ms: u64, from: u32) -> Option<u32> {
        if self.rising_ms(from) >= ms {
            return Some(from);
        }
        if self.rising_ms(u32::MAX) < ms {
            return None;
        }
        // Delays never shrink, so halving the range finds the place: 32 turns.
        let (mut below, mut found) = (from, u32::MAX);
        while found.saturating_sub(below) > 1 {
            let middle = below.midpoint(found);
            if self.rising_ms(middle) >= ms {
                found = middle;
            } else {
                below = middle;
            }
        }
        Some(found)
    }

    /// How many waits, each at least a millisecond longer than the one before, the schedule has:
    /// its delays in whole milliseconds without the ones that come twice, the cap included.
    #[must_use]
    pub const fn steps(self) -> u32 {
        let Some(last) = self.first_of_at_least(self.rising_ms(u32::MAX), 1) else { return 0 };
        if self.rising_ms(last) == 0 {
            return 0;
        }
        // The growth never slows down before the cap: up to retry `apart` neighbours are less than a
        // millisecond apart, so no millisecond is left out; from there on each retry is one of its own.
        let (mut below, mut apart) = (0, last);
        while apart.saturating_sub(below) > 1 {
            let middle = u32::midpoint(below, apart);
            if self.is_apart(middle) {
                apart = middle;
            } else {
                below = middle;
            }
        }
        let close = self.rising_ms(apart).saturating_sub(self.rising_ms(1));
        let mut steps = close.saturating_add(last.saturating_sub(apart) as u64).saturating_add(1);
        // The cap may be less than a millisecond above the delay before it.
        if last > apart && self.rising_ms(last.saturating_sub(1)) == self.rising_ms(last) {
            steps = steps.saturating_sub(1);
        }
        #[allow(clippy::cast_possible_truncation, reason = "compared before")]
        if steps < u32::MAX as u64 { steps as u32 } else { u32::MAX }
    }

    /// Whether the next retry's delay is a millisecond longer or more.
    const fn is_apart(self, retry: u32) -> bool {
        let next = self.ceiling_nanos(retry.saturating_add(1));
        next.saturating_sub(self.ceiling_nanos(retry)) >= MILLISECOND
    }
}

/// Whole nanoseconds, 584 years at most.
#[allow(clippy::cast_possible_truncation, reason = "compared before")]
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos < u64::MAX as u128 { nanos as u64 } else { u64::MAX }
}

/// `factor` to the power of `exponent`, by squaring: 32 turns at most.
const fn power(factor: u128, exponent: u32) -> u128 {
    let (mut result, mut square, mut left) = (1 << 64, factor, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result = product(result, square);
        }
        left >>= 1;
        if left > 0 {
            square = product(square, square);
        }
    }
    result
}

/// The product of two numbers with 64 bits after the point, saturating.
const fn product(one: u128, other: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let whole = (one >> 64).saturating_mul(other >> 64);
    if whole > LOW {
        return u128::MAX;
    }
    (whole << 64)
        .saturating_add((one >> 64).saturating_mul(other & LOW))
        .saturating_add((one & LOW).saturating_mul(other >> 64))
        .saturating_add((one & LOW).saturating_mul(other & LOW) >> 64)
}

/// `delay` × `factor`, to the nearest nanosecond.
const fn scaled(delay: u64, factor: u128) -> u64 {
    const HALF: u128 = 1 << 63;
    let whole = (factor >> 64).saturating_mul(delay as u128);
    let part = (factor & u64::MAX as u128).saturating_mul(delay as u128).saturating_add(HALF) >> 64;
    let sum = whole.saturating_add(part);
    if sum < u64::MAX as u128 { sum as u64 } else { u64::MAX }
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
    /// The factor is below 1.
    ShrinkingFactor {
        /// The factor that was asked for, as numerator and denominator.
        factor: (u32, u32),
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
            Self::ShrinkingFactor { factor: (above, below) } => {
                write!(f, "the factor {above}/{below} of a backoff must be 1 or more")
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

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn ceiling(backoff: Backoff, retry: u32) -> Duration {
        backoff.ceiling(NonZeroU32::new(retry).unwrap())
    }

    fn ceilings(backoff: Backoff, count: u32) -> Vec<u128> {
        (1..=count).map(|retry| ceiling(backoff, retry).as_millis()).collect()
    }

    #[test]
    fn thirty_seconds_double_as_the_document_says() {
        let backoff = Backoff::exponential(secs(30), secs(300)).unwrap();
        assert_eq!(ceilings(backoff, 6), [30_000, 60_000, 120_000, 240_000, 300_000, 300_000]);
        assert_eq!(backoff.steps(), 5);
    }

    #[test]
    fn grows_by_any_fraction_or_not_at_all() {
        for (backoff, expected) in [
            (Backoff::constant(ms(40)), [40, 40, 40, 40, 40]),
            (Backoff::constant(Duration::ZERO), [0; 5]),
            (Backoff::linear(ms(40), ms(150)).unwrap(), [40, 80, 120, 150, 150]),
            (
                Backoff::exponential_by(ms(1000), (3, 2), secs(9)).unwrap(),
                [1000, 1500, 2250, 3375, 5062],
            ),
            (
                Backoff::exponential_by(ms(1000), (11, 10), secs(9)).unwrap(),
                [1000, 1100, 1210, 1331, 1464],
            ),
            (
                Backoff::exponential_by(ms(10), (10, 1), secs(9)).unwrap(),
                [10, 100, 1000, 9000, 9000],
            ),
            (Backoff::exponential_by(ms(7), (5, 5), secs(9)).unwrap(), [7; 5]),
        ] {
            assert_eq!(ceilings(backoff, 5), expected, "{backoff:?}");
        }
        let decimal = Backoff::exponential_by(secs(1), (11, 10), secs(9)).unwrap();
        assert_eq!(ceiling(decimal, 6), Duration::from_micros(1_610_510), "exact, 1.1^5");
    }

    #[test]
    fn a_tiny_first_delay_still_reaches_a_huge_cap() {
        let backoff = Backoff::exponential(NANO, Duration::MAX).unwrap();
        assert_eq!(ceiling(backoff, 64), Duration::from_nanos(1 << 63));
        assert_eq!(ceiling(backoff, u32::MAX), Backoff::LONGEST);
        let slow = Backoff::exponential_by(NANO, (u32::MAX, u32::MAX - 1), Duration::MAX).unwrap();
        assert_eq!(ceiling(slow, u32::MAX), Duration::from_nanos(3), "e, rounded");
    }

    #[test]
    fn a_wrong_literal_is_refused_with_its_values() {
        let (first, cap) = (secs(2), secs(1));
        let error = Backoff::exponential(first, cap).unwrap_err();
        assert_eq!(error.to_string(), "backoff cap 1s is shorter than the first delay 2s");
        for zero in [
            Backoff::exponential(Duration::ZERO, cap),
            Backoff::linear(Duration::ZERO, cap),
            Backoff::exponential_by(Duration::ZERO, (2, 1), cap),
        ] {
            assert_eq!(zero, Err(InvalidBackoff::ZeroFirst));
        }
        for factor in [(1, 2), (1, 0), (0, 0), (0, 1)] {
            let error = Backoff::exponential_by(first, factor, first).unwrap_err();
            assert_eq!(error, InvalidBackoff::ShrinkingFactor { factor });
        }
    }

    /// The waits that are each at least a millisecond longer, counted one by one.
    fn counted(backoff: Backoff) -> u32 {
        let mut previous = 0;
        let mut steps = 0;
        while let Some(step) = backoff.first_of_at_least(previous + 1, 1) {
            previous = backoff.rising_ms(step);
            steps += 1;
        }
        steps
    }

    #[test]
    fn counts_the_steps_that_rise_by_a_millisecond() {
        let micros = Duration::from_micros;
        for (backoff, steps) in [
            (Backoff::constant(ms(40)), 1),
            (Backoff::constant(micros(999)), 0),
            (Backoff::exponential(ms(1), ms(8)).unwrap(), 4),
            (Backoff::exponential(ms(1), micros(8_500)).unwrap(), 4),
            (Backoff::exponential(ms(1), ms(9)).unwrap(), 5),
            (Backoff::exponential(micros(100), ms(7)).unwrap(), 4), // 1, 2, 4, 7
            (Backoff::linear(micros(1), ms(9)).unwrap(), 9),
            (Backoff::linear(ms(2), ms(9)).unwrap(), 5),
        ] {
            assert_eq!((backoff.steps(), counted(backoff)), (steps, steps), "{backoff:?}");
        }
    }

    proptest! {
        #[test]
        fn never_leaves_its_range_and_never_shrinks(
            first in 1..u64::MAX, cap in 0..u64::MAX, retry in 1..u32::MAX,
            factor in (1..u32::MAX, 1..u32::MAX), kind in 0..3_u8,
        ) {
            let (first, cap) = (Duration::from_nanos(first), Duration::from_nanos(cap));
            prop_assume!(first <= cap);
            let factor = (factor.0.max(factor.1), factor.0.min(factor.1));
            let backoff = match kind {
                0 => Backoff::exponential(first, cap),
                1 => Backoff::linear(first, cap),
                _ => Backoff::exponential_by(first, factor, cap),
            };
            let backoff = backoff.unwrap();
            for retry in [retry, retry % 100 + 1] {
                let (this, next) = (ceiling(backoff, retry), ceiling(backoff, retry + 1));
                prop_assert!(first <= this && this <= next && next <= cap);
            }
        }

        #[test]
        fn counts_every_rising_step(
            first in 1..50_000_000_u64, above in 0..60_000_000_u64, factor in (1..40_u32, 1..40_u32),
            kind in 0..2_u8,
        ) {
            let (first, cap) = (Duration::from_nanos(first), Duration::from_nanos(first + above));
            let factor = (factor.0.max(factor.1), factor.0.min(factor.1));
            let backoff = match kind {
                0 => Backoff::linear(first, cap),
                _ => Backoff::exponential_by(first, factor, cap),
            };
            let backoff = backoff.unwrap();
            prop_assert_eq!(backoff.steps(), counted(backoff), "{:?}", backoff);
        }
    }
}
