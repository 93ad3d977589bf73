//! How the layer does what it does, as one bundle of types.

use retry_policy::Stopped;

use crate::timer::Timer;
#[cfg(feature = "tokio")]
use crate::timer::TokioTimer;

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

/// The strategies of [`RetryLayer::new`](super::RetryLayer::new).
#[cfg(feature = "tokio")]
pub(crate) type Plain =
    With<crate::replay::CloneBody, LastAnswer, crate::delivery::KnownErrors, TokioTimer>;

/// Whether an attempt may be cut off, and what is answered then.
pub trait Answer<E> {
    /// Whether an attempt may be cut off although the service has not answered.
    const CUTS_OFF: bool;

    /// The error for a request that has no answer; `None` where that cannot happen.
    fn without_answer(stopped: Stopped) -> Option<E>;
}

/// Always the service's own last answer: attempts are never cut off.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LastAnswer;

impl<E> Answer<E> for LastAnswer {
    const CUTS_OFF: bool = false;

    fn without_answer(_: Stopped) -> Option<E> {
        None
    }
}

/// The service's own last answer, or [`Stopped`] where time ran out before there was one.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AnswerOrStopped;

impl<E: From<Stopped>> Answer<E> for AnswerOrStopped {
    const CUTS_OFF: bool = true;

    fn without_answer(stopped: Stopped) -> Option<E> {
        Some(stopped.into())
    }
}
