//! hyper: what it never began to send.

use hyper::Error;
use retry_policy::Delivery;

use super::Cause;

pub(super) fn delivery(error: &Cause) -> Option<Delivery> {
    // Canceled is said of requests that wait for their connection, and of no other.
    error.downcast_ref::<Error>()?.is_canceled().then_some(Delivery::NotSent)
}
