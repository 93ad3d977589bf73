//! What a request needs beyond its first attempt, and what is decided about it.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use http::{Request, Response};
use http_body::Body;
use retry_policy::attempts::Record;
use retry_policy::budget::{Token, WhenEmpty};
use retry_policy::{Attempts, Class, Decision, Delivery, Outcome, Run, Safety, StopReason};
use tower_service::Service;

use super::at::At;
use super::future::Stage;
use super::strategies::{Answer, Answered, Strategies};
use crate::credential::{Credential, Passenger};
use crate::delivery::Deliver;
use crate::limits::{Entry, Place, Ticket};
use crate::observe::Event;
use crate::replay::Replay;
use crate::timer::Timer as _;
use crate::trace::Spans;

/// What a request has while it is under way.
pub(super) enum Held<S, B, W>
where
    S: Service<Request<B>, Response: Answered>,
    W: Strategies,
    W::Replay: Replay<B>,
{
    /// It is sent once, and nobody looks.
    Nothing(Safety),
    /// Its first attempt is under way. Few have more than that, so that what follows has no room here.
    Kept(Box<Kept<S, W::Replay, B>>),
    /// It waits, goes on, or is followed from its beginning.
    Life(Box<Life<S, B, W>>),
}

impl<S, B, W> Held<S, B, W>
where
    S: Service<Request<B>, Response: Answered>,
    W: Strategies,
    W::Replay: Replay<B>,
{
    pub(super) const fn life(&mut self) -> Option<&mut Life<S, B, W>> {
        match self {
            Self::Life(life) => Some(life),
            Self::Nothing(_) | Self::Kept(_) => None,
        }
    }

    pub(super) const fn take(&mut self) -> Self {
        core::mem::replace(self, Self::Nothing(Safety::Forbidden))
    }
}

/// What is needed to send a request again.
pub(super) struct Kept<S, R: Replay<B>, B> {
    pub(super) head: Request<()>,
    /// `None` for a request that is sent once.
    pub(super) body: Option<R::Kept>,
    pub(super) service: Option<S>,
    /// Of the credential that the first attempt was sent with.
    pub(super) generation: Option<u64>,
}

/// What a request needs beyond its first attempt.
pub(super) struct Life<S, B, W>
where
    S: Service<Request<B>, Response: Answered>,
    W: Strategies,
    W::Replay: Replay<B>,
{
    pub(super) run: Run,
    /// Not ready, except between the stage that makes it so and the call.
    pub(super) service: Option<S>,
    /// Until the last attempt takes it, or to the end of a request that is watched.
    pub(super) kept: Option<Box<Kept<S, W::Replay, B>>>,
    /// Somebody wants to hear of it, however it ends.
    pub(super) is_watched: bool,
    pub(super) next_body: Option<B>,
    pub(super) generation: Option<u64>,
    /// What was refused, until a fresh credential is there.
    pub(super) refusal: Option<Box<Outcome>>,
    /// Whether it looks for another credential because the gate is closed.
    pub(super) looks: bool,
    /// The last answer, until another attempt is certain.
    pub(super) answer: Option<Result<S::Response, S::Error>>,
    pub(super) discarded: Option<Pin<Box<<S::Response as Answered>::Body>>>,
    pub(super) discarded_bytes: usize,
    /// The token of a retry that was not sent yet, and of the one that was.
    pub(super) permit: Option<Token>,
    pub(super) token: Option<Token>,
    pub(super) place: Option<Place>,
    pub(super) ticket: Ticket,
    /// At the gate.
    pub(super) had_to_wait: bool,
    pub(super) passenger: Option<Passenger>,
    pub(super) wait: Wait,
    /// When its last attempt began, if it has a deadline; zero for one that went at once.
    pub(super) sent: Duration,
    /// It is at least so late: a timer has said so.
    pub(super) floor: Duration,
    pub(super) spans: Spans,
}

