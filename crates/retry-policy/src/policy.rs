//! The rules for the requests of one client, assembled and validated.
//!
//! # Numbers
//!
//! | what | default | bounds | source |
//! | --- | --- | --- | --- |
//! | attempts | 3 | at least 1 | AWS standard mode, 2026 |
//! | first delay | 50 ms | above zero | AWS standard mode, 2026 |
//! | first delay when throttled | 1 s | above zero | AWS standard mode, 2026 |
//! | factor | 2 | at least 1 | AWS standard mode, 2026 |
//! | cap | 20 s | at least the first delay | AWS standard mode, 2026 |
//! | jitter | full | | AWS Architecture Blog, "Exponential Backoff And Jitter" |
//! | deadline | none | | a caller knows its own |
//! | longest hint | 60 s | | our choice: a person waits no longer |

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::backoff::Backoff;
use crate::jitter::Jitter;
use crate::profile::{self, Profile};

/// When requests are sent again. Immutable, `Copy`, and usable in a `const`.
///
/// ```
/// use core::{num::NonZeroU32, time::Duration};
/// use retry_policy::Policy;
///
/// const POLICY: Policy = match Policy::builder()
///     .max_attempts(NonZeroU32::new(5).unwrap())
///     .deadline(Duration::from_secs(300))
///     .build()
/// {
///     Ok(policy) => policy,
///     Err(_) => panic!("the policy literal is invalid"),
/// };
/// assert_eq!(POLICY.max_attempts().get(), 5);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub(crate) max_attempts: NonZeroU32,
    pub(crate) backoff: Backoff,
    pub(crate) throttled: Backoff,
    pub(crate) jitter: Jitter,
    pub(crate) deadline: Option<Duration>,
    pub(crate) longest_hint: Duration,
    pub(crate) profile: &'static Profile,
}

impl Policy {
    /// A builder that starts from the default policy.
    pub const fn builder() -> Builder {
        Self::of(profile::DEFAULT)
    }

    /// A builder that starts from a vendor's rules and numbers.
    pub const fn of(profile: &'static Profile) -> Builder {
        Builder(profile.policy())
    }

    /// How many times a request is sent at most.
    #[must_use]
    pub const fn max_attempts(&self) -> NonZeroU32 {
        self.max_attempts
    }

    /// The time that all attempts and waits of a request may take together. Who drives the run can only keep it
    /// between attempts, unless it can cut them off.
    #[must_use]
    pub const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The delays after faults.
    #[must_use]
    pub const fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// The delays after throttled answers.
    #[must_use]
    pub const fn throttled(&self) -> Backoff {
        self.throttled
    }

    /// How the delays are spread.
    #[must_use]
    pub const fn jitter(&self) -> Jitter {
        self.jitter
    }

    /// The longest wait that a server may ask for.
    #[must_use]
    pub const fn longest_hint(&self) -> Duration {
        self.longest_hint
    }

    /// The vendor's rules.
    #[must_use]
    pub const fn profile(&self) -> &'static Profile {
        self.profile
    }
}

impl Default for Policy {
    fn default() -> Self {
        profile::DEFAULT.policy()
    }
}

/// Collects the parts of a [`Policy`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct Builder(Policy);

impl Builder {
    /// How many times a request is sent at most, the first time included.
    pub const fn max_attempts(mut self, attempts: NonZeroU32) -> Self {
        self.0.max_attempts = attempts;
        self
    }

    /// The delays after faults: no answer, or a 5xx.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.0.backoff = backoff;
        self
    }

    /// The delays after throttled answers.
    pub const fn throttled(mut self, backoff: Backoff) -> Self {
        self.0.throttled = backoff;
        self
    }

    /// How the delays are spread.
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.0.jitter = jitter;
        self
    }

    /// The time that all attempts and waits of a request may take together. Who drives the run can only keep it
    /// between attempts, unless it can cut them off.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.0.deadline = Some(deadline);
        self
    }

    /// The longest wait that a server may ask for; a longer one ends the retries.
    pub const fn longest_hint(mut self, longest: Duration) -> Self {
        self.0.longest_hint = longest;
        self
    }

    /// The finished policy.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicy::TooManyAttempts`] if the waits must rise and a schedule has fewer rising
    /// steps up to its cap, the cap included, than there are retries.
    pub const fn build(self) -> Result<Policy, InvalidPolicy> {
        if matches!(self.0.jitter, Jitter::Rising) {
            let faults = self.0.backoff.steps();
            let throttled = self.0.throttled.steps();
            let steps = if faults < throttled { faults } else { throttled };
            let retries = self.0.max_attempts.get().saturating_sub(1);
            if retries > steps {
                return Err(InvalidPolicy::TooManyAttempts { retries, steps });
            }
        }
        Ok(self.0)
    }
}

/// Why a [`Policy`] cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPolicy {
    /// A rising schedule ends before the attempts do.
    TooManyAttempts {
        /// The retries that were asked for.
        retries: u32,
        /// The rising steps up to the cap.
        steps: u32,
    },
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyAttempts { retries, steps } => write!(
                f,
                "{retries} retries need as many rising waits, but the schedule has {steps} up to its cap"
            ),
        }
    }
}

#[cfg(feature = "std")]
impl std::error::Error for InvalidPolicy {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rising(attempts: u32) -> Result<Policy, InvalidPolicy> {
        let backoff =
            Backoff::exponential(Duration::from_secs(30), Duration::from_secs(240)).unwrap();
        Policy::builder()
            .max_attempts(NonZeroU32::new(attempts).unwrap())
            .backoff(backoff)
            .throttled(backoff)
            .jitter(Jitter::Rising)
            .build()
    }

    #[test]
    fn a_rising_schedule_has_a_longer_wait_for_every_retry() {
        assert!(rising(5).is_ok(), "30, 60, 120, 240");
        let error = rising(6).unwrap_err();
        assert_eq!(error, InvalidPolicy::TooManyAttempts { retries: 5, steps: 4 });
    }
}
