//! One request's life, driven.
//!
//! ```text
//!                 ┌──────────────── Refresh ───────────────┐
//!                 ▼                                        │
//! [Refresh] ─▶ [Gate] ─▶ [Ready] ─▶ Attempt ─▶ decide ─────┤
//!                 ▲                              │         │
//!                 │    shed: Drain ─▶ Wait ──────┤◀────────┘
//!                 ├──────────────────────────────┤
//!                 └── pace: Wait ─▶ Token ─▶ Drain
//!                                                └─▶ Done: the last answer, with its attempts
//! ```
//!
//! A first attempt passes the stages in brackets at once, unless all requests have to wait.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use retry_policy::{Run, StopReason, Stopped};
use tower_service::Service;

use super::at::At;
use super::life::{Held, Kept, Life};
use super::service::Shared;
use super::strategies::{Answer, Answered, Strategies};
use crate::collect::last_call;
use crate::credential::Age;
use crate::delivery::Deliver;
use crate::limits::{Entry, Scope, Ticket};
use crate::replay::Replay;
use crate::timer::Timer;
use crate::trace::Spans;

pin_project! {
    /// The answer to a request, after as many attempts as it takes.
    pub struct ResponseFuture<S, B, W>
    where
        S: Service<Request<B>, Response: Answered>,
        W: Strategies,
        W::Replay: Replay<B>,
    {
        #[pin]
        call: Option<S::Future>,
        shared: Arc<Shared<W>>,
        // On the clock of all that is shared.
        began: Duration,
        sleep: Option<Pin<Box<<W::Timer as Timer>::Sleep>>>,
        held: Held<S, B, W>,
        scope: Scope,
        stage: Stage,
    }

    impl<S, B, W> PinnedDrop for ResponseFuture<S, B, W>
    where
        S: Service<Request<B>, Response: Answered>,
        W: Strategies,
        W::Replay: Replay<B>,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Held::Life(life) = this.held {
                let at = At::new(this.shared, *this.scope, *this.began);
                life.give_up(&at, *this.stage == Stage::Attempt);
            }
        }
    }
}

/// Our choice: a key's file is read at once, and another source is not worth a longer wait.
const LOOK: Duration = Duration::from_secs(1);

/// What a request is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Attempt,
    Done,
    Drain,
    Gate,
    Ready,
    Refresh,
    Token,
    Wait,
}

impl<S, B, RB, W> ResponseFuture<S, B, W>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    W: Strategies,
    W::Replay: Replay<B>,
    W::Answer: Answer<S::Error>,
{
    /// Sends the request at once if it may go. `inner` is ready; a request that has to wait gives that up.
    pub(super) fn new(inner: &mut S, shared: &Arc<Shared<W>>, mut request: Request<B>) -> Self {
        let began = shared.now();
        let scope = shared.scope(&request);
        let at = At::new(shared, scope, began);
        let spans = Spans::begin(&request);
        let plan = at.plan(&mut request, &spans, <W::Answer as Answer<S::Error>>::MAY_STOP);
        let mut ticket = Ticket::NONE;
        let (entry, age) = (at.enter(&mut ticket, true, None, || at.now()), at.age(&request));
        let goes = entry == Entry::Go && age == Age::Good;
        let made = |call, held, stage| Self {
            call,
            shared: Arc::clone(shared),
            began,
            sleep: None,
            held,
            scope,
            stage,
        };
        let is_unseen = goes && !plan.is_followed;
        if is_unseen && plan.is_once {
            // Sent once, and nobody looks: nothing is kept.
            at.dress(&mut request, 1);
            at.passed(&mut ticket);
            return made(Some(inner.call(request)), Held::Nothing(plan.safety), Stage::Attempt);
        }
        let (head, body) = request.into_parts();
        let (body, again) =
            if plan.is_once { (body, None) } else { shared.strategies.replay().keep(body) };
        if again.is_none() && is_unseen {
            let mut request = Request::from_parts(head, body);
            at.dress(&mut request, 1);
            at.passed(&mut ticket);
            return made(Some(inner.call(request)), Held::Nothing(plan.safety), Stage::Attempt);
        }
        let service = again.is_some().then(|| inner.clone());
        let head = Request::from_parts(head, ());
        let mut kept = Box::new(Kept { head, body: again, service, generation: None });
        let mut request = kept.head.clone().map(|()| body);
        if is_unseen {
            kept.generation = at.dress(&mut request, 1);
            at.passed(&mut ticket);
            return made(Some(inner.call(request)), Held::Kept(kept), Stage::Attempt);
        }
        let run = at.run(&kept.head);
        let mut life = Box::new(Life::new(run, Some(kept), plan.is_watched, spans));
        life.ticket = ticket;
        if goes {
            life.set_out(&at, &mut request, 1);
            let call = {
                let _entered = life.spans.enter();
                inner.call(request)
            };
            return made(Some(call), Held::Life(life), Stage::Attempt);
        }
        life.service.get_or_insert_with(|| inner.clone());
        life.next_body = Some(request.into_body());
        *inner = inner.clone(); // What was ready may serve another meanwhile.
        life.generation = at.generation();
        life.looks = entry == Entry::Look && shared.config.credential.is_some();
        let stage = if age != Age::Good || life.looks { Stage::Refresh } else { Stage::Gate };
        made(None, Held::Life(life), stage)
    }
}

