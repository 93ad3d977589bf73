//! How a run ended: exit code, message and report, always in agreement.

use std::process::ExitCode;
use std::time::Duration;

use http::StatusCode;
use pagination::{Error, Outcome, Proof, Report};
use retry_layer::BoxError;
use retry_layer::collect::CollectError;
use retry_policy::profile::Answer;
use retry_policy::{Class, Delivery, Policy, StopReason, Stopped};
use serde_json::json;

use super::say::Say;

/// How a run ended.
#[derive(Debug)]
pub struct Ending {
    pub kind: Kind,
    /// One line: what happened.
    pub what: String,
    /// The API's own words.
    pub words: Option<String>,
    /// What to do.
    pub advice: Option<String>,
    /// Whether the attempt that led to it is in the log.
    pub is_logged: bool,
    /// What shows that the export is complete.
    pub proof: Option<Proof>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Complete,
    Usage,
    Permanent,
    GaveUp,
    Inconsistent,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Usage => "usage",
            Self::Permanent => "permanent",
            Self::GaveUp => "gave_up",
            Self::Inconsistent => "inconsistent",
        }
    }

    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Complete => 0,
            Self::Usage => 2,
            Self::Permanent => 3,
            Self::GaveUp => 4,
            Self::Inconsistent => 5,
        })
    }
}

impl Ending {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), words: None, advice: None, is_logged: false, proof: None }
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Kind::Usage, what)
    }

    /// The scan is over by itself.
    pub fn of_scan(report: &Report, say: &Say) -> Self {
        match report.outcome() {
            Some(Outcome::Complete { proof }) => {
                let what = match proof {
                    Proof::Fenced | Proof::SingleAnswer => "every row was delivered exactly once",
                    _ => "complete by the API's own word: every row that it led to was delivered",
                };
                Self { proof: Some(*proof), ..Self::new(Kind::Complete, what) }
            }
            Some(Outcome::Inconsistent { why }) => Self {
                advice: Some("ask the API's vendor: rows may be missing".into()),
                ..Self::new(Kind::Inconsistent, say.clean(&why.to_string()))
            },
            Some(Outcome::BestEffort) => {
                let doubts: Vec<_> = report.doubts().iter().map(ToString::to_string).collect();
                let remedies: Vec<_> = report.doubts().iter().map(|it| it.remedy()).collect();
                let what = format!("rows may be missing: {}", doubts.join("; "));
                Self { advice: Some(remedies.join("; ")), ..Self::new(Kind::Inconsistent, what) }
            }
            Some(lost @ Outcome::LostPlace) => Self {
                advice: Some("remove the checkpoint to export anew".into()),
                ..Self::new(Kind::Inconsistent, lost.to_string())
            },
            _ => Self::new(Kind::Inconsistent, "the scan has no outcome"),
        }
    }

    /// A page could not be had.
    pub fn of_error(error: &Error<BoxError>, policy: &Policy, say: &Say) -> Self {
        let stop = error.attempts().and_then(retry_policy::Attempts::stop_reason);
        let tried = match error.attempts() {
            Some(attempts) if attempts.count() > 1 => {
                format!(" after {} attempts", attempts.count())
            }
            _ => String::new(),
        };
        let (delivery, happened, body) = match error {
            Error::Status { status, location, body, .. } => {
                let mut happened = format!("the API answered {status}");
                if let Some(location) = location {
                    let target = without_secrets(location);
                    happened = format!(
                        "{happened}, a redirect to {} that is not followed",
                        say.clean(&target)
                    );
                }
                (Delivery::Answered(status.as_u16()), happened, body.clone())
            }
            Error::Fetch { source, .. } | Error::Body { source, .. } => of_fetch(source, say),
            other => {
                let what = match other {
                    Error::NotAPage { why, .. } => format!("the answer is not a page: {why}"),
                    other => other.to_string(),
                };
                let ok = Delivery::Answered(StatusCode::OK.as_u16());
                (ok, say.clean(&what), bytes::Bytes::new())
            }
        };
        let kind = match (stop, Class::of(delivery)) {
            (
                Some(
                    StopReason::Permanent
                    | StopReason::CredentialRefused
                    | StopReason::NotRepeatable
                    | StopReason::BodyNotKept,
                ),
                _,
            ) => Kind::Permanent,
            (Some(_), _) | (None, Some(Class::Network)) => Kind::GaveUp,
            (None, _) => Kind::Permanent,
        };
        let why = match stop {
            Some(reason) if kind == Kind::GaveUp => format!(": {reason}"),
            Some(StopReason::CredentialRefused) => ": the key was refused".into(),
            _ => String::new(),
        };
        let said = match error {
            Error::Status { words, .. } | Error::NotAPage { words, .. } => words.as_ref(),
            _ => None,
        };
        let words = match said {
            Some(words) => Some(match words.field() {
                Some(field) => format!("{} ({field})", words.message()),
                None => words.message().to_owned(),
            }),
            None => Some(String::from_utf8_lossy(&body).trim().to_owned()),
        };
        Self {
            kind,
            proof: None,
            what: format!("{happened}{tried}{why}"),
            is_logged: stop.is_some(),
            words: words.filter(|words| !words.is_empty()).map(|words| say.clean(&words)),
            advice: Some(match error {
                Error::NotAPage { .. } => {
                    "check that --url is a list of the API that --api names".into()
                }
                Error::Status { location: Some(_), .. } => {
                    "if the API has moved, name its new address with --url".into()
                }
                _ => {
                    let profile = policy.profile();
                    let outcome = match delivery {
                        Delivery::Answered(status) => {
                            profile.outcome(&Answer::new(status).body(&body))
                        }
                        other => retry_policy::Outcome::new(other),
                    };
                    profile.advice(&outcome).to_owned()
                }
            }),
        }
    }

    /// The message, and what the report says of it.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", self.kind.name().replace('_', " "), self.what)];
        lines.extend(self.words.as_ref().map(|words| format!("  the API says: {words}")));
        lines.extend(self.advice.as_ref().map(|advice| format!("  what to do: {advice}")));
        lines
    }

    /// The report as JSON.
    pub fn report(&self, counts: &Counts) -> String {
        let reason = match &self.words {
            Some(words) => format!("{}: {words}", self.what),
            None => self.what.clone(),
        };
        let json = json!({
            "outcome": self.kind.name(),
            "proof": self.proof.map(Proof::name),
            "doubts": counts.scan.doubts().iter().map(|doubt| doubt.name()).collect::<Vec<_>>(),
            "reason": reason,
            "items": counts.scan.rows(),
            "pages": counts.scan.pages(),
            "requests": counts.requests,
            "retries": counts.retries,
            "waited_ms": u64::try_from(counts.waited.as_millis()).unwrap_or(u64::MAX),
            "shifts_repaired": counts.scan.shifts_repaired(),
            "duplicates_dropped": counts.scan.duplicates_dropped(),
        });
        format!("{json:#}\n")
    }
}

