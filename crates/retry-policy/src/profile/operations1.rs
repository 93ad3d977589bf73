//! Operations1: "Error handling and status codes" of its documentation.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | attempts | 5 | "Retry 5 times": `for attempt in range(5)` |
//! | first delay | 1 s, then 2, 4, 8 | `time.sleep(2 ** attempt)`; throttled answers as well |
//! | jitter | none | the same |
//! | cap | 20 s | the default's; five attempts do not reach it |
//! | time of one attempt | 5 s | `timeout=5` |

use core::time::Duration;

use super::{Advice, Numbers, Profile, default};
use crate::hint::Rules;
use crate::jitter::Jitter;

/// Operations1.
pub const OPERATIONS1: &Profile = &Profile {
    name: "operations1",
    numbers: Numbers {
        max_attempts: 5,
        first: Duration::from_secs(1),
        throttled: Duration::from_secs(1),
        jitter: Jitter::None,
        attempt_timeout: Some(Duration::from_secs(5)),
        ..default::NUMBERS
    },
    hints: Rules::new(),
    refine: |_| None,
    reads_successes: false,
    pauses_all: false,
    advice: Advice {
        authorization: "check your tenant and credentials, and the permissions of the API user",
        content: "check your parameters and the function call",
        network: "check the address, the network and whether the service runs",
        server: "the API service is down or unresponsive: try again later",
        throttled: "reduce the frequency of API calls",
    },
};
