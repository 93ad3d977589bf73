//! How a request body is sent a second time.
//!
//! | strategy | for | what it keeps |
//! | --- | --- | --- |
//! | [`CloneBody`] | bodies whose clone is the same bytes: `Full<Bytes>`, `String` | a clone |
//! | [`TryClone`] | bodies with a `try_clone` of their own: kube, octocrab | a copy, if one is to be had |
//! | [`Captured`] | streams behind a boxed body: axum, tonic | what the first sending has read, up to a limit |
//! | `ReqwestBodies` | reqwest (feature `reqwest`, module `reqwest`) | bytes as they are, streams as above |
//! | [`Factory`] | bodies that can be made anew, from a file for example | how to make it |
//! | [`SendOnce`] | everything else | nothing |

mod captured;

pub use captured::{Capture, Captured, Kept};

/// Keeps what is needed to send a body again.
///
/// The first attempt gets the body itself, undelayed. A body of which nothing is kept is sent once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot send a body of type `{B}` again",
    note = "choose another strategy of `retry_layer::replay` by `.replay(..)`"
)]
pub trait Replay<B> {
    /// What is kept of a body.
    type Kept;

    /// Splits a body into the one to send now and what is needed to send it again.
    fn keep(&self, body: B) -> (B, Option<Self::Kept>);

    /// The body once more; `None` if it cannot be had.
    fn again(&self, kept: &mut Self::Kept) -> Option<B>;
}

/// Clones the body: for bodies such as `Full<Bytes>`, whose clone is the same bytes.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it has no settings")]
pub struct CloneBody;

impl<B: Clone> Replay<B> for CloneBody {
    type Kept = B;

    fn keep(&self, body: B) -> (B, Option<B>) {
        (body.clone(), Some(body))
    }

    fn again(&self, kept: &mut B) -> Option<B> {
        Some(kept.clone())
    }
}

/// Asks a function for a copy: for bodies with a `try_clone` of their own.
///
/// Where `try_clone` has none of an empty body, as octocrab's, the function can make one:
/// `|body| body.try_clone().or_else(|| body.is_end_stream().then(OctoBody::empty))`.
#[derive(Clone, Copy, Debug)]
pub struct TryClone<F>(F);

impl<F> TryClone<F> {
    /// A replay that copies by this function.
    pub const fn new(copy: F) -> Self {
        Self(copy)
    }
}

impl<B, F: Fn(&B) -> Option<B>> Replay<B> for TryClone<F> {
    type Kept = B;

    fn keep(&self, body: B) -> (B, Option<B>) {
        let copy = (self.0)(&body);
        (body, copy)
    }

    fn again(&self, kept: &mut B) -> Option<B> {
        (self.0)(kept)
    }
}

/// Asks a function for a factory that makes the body anew.
///
/// ```
/// use retry_layer::{RetryLayer, policy::Policy, replay::Factory};
///
/// struct Upload { path: String }
///
/// let replay = Factory::new(|upload: &Upload| {
///     let path = upload.path.clone();
///     Some(move || Some(Upload { path: path.clone() }))
/// });
/// let layer = RetryLayer::new(Policy::default()).replay(replay);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Factory<F>(F);

impl<F> Factory<F> {
    /// A replay whose bodies come from the factories of this function.
    pub const fn new(factory_for: F) -> Self {
        Self(factory_for)
    }
}

impl<B, F, G> Replay<B> for Factory<F>
where
    F: Fn(&B) -> Option<G>,
    G: FnMut() -> Option<B>,
{
    type Kept = G;

    fn keep(&self, body: B) -> (B, Option<G>) {
        let factory = (self.0)(&body);
        (body, factory)
    }

    fn again(&self, make: &mut G) -> Option<B> {
        make()
    }
}

/// Keeps nothing: every request is sent once, whatever becomes of it.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it has no settings")]
pub struct SendOnce;

impl<B> Replay<B> for SendOnce {
    type Kept = core::convert::Infallible;

    fn keep(&self, body: B) -> (B, Option<Self::Kept>) {
        (body, None)
    }

    fn again(&self, kept: &mut Self::Kept) -> Option<B> {
        match *kept {}
    }
}
