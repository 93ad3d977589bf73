//! JumpCloud: "Retry API requests" and "Troubleshooting" of its support pages.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | first delay | 30 s, then 60, 120, 240 | "the first retry occurs after 30 seconds. The second … 60 …, the third … 120 …, the forth after 240 seconds" |
//! | jitter | rising | "Retry requests should always feature a longer interval than the previous retry attempt" |
//! | attempts | 5 | the four retries of that example |
//! | cap | 480 s | our choice: the next delay of that example, so that the last wait can be spread as well |
//! | first delay when throttled | 60 s | "a considerably less frequent request rate", against "a less frequent" one for 5xx; twice is our choice |
//! | longest hint | 10 min | our choice: above our own longest wait |

use core::time::Duration;

use super::{Advice, Answer, Numbers, Profile, Reading, default};
use crate::Class;
use crate::classify::Meaning;
use crate::hint::Rules;
use crate::jitter::Jitter;

/// JumpCloud's v1 and v2 APIs.
pub const JUMPCLOUD: &Profile = &Profile {
    name: "jumpcloud",
    numbers: Numbers {
        max_attempts: 5,
        first: Duration::from_secs(30),
        throttled: Duration::from_secs(60),
        cap: Duration::from_secs(480),
        jitter: Jitter::Rising,
        longest_hint: Duration::from_secs(600),
        ..default::NUMBERS
    },
    hints: Rules::new(),
    refine,
    reads_successes: false,
    pauses_all: false,
    advice: Advice {
        authorization: "check the API key (a rotated key makes the older one invalid) and its role",
        content: "the issue lies within the request itself: correct it",
        network: "check the address and the network; see status.jumpcloud.com",
        server: "see status.jumpcloud.com for a maintenance window or an incident",
        throttled: "send requests considerably less often",
    },
};

/// "403 Forbidden. Your IP has been blocked due to suspected abuse": a person must have it unblocked.
fn refine(answer: &Answer<'_>) -> Option<Reading> {
    (answer.status() == 403 && answer.says("IP has been blocked")).then_some(
        Reading::new(Class::Authorization, Meaning::Permanent)
            .blocked()
            .advice("stop sending and contact JumpCloud Support to have the address unblocked"),
    )
}
