//! IXON's APIv2: "Common errors" of its developer documentation.
//!
//! # Numbers
//!
//! | what | value | source |
//! | --- | --- | --- |
//! | first delay | 1 s, doubling | "according to an exponential back off schedule"; the second is our choice |
//! | first delay when throttled | 120 s | a 429 bars the address for minutes |
//! | jitter | equal | our choice: half of such a wait is a minute at least |
//! | cap, longest hint | 10 min | our choice: as long as such a bar may last |
//! | attempts | 5 | "until they're able to receive a result": our choice where to end |
//! | time of one attempt | 60 s | "when a request takes more than 60 seconds" the server gives up |

use core::time::Duration;

use super::{Advice, Answer, Numbers, Profile, Reading};
use crate::Class;
use crate::classify::Meaning;
use crate::hint::Rules;
use crate::jitter::Jitter;

/// IXON's APIv2.
pub const IXON: &Profile = &Profile {
    name: "ixon",
    numbers: Numbers {
        max_attempts: 5,
        first: Duration::from_secs(1),
        throttled: Duration::from_secs(120),
        jitter: Jitter::Equal,
        cap: Duration::from_secs(600),
        longest_hint: Duration::from_secs(600),
        attempt_timeout: Some(Duration::from_secs(60)),
    },
    hints: Rules::new(),
    refine,
    reads_successes: false,
    pauses_all: false,
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
                .advice("minimise its scope: a request of more than 60 s ends like this"),
        ),
        400..=499 if answer.says("2FA is required") => Some(
            Reading::new(Class::Authorization, Meaning::Permanent)
                .advice("generate a bearer token with an OTP added to the credentials"),
        ),
        // A 408 or 429 says all by its status.
        400..=499 if !matches!(answer.status(), 408 | 429) => {
            let error = answer.error()?;
            let mut names = error.fields().filter_map(|field| Some(field.name()?.raw())).peekable();
            names.peek()?;
            Some(if names.any(|name| name.eq_ignore_ascii_case("authorization")) {
                Reading::new(Class::Authorization, Meaning::Unauthorized)
            } else {
                Reading::new(Class::Content, Meaning::Permanent)
            })
        }
        _ => None,
    }
}