/// The wait that was decided, and when.
#[derive(Clone, Copy, Default)]
pub(super) struct Wait {
    pub(super) after: Duration,
    pub(super) decided: Duration,
    pub(super) is_over: bool,
}

impl<S, B, W> Life<S, B, W>
where
    S: Service<Request<B>, Response: Answered>,
    W: Strategies,
    W::Replay: Replay<B>,
{
    pub(super) fn new(
        run: Run,
        mut kept: Option<Box<Kept<S, W::Replay, B>>>,
        is_watched: bool,
        spans: Spans,
    ) -> Self {
        Self {
            run,
            service: kept.as_mut().and_then(|kept| kept.service.take()),
            generation: kept.as_ref().and_then(|kept| kept.generation),
            kept,
            is_watched,
            next_body: None,
            refusal: None,
            looks: false,
            answer: None,
            discarded: None,
            discarded_bytes: 0,
            permit: None,
            token: None,
            place: None,
            ticket: Ticket::NONE,
            had_to_wait: false,
            passenger: None,
            wait: Wait { after: Duration::ZERO, decided: Duration::ZERO, is_over: false },
            sent: Duration::ZERO,
            floor: Duration::ZERO,
            spans,
        }
    }

    /// What is left of its deadline, if it has one.
    pub(super) fn time_left(&self, at: &At<'_, W>) -> Option<Duration> {
        // The clock is only read where there is one.
        self.run.policy().deadline()?;
        self.run.time_left(at.elapsed())
    }

    /// How many attempts have ended.
    pub(super) const fn count(&self) -> u32 {
        self.run.attempts().count()
    }

    /// Whether it can be sent again.
    fn is_kept(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.body.is_some())
    }

    fn uri(&self) -> Option<&http::Uri> {
        self.kept.as_ref().map(|kept| kept.head.uri())
    }

    /// Ends the request for this reason; its last answer is returned if it is still there.
    pub(super) fn stop(&mut self, at: &At<'_, W>, reason: StopReason) -> Stage {
        let decision = self.run.stop(reason);
        self.spans.decided(None, decision);
        if let Some(permit) = self.permit.take() {
            at.refund(permit);
        }
        Stage::Done
    }

    /// Tells the observer, if there is one, what became of the newest attempt.
    fn tell(&self, at: &At<'_, W>, error: Option<String>, timed_out: bool, decision: Decision) {
        let (Some(observer), Some(uri)) = (&at.shared.config.observer, self.uri()) else { return };
        let attempts = self.run.attempts();
        let Some(last) = attempts.newest() else { return };
        observer.attempt(&Event {
            uri,
            attempt: attempts.count(),
            delivery: last.delivery(),
            class: last.class(),
            error,
            timed_out,
            decision,
        });
    }

    /// Writes down what has happened so far.
    fn record(&self) {
        let marks = self.kept.as_ref().map(|kept| kept.head.extensions());
        let record = marks.and_then(http::Extensions::get::<Record>);
        if let Some(record) = record {
            record.set(*self.run.attempts());
        }
    }

    /// It has ended; its attempts.
    pub(super) fn end(&self, at: &At<'_, W>) -> &Attempts {
        let attempts = self.run.attempts();
        if !self.is_watched {
            return attempts;
        }
        self.record();
        self.spans.end(attempts);
        if let (Some(observer), Some(uri)) = (&at.shared.config.observer, self.uri()) {
            observer.end(uri, attempts);
        }
        attempts
    }

    /// The future is dropped: gives back what was taken.
    pub(super) fn give_up(&mut self, at: &At<'_, W>, is_in_flight: bool) {
        // What was sent has been paid for, whoever waits for it.
        self.leave(at);
        if self.is_watched {
            self.run.cancel(is_in_flight, at.elapsed());
            if is_in_flight {
                self.tell(at, None, false, Decision::Stop { reason: StopReason::Cancelled });
            }
            self.end(at);
        }
    }

    /// Gives up its place in every line.
    pub(super) fn leave(&mut self, at: &At<'_, W>) {
        if let Some(permit) = self.permit.take() {
            at.refund(permit);
        }
        if let Some(gate) = &at.limits.gate {
            gate.leave(&mut self.ticket);
        }
        if let (Some(place), Some(budget)) = (self.place.take(), &at.limits.budget) {
            at.limits.line.leave(&place, budget, || at.now());
        }
        self.leave_refresh(at);
    }

    /// Waits no longer for a fresh credential.
    pub(super) fn leave_refresh(&mut self, at: &At<'_, W>) {
        if let (Some(passenger), Some(credential)) =
            (self.passenger.take(), &at.shared.config.credential)
        {
            credential.leave(&passenger);
        }
    }

    /// The next attempt's request.
    pub(super) fn next_request(&mut self, at: &At<'_, W>) -> Request<B> {
        let body = self.next_body.take().expect("a request is sent with its body at hand");
        let may_follow =
            self.is_kept() && (!self.run.is_last() || at.shared.config.credential.is_some());
        // The last attempt takes what the others had copies of.
        let head = if may_follow || self.is_watched {
            self.kept.as_ref().map(|kept| kept.head.clone())
        } else {
            self.kept.take().map(|kept| kept.head)
        };
        let head = head.expect("the head is kept until the last attempt");
        let mut request = head.map(|()| body);
        let number = self.count().saturating_add(1);
        if self.run.policy().deadline().is_some() {
            self.sent = at.elapsed();
        }
        self.answer = None;
        if let Some(permit) = self.permit.take() {
            self.token = Some(permit);
        }
        self.set_out(at, &mut request, number);
        request
    }

    /// An attempt begins.
    pub(super) fn set_out(&mut self, at: &At<'_, W>, request: &mut Request<B>, number: u32) {
        self.spans.attempt(request, number);
        self.generation = at.dress(request, number);
        at.passed(&mut self.ticket);
    }

    /// Makes the credential fresh, for the next attempt.
    pub(super) fn poll_refresh(&mut self, credential: &Credential, cx: &Context<'_>) -> Poll<bool> {
        let stale = self.generation.unwrap_or_else(|| credential.generation());
        self.generation = Some(stale);
        credential.poll_refresh(stale, &mut self.passenger, cx)
    }
}

