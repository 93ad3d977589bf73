//! From a client's error to what is known about the attempt.
//!
//! | error | delivery state |
//! | --- | --- |
//! | hyper-util's legacy client (feature `hyper-util`): the connection could not be made | not sent |
//! | `io`: refused, no such address | not sent |
//! | an answer longer than [`Collect`](crate::collect) may hold | answered 413: ask for less |
//! | anything else | unknown |
//!
//! "Unknown" is the safe answer: such a request is only repeated if repeating does no harm.

use core::any::Any;
use std::error::Error;
use std::io;

use retry_policy::Delivery;

use crate::BoxError;
use crate::collect::CollectError;

/// Says what a service's error means for the request that met it.
pub trait Deliver<E: ?Sized> {
    /// The delivery state behind an error.
    fn delivery(&self, error: &E) -> Delivery;

    /// Whether it says that time was up: a request for less might have succeeded.
    fn is_timeout(&self, error: &E) -> bool {
        let _ = error;
        false
    }

    /// The error in words, for whoever observes the attempts.
    fn words(&self, error: &E) -> Option<String> {
        let _ = error;
        None
    }
}

/// Knows the errors of the table above, boxed or not, and looks through their sources.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct KnownErrors;

impl<E: 'static> Deliver<E> for KnownErrors {
    fn delivery(&self, error: &E) -> Delivery {
        known(error).map_or(Delivery::Unknown, of_chain)
    }

    fn words(&self, error: &E) -> Option<String> {
        let words: Vec<String> = chain(known(error)?).map(ToString::to_string).collect();
        Some(words.join(": "))
    }
}

/// The error behind a type that is known, boxed or not.
fn known<E: 'static>(error: &E) -> Option<&(dyn Error + 'static)> {
    let any: &dyn Any = error;
    let known: Option<&(dyn Error + 'static)> = None
        .or_else(|| any.downcast_ref::<BoxError>().map(|boxed| &**boxed as _))
        .or_else(|| any.downcast_ref::<Box<dyn Error>>().map(|boxed| &**boxed as _))
        .or_else(|| any.downcast_ref::<CollectError>().map(|error| error as _))
        .or_else(|| any.downcast_ref::<io::Error>().map(|error| error as _));
    #[cfg(feature = "hyper-util")]
    let known = known.or_else(|| {
        any.downcast_ref::<hyper_util::client::legacy::Error>().map(|error| error as _)
    });
    known
}

/// The error and its sources, at most 32: a chain that leads back to itself ends as well.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    core::iter::successors(Some(error), |&error| error.source()).take(32)
}

/// A function from an error to its delivery state.
impl<E, F: Fn(&E) -> Delivery> Deliver<E> for OfFunction<F> {
    fn delivery(&self, error: &E) -> Delivery {
        (self.0)(error)
    }
}

/// The caller's own reading of its errors.
#[derive(Clone, Copy, Debug)]
pub struct OfFunction<F>(pub(crate) F);

/// What the first error of the chain says that says anything.
fn of_chain(error: &(dyn Error + 'static)) -> Delivery {
    chain(error).find_map(of_error).unwrap_or(Delivery::Unknown)
}

fn of_error(error: &(dyn Error + 'static)) -> Option<Delivery> {
    match error.downcast_ref() {
        Some(CollectError::TooLarge { .. }) => return Some(Delivery::Answered(413)),
        // Its head had arrived, whatever lies below.
        Some(CollectError::Body(_)) => return Some(Delivery::Unknown),
        None => {}
    }
    #[cfg(feature = "hyper-util")]
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        if error.is_connect() {
            return Some(Delivery::NotSent);
        }
    }
    match error.downcast_ref::<io::Error>()?.kind() {
        // Only connecting ends like this; "unreachable" can also end a connection in use.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable => {
            Some(Delivery::NotSent)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_failed_before_it_was_sent_counts_as_not_sent() {
        for (kind, delivery) in [
            (io::ErrorKind::ConnectionRefused, Delivery::NotSent),
            (io::ErrorKind::AddrNotAvailable, Delivery::NotSent),
            (io::ErrorKind::NetworkUnreachable, Delivery::Unknown),
            (io::ErrorKind::ConnectionReset, Delivery::Unknown),
            (io::ErrorKind::TimedOut, Delivery::Unknown),
            (io::ErrorKind::UnexpectedEof, Delivery::Unknown),
        ] {
            assert_eq!(KnownErrors.delivery(&io::Error::from(kind)), delivery, "{kind}");
            let boxed: BoxError = io::Error::from(kind).into();
            assert_eq!(KnownErrors.delivery(&boxed), delivery, "boxed {kind}");
            let in_body: BoxError = CollectError::Body(io::Error::from(kind).into()).into();
            assert_eq!(KnownErrors.delivery(&in_body), Delivery::Unknown, "in the body: {kind}");
        }
    }

    #[test]
    fn an_error_nobody_knows_leaves_the_fate_unknown() {
        assert_eq!(KnownErrors.delivery(&"what?"), Delivery::Unknown);
    }

    #[test]
    fn an_answer_above_the_limit_is_too_much_of_it() {
        let error: BoxError = CollectError::TooLarge { limit: 1 }.into();
        assert_eq!(KnownErrors.delivery(&error), Delivery::Answered(413));
    }
}
