//! What a request does between two attempts, or before the first.

use core::task::{Context, Poll, ready};
use core::time::Duration;

use http::{Request, Response};
use http_body::Body;
use retry_policy::attempts::Attempt;
use retry_policy::budget::Token;
use retry_policy::{Class, StopReason};
use tower_service::Service;

use super::at::At;
use super::future::{Sleep, Stage, poll_sleep};
use super::life::Life;
use super::strategies::{Answer, Strategies};
use crate::delivery::Deliver;
use crate::limits::{Entry, Turn};
use crate::replay::Replay;

impl<S, B, RB, W> Life<S, B, W>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: Body,
    W: Strategies,
    W::Replay: Replay<B>,
    W::Answer: Answer<S::Error>,
    W::Deliver: Deliver<S::Error>,
{
    /// The credential is fresh, or there is no other.
    pub(super) fn refreshed(&mut self, at: &At<'_, W>, is_fresh: bool) -> Stage {
        let looked = core::mem::take(&mut self.looks);
        if self.count() == 0 {
            // The old one is still good, or the server says what it thinks of it.
            if is_fresh || !looked {
                self.run.has_refreshed();
            }
            return Stage::Gate;
        }
        if looked {
            return Stage::Gate;
        }
        let refusal = self.refusal.take();
        if is_fresh {
            return self.go_again(at);
        }
        if let Some(refusal) = refusal {
            self.share(at, &refusal, at.now());
        }
        self.stop(at, StopReason::CredentialRefused)
    }

    /// Another attempt is certain, if the body can be had once more.
    pub(super) fn go_again(&mut self, at: &At<'_, W>) -> Stage {
        if self.time_left(at).is_some_and(|left| left.is_zero()) {
            return self.stop(at, StopReason::Deadline { wait: Duration::ZERO });
        }
        if self.prepare(at) { self.discard(at) } else { self.stop(at, StopReason::BodyNotKept) }
    }

    /// It may not pass now: it looks for another credential, or asks again.
    pub(super) fn turned_back(&mut self, at: &At<'_, W>, entry: Entry) -> Stage {
        self.looks = entry == Entry::Look && at.shared.config.credential.is_some();
        if !self.looks {
            return Stage::Gate;
        }
        self.generation = at.generation();
        Stage::Refresh
    }

    /// May it pass the gate? And when that was said, unless nobody has to wait.
    pub(super) fn enter(&mut self, at: &At<'_, W>, left: Option<Duration>) -> (Entry, Duration) {
        let (is_first, floor) = (self.count() == 0, self.floor);
        let mut now = Duration::ZERO;
        let entry = at.enter(&mut self.ticket, is_first, left, || {
            now = at.now().max(floor);
            now
        });
        (entry, now)
    }

    /// A timer says that so much time has passed since `now`.
    pub(super) fn has_slept(&mut self, now: Duration, wait: Duration) {
        self.floor = self.floor.max(now.saturating_add(wait));
    }

    pub(super) fn now(&self, at: &At<'_, W>) -> Duration {
        at.now().max(self.floor)
    }

    /// Asks for a token; how long to wait until the next look.
    pub(super) fn ask_for_token(&mut self, at: &At<'_, W>, cx: &Context<'_>) -> Turn {
        let (now, class) = (self.now(at), self.newest_class());
        let budget = at.limits.budget.as_ref().expect("a token of a budget");
        let had_to_wait = self.place.is_some();
        let turn = at.limits.line.ask(&mut self.place, budget, class, now, cx);
        if had_to_wait && matches!(turn, Turn::Token(_)) {
            self.waited_more(at);
        }
        match turn {
            Turn::Wait(until) => Turn::Wait(until.map(|until| until.saturating_sub(now))),
            turn => turn,
        }
    }

    /// Waits for a token, up to the deadline, or as long as there is time for an attempt that would be cut off.
    pub(super) fn poll_token(
        &mut self,
        at: &At<'_, W>,
        sleep: &mut Option<Sleep<W>>,
        cx: &mut Context<'_>,
    ) -> Poll<Stage> {
        loop {
            let left = self.time_left(at);
            if left.is_some_and(|left| left.is_zero()) {
                return Poll::Ready(self.stop(at, StopReason::Budget));
            }
            let now = self.now(at);
            let wait = match self.ask_for_token(at, cx) {
                Turn::Token(token) => return Poll::Ready(self.granted(at, token)),
                Turn::Full => return Poll::Ready(self.stop(at, StopReason::Budget)),
                Turn::Wait(wait) => wait,
            };
            let left = left.map(|left| left.saturating_sub(self.cut_short()));
            if left.is_some_and(|left| left.is_zero()) {
                return Poll::Ready(self.stop(at, StopReason::Budget));
            }
            let Some(wait) = wait.into_iter().chain(left).min() else { return Poll::Pending };
            // The bucket may grant sooner or later than when it was asked last.
            *sleep = None;
            ready!(poll_sleep(sleep, at.shared, wait, cx));
            self.has_slept(now, wait);
        }
    }

    /// What an attempt takes, if the deadline would cut it off: as long as the last one.
    fn cut_short(&self) -> Duration {
        if <W::Answer as Answer<S::Error>>::MAY_STOP {
            self.wait.decided.saturating_sub(self.sent)
        } else {
            Duration::ZERO
        }
    }

    /// Waits until it may pass the gate. What has no answer, and cannot end without one, has no time `left`.
    pub(super) fn poll_gate(
        &mut self,
        at: &At<'_, W>,
        sleep: &mut Option<Sleep<W>>,
        left: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Poll<Stage> {
        loop {
            if left.is_some_and(|left| left.is_zero()) {
                return Poll::Ready(self.stop(at, StopReason::Deadline { wait: Duration::ZERO }));
            }
            let (entry, now) = self.enter(at, left);
            let (wait, reason) = match entry {
                Entry::Go => return Poll::Ready(self.passes(at)),
                Entry::Look if at.shared.config.credential.is_some() => {
                    return Poll::Ready(self.turned_back(at, Entry::Look));
                }
                Entry::Look => continue,
                Entry::Wait(wait) => (wait, None),
                Entry::Late(wait) => (wait, Some(StopReason::Deadline { wait })),
                Entry::Paused(wait) => (wait, Some(StopReason::Paused { wait })),
                Entry::Closed(why) => (Duration::ZERO, Some(StopReason::Closed { why })),
            };
            if let Some(reason) = reason {
                return Poll::Ready(self.stop(at, reason));
            }
            self.had_to_wait = true;
            // A timer for an earlier place, or before a longer pause, is worth nothing.
            *sleep = None;
            ready!(poll_sleep(sleep, at.shared, wait, cx));
            self.has_slept(now, wait);
        }
    }

    /// Adds what was waited beyond the decided wait.
    pub(super) fn waited_more(&mut self, at: &At<'_, W>) {
        let more = at.elapsed().saturating_sub(self.wait.decided).saturating_sub(self.wait.after);
        self.run.waited_longer(more);
        self.wait.after = self.wait.after.saturating_add(more);
    }

    /// It may pass the gate.
    pub(super) fn passes(&mut self, at: &At<'_, W>) -> Stage {
        if self.had_to_wait && self.count() > 0 {
            self.waited_more(at);
        }
        Stage::Ready
    }

    /// Whether a token is still to be had before the next attempt.
    pub(super) fn needs_token(&self, at: &At<'_, W>) -> bool {
        at.limits.budget.is_some() && self.permit.is_none()
    }

    /// The class of the failure that a retry answers.
    pub(super) fn newest_class(&self) -> Class {
        self.run.attempts().newest().and_then(Attempt::class).unwrap_or(Class::Server)
    }

    /// What is left of the decided wait.
    pub(super) fn wait_left(&self, at: &At<'_, W>) -> Duration {
        if self.wait.after.is_zero() {
            return Duration::ZERO;
        }
        let elapsed = at.elapsed();
        self.wait.after.saturating_sub(elapsed.saturating_sub(self.wait.decided))
    }

    /// The wait is over.
    pub(super) fn waited(&mut self, at: &At<'_, W>) -> Stage {
        self.wait.is_over = true;
        if self.needs_token(at) { Stage::Token } else { self.goes_on() }
    }

    /// The token for the next attempt is there, after another wait.
    pub(super) fn granted(&mut self, at: &At<'_, W>, token: Token) -> Stage {
        self.permit = Some(token);
        if self.gives_back() { self.goes_on() } else { self.go_again(at) }
    }

    /// Whether the answer goes back after the wait, because the caller asks for less.
    fn gives_back(&self) -> bool {
        self.run.attempts().stop_reason() == Some(StopReason::Shrink)
    }

    pub(super) fn goes_on(&mut self) -> Stage {
        if self.gives_back() {
            self.permit = None; // The smaller request is the retry that was paid for.
            return Stage::Done;
        }
        Stage::Gate
    }

    /// Another attempt is certain: what the answer holds, a connection perhaps, is let go.
    pub(super) fn discard(&mut self, at: &At<'_, W>) -> Stage {
        if let Some(Ok(response)) = self.answer.take() {
            let body = response.into_body();
            // What is known to be too long, or to be over, is not looked at.
            let limit = at.shared.config.drain.bytes as u64;
            if !body.is_end_stream() && body.size_hint().lower() <= limit {
                self.discarded = Some(Box::pin(body));
                self.discarded_bytes = 0;
                return Stage::Drain;
            }
        }
        self.drained()
    }

    /// The limit, and never so long that no time is left for the attempt.
    pub(super) fn time_to_drain(&self, at: &At<'_, W>) -> Duration {
        let limit = at.shared.config.drain.time;
        let wait = if self.wait.is_over { Duration::ZERO } else { self.wait.after };
        match self.time_left(at) {
            None => limit,
            Some(left) => limit.min(wait.max(left.saturating_sub(wait) / 2)),
        }
    }

    /// What was discarded is gone.
    pub(super) fn drained(&mut self) -> Stage {
        self.discarded = None;
        if self.wait.is_over { Stage::Gate } else { Stage::Wait }
    }

    /// Reads the discarded answer to its end, or to the limit.
    pub(super) fn poll_drain(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<()> {
        let Some(body) = &mut self.discarded else { return Poll::Ready(()) };
        while let Some(Ok(frame)) = ready!(body.as_mut().poll_frame(cx)) {
            // A frame of nothing counts as well: they would never end.
            let read = frame.data_ref().map_or(0, bytes::Buf::remaining).max(1);
            self.discarded_bytes = self.discarded_bytes.saturating_add(read);
            if self.discarded_bytes > limit {
                break;
            }
        }
        Poll::Ready(())
    }
}