impl<S, B, RB, W> Life<S, B, W>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: Body,
    W: Strategies,
    W::Replay: Replay<B>,
    W::Answer: Answer<S::Error>,
    W::Deliver: Deliver<S::Error>,
{
    /// An attempt has ended, with an answer or cut off: decides what comes next.
    pub(super) fn ended(
        &mut self,
        at: &At<'_, W>,
        answer: Option<Result<S::Response, S::Error>>,
    ) -> Stage {
        self.answer = answer;
        let now = at.now();
        let elapsed = now.saturating_sub(at.began);
        let draw = at.shared.strategies.timer().draw();
        let outcome = at.outcome(self.run.policy().profile(), self.answer.as_ref());
        let decision = self.run.after(&outcome, elapsed, draw);
        let is_refusal = outcome.class() == Some(Class::Authorization);
        if !is_refusal {
            self.share(at, &outcome, now);
        }
        // A retry that never left costs nothing.
        if outcome.delivery() == Delivery::NotSent {
            if let Some(token) = self.token.take() {
                at.refund(token);
            }
        }
        let decision = self.carried_out(at, decision, now);
        if decision == Decision::Refresh {
            self.refusal = Some(Box::new(outcome));
        } else {
            if is_refusal {
                self.share(at, &outcome, now);
            }
            let last = self.token.take();
            at.deposit(decision, last.filter(|_| decision == Decision::Return));
        }
        self.had_to_wait = false;
        let timed_out = self.answer.is_none();
        if self.is_watched {
            let error = self.answer.as_ref().and_then(|answer| answer.as_ref().err());
            let words = error.and_then(|error| at.shared.strategies.deliver().words(error));
            self.tell(at, words, timed_out, decision);
            self.record();
        }
        self.spans.ended(&outcome, timed_out, decision);
        match decision {
            Decision::Refresh => {
                self.wait = Wait { after: Duration::ZERO, decided: elapsed, is_over: true };
                Stage::Refresh
            }
            Decision::Retry { after, .. } => {
                self.wait = Wait { after, decided: elapsed, is_over: false };
                if self.needs_token(at) { Stage::Wait } else { self.discard(at) }
            }
            Decision::Shrink { after, .. } => {
                self.wait = Wait { after, decided: elapsed, is_over: false };
                Stage::Wait
            }
            _ => Stage::Done,
        }
    }

    /// Says what an attempt's end means for all requests of the origin.
    pub(super) fn share(&mut self, at: &At<'_, W>, outcome: &Outcome, now: Duration) {
        let policy = self.run.policy();
        let (profile, ceiling) = (policy.profile(), policy.longest_hint());
        at.share(outcome, profile, ceiling, self.generation, self.uri(), now);
    }

    /// The decision, if it can be carried out.
    fn carried_out(&mut self, at: &At<'_, W>, decision: Decision, now: Duration) -> Decision {
        let is_kept = self.is_kept();
        match decision {
            Decision::Refresh if at.shared.config.credential.is_none() => {
                self.run.stop(StopReason::CredentialRefused)
            }
            Decision::Refresh if self.generation.is_none() => {
                let is_sent = is_kept || self.count() > 1;
                let reason =
                    if is_sent { StopReason::CredentialRefused } else { StopReason::BodyNotKept };
                self.run.stop(reason)
            }
            Decision::Refresh | Decision::Retry { .. } if !is_kept => {
                self.run.refuse(StopReason::BodyNotKept)
            }
            Decision::Retry { after, .. } => {
                let left = self.time_left(at);
                let reason =
                    match at.outlook(&mut self.ticket, now.saturating_add(after), left, now) {
                        Entry::Closed(why) => StopReason::Closed { why },
                        Entry::Late(wait) => StopReason::Deadline { wait },
                        Entry::Paused(wait) => StopReason::Paused { wait },
                        Entry::Go | Entry::Look | Entry::Wait(_) => {
                            let decision = self.take_before_the_wait(at, decision, now);
                            let is_certain = !self.needs_token(at) && self.run.is_going_on();
                            if !is_certain || self.prepare(at) {
                                return decision;
                            }
                            StopReason::BodyNotKept
                        }
                    };
                if let Some(permit) = self.permit.take() {
                    at.refund(permit);
                }
                self.run.refuse(reason)
            }
            Decision::Shrink { .. } => self.take_before_the_wait(at, decision, now),
            decision => decision,
        }
    }

    /// The body once more, now that it will be sent: whether it can be had.
    pub(super) fn prepare(&mut self, at: &At<'_, W>) -> bool {
        let replay = at.shared.strategies.replay();
        if self.next_body.is_none() {
            let again = self.kept.as_mut().and_then(|kept| kept.body.as_mut());
            self.next_body = again.and_then(|body| replay.again(body));
        }
        self.next_body.is_some()
    }

    /// Shed: the token is taken first, so that the wait is not in vain.
    fn take_before_the_wait(
        &mut self,
        at: &At<'_, W>,
        decision: Decision,
        now: Duration,
    ) -> Decision {
        match &at.limits.budget {
            Some(budget) if budget.when_empty() == WhenEmpty::Shed => {
                match budget.take(self.newest_class(), now) {
                    Ok(token) => {
                        self.permit = Some(token);
                        decision
                    }
                    Err(_) => self.run.refuse(StopReason::Budget),
                }
            }
            _ => decision,
        }
    }
}
