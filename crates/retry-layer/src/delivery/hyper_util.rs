//! hyper-util's legacy client: a connection that could not be made.

use hyper_util::client::legacy::Error;
use retry_policy::Delivery;

use super::Cause;

pub(super) fn delivery(error: &Cause) -> Option<Delivery> {
    error.downcast_ref::<Error>()?.is_connect().then_some(Delivery::NotSent)
}
