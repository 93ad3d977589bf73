//! What one vendor's API refines, and what its documents advise.
//!
//! A profile reads an answer ([`Profile::outcome`]), has the numbers of its documents
//! ([`Policy::of`](crate::Policy::of)) and one line of advice for each class of failure. Each vendor has a
//! module of its own with the source of every number.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::backoff::Backoff;
use crate::classify::Meaning;
use crate::error_body::ApiError;
use crate::hint::Rules;
use crate::jitter::Jitter;
use crate::{Class, Delivery, Outcome, Policy};

mod default;
mod github;
mod google_rpc;
mod grpc;
mod ixon;
mod jumpcloud;
mod operations1;

pub use default::DEFAULT;
pub use github::GITHUB;
pub use google_rpc::GOOGLE_RPC;
pub use grpc::GRPC;
pub use ixon::IXON;
pub use jumpcloud::JUMPCLOUD;
pub use operations1::OPERATIONS1;

/// A vendor's own rules on top of the truth table.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    name: &'static str,
    numbers: Numbers,
    hints: Rules,
    refine: fn(&Answer<'_>) -> Option<Reading>,
    /// Whether a success may be a failure.
    reads_successes: bool,
    /// Whether a 503 that asks to wait speaks for the whole API.
    pauses_all: bool,
    advice: Advice,
}

/// The numbers of a policy.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    max_attempts: u32,
    first: Duration,
    throttled: Duration,
    cap: Duration,
    jitter: Jitter,
    longest_hint: Duration,
    attempt_timeout: Option<Duration>,
}

/// What to do, one line for each class of failure.
#[derive(Clone, Copy, Debug)]
struct Advice {
    authorization: &'static str,
    content: &'static str,
    network: &'static str,
    server: &'static str,
    throttled: &'static str,
}

impl Profile {
    /// A profile of your own, with the default's numbers and advice.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, ..*DEFAULT }
    }

    /// This profile, with a function that reads another meaning from an answer that is no success.
    #[must_use]
    pub const fn with_refinement(self, refine: fn(&Answer<'_>) -> Option<Reading>) -> Self {
        Self { refine, ..self }
    }

    /// This profile, with other rules for the server's hints.
    #[must_use]
    pub const fn with_hints(self, hints: Rules) -> Self {
        Self { hints, ..self }
    }

    /// This profile, for an API whose 503 with a wait means all of its requests, as a 429 does anyway.
    #[must_use]
    pub const fn with_pause_on_503(self) -> Self {
        Self { pauses_all: true, ..self }
    }

    /// Whether the wait that this answer asks for means all requests: 429, and 503 where that is said.
    #[must_use]
    pub const fn pauses_all(&self, outcome: &Outcome) -> bool {
        match outcome.class() {
            Some(Class::Throttled) => true,
            Some(Class::Server) => {
                self.pauses_all && matches!(outcome.delivery(), Delivery::Answered(503))
            }
            _ => false,
        }
    }

    /// The API's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The rules by which hints are read.
    #[must_use]
    pub const fn hints(&self) -> Rules {
        self.hints
    }

    /// The time that the documents give one attempt.
    #[must_use]
    pub const fn attempt_timeout(&self) -> Option<Duration> {
        self.numbers.attempt_timeout
    }

    /// The policy of the documents' numbers. [`Policy::of`] lets them be changed.
    #[must_use]
    pub const fn policy(&'static self) -> Policy {
        let Numbers { max_attempts, first, throttled, cap, jitter, longest_hint, .. } =
            self.numbers;
        let attempts = NonZeroU32::new(max_attempts);
        let (backoff, throttled) =
            (Backoff::exponential(first, cap), Backoff::exponential(throttled, cap));
        let (Some(max_attempts), Ok(backoff), Ok(throttled)) = (attempts, backoff, throttled)
        else {
            unreachable!()
        };
        Policy {
            max_attempts,
            backoff,
            throttled,
            jitter,
            deadline: None,
            longest_hint,
            profile: self,
        }
    }

    /// Whether the head of this answer has to be read: failures always, successes for some vendors.
    #[must_use]
    pub const fn reads(&self, status: u16) -> bool {
        self.reads_successes || !matches!(status, 100..=399)
    }

    /// What this answer means.
    #[must_use]
    pub fn outcome(&self, answer: &Answer<'_>) -> Outcome {
        let outcome = Outcome::new(Delivery::Answered(answer.status));
        if !self.reads(answer.status) {
            return outcome;
        }
        let outcome = match (self.refine)(answer) {
            Some(reading) => outcome.reading(reading),
            None => outcome,
        };
        #[cfg(feature = "http")]
        if let (Some((headers, now)), Some(_)) = (answer.head, outcome.class()) {
            return outcome.hint(self.hints.read(headers, now));
        }
        outcome
    }

    /// One line on what to do about a failure.
    #[must_use]
    pub fn advice(&self, outcome: &Outcome) -> &'static str {
        if let Some(advice) = outcome.advice() {
            return advice;
        }
        match outcome.class() {
            Some(Class::Authorization) => self.advice.authorization,
            Some(Class::Network) => self.advice.network,
            Some(Class::Server) => self.advice.server,
            Some(Class::Throttled) => self.advice.throttled,
            Some(Class::Content) | None => self.advice.content,
        }
    }
}

