//! gRPC over HTTP/2: the status stands in the head of a 200 that has no body ("trailers-only").
//!
//! | code | is | source |
//! | --- | --- | --- |
//! | 0 | a success | |
//! | 8 `RESOURCE_EXHAUSTED`, 14 `UNAVAILABLE` | temporary; it may have been processed | AIP-194, gRPC proposal A6 |
//! | 16 `UNAUTHENTICATED` | a refused credential | google.rpc.Code |
//! | all others | permanent: `INTERNAL` and `UNKNOWN` are bugs, `ABORTED` begins further up | AIP-194 |
//!
//! Every call is a `POST`, so none is repeated after an answer unless it is vouched for or keyed. A
//! pushback that is negative, unreadable or given twice means stop (A6).
//!
//! # Numbers
//!
//! Those of the [default](super::DEFAULT): gRPC leaves them to each service's configuration.

use super::{Advice, Answer, Profile, Reading, default};
use crate::Class;
use crate::classify::Meaning;
use crate::hint::{Pushback, Rules};

/// gRPC over HTTP/2.
pub const GRPC: &Profile = &Profile {
    name: "grpc",
    numbers: default::NUMBERS,
    hints: Rules::new().pushback(Pushback::Strict),
    refine,
    reads_successes: true,
    pauses_all: false,
    advice: Advice {
        authorization: "check the credential and its rights",
        content: "correct the call",
        network: "check the address, the network and whether the service runs",
        server: "try again later, if the call may be repeated",
        throttled: "call less often",
    },
};

fn refine(answer: &Answer<'_>) -> Option<Reading> {
    if answer.status() != 200 {
        return None;
    }
    // Absent where the answer goes on: its status then follows the body.
    let (class, meaning) = match answer.header("grpc-status")?.trim() {
        "0" => return None,
        "8" => (Class::Throttled, Meaning::Unknown),
        "14" => (Class::Server, Meaning::Unknown),
        "16" => (Class::Authorization, Meaning::Unauthorized),
        "7" => (Class::Authorization, Meaning::Permanent),
        "3" | "5" | "6" | "9" | "11" => (Class::Content, Meaning::Permanent),
        _ => (Class::Server, Meaning::Permanent),
    };
    let reading = Reading::new(class, meaning);
    Some(match (class, meaning) {
        (Class::Server, Meaning::Permanent) => {
            reading.advice("see the code: a second call would end the same way")
        }
        _ => reading,
    })
}
