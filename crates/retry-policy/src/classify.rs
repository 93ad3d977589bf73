//! The truth table: request safety × what an attempt's end means → again, refresh, return or stop.
//!
#![doc = include_str!("../truth-table.md")]
//!
//! What happens only once (a refresh, a 421) is counted by [`Run`](crate::Run), which knows the past. A
//! [`Profile`](crate::profile::Profile) may read another [`Meaning`] from an answer's head and body.

use crate::{Delivery, Safety, StopReason};

/// The kind of a failure, in the words of the APIs' own documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The credential or its rights: 401, 402, 403, 407.
    Authorization,
    /// The request itself: the other 4xx.
    Content,
    /// The way there: no connection, a timeout (408 as well), an answer cut off, the wrong connection
    /// (421) or one that is too young (425).
    Network,
    /// The server: 5xx and whatever no standard names.
    Server,
    /// Too many requests: 429.
    Throttled,
}

impl Class {
    /// The class of a delivery state; `None` for an answer that is no failure.
    #[must_use]
    pub const fn of(delivery: Delivery) -> Option<Self> {
        Some(match delivery {
            Delivery::NotSent
            | Delivery::Refused
            | Delivery::Unknown
            | Delivery::Answered(408 | 421 | 425) => Self::Network,
            Delivery::Answered(100..=399) => return None,
            Delivery::Answered(401..=403 | 407) => Self::Authorization,
            Delivery::Answered(429) => Self::Throttled,
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

/// What an attempt's end says about the request: the rows of the truth table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the rows of the truth table: complete by definition")]
pub enum Meaning {
    /// A first sending with the same key is still being processed.
    InProgress,
    /// It is certain that the request was not processed.
    NotProcessed,
    /// It would fail again: the request itself, or the right to make it, must change.
    Permanent,
    /// It is no failure.
    Success,
    /// It may or may not have been processed.
    Unknown,
    /// The credential was refused, before anything was processed.
    Unauthorized,
}

impl Meaning {
    /// The meaning of a delivery state by the RFCs. Every status has one.
    #[must_use]
    pub const fn of(delivery: Delivery) -> Self {
        match delivery {
            // RFC 9110 §15.5.20 (421), RFC 8470 §5.2 (425), RFC 6585 §4 (429).
            Delivery::NotSent | Delivery::Refused | Delivery::Answered(421 | 425 | 429) => {
                Self::NotProcessed
            }
            // RFC 9110 §15.2 to §15.4.
            Delivery::Answered(100..=399) => Self::Success,
            // RFC 9110 §15.5.2.
            Delivery::Answered(401) => Self::Unauthorized,
            // RFC 9110 §15.5.10, and the Idempotency-Key draft §2.6: the first sending still runs.
            Delivery::Answered(409) => Self::InProgress,
            // RFC 9110 §15.6.2 (501), §15.6.6 (505), RFC 6585 §6 (511): no second sending helps.
            Delivery::Answered(501 | 505 | 511) => Self::Permanent,
            // RFC 9110 §15.5.9 (408) and §15.6.
            Delivery::Unknown | Delivery::Answered(408 | 500..=599) => Self::Unknown,
            // RFC 9110 §15.5 (4xx); below 100 and from 600 on no standard gives a status a meaning.
            Delivery::Answered(_) => Self::Permanent,
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

/// One cell of the truth table, for a delivery state as the RFCs mean it.
///
/// Total: every status from 0 to 65535 has an answer.
#[must_use]
pub const fn classify(safety: Safety, delivery: Delivery) -> Verdict {
    judge(safety, Meaning::of(delivery))
}

/// One cell of the truth table.
#[must_use]
pub const fn judge(safety: Safety, meaning: Meaning) -> Verdict {
    match (meaning, safety) {
        (Meaning::Success, _) => Verdict::Return,
        (Meaning::Permanent, _) => Verdict::Stop(StopReason::Permanent),
        (_, Safety::Forbidden) => Verdict::Stop(StopReason::Forbidden),
        (Meaning::NotProcessed, _) | (Meaning::InProgress, Safety::Keyed) => Verdict::Again,
        (Meaning::InProgress, _) => Verdict::Stop(StopReason::Permanent),
        (Meaning::Unauthorized, _) => Verdict::Refresh,
        (Meaning::Unknown, Safety::Unsafe) => Verdict::Stop(StopReason::NotRepeatable),
        (Meaning::Unknown, _) => Verdict::Again,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const COLUMNS: [(&str, Safety); 5] = [
        ("idempotent", Safety::Idempotent),
        ("keyed", Safety::Keyed),
        ("vouched", Safety::Vouched),
        ("unsafe", Safety::Unsafe),
        ("forbidden", Safety::Forbidden),
    ];

    fn cell(verdict: Verdict) -> &'static str {
        match verdict {
            Verdict::Again => "again",
            Verdict::Refresh => "refresh",
            Verdict::Return => "return",
            Verdict::Stop(StopReason::Forbidden) => "stop: forbidden",
            Verdict::Stop(StopReason::NotRepeatable) => "stop: not repeatable",
            Verdict::Stop(StopReason::Permanent) => "stop: permanent",
            Verdict::Stop(other) => panic!("not a cell's own reason: {other:?}"),
        }
    }

    fn cells(delivery: Delivery) -> [&'static str; 5] {
        COLUMNS.map(|(_, safety)| cell(classify(safety, delivery)))
    }

    /// `100`, or `100–399`.
    fn range(first: u16, last: u16) -> String {
        if first == last { first.to_string() } else { format!("{first}–{last}") }
    }

    /// The whole table, the statuses 100 to 999 grouped by equal cells.
    fn generated() -> String {
        let mut rows: Vec<(String, [&str; 5])> = vec![
            ("not sent".into(), cells(Delivery::NotSent)),
            ("refused".into(), cells(Delivery::Refused)),
            ("unknown".into(), cells(Delivery::Unknown)),
        ];
        let named = rows.len();
        let mut first = 100;
        for status in 100..=999 {
            let these = cells(Delivery::Answered(status));
            if status < 999 && cells(Delivery::Answered(status + 1)) == these {
                continue;
            }
            match rows[named..].iter_mut().find(|(_, cells)| *cells == these) {
                Some((statuses, _)) => write!(statuses, ", {}", range(first, status)).unwrap(),
                None => rows.push((range(first, status), these)),
            }
            first = status + 1;
        }
        let mut table = format!("| | {} |\n|", COLUMNS.map(|(name, _)| name).join(" | "));
        table += &" --- |".repeat(6);
        for (name, cells) in rows {
            write!(table, "\n| {name} | {} |", cells.join(" | ")).unwrap();
        }
        table + "\n"
    }

    #[test]
    fn every_cell_is_as_documented() {
        assert_eq!(generated(), include_str!("../truth-table.md"));
    }

    /// The decisions of the design, written a second time: rows by hand, not by the code's own ranges.
    #[test]
    fn every_status_is_as_decided() {
        for status in 0..=u16::MAX {
            let expected = match status {
                421 | 425 | 429 => ["again", "again", "again", "again"],
                401 => ["refresh"; 4],
                409 => ["stop: permanent", "again", "stop: permanent", "stop: permanent"],
                501 | 505 | 511 => ["stop: permanent"; 4],
                408 | 500..=599 => ["again", "again", "again", "stop: not repeatable"],
                100..=399 => ["return"; 4],
                _ => ["stop: permanent"; 4],
            };
            assert_eq!(cells(Delivery::Answered(status))[..4], expected, "{status}");
        }
        for delivery in [Delivery::NotSent, Delivery::Refused] {
            assert_eq!(cells(delivery)[..4], ["again"; 4], "{delivery:?}");
        }
        let unknown = ["again", "again", "again", "stop: not repeatable"];
        assert_eq!(cells(Delivery::Unknown)[..4], unknown);
    }

    #[test]
    fn a_forbidden_request_is_never_sent_twice() {
        let answered = (0..=u16::MAX).map(Delivery::Answered);
        for delivery in
            [Delivery::NotSent, Delivery::Refused, Delivery::Unknown].into_iter().chain(answered)
        {
            let verdict = classify(Safety::Forbidden, delivery);
            assert!(matches!(verdict, Verdict::Return | Verdict::Stop(_)), "{delivery:?}");
        }
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
            (Delivery::Answered(408), Some(Class::Network)),
            (Delivery::Answered(421), Some(Class::Network)),
            (Delivery::Answered(425), Some(Class::Network)),
            (Delivery::Answered(429), Some(Class::Throttled)),
            (Delivery::Answered(500), Some(Class::Server)),
            (Delivery::Answered(799), Some(Class::Server)),
        ] {
            assert_eq!(Class::of(delivery), class, "{delivery:?}");
        }
        for status in 0..=u16::MAX {
            let delivery = Delivery::Answered(status);
            assert_eq!(
                Class::of(delivery).is_none(),
                Meaning::of(delivery) == Meaning::Success,
                "{status}"
            );
        }
    }
}