impl<S, B, RB, W> Future for ResponseFuture<S, B, W>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    RB: Body,
    W: Strategies,
    W::Replay: Replay<B>,
    W::Answer: Answer<S::Error>,
    W::Deliver: Deliver<S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut this = self.as_mut().project();
            let next = match *this.stage {
                Stage::Attempt => {
                    let polled = {
                        let life = this.held.life();
                        let _entered = life.map(|life| life.spans.enter());
                        let call = this.call.as_mut().as_pin_mut();
                        call.expect("an attempt is polled until it ends").poll(cx)
                    };
                    let shared = &**this.shared;
                    let at = At::new(shared, *this.scope, *this.began);
                    if let Poll::Ready(Ok(response)) = &polled {
                        let is_first = this.held.life().is_none();
                        if is_first && at.is_plain_success(response.status()) {
                            at.succeeded();
                            drop(this.held.take()); // It needs none of that any more.
                            return polled;
                        }
                    }
                    let answer = match polled {
                        Poll::Ready(answer) => Some(answer),
                        Poll::Pending => {
                            ready!(self.as_mut().poll_limit(cx));
                            // Time is up. If an error's head has come, it says more than a timeout.
                            let mut this = self.as_mut().project();
                            let call = this.call.as_mut().as_pin_mut();
                            match last_call(|| call.map(|call| call.poll(cx))) {
                                Some(Poll::Ready(Ok(response))) => Some(Ok(response)),
                                _ => None,
                            }
                        }
                    };
                    self.as_mut().ended(answer)
                }
                Stage::Done => return Poll::Ready(self.finish()),
                waits => ready!(self.as_mut().poll_between(waits, cx)),
            };
            let this = self.as_mut().project();
            *this.sleep = None;
            *this.stage = next;
        }
    }
}

