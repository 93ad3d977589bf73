//! The server's own word on how long to wait.
//!
//! A hint is never shortened, and what cannot be read is no hint: neither zero nor an error.
//!
//! # Precedence
//!
//! | header | what it says | source |
//! | --- | --- | --- |
//! | `Retry-After` | seconds, or a date in any of three forms | RFC 9110 §10.2.3, §5.6.7 |
//! | `retry-after-ms`, `x-ms-retry-after-ms`, `x-amz-retry-after` | milliseconds | `OpenAI`, Azure, AWS |
//! | `grpc-retry-pushback-ms` | milliseconds; negative: do not retry | gRPC proposal A6 |
//! | `RateLimit` | with `r=0`, `t` seconds; counts only without the ones above | draft-ietf-httpapi-ratelimit-headers |
//! | a pair such as `x-ratelimit-remaining` and `-reset` | by [`Rules::reset`] only; counts last, or with the others where it says that nothing is left | each API's own |
//!
//! Of the waits of the first three rows the longest counts. A date is judged by the answer's own `Date`, so
//! that a wrong clock on this side does no harm, and by `now` only where there is none.
//!
//! # Where implementations disagree
//!
//! Each question has a setting of [`Rules`], and what others do is one of its values:
//!
//! | question | ours | others |
//! | --- | --- | --- |
//! | a date in the past | no wait beyond our own | [`PastDate::Ignored`]: Apache, Stainless |
//! | `2.5` seconds | unreadable | [`Fraction::RoundedUp`]: Stainless |
//! | two fields | the longest wait | [`Several::First`]: Go |
//! | milliseconds and seconds | the longest wait | [`Units::MillisecondsFirst`]: Stainless; [`Units::SecondsFirst`]: Azure |
//! | longer than allowed | the retries end | [`TooLong::Clamped`]: urllib3; [`TooLong::Ignored`]: a backoff instead |
//! | `3 Jun 2019 … UTC` | unreadable | [`Dates::Lenient`]: urllib3 |
//! | pushback that is unreadable or given twice | unreadable; the longest | [`Pushback::Strict`]: gRPC, where both mean stop |

#[cfg(feature = "http")]
pub mod rate_limit;
#[cfg(feature = "http")]
mod read;

use core::time::Duration;

/// What the server says about the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a server says nothing, a wait, no, or too much")]
pub enum Hint {
    /// Nothing that can be read.
    None,
    /// Do not retry.
    Stop {
        /// The header that says so, in lower case.
        source: &'static str,
    },
    /// Wait longer than is allowed.
    TooLong {
        /// The wait that the server asks for.
        asked: Duration,
        /// The longest wait that is allowed.
        allowed: Duration,
    },
    /// Wait at least so long.
    Wait {
        /// The wait.
        after: Duration,
        /// The header that asks for it, in lower case.
        source: &'static str,
    },
}

impl Hint {
    /// This hint where waits are bounded: a longer one is too long, or what `when` makes of it.
    #[must_use]
    pub const fn within(self, allowed: Duration, when: TooLong) -> Self {
        match self {
            Self::Wait { after, source } if after.as_nanos() > allowed.as_nanos() => match when {
                TooLong::Clamped => Self::Wait { after: allowed, source },
                TooLong::Ignored => Self::None,
                TooLong::Stops => Self::TooLong { asked: after, allowed },
            },
            hint => hint,
        }
    }
}

/// Who decided how long a wait is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "either we or the server")]
pub enum Source {
    /// Our own schedule.
    Backoff,
    /// The server, by this header, in lower case.
    Header(&'static str),
}

impl Source {
    /// `backoff`, or the header's name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backoff => "backoff",
            Self::Header(name) => name,
        }
    }
}

/// What a date in the past asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PastDate {
    /// Nothing: it is no hint.
    Ignored,
    /// No wait beyond our own.
    NoWait,
}

/// What a number of seconds or milliseconds with a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fraction {
    /// Unreadable.
    Ignored,
    /// Readable, rounded up to a whole millisecond.
    RoundedUp,
}

/// Which of several fields of one name counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Several {
    /// The first, even if it cannot be read.
    First,
    /// The longest wait of those that can be read.
    Longest,
}

