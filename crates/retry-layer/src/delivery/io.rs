//! The operating system's errors.

use std::io;

use retry_policy::Delivery;

use super::Cause;

pub(super) fn delivery(error: &Cause) -> Option<Delivery> {
    match error.downcast_ref::<io::Error>()?.kind() {
        // Only connecting ends like this; "unreachable" can also end a connection in use.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable => {
            Some(Delivery::NotSent)
        }
        _ => None,
    }
}
