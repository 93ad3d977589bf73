//! Where a request is: what it shares with others, and how it is gone about.

use core::time::Duration;

use http::{Request, Response, StatusCode};
use retry_policy::attempts::Record;
use retry_policy::budget::{Token, WhenEmpty};
use retry_policy::safety::{Override, Safety, Shrinkable};
use retry_policy::{Budget, Class, Decision, Outcome, Profile, Run};

use super::service::Shared;
use super::strategies::Strategies;
use crate::closure::read;
use crate::credential::{Age, Credential};
use crate::delivery::Deliver;
use crate::header;
use crate::limits::{Entry, Limits, Scope, Ticket};
use crate::trace::Spans;

/// Where a request is: what it shares with others, and when it began.
pub(super) struct At<'a, W: Strategies> {
    pub(super) shared: &'a Shared<W>,
    pub(super) limits: &'a Limits,
    /// On the clock of all that is shared.
    pub(super) began: Duration,
}

impl<'a, W: Strategies> At<'a, W> {
    pub(super) fn new(shared: &'a Shared<W>, scope: Scope, began: Duration) -> Self {
        Self { shared, limits: shared.limits(scope), began }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now().saturating_sub(self.began)
    }

    pub(super) fn now(&self) -> Duration {
        self.shared.now()
    }

    /// How a request is gone about.
    pub(super) fn plan<B>(&self, request: &mut Request<B>, spans: &Spans, may_stop: bool) -> Plan {
        let config = &self.shared.config;
        if let Some(budget) = &self.limits.budget {
            budget.begin(|| self.now());
        }
        if let Some(key) = config.key {
            key.add_to(request);
        }
        let safety = Safety::of(request);
        let marks = request.extensions();
        let is_marked = marks.get::<Override>().is_some() || marks.get::<Shrinkable>().is_some();
        let is_nested = self.is_nested(request);
        let is_once = if is_marked || is_nested {
            self.run(request).is_sent_once()
        } else {
            safety == Safety::Forbidden || config.policy.max_attempts().get() == 1
        };
        // A refused credential is made fresh even for a request that is sent once.
        let is_once = is_once && (safety == Safety::Forbidden || config.credential.is_none());
        let has_deadline = may_stop && config.policy.deadline().is_some();
        let is_watched = spans.are_on()
            || config.observer.is_some()
            || request.extensions().get::<Record>().is_some();
        let is_followed = is_marked || is_nested || has_deadline || is_watched;
        Plan { safety, is_once, is_followed, is_watched }
    }

    fn is_nested<B>(&self, head: &Request<B>) -> bool {
        self.shared.config.is_nested && header::is_numbered(head.headers())
    }

    pub(super) fn run<B>(&self, head: &Request<B>) -> Run {
        let run = Run::of(self.shared.config.policy, head);
        if self.is_nested(head) { run.once() } else { run }
    }

    /// May the request pass the gate?
    pub(super) fn enter(
        &self,
        ticket: &mut Ticket,
        is_first: bool,
        left: Option<Duration>,
        now: impl FnOnce() -> Duration,
    ) -> Entry {
        let Some(gate) = &self.limits.gate else { return Entry::Go };
        gate.enter(ticket, is_first, left, || self.generation(), now)
    }

    /// Can a retry pass the gate when it is due, as far as is known?
    pub(super) fn outlook(
        &self,
        ticket: &mut Ticket,
        due: Duration,
        left: Option<Duration>,
        now: Duration,
    ) -> Entry {
        let Some(gate) = &self.limits.gate else { return Entry::Go };
        gate.outlook(ticket, due, left, || self.generation(), now)
    }

    /// Which credential is sent at present.
    pub(super) fn generation(&self) -> Option<u64> {
        self.shared.config.credential.as_ref().map(Credential::generation)
    }

    pub(super) fn passed(&self, ticket: &mut Ticket) {
        if let Some(gate) = &self.limits.gate {
            gate.passed(ticket);
        }
    }

    pub(super) fn age<B>(&self, head: &Request<B>) -> Age {
        self.shared.config.credential.as_ref().map_or(Age::Good, |it| it.age(head.uri()))
    }

    /// Adds the credential and the headers of the moment; which credential it was.
    pub(super) fn dress<B>(&self, request: &mut Request<B>, number: u32) -> Option<u64> {
        let config = &self.shared.config;
        if config.counts_attempts {
            header::number(request.headers_mut(), number);
        }
        config.credential.as_ref()?.attach(request)
    }

    /// Whether this is a success that nobody has to look at.
    pub(super) fn is_plain_success(&self, status: StatusCode) -> bool {
        status.as_u16() < 400 && !self.shared.config.policy.profile().reads(status.as_u16())
    }

    /// A first attempt has succeeded.
    pub(super) fn succeeded(&self) {
        if let Some(gate) = &self.limits.gate {
            gate.succeeded(|| self.now());
        }
        self.deposit(Decision::Return, None);
    }

    /// What an attempt's end means; no answer is one that was cut off.
    pub(super) fn outcome<RB, E>(
        &self,
        profile: &Profile,
        answer: Option<&Result<Response<RB>, E>>,
    ) -> Outcome
    where
        W::Deliver: Deliver<E>,
    {
        let deliver = self.shared.strategies.deliver();
        answer.map_or(Outcome::timed_out(), |answer| read(deliver, profile, answer.as_ref()))
    }

    /// An attempt has ended: what it means for all requests of the origin.
    pub(super) fn share(
        &self,
        outcome: &Outcome,
        profile: &Profile,
        ceiling: Duration,
        generation: Option<u64>,
        uri: Option<&http::Uri>,
        now: Duration,
    ) {
        let Some(gate) = &self.limits.gate else { return };
        if outcome.class() == Some(Class::Authorization)
            && generation.is_some_and(|it| Some(it) != self.generation())
        {
            return; // What was refused is no longer sent.
        }
        let changed = gate.heard(outcome, profile, ceiling, || self.generation(), || now);
        if let (Some(state), Some(observer), Some(uri)) =
            (changed, &self.shared.config.observer, uri)
        {
            observer.gate(uri, state);
        }
    }

    /// A request has ended: what it earned may be a token for one who waits.
    pub(super) fn deposit(&self, decision: Decision, last: Option<Token>) {
        if let Some(budget) = &self.limits.budget {
            // While the bucket is full nobody waits.
            if budget.end(decision, last) {
                self.serve(budget);
            }
        }
    }

    pub(super) fn refund(&self, token: Token) {
        if let Some(budget) = &self.limits.budget {
            budget.refund(token);
            self.serve(budget);
        }
    }

    fn serve(&self, budget: &Budget) {
        if budget.when_empty() == WhenEmpty::Pace {
            self.limits.line.earned(budget, || self.now());
        }
    }
}

/// How a request is gone about.
pub(super) struct Plan {
    pub(super) safety: Safety,
    /// It is sent once, whatever happens: its body need not be kept.
    pub(super) is_once: bool,
    /// More is asked of it than its answer.
    pub(super) is_followed: bool,
    /// Somebody wants to hear of it, however it ends.
    pub(super) is_watched: bool,
}
