//! h2: streams that the peer says it did not process.

use h2::{Error, Reason};
use retry_policy::Delivery;

use super::Cause;

pub(super) fn delivery(error: &Cause) -> Option<Delivery> {
    let error = error.downcast_ref::<Error>()?;
    // RFC 9113 §8.7: a refused stream was not processed.
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // RFC 9113 §6.8: nor was one above the last of a GOAWAY. h2 ends only those by it: streams up to the
    // last one go on, and end otherwise.
    (error.is_remote() && (is_refused || error.is_go_away())).then_some(Delivery::Refused)
}