/// Whether milliseconds or seconds count where an answer has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Units {
    /// The longer wait.
    Longest,
    /// The milliseconds.
    MillisecondsFirst,
    /// The seconds.
    SecondsFirst,
}

/// What becomes of a hint that is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TooLong {
    /// It is shortened to what is allowed, which is less than the server asks for: only for those who
    /// must behave as a client did before.
    Clamped,
    /// Our own backoff is waited instead, which is less than the server asks for: as above.
    Ignored,
    /// The retries end.
    Stops,
}

/// Which dates can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dates {
    /// Also with one digit for the day and with `UTC`.
    Lenient,
    /// The three forms of RFC 9110 §5.6.7.
    Standard,
}

/// How strictly `grpc-retry-pushback-ms` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pushback {
    /// What is unreadable is absent.
    Lenient,
    /// What is unreadable or given twice means stop: gRPC proposal A6.
    Strict,
}

/// What the number in a reset header counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResetUnit {
    /// Seconds from now.
    DeltaSeconds,
    /// Seconds since 1970, as GitHub counts.
    EpochSeconds,
}

/// A pair of headers that tell what is left and when there is more. Their units are each API's own and
/// are never guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    pub(crate) remaining: &'static str,
    pub(crate) until: &'static str,
    pub(crate) unit: ResetUnit,
}

impl Reset {
    /// The headers, in lower case. The reset counts where `remaining` is zero, together with any other wait that is asked
    /// for; where `remaining` is absent, if nothing else is asked for.
    #[must_use]
    pub const fn new(remaining: &'static str, reset: &'static str, unit: ResetUnit) -> Self {
        Self { remaining, until: reset, unit }
    }
}

/// How hints are read where implementations disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    past_date: PastDate,
    fraction: Fraction,
    several: Several,
    units: Units,
    too_long: TooLong,
    dates: Dates,
    pushback: Pushback,
    reset: Option<Reset>,
    replaces_backoff: bool,
}

impl Rules {
    /// The rules that never wait less than the first three rows of the table ask for.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            past_date: PastDate::NoWait,
            fraction: Fraction::Ignored,
            several: Several::Longest,
            units: Units::Longest,
            too_long: TooLong::Stops,
            dates: Dates::Standard,
            pushback: Pushback::Lenient,
            reset: None,
            replaces_backoff: false,
        }
    }

    /// What a date in the past asks for.
    #[must_use]
    pub const fn past_date(self, past_date: PastDate) -> Self {
        Self { past_date, ..self }
    }

    /// What a number with a point is.
    #[must_use]
    pub const fn fraction(self, fraction: Fraction) -> Self {
        Self { fraction, ..self }
    }

    /// Which of several fields counts.
    #[must_use]
    pub const fn several(self, several: Several) -> Self {
        Self { several, ..self }
    }

    /// Whether milliseconds or seconds count.
    #[must_use]
    pub const fn units(self, units: Units) -> Self {
        Self { units, ..self }
    }

    /// What becomes of a hint that is longer than allowed.
    #[must_use]
    pub const fn too_long(self, too_long: TooLong) -> Self {
        Self { too_long, ..self }
    }

    /// Which dates can be read.
    #[must_use]
    pub const fn dates(self, dates: Dates) -> Self {
        Self { dates, ..self }
    }

    /// How strictly a pushback is read.
    #[must_use]
    pub const fn pushback(self, pushback: Pushback) -> Self {
        Self { pushback, ..self }
    }

    /// The API's own pair of headers.
    #[must_use]
    pub const fn reset(self, reset: Reset) -> Self {
        Self { reset: Some(reset), ..self }
    }

    /// A wait that is asked for is waited for as it is, and our own backoff is for answers that ask for none. Without this
    /// rule it is the longer of the two.
    #[must_use]
    pub const fn in_place_of_backoff(self) -> Self {
        Self { replaces_backoff: true, ..self }
    }

    pub(crate) const fn replaces_backoff(self) -> bool {
        self.replaces_backoff
    }

    pub(crate) const fn when_too_long(self) -> TooLong {
        self.too_long
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new()
    }
}
