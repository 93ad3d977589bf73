//! The same decisions around any future, without tower.

use core::future::Future;
use std::time::SystemTime;

use http::Response;
use retry_policy::classify::Meaning;
use retry_policy::profile::{Answer as Seen, Reading};
use retry_policy::{Class, Decision, Delivery, Outcome, Profile, Run, StopReason};

use crate::collect::ErrorBody;
use crate::delivery::{Deliver, KnownErrors};
use crate::timer::Timer;

/// What one sending ends with.
pub trait Ending {
    /// What it means for the next.
    fn outcome(&self, profile: &Profile) -> Outcome;
}

/// An answer is read by the profile, an error as [`KnownErrors`] reads it.
impl<B, E: 'static> Ending for Result<Response<B>, E> {
    fn outcome(&self, profile: &Profile) -> Outcome {
        read(&KnownErrors, profile, self.as_ref())
    }
}

/// Any value, with what it means.
impl<T> Ending for (T, Outcome) {
    fn outcome(&self, _: &Profile) -> Outcome {
        self.1
    }
}

/// What an answer or an error means.
pub(crate) fn read<B, E>(
    deliver: &impl Deliver<E>,
    profile: &Profile,
    answer: Result<&Response<B>, &E>,
) -> Outcome {
    let response = match answer {
        Err(error) if deliver.is_timeout(error) => return Outcome::timed_out(),
        Err(error) if deliver.is_final(error) => {
            let reading = Reading::new(Class::Content, Meaning::Permanent);
            return Outcome::new(deliver.delivery(error)).reading(reading);
        }
        Err(error) => return Outcome::new(deliver.delivery(error)),
        Ok(response) => response,
    };
    let status = response.status().as_u16();
    if !profile.reads(status) {
        return Outcome::new(Delivery::Answered(status));
    }
    let seen = Seen::new(status).headers(response.headers(), SystemTime::now());
    let outcome = profile.outcome(&match response.extensions().get::<ErrorBody>() {
        Some(body) => seen.body(body.bytes()),
        None => seen,
    });
    match outcome.class() {
        Some(class) if response.extensions().get::<OfRedirect>().is_some() => {
            outcome.reading(Reading::new(class, Meaning::Unknown))
        }
        _ => outcome,
    }
}

/// A response extension: it answers the request that a redirect led to, not the one that was sent and that is not
/// idempotent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfRedirect;

/// Sends until it succeeds or the policy says stop; `run` then says what happened and why.
///
/// Budget, gate and credential belong to the layer; a 401 is returned. The deadline is looked at between
/// two sendings.
///
/// ```
/// use retry_layer::policy::{Delivery, Outcome, Policy, Run, Safety};
/// use retry_layer::{retry, timer::TokioTimer};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let mut lines = ["", "hello"].into_iter();
/// # let mut read_line = move || core::future::ready(lines.next().unwrap());
/// let mut run = Run::new(Policy::default(), Safety::Idempotent);
/// let (line, _) = retry(&mut run, &TokioTimer::new(), || {
///     let line = read_line();
///     async {
///         let line = line.await;
///         let delivery = if line.is_empty() { Delivery::Unknown } else { Delivery::Answered(200) };
///         (line, Outcome::new(delivery))
///     }
/// })
/// .await;
/// assert_eq!((line, run.attempts().count()), ("hello", 2));
/// # }
/// ```
///
/// # Cancellation
///
/// Dropping the future ends the sending or the wait.
pub async fn retry<T, R, F>(run: &mut Run, timer: &T, mut send: impl FnMut() -> F) -> R
where
    T: Timer,
    R: Ending,
    F: Future<Output = R>,
{
    let began = timer.now();
    loop {
        let ending = send().await;
        let outcome = ending.outcome(run.policy().profile());
        match run.after(&outcome, timer.since(began), timer.draw()) {
            // A timer for no wait at all would wait for its next tick.
            Decision::Retry { after, .. } if after.is_zero() => {}
            Decision::Retry { after, .. } => timer.sleep(after).await,
            Decision::Refresh => {
                let _ = run.stop(StopReason::CredentialRefused);
                return ending;
            }
            Decision::Shrink { after, .. } => {
                if !after.is_zero() {
                    timer.sleep(after).await;
                }
                return ending;
            }
            _ => return ending,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use retry_policy::backoff::Backoff;
    use retry_policy::jitter::Jitter;
    use retry_policy::{Policy, Safety};
    use tokio::time::Instant;

    use super::*;
    use crate::BoxError;
    use crate::timer::TokioTimer;

    fn run(safety: Safety) -> Run {
        let backoff = Backoff::constant(Duration::from_secs(1));
        let policy = Policy::builder().backoff(backoff).throttled(backoff).jitter(Jitter::None);
        Run::new(policy.build().unwrap(), safety)
    }

    #[tokio::test(start_paused = true)]
    async fn waits_as_long_as_the_server_asks_and_returns_the_last_answer() {
        let began = Instant::now();
        let mut run = run(Safety::Idempotent);
        let mut answers = [("7", 503), ("0", 429), ("9", 503)].into_iter();
        let answer: Result<Response<()>, BoxError> = retry(&mut run, &TokioTimer::new(), || {
            let (after, status) = answers.next().unwrap();
            let answer = Response::builder().status(status).header("retry-after", after);
            core::future::ready(Ok(answer.body(()).unwrap()))
        })
        .await;
        assert_eq!(answer.unwrap().status(), 503);
        assert_eq!(began.elapsed(), Duration::from_secs(8));
        assert_eq!(run.attempts().stop_reason(), Some(StopReason::Attempts));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_repeated_only_where_that_does_no_harm() {
        for (kind, safety, attempts) in [
            (std::io::ErrorKind::ConnectionReset, Safety::Unsafe, 1),
            (std::io::ErrorKind::ConnectionReset, Safety::Idempotent, 3),
            (std::io::ErrorKind::ConnectionRefused, Safety::Unsafe, 3),
        ] {
            let mut run = run(safety);
            let answer: Result<Response<()>, std::io::Error> =
                retry(&mut run, &TokioTimer::new(), async || Err(kind.into())).await;
            assert_eq!(answer.unwrap_err().kind(), kind);
            assert_eq!(run.attempts().count(), attempts, "{kind} {safety:?}");
        }
    }

    #[tokio::test]
    async fn a_refused_credential_is_the_callers() {
        let mut run = run(Safety::Idempotent);
        let answer: Result<Response<()>, BoxError> =
            retry(&mut run, &TokioTimer::new(), async || {
                Ok(Response::builder().status(401).body(()).unwrap())
            })
            .await;
        assert_eq!(answer.unwrap().status(), 401);
        assert_eq!(run.attempts().stop_reason(), Some(StopReason::CredentialRefused));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_are_spread_by_the_timers_draws() {
        let began = Instant::now();
        let backoff = Backoff::constant(Duration::from_secs(2));
        let policy = Policy::builder().backoff(backoff).jitter(Jitter::Full).build().unwrap();
        let mut run = Run::new(policy, Safety::Idempotent);
        let down = Outcome::new(Delivery::Unknown);
        let half = crate::timer::Loaded(u32::MAX / 2 + 1);
        let _ = retry(&mut run, &half, || core::future::ready(((), down))).await;
        assert_eq!((began.elapsed(), run.attempts().count()), (Duration::from_secs(2), 3));
    }
}
