//! How a delay is spread, so that clients that failed together do not come back together.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::backoff::Backoff;

/// How the delay is drawn from the backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// Anything from zero to the backoff's delay: the fewest calls when many clients contend.
    Full,
    /// The backoff's delay as it is.
    None,
    /// Every wait is longer than the one before, a server's longer hint included: from the
    /// backoff's delay up to, but not including, the next one.
    Rising,
}

/// The next wait and the step of the schedule that it is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) delay: Duration,
    pub(crate) step: NonZeroU32,
}

impl Jitter {
    /// The wait of step `step` after a wait of `previous`; `None` when the schedule has no longer one.
    pub(crate) fn wait(
        self,
        backoff: Backoff,
        step: NonZeroU32,
        previous: Duration,
        draw: u32,
    ) -> Option<Wait> {
        let ceiling = backoff.ceiling(step);
        match self {
            Self::None => Some(Wait { delay: ceiling, step }),
            Self::Full => Some(Wait { delay: share(ceiling, draw), step }),
            Self::Rising => {
                let mut step = step;
                let mut floor = ceiling;
                // At most 94 turns: every step doubles the delay or ends at the cap.
                while floor <= previous {
                    if floor >= backoff.cap() {
                        return None;
                    }
                    step = step.saturating_add(1);
                    floor = backoff.ceiling(step);
                }
                let above = floor.saturating_mul(2).min(backoff.cap()).saturating_sub(floor);
                Some(Wait { delay: floor.saturating_add(share(above, draw)), step })
            }
        }
    }
}

/// `whole × draw / 2^32`, exact to the nanosecond and below `whole` unless that is zero.
pub(crate) fn share(whole: Duration, draw: u32) -> Duration {
    let draw = u128::from(draw);
    let part = |count: u64| u128::from(count).saturating_mul(draw);
    // Seconds and nanoseconds apart: 2^64 s × 2^32 × 10^9 would not fit.
    let seconds = part(whole.as_secs());
    let nanos = part(u64::from(whole.subsec_nanos()))
        .saturating_add((seconds & 0xffff_ffff).saturating_mul(1_000_000_000))
        >> 32;
    let seconds = u64::try_from(seconds >> 32).unwrap_or(u64::MAX);
    Duration::from_secs(seconds)
        .saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: Duration = Duration::MAX;

    #[test]
    fn a_share_is_exact_at_every_size() {
        for (whole, draw, share_of_it) in [
            (Duration::from_secs(8), 0, Duration::ZERO),
            (Duration::from_secs(8), 1 << 31, Duration::from_secs(4)),
            (Duration::from_secs(1), 1 << 30, Duration::from_millis(250)),
            (Duration::from_nanos(1), u32::MAX, Duration::ZERO),
            (MAX, 1 << 31, Duration::new(u64::MAX / 2, 999_999_999)),
        ] {
            assert_eq!(share(whole, draw), share_of_it, "{whole:?} × {draw}");
        }
    }

    #[test]
    fn rising_waits_go_on_from_a_longer_hint_and_end_below_the_cap() {
        let backoff =
            Backoff::exponential(Duration::from_secs(1), Duration::from_secs(20)).unwrap();
        let wait = |step, previous| {
            let step = NonZeroU32::new(step).unwrap();
            let previous = Duration::from_secs(previous);
            Jitter::Rising.wait(backoff, step, previous, 0).map(|wait| wait.delay.as_secs())
        };
        assert_eq!(wait(1, 0), Some(1));
        assert_eq!(wait(2, 1), Some(2));
        assert_eq!(wait(3, 10), Some(16), "the server had asked for 10 s");
        assert_eq!(wait(4, 16), Some(20), "the cap is the last step");
        assert_eq!(wait(5, 20), None, "nothing is longer than the cap");
    }

    proptest! {
        #[test]
        fn a_share_never_reaches_the_whole(secs: u64, nanos in 0..1_000_000_000_u32, draw: u32) {
            let whole = Duration::new(secs, nanos);
            prop_assert!(share(whole, draw) < whole || whole.is_zero());
        }

        #[test]
        fn rising_is_strictly_rising_whatever_is_drawn(
            first in 1..1_000_000_u64, cap in 0..u64::MAX, draws in proptest::array::uniform32(0_u32..),
        ) {
            let (first, cap) = (Duration::from_nanos(first), Duration::from_nanos(cap));
            prop_assume!(first <= cap);
            let backoff = Backoff::exponential(first, cap).unwrap();
            let mut previous = Duration::ZERO;
            let mut step = NonZeroU32::MIN;
            for draw in draws {
                let Some(wait) = Jitter::Rising.wait(backoff, step, previous, draw) else { break };
                prop_assert!(previous < wait.delay && wait.delay <= cap);
                (previous, step) = (wait.delay, wait.step.saturating_add(1));
            }
        }
    }
}