/// What the report counts.
#[derive(Default)]
pub struct Counts {
    pub scan: Report,
    pub requests: u64,
    pub retries: u64,
    pub waited: Duration,
}

/// A redirect's target without its query, and without a user name or password.
fn without_secrets(location: &str) -> String {
    let target = location.split(['?', '#']).next().unwrap_or_default();
    match target.split_once("//") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}//{host}{path}")
        }
        None => target.to_owned(),
    }
}

/// An error of the client: its delivery state and its innermost cause.
fn of_fetch(source: &BoxError, say: &Say) -> (Delivery, String, bytes::Bytes) {
    let mut cause: &(dyn std::error::Error + 'static) = &**source;
    if cause.downcast_ref::<Stopped>().is_some() {
        return (Delivery::Unknown, "no answer in time".into(), bytes::Bytes::new());
    }
    if let Some(CollectError::TooLarge { .. }) = cause.downcast_ref() {
        return (Delivery::Answered(413), cause.to_string(), bytes::Bytes::new());
    }
    let outer = cause.to_string();
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    // `io::Error` prints "Connection refused (os error 111)": the words are enough.
    let inner = cause.to_string();
    let inner = inner.split(" (os error").next().unwrap_or_default().to_lowercase();
    let what = if inner == outer { outer } else { format!("{outer}: {inner}") };
    (Delivery::Unknown, format!("no answer: {}", say.clean(&what)), bytes::Bytes::new())
}
