//! From a client's error to what is known about the attempt.
//!
//! | error | feature | delivery state |
//! | --- | --- | --- |
//! | hyper-util's legacy client: the connection could not be made | `hyper-util` | not sent |
//! | hyper: the request never left its queue | `hyper` | not sent |
//! | reqwest: a request that cannot be built, as from an address that is not absolute, or redirects without an end | `reqwest` | unknown, and final |
//! | reqwest: any other, as it may be the error of a redirect; `of_reqwest_without_redirects` reads more | `reqwest` | unknown |
//! | h2: a remote `REFUSED_STREAM`; a remote `GOAWAY` that ends above this stream | `h2` | refused |
//! | `io`: connection refused, no such address | | not sent |
//! | an answer longer than [`Collect`](crate::collect) may hold | | answered 413: ask for less |
//! | the time was up: tower's `Elapsed`, tokio's, `io`'s, reqwest's | `tower`, `tokio`, `reqwest` | unknown, and a timeout |
//! | anything else | | unknown |
//!
//! A layer that follows redirects belongs outside of the retry for the same reason.
//!
//! "Unknown" is the safe answer: such a request is only repeated if repeating does no harm. Each row is proven in
//! `tests/clients` against a server that does the thing.

mod elapsed;
#[cfg(feature = "h2")]
mod h2;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "hyper-util")]
mod hyper_util;
mod io;
#[cfg(feature = "reqwest")]
mod reqwest;

#[cfg(feature = "reqwest")]
use reqwest::is_final;
#[cfg(feature = "reqwest")]
pub use reqwest::of_reqwest_without_redirects;

use core::any::Any;
use std::error::Error;

use retry_policy::Delivery;

use crate::BoxError;
use crate::collect::CollectError;

type Cause = dyn Error + 'static;

#[cfg(not(feature = "reqwest"))]
const fn is_final(_: &Cause) -> bool {
    false
}

/// What each client's errors say, asked in this order for every error of a chain.
const DELIVERIES: &[fn(&Cause) -> Option<Delivery>] = &[
    of_collect,
    #[cfg(feature = "hyper-util")]
    hyper_util::delivery,
    #[cfg(feature = "reqwest")]
    reqwest::delivery,
    #[cfg(feature = "hyper")]
    hyper::delivery,
    #[cfg(feature = "h2")]
    h2::delivery,
    io::delivery,
];

/// Which of them are errors as a service has them, not in a box.
const ROOTS: &[fn(&dyn Any) -> Option<&Cause>] = &[
    |any| any.downcast_ref::<BoxError>().map(|boxed| &**boxed as _),
    |any| any.downcast_ref::<Box<dyn Error>>().map(|boxed| &**boxed as _),
    root::<CollectError>,
    root::<std::io::Error>,
    #[cfg(feature = "hyper-util")]
    root::<::hyper_util::client::legacy::Error>,
    #[cfg(feature = "reqwest")]
    root::<::reqwest::Error>,
    #[cfg(feature = "hyper")]
    root::<::hyper::Error>,
    #[cfg(feature = "h2")]
    root::<::h2::Error>,
];

fn root<E: Error + 'static>(any: &dyn Any) -> Option<&Cause> {
    any.downcast_ref::<E>().map(|error| error as _)
}

/// Says what a service's error means for the request that met it.
pub trait Deliver<E: ?Sized> {
    /// The delivery state behind an error.
    fn delivery(&self, error: &E) -> Delivery;

    /// Whether it says that time was up: a request for less might have succeeded.
    fn is_timeout(&self, error: &E) -> bool {
        let _ = error;
        false
    }

    /// Whether sending the request again would end the same way: it cannot be built, or leads from one redirect to the
    /// next without an end.
    fn is_final(&self, error: &E) -> bool {
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
#[allow(clippy::exhaustive_structs, reason = "it has no settings")]
pub struct KnownErrors;

impl<E: 'static> Deliver<E> for KnownErrors {
    fn delivery(&self, error: &E) -> Delivery {
        known(error).map_or(Delivery::Unknown, said)
    }

    fn is_timeout(&self, error: &E) -> bool {
        known(error).is_some_and(is_timeout)
    }

    fn is_final(&self, error: &E) -> bool {
        known(error).is_some_and(|error| chain(error).any(is_final))
    }

    fn words(&self, error: &E) -> Option<String> {
        known(error).map(words)
    }
}

/// The error behind a type that is known, boxed or not.
fn known<E: 'static>(error: &E) -> Option<&Cause> {
    ROOTS.iter().find_map(|root| root(error))
}

/// The error and its sources, at most 32: a chain that leads back to itself ends as well.
fn chain(error: &Cause) -> impl Iterator<Item = &Cause> {
    core::iter::successors(Some(error), |&error| error.source()).take(32)
}

/// A function from an error to its delivery state; what else there is to say of an error of the table is read as by
/// [`KnownErrors`].
impl<E: 'static, F: Fn(&E) -> Delivery> Deliver<E> for OfFunction<F> {
    fn delivery(&self, error: &E) -> Delivery {
        (self.0)(error)
    }

    fn is_timeout(&self, error: &E) -> bool {
        let is_timeout = known(error).is_some_and(|error| chain(error).any(elapsed::is_timeout));
        is_timeout && self.delivery(error) == Delivery::Unknown
    }

    fn is_final(&self, error: &E) -> bool {
        KnownErrors.is_final(error)
    }

    fn words(&self, error: &E) -> Option<String> {
        KnownErrors.words(error)
    }
}

/// Reads an error of any type by the table above, with its sources: for clients whose own error is not in it, as tonic's.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it has no settings")]
pub struct AnyError;

impl<E: Error + 'static> Deliver<E> for AnyError {
    fn delivery(&self, error: &E) -> Delivery {
        said(error)
    }

    fn is_timeout(&self, error: &E) -> bool {
        is_timeout(error)
    }

    fn is_final(&self, error: &E) -> bool {
        chain(error).any(is_final)
    }

    fn words(&self, error: &E) -> Option<String> {
        Some(words(error))
    }
}

fn is_timeout(error: &Cause) -> bool {
    said(error) == Delivery::Unknown && chain(error).any(elapsed::is_timeout)
}

fn words(error: &Cause) -> String {
    let words: Vec<String> = chain(error).map(ToString::to_string).collect();
    words.join(": ")
}

/// The caller's own reading of its errors.
#[derive(Clone, Copy, Debug)]
pub struct OfFunction<F>(pub(crate) F);

/// What the first error of the chain says that says anything.
fn said(error: &Cause) -> Delivery {
    let says = |error: &Cause| DELIVERIES.iter().find_map(|delivery| delivery(error));
    chain(error).find_map(says).unwrap_or(Delivery::Unknown)
}

fn of_collect(error: &Cause) -> Option<Delivery> {
    Some(match error.downcast_ref()? {
        CollectError::TooLarge { .. } => Delivery::Answered(413),
        // Its head had arrived, whatever lies below.
        CollectError::Body(_) => Delivery::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

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
