//! One request's life, driven.
//!
//! ```text
//!            ┌──────────────── Refresh ──────────────────┐
//!            ▼                                           │
//! ready ─▶ attempt ─▶ decide ─▶ wait ─▶ token ─▶ ready   │
//!            ▲          │  │              │              │
//!            │          │  └──────────────┼──────────────┘
//!            └──────────┼─────────────────┘
//!                       └─▶ the last answer, with its attempts
//! ```

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use http::{Request, Response, request};
use pin_project_lite::pin_project;
use retry_policy::attempts::{Attempt, Record};
use retry_policy::budget::Token;
use retry_policy::budget::WhenEmpty;
use retry_policy::profile::Answer as Seen;
use retry_policy::{Budget, Class, Decision, Delivery, Outcome, Run, StopReason, Stopped};
use tower_service::Service;

use super::Event;
use super::service::Shared;
use super::strategies::{Answer, Strategies};
use crate::collect::ErrorBody;
use crate::credential::Generation;
use crate::delivery::Deliver;
use crate::replay::Replay;
use crate::timer::Timer;

/// How often a waiting request looks for a token that another request has earned. Our choice: short
/// beside the 1 s of the first probe.
const TOKEN_POLL: Duration = Duration::from_millis(50);

pin_project! {
    /// The answer to a request, after as many attempts as it takes.
    pub struct ResponseFuture<S, B, W>
    where
        S: Service<Request<B>>,
        W: Strategies,
        W::Replay: Replay<B>,
    {
        #[pin]
        state: State<S::Future, <W::Timer as Timer>::Sleep>,
        service: S,
        head: request::Parts,
        kept: Option<<W::Replay as Replay<B>>::Kept>,
        next_body: Option<B>,
        generation: Option<Generation>,
        run: Run,
        began: <W::Timer as Timer>::Instant,
        answer: Option<Result<S::Response, S::Error>>,
        permit: Permit,
        token: Option<Token>,
        shared: Arc<Shared<W>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, L> {
        Attempt { #[pin] call: F, cut_off: CutOff, #[pin] limit: Option<L> },
        Wait { #[pin] sleep: L, then: Then },
        Ready,
        Done,
    }
}

/// Whether and when the attempt is cut off.
#[derive(Clone, Copy)]
enum CutOff {
    Never,
    After(Duration),
}

/// What follows a wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    SendAgain,
    GiveBack,
}

/// A token that was taken and may have to be given back.
struct Permit(Option<(Arc<Budget>, Token)>);

impl Permit {
    /// The retry is sent; what it had taken.
    fn spend(&mut self) -> Option<Token> {
        self.0.take().map(|(_, token)| token)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((budget, token)) = self.0.take() {
            budget.refund(token);
        }
    }
}

impl<S, B, RB, W> ResponseFuture<S, B, W>
where
    S: Service<Request<B>, Response = Response<RB>>,
    W: Strategies,
    W::Replay: Replay<B>,
    W::Answer: Answer<S::Error>,
    W::Deliver: Deliver<S::Error>,
{
    pub(super) fn new(mut service: S, shared: Arc<Shared<W>>, request: Request<B>) -> Self {
        let run = Run::of(shared.config.policy, &request);
        if let Some(budget) = &shared.config.budget {
            budget.begin(|| shared.strategies.timer().since(shared.epoch));
        }
        let (head, body) = request.into_parts();
        let (body, kept) = shared.strategies.replay().keep(body);
        let began = shared.strategies.timer().now();
        let (request, generation) = attempt(&shared, &head, body);
        let cut_off = cut_off::<S, B, W>(&shared, &run, Duration::ZERO);
        let call = service.call(request);
        Self {
            state: State::Attempt { call, cut_off, limit: None },
            service,
            head,
            kept,
            next_body: None,
            generation,
            run,
            began,
            answer: None,
            permit: Permit(None),
            token: None,
            shared,
        }
    }
}

/// One attempt's request, with the credential of the moment.
fn attempt<B, W: Strategies>(
    shared: &Shared<W>,
    head: &request::Parts,
    body: B,
) -> (Request<B>, Option<Generation>) {
    let mut request = Request::from_parts(head.clone(), body);
    let generation = shared.config.credential.as_ref().map(|key| key.attach(request.headers_mut()));
    (request, generation)
}

/// The attempt's timeout or what is left of the deadline, whichever is shorter.
fn cut_off<S, B, W>(shared: &Shared<W>, run: &Run, elapsed: Duration) -> CutOff
where
    S: Service<Request<B>>,
    W: Strategies,
    W::Answer: Answer<S::Error>,
{
    if !<W::Answer as Answer<S::Error>>::CUTS_OFF {
        return CutOff::Never;
    }
    match (shared.config.attempt_timeout, run.time_left(elapsed)) {
        (None, None) => CutOff::Never,
        (Some(limit), None) | (None, Some(limit)) => CutOff::After(limit),
        (Some(timeout), Some(left)) => CutOff::After(timeout.min(left)),
    }
}

impl<S, B, RB, W> Future for ResponseFuture<S, B, W>
where
    S: Service<Request<B>, Response = Response<RB>>,
    W: Strategies,
    W::Replay: Replay<B>,
    W::Answer: Answer<S::Error>,
    W::Deliver: Deliver<S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut this = self.as_mut().project();
            match this.state.as_mut().project() {
                StateProj::Attempt { call, cut_off, mut limit } => {
                    if let Poll::Ready(answer) = call.poll(cx) {
                        self.as_mut().ended(Some(answer));
                        continue;
                    }
                    // Only now is a timer worth its price.
                    if let (CutOff::After(after), true) = (*cut_off, limit.is_none()) {
                        limit.set(Some(this.shared.strategies.timer().sleep(after)));
                    }
                    match limit.as_pin_mut() {
                        Some(limit) => ready!(limit.poll(cx)),
                        None => return Poll::Pending,
                    }
                    self.as_mut().ended(None);
                }
                StateProj::Wait { sleep, then } => {
                    ready!(sleep.poll(cx));
                    let then = *then;
                    self.as_mut().take_token(then);
                }
                StateProj::Ready => match ready!(this.service.poll_ready(cx)) {
                    Ok(()) => self.as_mut().send_again(),
                    Err(error) => {
                        *this.answer = Some(Err(error));
                        this.state.set(State::Done);
                    }
                },
                StateProj::Done => return Poll::Ready(self.as_mut().finish()),
            }
        }
    }
}

