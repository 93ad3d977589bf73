//! hyper: what it never began to send.

use hyper::Error;
use retry_policy::Delivery;

use super::Cause;

pub(super) fn delivery(error: &Cause) -> Option<Delivery> {
    let error = error.downcast_ref::<Error>()?;
    // Canceled is said of requests that wait for their connection, and of no other.
    if error.is_canceled() {
        return Some(Delivery::NotSent);
    }
    // What the request's own body met, a refused connection for example, says nothing of the request.
    error.is_user().then_some(Delivery::Unknown)
}
