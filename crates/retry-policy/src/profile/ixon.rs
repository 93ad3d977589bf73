//! IXON's APIv2: "Common errors" of its developer documentation.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | first delay | 1 s, doubling | "according to an exponential back off schedule"; the second is our choice |
//! | first delay when throttled | 60 s | a 429 bars the address for minutes |
//! | cap, longest hint | 10 min | our choice: as long as such a bar may last |
//! | attempts | 5 | "until they're able to receive a result": our choice where to end |
//! | time of one attempt | 60 s | "when a request takes more than 60 seconds" the server gives up |

use core::time::Duration;

use super::{Advice, Answer, Numbers, Profile, Reading, default};
use crate::Class;
use crate::classify::Meaning;
use crate::hint::Rules;

/// IXON's APIv2.
pub const IXON: &Profile = &Profile {
    name: "ixon",
    numbers: Numbers {
        max_attempts: 5,
        first: Duration::from_secs(1),
        throttled: Duration::from_secs(60),
        cap: Duration::from_secs(600),
        longest_hint: Duration::from_secs(600),
        attempt_timeout: Some(Duration::from_secs(60)),
        ..default::NUMBERS
    },
    hints: Rules::new(),
    refine,
    reads_successes: false,
    advice: Advice {
        authorization: "generate a new bearer token, with attention to the credentials",
        content: "correct the header or the parameter that the message names",
        network: "intermittent network trouble; when it follows a pattern it is a chronic problem",
        server: "a production incident, or a request of more than 60 s: minimise its scope",
        throttled: "send requests less often: the address stays limited for minutes",
    },
};

/// The document tells authorization errors by their message and property, not by their status.
fn refine(answer: &Answer<'_>) -> Option<Reading> {
    match answer.status() {
        504 => Some(
            Reading::of(crate::Delivery::Answered(504))
                .advice("the request took more than 60 s: minimise its scope"),
        ),
        400..=499 if answer.says("2FA is required") => Some(
            Reading::new(Class::Authorization, Meaning::Permanent)
                .advice("generate a bearer token with an OTP added to the credentials"),
        ),
        // A 408 or 429 says all by its status, and a 401 asks for a new token anyway.
        400..=499 if !matches!(answer.status(), 401 | 408 | 429) => {
            let is_about_the_token = answer.error()?.fields().any(|field| {
                field.name().is_some_and(|name| name.raw().eq_ignore_ascii_case("authorization"))
            });
            is_about_the_token.then_some(Reading::new(Class::Authorization, Meaning::Unauthorized))
        }
        _ => None,
    }
}