impl<S, B, RB, W> ResponseFuture<S, B, W>
where
    S: Service<Request<B>, Response = Response<RB>>,
    W: Strategies,
    W::Replay: Replay<B>,
    W::Answer: Answer<S::Error>,
    W::Deliver: Deliver<S::Error>,
{
    /// An attempt has ended, with an answer or cut off: decides what comes next.
    fn ended(mut self: Pin<&mut Self>, answer: Option<Result<S::Response, S::Error>>) {
        let mut this = self.as_mut().project();
        let shared = &**this.shared;
        let elapsed = shared.strategies.timer().since(*this.began);
        let draw = fastrand::u32(..);
        let decision = match &answer {
            None => this.run.after(&Outcome::timed_out(), elapsed, draw),
            Some(Err(error)) => {
                let delivery = shared.strategies.deliver().delivery(error);
                this.run.after(&Outcome::new(delivery), elapsed, draw)
            }
            Some(Ok(response)) => {
                let profile = this.run.policy().profile();
                let status = response.status().as_u16();
                let mut seen = Seen::new(status);
                if profile.reads(status) {
                    seen = seen.headers(response.headers(), SystemTime::now());
                    if let Some(body) = response.extensions().get::<ErrorBody>() {
                        seen = seen.body(body.bytes());
                    }
                }
                this.run.after(&profile.outcome(&seen), elapsed, draw)
            }
        };
        // A retry that never left costs nothing.
        if newest_delivery(this.run) == Some(Delivery::NotSent) {
            if let (Some(budget), Some(token)) = (&shared.config.budget, this.token.take()) {
                budget.refund(token);
            }
        }
        if matches!(decision, Decision::Refresh | Decision::Retry { .. }) {
            let replay = shared.strategies.replay();
            *this.next_body = this.kept.as_mut().and_then(|kept| replay.again(kept));
        }
        let decision = match decision {
            Decision::Refresh | Decision::Retry { .. } if this.next_body.is_none() => {
                this.run.stop(StopReason::BodyNotKept)
            }
            Decision::Refresh if !refreshed(shared, *this.generation) => {
                this.run.stop(StopReason::CredentialRefused)
            }
            Decision::Retry { .. } | Decision::Shrink { .. } => {
                // Shed: the token is taken first, so that the wait is not in vain.
                match &shared.config.budget {
                    Some(budget) if budget.when_empty() == WhenEmpty::Shed => {
                        let now = shared.strategies.timer().since(shared.epoch);
                        match budget.take(newest_class(this.run), now) {
                            Ok(token) => {
                                *this.permit = Permit(Some((Arc::clone(budget), token)));
                                decision
                            }
                            Err(_) => this.run.stop(StopReason::Budget),
                        }
                    }
                    _ => decision,
                }
            }
            decision => decision,
        };
        if let Some(budget) = &shared.config.budget {
            let last = if decision == Decision::Return { this.token.take() } else { None };
            budget.end(decision, last);
        }
        if let Some(record) = this.head.extensions.get::<Record>() {
            record.set(*this.run.attempts());
        }
        let error = answer.as_ref().and_then(|answer| answer.as_ref().err());
        let words = || error.and_then(|error| shared.strategies.deliver().words(error));
        tell(shared, this.head, this.run, Some(&words), answer.is_none(), decision);
        *this.answer = answer;
        let (after, then) = match decision {
            Decision::Refresh => return this.state.set(State::Ready),
            Decision::Retry { after, .. } => (after, Then::SendAgain),
            Decision::Shrink { after, .. } => (after, Then::GiveBack),
            _ => return this.state.set(State::Done),
        };
        // Another attempt is certain: what the answer holds, a connection perhaps, is let go.
        let paced = shared.config.budget.is_some() && this.permit.0.is_none();
        if then == Then::SendAgain && !paced {
            *this.answer = None;
        }
        if after.is_zero() {
            return self.take_token(then); // A timer would wait for its next tick.
        }
        let sleep = shared.strategies.timer().sleep(after);
        this.state.set(State::Wait { sleep, then });
    }

    /// The wait is over: where retries are paced, they also need a token.
    fn take_token(self: Pin<&mut Self>, then: Then) {
        let mut this = self.project();
        let shared = &**this.shared;
        let timer = shared.strategies.timer();
        if let (Some(budget), None) = (&shared.config.budget, &this.permit.0) {
            let now = timer.since(shared.epoch);
            let token = match budget.take(newest_class(this.run), now) {
                Ok(token) => token,
                Err(empty) => {
                    let until = empty.until().unwrap_or(Duration::MAX);
                    let wait =
                        until.saturating_sub(now).clamp(Duration::from_millis(1), TOKEN_POLL);
                    let left = this.run.time_left(timer.since(*this.began));
                    if left.is_some_and(|left| wait >= left) {
                        let decision = this.run.stop(StopReason::Budget);
                        tell(shared, this.head, this.run, None, false, decision);
                        return this.state.set(State::Done);
                    }
                    this.run.waited_longer(wait);
                    return this.state.set(State::Wait { sleep: timer.sleep(wait), then });
                }
            };
            *this.permit = Permit(Some((Arc::clone(budget), token)));
        }
        match then {
            Then::SendAgain => this.state.set(State::Ready),
            Then::GiveBack => {
                this.permit.spend();
                this.state.set(State::Done);
            }
        }
    }

    /// The service is ready for the next attempt.
    fn send_again(self: Pin<&mut Self>) {
        let mut this = self.project();
        let body = this.next_body.take().expect("a request is sent again with the body at hand");
        *this.answer = None;
        if let Some(token) = this.permit.spend() {
            *this.token = Some(token);
        }
        let (request, generation) = attempt(this.shared, this.head, body);
        *this.generation = generation;
        let elapsed = this.shared.strategies.timer().since(*this.began);
        let cut_off = cut_off::<S, B, W>(this.shared, this.run, elapsed);
        let call = this.service.call(request);
        this.state.set(State::Attempt { call, cut_off, limit: None });
    }

    fn finish(self: Pin<&mut Self>) -> Result<S::Response, S::Error> {
        let this = self.project();
        let attempts = *this.run.attempts();
        if let Some(record) = this.head.extensions.get::<Record>() {
            record.set(attempts);
        }
        match this.answer.take() {
            Some(Ok(mut response)) => {
                if attempts.count() > 1 || attempts.stop_reason().is_some() {
                    response.extensions_mut().insert(attempts);
                }
                Ok(response)
            }
            Some(Err(error)) => Err(error),
            None => Err(<W::Answer as Answer<S::Error>>::without_answer(Stopped::new(attempts))
                .expect("an answer is only discarded when another attempt follows")),
        }
    }
}

