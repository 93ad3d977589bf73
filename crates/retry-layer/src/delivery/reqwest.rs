//! reqwest: what failed may not have been the request.
//!
//! It follows redirects by itself, ten by default. A POST that was processed and answered 303 ends with "the
//! connection could not be made" if the next address is down, and nothing in the error says so. So its errors
//! leave the fate unknown; a client that follows none is read by [`of_reqwest_without_redirects`].

use reqwest::Error;
use retry_policy::Delivery;

use super::{Cause, said};

pub(super) fn delivery(error: &Cause) -> Option<Delivery> {
    error.is::<Error>().then_some(Delivery::Unknown)
}

/// A redirect to an address that cannot be asked is "builder" as well, so it does not mean that nothing was sent.
pub(super) fn is_final(error: &Cause) -> bool {
    error.downcast_ref().is_some_and(|error: &Error| error.is_builder() || error.is_redirect())
}

/// What the error of a client with `redirect::Policy::none()` means.
///
/// ```
/// use retry_layer::delivery::of_reqwest_without_redirects;
/// use retry_layer::{RetryLayer, policy::Policy};
///
/// let layer = RetryLayer::new(Policy::default()).delivery(of_reqwest_without_redirects);
/// ```
#[must_use]
pub fn of_reqwest_without_redirects(error: &Error) -> Delivery {
    if error.is_connect() {
        return Delivery::NotSent;
    }
    // An error of the answer's body: the answer had begun.
    if !error.is_request() {
        return Delivery::Unknown;
    }
    std::error::Error::source(error).map_or(Delivery::Unknown, said)
}
