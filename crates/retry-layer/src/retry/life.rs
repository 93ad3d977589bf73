//! What a request needs beyond its first attempt, and what is decided about it.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use http::{Request, Response};
use http_body::Body;
use retry_policy::attempts::Record;
use retry_policy::budget::{Token, WhenEmpty};
use retry_policy::{Attempts, Class, Decision, Delivery, Outcome, Run, StopReason};
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

/// What a request needs beyond its first attempt.
pub(super) struct Life<S, B, W>
where
    S: Service<Request<B>, Response: Answered>,
    W: Strategies,
    W::Replay: Replay<B>,
{
    /// Nothing but the first attempt is known before its end: it begins then, unless it is followed.
    pub(super) run: Option<Box<Run>>,
    /// Not ready, except between the stage that makes it so and the call.
    pub(super) service: Option<S>,
    pub(super) head: Option<Request<()>>,
    /// Somebody wants to hear of it, however it ends: its head is kept.
    pub(super) is_watched: bool,
    pub(super) kept: Option<<W::Replay as Replay<B>>::Kept>,
    pub(super) next_body: Option<B>,
    pub(super) generation: Option<u64>,
    /// What was refused, until a fresh credential is there.
    pub(super) refusal: Option<Outcome>,
    /// Whether it looks for another credential because the gate is closed.
    pub(super) looks: bool,
    /// The last answer, until another attempt is certain.
    pub(super) answer: Option<Result<S::Response, S::Error>>,
    pub(super) discarded: Option<Pin<Box<<S::Response as Answered>::Body>>>,
    pub(super) discarded_bytes: usize,
    pub(super) drain_time: Duration,
    /// The token of a retry that was not sent yet, and of the one that was.
    pub(super) permit: Option<Token>,
    pub(super) token: Option<Token>,
    pub(super) place: Option<Place>,
    pub(super) ticket: Ticket,
    /// At the gate.
    pub(super) had_to_wait: bool,
    pub(super) passenger: Option<Passenger>,
    pub(super) wait: Wait,
    /// When its last attempt began; zero for one that went at once.
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
        head: Request<()>,
        kept: Option<<W::Replay as Replay<B>>::Kept>,
        is_watched: bool,
        spans: Spans,
    ) -> Self {
        Self { head: Some(head), kept, is_watched, ..Self::empty(None, spans) }
    }

    /// Of a request that was sent once, and has ended.
    pub(super) fn kept_nothing(run: Run, spans: Spans) -> Self {
        Self::empty(Some(Box::new(run)), spans)
    }

    fn empty(run: Option<Box<Run>>, spans: Spans) -> Self {
        Self {
            run,
            service: None,
            head: None,
            is_watched: false,
            kept: None,
            next_body: None,
            generation: None,
            refusal: None,
            looks: false,
            answer: None,
            discarded: None,
            discarded_bytes: 0,
            drain_time: Duration::ZERO,
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

    /// Its run, which begins here if it has not.
    pub(super) fn run(&mut self, at: &At<'_, W>) -> &mut Run {
        let head = self.head.as_ref();
        self.run.get_or_insert_with(|| {
            Box::new(at.run(head.expect("a request without a run still has its head")))
        })
    }

    /// What is left of its deadline, if it has one.
    pub(super) fn time_left(&self, at: &At<'_, W>) -> Option<Duration> {
        let run = self.run.as_ref()?;
        // The clock is only read where there is one.
        run.policy().deadline()?;
        run.time_left(at.elapsed())
    }

    pub(super) fn attempts(&self) -> Option<&Attempts> {
        self.run.as_ref().map(|run| run.attempts())
    }

    /// How many attempts have ended.
    pub(super) fn count(&self) -> u32 {
        self.attempts().map_or(0, Attempts::count)
    }

    fn uri(&self) -> Option<&http::Uri> {
        self.head.as_ref().map(Request::uri)
    }

    /// Ends the request for this reason; its last answer is returned if it is still there.
    pub(super) fn stop(&mut self, at: &At<'_, W>, reason: StopReason) -> Stage {
        let decision = self.run(at).stop(reason);
        self.spans.decided(None, decision);
        if let Some(permit) = self.permit.take() {
            at.refund(permit);
        }
        Stage::Done
    }

    /// Tells the observer, if there is one, what became of the newest attempt.
    fn tell(&self, at: &At<'_, W>, error: Option<String>, timed_out: bool, decision: Decision) {
        let (Some(observer), Some(uri), Some(attempts)) =
            (&at.shared.config.observer, self.uri(), self.attempts())
        else {
            return;
        };
        let Some(last) = attempts.iter().last() else { return };
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
        let record = self.head.as_ref().and_then(|head| head.extensions().get::<Record>());
        if let (Some(record), Some(attempts)) = (record, self.attempts()) {
            record.set(*attempts);
        }
    }

    /// It has ended; its attempts.
    pub(super) fn end(&mut self, at: &At<'_, W>) -> &Attempts {
        self.run(at);
        let attempts = self.attempts().expect("its run has begun");
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
            self.run(at).cancel(is_in_flight, at.elapsed());
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
        let is_last = self.run.as_ref().is_some_and(|run| run.is_last());
        let may_follow = self.kept.is_some() && (!is_last || at.shared.config.credential.is_some());
        self.run(at); // It begins with the head, which may go now.
        // The last attempt takes what the others had copies of.
        let head = if may_follow || self.is_watched { self.head.clone() } else { self.head.take() };
        let (head, ()) = head.expect("the head is kept until the last attempt").into_parts();
        let mut request = Request::from_parts(head, body);
        let number = self.count().saturating_add(1);
        self.sent = at.elapsed();
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

    pub(super) const fn is_untold(&self) -> bool {
        self.run.is_none()
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
        self.run(at);
        let run = self.run.as_mut().expect("it has begun");
        let outcome = at.outcome(run.policy().profile(), self.answer.as_ref());
        let decision = run.after(&outcome, elapsed, draw);
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
            self.refusal = Some(outcome);
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
        let policy = self.run(at).policy();
        let (profile, ceiling) = (policy.profile(), policy.longest_hint());
        at.share(outcome, profile, ceiling, self.generation, self.uri(), now);
    }

    /// The decision, if it can be carried out.
    fn carried_out(&mut self, at: &At<'_, W>, decision: Decision, now: Duration) -> Decision {
        let is_kept = self.kept.is_some() && self.head.is_some();
        match decision {
            Decision::Refresh if at.shared.config.credential.is_none() => {
                self.run(at).stop(StopReason::CredentialRefused)
            }
            Decision::Refresh if self.generation.is_none() => {
                let is_sent = is_kept || self.count() > 1;
                let reason =
                    if is_sent { StopReason::CredentialRefused } else { StopReason::BodyNotKept };
                self.run(at).stop(reason)
            }
            Decision::Refresh | Decision::Retry { .. } if !is_kept => {
                self.run(at).refuse(StopReason::BodyNotKept)
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
                            let is_certain = !self.needs_token(at) && self.run(at).is_going_on();
                            if !is_certain || self.prepare(at) {
                                return decision;
                            }
                            StopReason::BodyNotKept
                        }
                    };
                if let Some(permit) = self.permit.take() {
                    at.refund(permit);
                }
                self.run(at).refuse(reason)
            }
            Decision::Shrink { .. } => self.take_before_the_wait(at, decision, now),
            decision => decision,
        }
    }

    /// The body once more, now that it will be sent: whether it can be had.
    pub(super) fn prepare(&mut self, at: &At<'_, W>) -> bool {
        let replay = at.shared.strategies.replay();
        if self.next_body.is_none() {
            self.next_body = self.kept.as_mut().and_then(|kept| replay.again(kept));
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
                    Err(_) => self.run(at).refuse(StopReason::Budget),
                }
            }
            _ => decision,
        }
    }
}
