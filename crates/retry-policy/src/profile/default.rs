//! An API without rules of its own.
//!
//! # Numbers
//!
//! Attempts 3, first delay 50 ms (1 s when throttled), factor 2, cap 20 s, full jitter: AWS standard mode,
//! 2026. Longest hint 60 s: our choice, a person waits no longer.

use core::time::Duration;

use super::{Advice, Numbers, Profile};
use crate::hint::Rules;
use crate::jitter::Jitter;

/// An API without rules of its own.
pub const DEFAULT: &Profile = &Profile {
    name: "default",
    numbers: NUMBERS,
    hints: Rules::new(),
    refine: |_| None,
    reads_successes: false,
    pauses_all: false,
    advice: Advice {
        authorization: "check the credential and its rights",
        content: "correct the request",
        network: "check the address, the network and whether the service runs",
        server: "try again later; see the service's status page",
        throttled: "send requests less often",
    },
};

pub(super) const NUMBERS: Numbers = Numbers {
    max_attempts: 3,
    first: Duration::from_millis(50),
    throttled: Duration::from_secs(1),
    cap: Duration::from_secs(20),
    jitter: Jitter::Full,
    longest_hint: Duration::from_secs(60),
    attempt_timeout: None,
};
