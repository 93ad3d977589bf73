//! What an empty bucket grants all the same, now and then.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::time::Duration;

/// The retries that an empty bucket grants: when the next one is due, in 28 bits of milliseconds, and
/// how many there were, in 4 bits. Zero before the first. The milliseconds come round every three days; a
/// time that is further ahead than any probe is past.
pub(super) struct Probe(AtomicU32);

impl Probe {
    const TIME: u32 = u32::MAX >> 4;
    const LAST: u32 = 8;

    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The time from probe to probe: 1, 2, 4, … 64, 120 s.
    const fn interval_ms(count: u32) -> u32 {
        if count >= Self::LAST { 120_000 } else { 500 << count }
    }

    /// The lowest bits of the time in milliseconds.
    #[allow(clippy::cast_possible_truncation, reason = "only the lowest bits are kept")]
    const fn millis(now: Duration) -> u32 {
        now.as_millis() as u32 & Self::TIME
    }

    /// The word for probe number `count`, due its interval after now.
    const fn due(now: Duration, count: u32) -> u32 {
        (Self::millis(now).wrapping_add(Self::interval_ms(count)) & Self::TIME) << 4 | count
    }

    pub(super) fn take(&self, now: Duration) -> Result<(), Duration> {
        let now_ms = Self::millis(now);
        let mut word = self.0.load(Relaxed);
        loop {
            let (ahead, count) = ((word >> 4).wrapping_sub(now_ms) & Self::TIME, word & 0xf);
            let is_due = word != 0 && (ahead == 0 || ahead > Self::interval_ms(Self::LAST));
            if word != 0 && !is_due {
                return Err(now.saturating_add(Duration::from_millis(ahead.into())));
            }
            let next = Self::due(now, count.saturating_add(1).min(Self::LAST));
            // Whoever moves the time on has the probe; another turn means that somebody else has.
            match self.0.compare_exchange(word, next, Relaxed, Relaxed) {
                Ok(_) if is_due => return Ok(()),
                Ok(_) => word = next,
                Err(changed) => word = changed,
            }
        }
    }

    /// The bucket has become empty: the first probe is due in a second.
    pub(super) fn arm(&self, now: Duration) {
        let _ = self.0.compare_exchange(0, Self::due(now, 1), Relaxed, Relaxed);
    }

    pub(super) fn reset(&self) {
        if self.0.load(Relaxed) != 0 {
            self.0.store(0, Relaxed);
        }
    }
}