/// What became of the newest attempt.
fn newest_delivery(run: &Run) -> Option<Delivery> {
    run.attempts().iter().last().map(Attempt::delivery)
}

/// The class of the failure that a retry answers.
fn newest_class(run: &Run) -> Class {
    run.attempts().iter().last().and_then(Attempt::class).unwrap_or(Class::Server)
}

/// Tells the observer, if there is one, what became of the newest attempt.
fn tell<W: Strategies>(
    shared: &Shared<W>,
    head: &request::Parts,
    run: &Run,
    error: Option<&dyn Fn() -> Option<String>>,
    timed_out: bool,
    decision: Decision,
) {
    let (Some(observer), Some(last)) = (&shared.config.observer, run.attempts().iter().last())
    else {
        return;
    };
    observer(&Event {
        uri: &head.uri,
        attempt: run.attempts().count(),
        delivery: last.delivery(),
        error: error.and_then(|words| words()),
        timed_out,
        decision,
    });
}

/// Whether there is another credential than the one that was refused.
fn refreshed<W: Strategies>(shared: &Shared<W>, refused: Option<Generation>) -> bool {
    match (&shared.config.credential, refused) {
        (Some(credential), Some(refused)) => credential.refresh(refused),
        _ => false,
    }
}

impl<S, B, W> fmt::Debug for ResponseFuture<S, B, W>
where
    S: Service<Request<B>>,
    W: Strategies,
    W::Replay: Replay<B>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("run", &self.run).finish_non_exhaustive()
    }
}