/// An answer, as far as it has to be known.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    status: u16,
    body: &'a [u8],
    #[cfg(feature = "http")]
    head: Option<(&'a http::HeaderMap, std::time::SystemTime)>,
}

impl<'a> Answer<'a> {
    /// An answer with this status.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self {
            status,
            body: &[],
            #[cfg(feature = "http")]
            head: None,
        }
    }

    /// With its headers, and the wall clock's time, which judges dates where it has no `Date`.
    #[cfg(feature = "http")]
    #[must_use]
    pub const fn headers(self, headers: &'a http::HeaderMap, now: std::time::SystemTime) -> Self {
        Self { head: Some((headers, now)), ..self }
    }

    /// With its body, or a prefix of it: some vendors put the decision there.
    #[must_use]
    pub const fn body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// A header's first value, if it is text.
    #[must_use]
    #[cfg_attr(
        not(feature = "http"),
        allow(unused_variables, clippy::unused_self, reason = "no headers")
    )]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        #[cfg(feature = "http")]
        return self.head?.0.get(name)?.to_str().ok();
        #[cfg(not(feature = "http"))]
        None
    }

    /// What the body says is wrong.
    #[must_use]
    pub fn error(&self) -> Option<ApiError<'a>> {
        ApiError::read(self.body)
    }

    /// Whether the beginning of the body, up to 16 KiB, contains these words.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        let body = self.body.get(..SEARCHED_BYTES).unwrap_or(self.body);
        !words.is_empty() && body.windows(words.len()).any(|window| window == words.as_bytes())
    }
}

/// At most this much of a body is searched: an error message stands at its beginning. Our choice.
const SEARCHED_BYTES: usize = 16 * 1024;

/// What an answer means: the row of the truth table, the class, and advice of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    meaning: Meaning,
    class: Option<Class>,
    advice: Option<&'static str>,
    blocked: bool,
}

impl Reading {
    /// A failure of this class with this meaning.
    #[must_use]
    pub const fn new(class: Class, meaning: Meaning) -> Self {
        Self { meaning, class: Some(class), advice: None, blocked: false }
    }

    /// The meaning by the RFCs.
    #[must_use]
    pub const fn of(delivery: Delivery) -> Self {
        let (meaning, class) = (Meaning::of(delivery), Class::of(delivery));
        Self { meaning, class, advice: None, blocked: false }
    }

    /// With advice on exactly this failure.
    #[must_use]
    pub const fn advice(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// The row of the truth table.
    #[must_use]
    pub const fn meaning(&self) -> Meaning {
        self.meaning
    }

    /// The kind of failure; `None` for a success.
    #[must_use]
    pub const fn class(&self) -> Option<Class> {
        self.class
    }

    /// The API blocks this client: no other request will fare better.
    #[must_use]
    pub const fn blocked(self) -> Self {
        Self { blocked: true, ..self }
    }

    pub(crate) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(crate) const fn special_advice(&self) -> Option<&'static str> {
        self.advice
    }
}

#[cfg(test)]
mod tests;
