//! How a delay is spread, so that clients that failed together do not come back together.
//!
//! With `d` the backoff's delay, `first` its first one and `cap` its longest:
//!
//! | jitter | the wait | when |
//! | --- | --- | --- |
//! | [`None`](Jitter::None) | `d` | one client, or a schedule that must be exact |
//! | [`Full`](Jitter::Full) | 0 up to `d` | many clients: the fewest calls where they contend |
//! | [`Equal`](Jitter::Equal) | `d / 2` up to `d` | many clients, and no wait may be very short |
//! | [`Decorrelated`](Jitter::Decorrelated) | `first` up to 3 × the wait before | as full, a little faster, more calls |
//! | [`Proportional`](Jitter::Proportional) | `d` less a share of it up to `d` and a share | a schedule that is nearly kept |
//! | [`Rising`](Jitter::Rising) | `d` up to the next delay | every wait must be longer than the one before |
//!
//! No wait is longer than the cap. *Up to* leaves the end out; the proportional one includes it. The
//! three first random ones are those of the AWS Architecture Blog, "Exponential Backoff And Jitter".
//!
//! # Time, randomness
//!
//! A draw is a `u32`, uniform over its whole range. The same draws give the same waits on every platform.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::backoff::{Backoff, nanos};
use crate::ratio::Ratio;

/// How the wait is drawn from the backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// From the backoff's first delay up to three times the wait before.
    Decorrelated,
    /// From half the backoff's delay up to all of it.
    Equal,
    /// From zero up to the backoff's delay.
    Full,
    /// The backoff's delay as it is.
    None,
    /// The backoff's delay, more or less by this share of it.
    Proportional(Ratio),
    /// Every wait is at least a millisecond longer than the one before, a server's longer hint
    /// included: from the backoff's delay up to the next one, in whole milliseconds. After a hint
    /// the schedule goes on with its first longer delay; at the cap it ends.
    Rising,
}

/// The next wait and the step of the schedule that it is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) delay: Duration,
    pub(crate) step: NonZeroU32,
}

impl Jitter {
    /// The wait before retry number `retry`, counted from one, after a wait of `previous` (zero before
    /// the first); `None` where waits must rise and the schedule has no longer one.
    #[inline]
    #[must_use]
    pub fn delay(
        self,
        backoff: Backoff,
        retry: NonZeroU32,
        previous: Duration,
        draw: u32,
    ) -> Option<Duration> {
        self.wait(backoff, retry, previous, draw).map(|wait| wait.delay)
    }

    /// The wait of step `step` after a wait of `previous`; `None` when the schedule has no longer one.
    #[inline]
    pub(crate) fn wait(
        self,
        backoff: Backoff,
        step: NonZeroU32,
        previous: Duration,
        draw: u32,
    ) -> Option<Wait> {
        let cap = backoff.cap_nanos();
        let delay = match self {
            Self::None => backoff.ceiling_nanos(step.get()),
            Self::Full => share(backoff.ceiling_nanos(step.get()), draw),
            Self::Equal => {
                let whole = backoff.ceiling_nanos(step.get());
                let half = whole / 2;
                half.saturating_add(share(whole.saturating_sub(half), draw))
            }
            Self::Decorrelated => {
                let first = backoff.first_nanos();
                let before = if previous.is_zero() { first } else { nanos(previous) };
                let above = before.saturating_mul(3).saturating_sub(first);
                first.saturating_add(share(above, draw)).min(cap)
            }
            Self::Proportional(ratio) => {
                let whole = backoff.ceiling_nanos(step.get());
                let delta = thousandths(whole, ratio);
                // One more, so that the upper end can be drawn as well.
                let range = delta.saturating_mul(2).saturating_add(1);
                whole.saturating_sub(delta).saturating_add(share(range, draw)).min(cap)
            }
            Self::Rising => return rising(backoff, step, previous, draw),
        };
        Some(Wait { delay: Duration::from_nanos(delay), step })
    }
}

fn rising(backoff: Backoff, step: NonZeroU32, previous: Duration, draw: u32) -> Option<Wait> {
    let previous = u64::try_from(previous.as_nanos().div_ceil(1_000_000)).ok()?;
    let step = backoff.first_of_at_least(previous.checked_add(1)?, step.get())?;
    let floor = backoff.rising_ms(step);
    let next = backoff.rising_ms(step.saturating_add(1));
    let delay = floor.saturating_add(share(next.saturating_sub(floor), draw));
    Some(Wait { delay: Duration::from_millis(delay), step: NonZeroU32::new(step)? })
}

/// `whole × draw / 2^32`, rounded down: below `whole` unless that is zero.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "a share is at most the whole")]
fn share(whole: u64, draw: u32) -> u64 {
    let part = u128::from(whole).saturating_mul(u128::from(draw)) >> 32;
    part as u64
}

fn thousandths(whole: u64, ratio: Ratio) -> u64 {
    let part = u128::from(whole).saturating_mul(u128::from(ratio.thousandths())) / 1000;
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
