//! GitHub: "Rate limits for the REST API" of its documents.
//!
//! A limit is told by a 403 as well as by a 429: `x-ratelimit-remaining: 0` for the primary one, `Retry-After` or the
//! message for the secondary one. Neither was processed. Any other 403 is a matter of rights.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | wait of the primary limit | until `x-ratelimit-reset`, seconds since 1970 | "you should not retry your request until after the time specified by the `x-ratelimit-reset` header" |
//! | wait of the secondary limit | `Retry-After` | "you should not retry your request until after that many seconds" |
//! | first delay when throttled and neither is told, with equal jitter | 120 s, so at least 60 s, then more | "Otherwise, wait for at least one minute … wait for an exponentially increasing amount of time" |
//! | cap | 480 s | our choice: two more steps |
//! | longest hint | 1 h | the window of the primary limit |
//! | attempts 3, first delay 50 ms | | those of the [default](super::DEFAULT): "throw an error after a specific number of retries" |

use core::time::Duration;

use super::{Advice, Answer, Numbers, Profile, Reading, default};
use crate::Delivery;
use crate::hint::{Reset, ResetUnit, Rules};
use crate::jitter::Jitter;

/// GitHub's REST API.
pub const GITHUB: &Profile = &Profile {
    name: "github",
    numbers: Numbers {
        throttled: Duration::from_secs(120),
        cap: Duration::from_secs(480),
        jitter: Jitter::Equal,
        longest_hint: Duration::from_secs(3600),
        ..default::NUMBERS
    },
    hints: Rules::new()
        .reset(Reset::new(REMAINING, "x-ratelimit-reset", ResetUnit::EpochSeconds))
        .in_place_of_backoff(),
    refine,
    reads_successes: false,
    pauses_all: false,
    advice: Advice {
        authorization: "check the token, its scopes and whether it may see the repository",
        content: "correct the request: see its message",
        network: "check the address and the network; see githubstatus.com",
        server: "try again later; see githubstatus.com",
        throttled: "send requests less often, one after the other; the limits are those of the token",
    },
};

const REMAINING: &str = "x-ratelimit-remaining";

/// A 403 that is a rate limit is the 429 that it could have been.
fn refine(answer: &Answer<'_>) -> Option<Reading> {
    let is_limit = answer.status() == 403
        && (answer.header(REMAINING).is_some_and(|left| left.trim() == "0")
            || answer.header("retry-after").is_some()
            || answer.says("secondary rate limit"));
    is_limit.then_some(Reading::of(Delivery::Answered(429)))
}
