//! How the layer does what it does, as one bundle of types.

use retry_policy::Stopped;

use crate::timer::Timer;

/// The strategies of a [`Retry`](super::Retry).
pub trait Strategies {
    /// How bodies are sent again: a [`Replay`](crate::replay::Replay).
    type Replay;
    /// What is answered when there is no answer: an [`Answer`].
    type Answer;
    /// What errors mean: a [`Deliver`](crate::delivery::Deliver).
    type Deliver;
    /// Clock and waiting.
    type Timer: Timer;

    /// How bodies are sent again.
    fn replay(&self) -> &Self::Replay;
    /// What errors mean.
    fn deliver(&self) -> &Self::Deliver;
    /// Clock and waiting.
    fn timer(&self) -> &Self::Timer;
}

/// Four strategies.
#[derive(Clone, Copy, Debug)]
pub struct With<R, A, D, T> {
    pub(crate) replay: R,
    pub(crate) answer: A,
    pub(crate) deliver: D,
    pub(crate) timer: T,
}

impl<R, A, D, T: Timer> Strategies for With<R, A, D, T> {
    type Replay = R;
    type Answer = A;
    type Deliver = D;
    type Timer = T;

    fn replay(&self) -> &R {
        &self.replay
    }

    fn deliver(&self) -> &D {
        &self.deliver
    }

    fn timer(&self) -> &T {
        &self.timer
    }
}

/// Whether an attempt may be cut off, and what is answered then.
#[diagnostic::on_unimplemented(
    message = "an error of type `{E}` cannot hold a `Stopped`",
    note = "timeouts and closed gates need one that can: a boxed error below the layer, as `CollectLayer` has"
)]
pub trait Answer<E> {
    /// Whether a request may end although the service has not answered it.
    const MAY_STOP: bool;

    /// The error for a request that has no answer; `None` where that cannot happen.
    fn without_answer(stopped: Stopped) -> Option<E>;
}

/// Always the service's own last answer: nothing is cut off, and a deadline is looked at between attempts.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LastAnswer;

impl<E> Answer<E> for LastAnswer {
    const MAY_STOP: bool = false;

    fn without_answer(_: Stopped) -> Option<E> {
        None
    }
}

/// The service's own last answer, or [`Stopped`] where there is none: time ran out, or the gate is closed.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AnswerOrStopped;

impl<E: From<Stopped>> Answer<E> for AnswerOrStopped {
    const MAY_STOP: bool = true;

    fn without_answer(stopped: Stopped) -> Option<E> {
        Some(stopped.into())
    }
}

/// A response, whatever its body is.
pub trait Answered {
    /// Its body.
    type Body;
}

impl<RB> Answered for http::Response<RB> {
    type Body = RB;
}
