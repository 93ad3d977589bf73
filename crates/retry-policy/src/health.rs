//! A few failures, or an incident?
//!
//! A sliding window of outcomes in constant memory, and the failures since the last success. It only
//! watches: what follows from it is the caller's.
//!
//! # Example
//!
//! ```
//! use core::time::Duration;
//! use retry_policy::health::Health;
//!
//! let mut health = Health::new();
//! for minute in 0..100 {
//!     health.record(minute != 70, Duration::from_secs(60 * minute));
//! }
//! let now = Duration::from_secs(60 * 99);
//! assert_eq!((health.failures(now), health.requests(now)), (1, 30));
//! assert!(!health.is_normal(now), "1 of 30 is over 1 %");
//! ```
//!
//! # Numbers
//!
//! | what | default | bounds | source |
//! | --- | --- | --- | --- |
//! | window | 30 min | 30 ns to 584 years | "a 30 minute period with error rate under 1% of the sent traffic" is normal: the document of the API with google.rpc errors |
//! | share of failures | under 1 % | 0 to 100 % | the same |
//!
//! The window is counted in thirtieths: it reaches back by all of them, of which the newest is not yet full.
//!
//! # Time, randomness
//!
//! `now` is read from a monotonic clock; a time before the newest one counts as the newest.

use core::fmt;
use core::time::Duration;

use crate::backoff::nanos;
use crate::ratio::Ratio;

/// Into how many parts the window is divided.
const PARTS: usize = 30;

/// A sliding window of outcomes, and the streak of failures.
#[derive(Clone, Debug)]
pub struct Health {
    /// The length of one part, in nanoseconds.
    part: u64,
    threshold: Ratio,
    /// The newest part, counted from time zero.
    newest: u64,
    parts: [Part; PARTS],
    streak: u32,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    requests: u32,
    failures: u32,
}

const EMPTY: Part = Part { requests: 0, failures: 0 };

impl Health {
    /// A window of 30 minutes in which under 1 % of failures are normal.
    #[must_use]
    pub const fn new() -> Self {
        match Self::over(Duration::from_secs(30 * 60), Ratio::literal(1)) {
            Ok(health) => health,
            Err(_) => unreachable!(),
        }
    }

    /// Another window, in which a smaller share of failures than `threshold` is normal.
    ///
    /// # Errors
    ///
    /// [`InvalidHealth`] if the window is shorter than 30 ns.
    pub const fn over(window: Duration, threshold: Ratio) -> Result<Self, InvalidHealth> {
        let part = match nanos(window).checked_div(PARTS as u64) {
            Some(part) if part > 0 => part,
            _ => return Err(InvalidHealth { window }),
        };
        Ok(Self { part, threshold, newest: 0, parts: [EMPTY; PARTS], streak: 0 })
    }

    /// A request has ended.
    pub fn record(&mut self, succeeded: bool, now: Duration) {
        self.move_to(now);
        self.streak = if succeeded { 0 } else { self.streak.saturating_add(1) };
        let newest = self.newest;
        if let Some(part) = self.parts.get_mut(slot(newest)) {
            part.requests = part.requests.saturating_add(1);
            part.failures = part.failures.saturating_add(u32::from(!succeeded));
        }
    }

    /// Clears the parts that the window has left: 30 at most.
    fn move_to(&mut self, now: Duration) {
        let part = self.part_of(now);
        for gone in 1..=part.saturating_sub(self.newest).min(PARTS as u64) {
            let at = slot(part.saturating_sub(gone).saturating_add(1));
            if let Some(part) = self.parts.get_mut(at) {
                *part = EMPTY;
            }
        }
        self.newest = self.newest.max(part);
    }

    fn part_of(&self, now: Duration) -> u64 {
        nanos(now).checked_div(self.part).unwrap_or(0)
    }

    /// The requests and failures in the window that ends now.
    fn sums(&self, now: Duration) -> (u64, u64) {
        let now = self.part_of(now).max(self.newest);
        let oldest = now.saturating_add(1).saturating_sub(PARTS as u64);
        let mut sums = (0_u64, 0_u64);
        for part in oldest..=self.newest {
            if let Some(part) = self.parts.get(slot(part)) {
                sums.0 = sums.0.saturating_add(part.requests.into());
                sums.1 = sums.1.saturating_add(part.failures.into());
            }
        }
        sums
    }

