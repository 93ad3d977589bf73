//! The truth table: request safety × delivery state → again, refresh, return or stop.
//!
//! | | idempotent | keyed | vouched | unsafe |
//! | --- | --- | --- | --- | --- |
//! | not sent, refused, 421, 425, 429 | again | again | again | again |
//! | unknown | again | again | again | stop |
//! | 408, 5xx except 501, 505, 511 | again | again | again | stop |
//! | 409 | stop | again | stop | stop |
//! | 401 | refresh | refresh | refresh | refresh |
//! | other 4xx, 501, 505, 511, 600 and above | stop | stop | stop | stop |
//! | 1xx, 2xx, 3xx | return | return | return | return |
//!
//! What happens only once (a refresh, a 421) is counted by [`Run`](crate::Run), which knows the past.

use crate::{Delivery, Safety, StopReason};

/// The kind of a failure, in the words of the APIs' own documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The credential or its rights: 401, 402, 403, 407.
    Authorization,
    /// The request itself: the other 4xx.
    Content,
    /// The way there: no connection, a timeout (408 as well), an answer cut off.
    Network,
    /// The server: 5xx and whatever no standard names.
    Server,
    /// Too many requests: 429, and 425 and 421, which also say "not now, not here".
    Throttled,
}

impl Class {
    /// The class of a delivery state; `None` for an answer that is no failure.
    #[must_use]
    pub const fn of(delivery: Delivery) -> Option<Self> {
        Some(match delivery {
            Delivery::NotSent | Delivery::Refused | Delivery::Unknown | Delivery::Answered(408) => {
                Self::Network
            }
            Delivery::Answered(100..=399) => return None,
            Delivery::Answered(401..=403 | 407) => Self::Authorization,
            Delivery::Answered(421 | 425 | 429) => Self::Throttled,
            Delivery::Answered(400..=499) => Self::Content,
            Delivery::Answered(_) => Self::Server,
        })
    }

    /// The class's name as it stands in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization error",
            Self::Content => "content error",
            Self::Network => "network error",
            Self::Server => "server error",
            Self::Throttled => "rate limit",
        }
    }
}

/// What the truth table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// A temporary error: the request may be sent again.
    Again,
    /// The credential was refused: a fresh one may be tried, once.
    Refresh,
    /// Not a failure: the caller gets the answer.
    Return,
    /// It must not be sent again, for this reason.
    Stop(StopReason),
}

/// One cell of the truth table.
///
/// Total: every status from 0 to 65535 has an answer.
#[must_use]
pub const fn classify(safety: Safety, delivery: Delivery) -> Verdict {
    match delivery {
        // RFC 9110 §15.5.20 (421), RFC 8470 §5.2 (425), RFC 6585 §4 (429): not processed.
        Delivery::NotSent | Delivery::Refused | Delivery::Answered(421 | 425 | 429) => {
            Verdict::Again
        }
        // RFC 9110 §15.2 to §15.4.
        Delivery::Answered(100..=399) => Verdict::Return,
        // RFC 9110 §15.5.2: refused before it was processed.
        Delivery::Answered(401) => Verdict::Refresh,
        // The Idempotency-Key draft: 409 means that the first sending still runs.
        Delivery::Answered(409) if matches!(safety, Safety::Keyed) => Verdict::Again,
        // RFC 9110 §15.6.2 (501), §15.6.6 (505), RFC 6585 §6 (511): no second sending helps.
        Delivery::Answered(501 | 505 | 511) => Verdict::Stop(StopReason::Permanent),
        // RFC 9110 §15.5.9 (408) and §15.6.
        Delivery::Unknown | Delivery::Answered(408 | 500..=599) => {
            if safety.is_repeatable() {
                Verdict::Again
            } else {
                Verdict::Stop(StopReason::NotRepeatable)
            }
        }
        Delivery::Answered(_) => Verdict::Stop(StopReason::Permanent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [Safety; 4] = [Safety::Idempotent, Safety::Keyed, Safety::Vouched, Safety::Unsafe];

    /// The table of the module's own documentation, row by row.
    fn documented(delivery: Delivery) -> [&'static str; 4] {
        match delivery {
            Delivery::NotSent | Delivery::Refused => ["again"; 4],
            Delivery::Unknown => ["again", "again", "again", "stop"],
            Delivery::Answered(status) => match status {
                421 | 425 | 429 => ["again"; 4],
                408 | 500 | 502..=504 | 506..=510 | 512..=599 => {
                    ["again", "again", "again", "stop"]
                }
                409 => ["stop", "again", "stop", "stop"],
                401 => ["refresh"; 4],
                100..=399 => ["return"; 4],
                _ => ["stop"; 4],
            },
        }
    }

    #[test]
    fn every_cell_is_as_documented() {
        let answered = (0..=1100).map(Delivery::Answered);
        for delivery in
            [Delivery::NotSent, Delivery::Refused, Delivery::Unknown].into_iter().chain(answered)
        {
            let cells = ROWS.map(|safety| match classify(safety, delivery) {
                Verdict::Again => "again",
                Verdict::Refresh => "refresh",
                Verdict::Return => "return",
                Verdict::Stop(_) => "stop",
            });
            assert_eq!(cells, documented(delivery), "{delivery:?}");
        }
    }

    #[test]
    fn an_unsafe_request_stops_because_it_is_unsafe_and_not_because_it_is_wrong() {
        for delivery in [Delivery::Unknown, Delivery::Answered(503)] {
            let verdict = classify(Safety::Unsafe, delivery);
            assert_eq!(verdict, Verdict::Stop(StopReason::NotRepeatable));
        }
        let verdict = classify(Safety::Unsafe, Delivery::Answered(404));
        assert_eq!(verdict, Verdict::Stop(StopReason::Permanent));
    }

    #[test]
    fn every_failure_has_a_class() {
        for (delivery, class) in [
            (Delivery::Unknown, Some(Class::Network)),
            (Delivery::Answered(200), None),
            (Delivery::Answered(302), None),
            (Delivery::Answered(400), Some(Class::Content)),
            (Delivery::Answered(403), Some(Class::Authorization)),
            (Delivery::Answered(404), Some(Class::Content)),
            (Delivery::Answered(429), Some(Class::Throttled)),
            (Delivery::Answered(500), Some(Class::Server)),
            (Delivery::Answered(799), Some(Class::Server)),
        ] {
            assert_eq!(Class::of(delivery), class, "{delivery:?}");
        }
    }
}