impl<S, B, RB, W> ResponseFuture<S, B, W>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    RB: Body,
    W: Strategies,
    W::Replay: Replay<B>,
    W::Answer: Answer<S::Error>,
    W::Deliver: Deliver<S::Error>,
{
    const MAY_STOP: bool = <W::Answer as Answer<S::Error>>::MAY_STOP;

    /// Is ready when the attempt's time is up.
    fn poll_limit(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if !Self::MAY_STOP {
            return Poll::Pending;
        }
        let shared = &**this.shared;
        let at = At::new(shared, *this.scope, *this.began);
        // Only now is a timer worth its price.
        let left = this.held.life().and_then(|life| life.time_left(&at));
        match [shared.config.attempt_timeout, left].into_iter().flatten().min() {
            Some(limit) => poll_sleep(this.sleep, shared, limit, cx),
            None => Poll::Pending,
        }
    }

    /// The attempt has ended, with an answer or cut off.
    #[cold]
    fn ended(self: Pin<&mut Self>, answer: Option<<Self as Future>::Output>) -> Stage {
        let mut this = self.project();
        this.call.set(None);
        let shared = &**this.shared;
        let at = At::new(shared, *this.scope, *this.began);
        // It is put back first: whatever the caller's code does in there, what was taken is given back.
        *this.held = Held::Life(match this.held.take() {
            Held::Nothing(safety) => {
                let run = Run::new(shared.config.policy, safety);
                Box::new(Life::new(run, None, false, Spans::none()))
            }
            Held::Kept(kept) => {
                Box::new(Life::new(at.run(&kept.head), Some(kept), false, Spans::none()))
            }
            Held::Life(life) => life,
        });
        this.held.life().expect("it was put there").ended(&at, answer)
    }

    /// A stage between two attempts, or before the first.
    fn poll_between(self: Pin<&mut Self>, stage: Stage, cx: &mut Context<'_>) -> Poll<Stage> {
        let mut this = self.project();
        let shared = &**this.shared;
        let at = At::new(shared, *this.scope, *this.began);
        let life = this.held.life().expect("a request that waits has a life");
        // What cannot be answered without an answer has to wait.
        let may_stop = Self::MAY_STOP || life.answer.is_some();
        let left = if may_stop { life.time_left(&at) } else { None };
        let is_late = left.is_some_and(|left| left.is_zero());
        let out_of_time = StopReason::Deadline { wait: Duration::ZERO };
        match stage {
            Stage::Refresh => {
                let credential = shared.config.credential.as_ref().expect("it is made fresh");
                if let Poll::Ready(is_fresh) = life.poll_refresh(credential, cx) {
                    return Poll::Ready(life.refreshed(&at, is_fresh));
                }
                // Nobody has asked for a look: it is short.
                let look = life.looks.then_some(LOOK);
                let limits = [shared.config.attempt_timeout, left, look];
                let limit = limits.into_iter().flatten().min();
                let Some(limit) = limit else { return Poll::Pending };
                ready!(poll_sleep(this.sleep, shared, limit, cx));
                life.leave_refresh(&at);
                credential.is_slow();
                Poll::Ready(match life.time_left(&at) {
                    Some(left) if left.is_zero() => life.stop(&at, out_of_time),
                    // The source is given as long as an attempt.
                    _ => life.refreshed(&at, false),
                })
            }
            Stage::Wait => {
                let wait = life.wait_left(&at);
                if !wait.is_zero() {
                    // A timer for no wait at all would wait for its next tick.
                    ready!(poll_sleep(this.sleep, shared, wait, cx));
                }
                Poll::Ready(life.waited(&at))
            }
            Stage::Token => life.poll_token(&at, this.sleep, cx),
            Stage::Drain => {
                if life.poll_drain(shared.config.drain.bytes, cx).is_pending() {
                    // The timer is made once.
                    let limit = life.time_to_drain(&at);
                    ready!(poll_sleep(this.sleep, shared, limit, cx));
                }
                Poll::Ready(life.drained())
            }
            Stage::Gate => life.poll_gate(&at, this.sleep, left, cx),
            Stage::Ready => {
                if is_late {
                    return Poll::Ready(life.stop(&at, out_of_time));
                }
                let service = life.service.as_mut().expect("it is kept for another attempt");
                let polled = service.poll_ready(cx);
                match (polled, left) {
                    (Poll::Ready(Ok(())), _) => {}
                    (Poll::Ready(Err(error)), _) => {
                        life.answer = Some(Err(error));
                        return Poll::Ready(life.stop(&at, StopReason::NotReady));
                    }
                    (Poll::Pending, None) => return Poll::Pending,
                    (Poll::Pending, Some(left)) => {
                        ready!(poll_sleep(this.sleep, shared, left, cx));
                        return Poll::Ready(life.stop(&at, out_of_time));
                    }
                }
                let (entry, _) = life.enter(&at, left);
                if entry != Entry::Go {
                    // The gate was shut meanwhile: what is ready may serve another.
                    let clone = life.service.clone();
                    life.service = clone;
                    return Poll::Ready(life.turned_back(&at, entry));
                }
                let request = life.next_request(&at);
                let service = life.service.as_mut().expect("it was made ready");
                let _entered = life.spans.enter();
                this.call.set(Some(service.call(request)));
                Poll::Ready(Stage::Attempt)
            }
            Stage::Attempt | Stage::Done => unreachable!("polled elsewhere"),
        }
    }

    fn finish(self: Pin<&mut Self>) -> <Self as Future>::Output {
        let this = self.project();
        let at = At::new(this.shared, *this.scope, *this.began);
        let mut held = this.held.take();
        let life = held.life().expect("polled after it was ready");
        life.leave(&at);
        let answer = life.answer.take();
        let attempts = life.end(&at);
        match answer {
            Some(Ok(mut response)) => {
                if attempts.count() > 1 || attempts.stop_reason().is_some() {
                    response.extensions_mut().insert(*attempts);
                }
                Ok(response)
            }
            Some(Err(error)) => Err(error),
            None => Err(<W::Answer as Answer<S::Error>>::without_answer(Stopped::new(*attempts))
                .expect("an answer is only discarded when another attempt follows")),
        }
    }
}

/// A wait under way.
pub(super) type Sleep<W> = Pin<Box<<<W as Strategies>::Timer as Timer>::Sleep>>;

/// Waits, by a timer that is made when it is first needed.
pub(super) fn poll_sleep<W: Strategies>(
    sleep: &mut Option<Sleep<W>>,
    shared: &Shared<W>,
    wait: Duration,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let timer = shared.strategies.timer();
    sleep.get_or_insert_with(|| Box::pin(timer.sleep(wait))).as_mut().poll(cx)
}

impl<S, B, W> fmt::Debug for ResponseFuture<S, B, W>
where
    S: Service<Request<B>, Response: Answered>,
    W: Strategies,
    W::Replay: Replay<B>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("stage", &self.stage).finish_non_exhaustive()
    }
}