    /// The requests in the window.
    #[must_use]
    pub fn requests(&self, now: Duration) -> u64 {
        self.sums(now).0
    }

    /// The failures in the window.
    #[must_use]
    pub fn failures(&self, now: Duration) -> u64 {
        self.sums(now).1
    }

    /// Whether the share of failures in the window is under the threshold, or nothing has failed.
    #[must_use]
    pub fn is_normal(&self, now: Duration) -> bool {
        let (requests, failures) = self.sums(now);
        failures == 0
            || failures.saturating_mul(1000)
                < requests.saturating_mul(self.threshold.thousandths().into())
    }

    /// The failures since the last success, whenever they were.
    #[must_use]
    pub const fn streak(&self) -> u32 {
        self.streak
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

fn slot(part: u64) -> usize {
    let slot = part.checked_rem(PARTS as u64).unwrap_or(0);
    usize::try_from(slot).unwrap_or(0)
}

/// A window too short to be divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHealth {
    window: Duration,
}

impl fmt::Display for InvalidHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a window of {:?} is shorter than {PARTS} ns", self.window)
    }
}

#[cfg(feature = "std")]
impl std::error::Error for InvalidHealth {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    fn counts(health: &Health, now: Duration) -> (u64, u64) {
        (health.failures(now), health.requests(now))
    }

    #[test]
    fn under_one_percent_over_thirty_minutes_is_normal() {
        let mut health = Health::new();
        assert!(health.is_normal(minutes(0)), "nothing was sent");
        for request in 0..1000 {
            health.record(request % 100 != 7, minutes(request / 50));
        }
        assert_eq!(counts(&health, minutes(19)), (10, 1000));
        assert!(!health.is_normal(minutes(19)), "1 % is not under 1 %");
        health.record(true, minutes(19));
        assert!(health.is_normal(minutes(19)));
    }

    #[test]
    fn what_is_older_than_the_window_counts_no_more() {
        let mut health = Health::new();
        health.record(false, minutes(5));
        assert_eq!(counts(&health, minutes(34)), (1, 1));
        assert_eq!(counts(&health, minutes(35)), (0, 0));
        health.record(true, minutes(35));
        assert_eq!(counts(&health, minutes(35)), (0, 1));
        assert_eq!(counts(&health, Duration::MAX), (0, 0));
        health.record(true, Duration::MAX);
        assert_eq!(counts(&health, Duration::MAX), (0, 1));
        health.record(false, minutes(1));
        assert_eq!(counts(&health, Duration::MAX), (1, 2), "an earlier time counts as the newest");
    }

    #[test]
    fn a_streak_lasts_until_a_success() {
        let mut health = Health::new();
        for minute in 0..100 {
            health.record(false, minutes(minute));
        }
        assert_eq!(health.streak(), 100);
        health.record(true, minutes(100));
        assert_eq!(health.streak(), 0);
    }

    #[test]
    fn a_window_can_be_divided() {
        let error = Health::over(Duration::from_nanos(29), Ratio::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "a window of 29ns is shorter than 30 ns");
        assert!(Health::over(Duration::from_nanos(30), Ratio::ZERO).is_ok());
    }

    proptest! {
        /// Beside a plain list of all outcomes.
        #[test]
        fn counts_as_a_list_of_all_outcomes_does(
            steps in proptest::collection::vec((any::<bool>(), 0..200_u64), 1..200), later in 0..60_u64,
        ) {
            let window = Duration::from_secs(30);
            let mut health = Health::over(window, Ratio::literal(50)).unwrap();
            let mut all = Vec::new();
            let mut ms = 0;
            for (succeeded, passed) in steps {
                ms += passed;
                health.record(succeeded, Duration::from_millis(ms));
                all.push((ms / 1000, succeeded));
            }
            let now = ms / 1000 + later;
            let within = all.iter().filter(|(second, _)| second + 30 > now);
            let failures = within.clone().filter(|(_, succeeded)| !succeeded).count() as u64;
            let requests = within.count() as u64;
            let at = Duration::from_secs(now);
            prop_assert_eq!(counts(&health, at), (failures, requests));
            prop_assert_eq!(health.is_normal(at), failures == 0 || failures * 2 < requests);
        }
    }
}
