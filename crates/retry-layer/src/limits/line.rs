//! The line of retries that wait for a token.
//!
//! First come, first served, or the newest first. A token wakes exactly the one who gets it. A place that is
//! given up is taken by the next, and the token it may have been handed as well.
//!
//! An empty bucket also grants a retry now and then, which nobody announces. So whoever will be served last keeps
//! the clock, and hands such a token to whoever is served first.

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst, fence};
use core::task::{Context, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use retry_policy::budget::Token;
use retry_policy::{Budget, Class};

/// How many wait at most, and who is served first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineTerms {
    pub(crate) most: usize,
    pub(crate) newest_first: bool,
}

/// Retries in the order in which they came.
#[derive(Debug)]
pub(crate) struct Line {
    terms: LineTerms,
    length: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, (Class, Waker)>,
    granted: BTreeMap<u64, Token>,
    /// When the keeper of the clock looks again.
    looks_at: Option<Duration>,
}

/// A place in the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place(u64);

/// What came of asking for a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Token(Token),
    /// Not yet; the keeper of the clock asks again at this time.
    Wait(Option<Duration>),
    /// The line is as long as it may be.
    Full,
}

impl Line {
    pub(crate) fn new(terms: LineTerms) -> Self {
        Self { terms, length: AtomicUsize::new(0), state: Mutex::default() }
    }

    /// How many are waiting.
    pub(crate) fn len(&self) -> usize {
        self.length.load(SeqCst)
    }

    /// Asks for a token, from a place in the line or for one.
    pub(crate) fn ask(
        &self,
        place: &mut Option<Place>,
        budget: &Budget,
        class: Class,
        now: Duration,
        cx: &Context<'_>,
    ) -> Turn {
        // Nobody waits: the bucket alone decides, without a lock.
        if place.is_none() && self.len() == 0 {
            if let Ok(token) = budget.take(class, now) {
                return Turn::Token(token);
            }
        }
        let mut state = self.lock();
        let id = match place {
            Some(Place(id)) => *id,
            None if state.waiting.len() >= self.terms.most => return Turn::Full,
            None => {
                let id = state.next;
                state.next = id.wrapping_add(1);
                *place = Some(Place(id));
                id
            }
        };
        if let Some(token) = state.granted.remove(&id) {
            *place = None;
            return Turn::Token(token);
        }
        state.waiting.insert(id, (class, cx.waker().clone()));
        self.length.store(state.waiting.len(), SeqCst);
        // Seen by whoever earns a token after this; what was earned before is seen here.
        fence(SeqCst);
        let (until, wake) = self.serve(&mut state, budget, now);
        let token = state.granted.remove(&id);
        let keeps_the_clock = self.keeper(&state).is_some_and(|(&keeper, _)| keeper == id);
        if keeps_the_clock {
            state.looks_at = until;
        }
        drop(state);
        wake_all(wake, id);
        if let Some(token) = token {
            *place = None;
            return Turn::Token(token);
        }
        Turn::Wait(until.filter(|_| keeps_the_clock))
    }

    /// Tokens may have been earned: they go to those who wait.
    pub(crate) fn earned(&self, budget: &Budget, now: impl FnOnce() -> Duration) {
        fence(SeqCst);
        if self.len() == 0 {
            return;
        }
        let mut state = self.lock();
        let (until, mut wake) = self.serve(&mut state, budget, now());
        // A success lets the bucket grant sooner: the keeper of the clock has to know.
        if until.is_some_and(|until| state.looks_at.is_none_or(|at| until < at)) {
            state.looks_at = until;
            let keeper = self.keeper(&state);
            wake.extend(keeper.map(|(&id, (_, waker))| (id, waker.clone())));
        }
        drop(state);
        for (_, waker) in wake {
            waker.wake();
        }
    }

    /// Gives a place up, and the token that it may have been handed.
    pub(crate) fn leave(&self, place: &Place, budget: &Budget, now: impl FnOnce() -> Duration) {
        let mut state = self.lock();
        if let Some(token) = state.granted.remove(&place.0) {
            drop(state);
            budget.refund(token);
            return self.earned(budget, now);
        }
        let kept_the_clock = self.keeper(&state).is_some_and(|(&keeper, _)| keeper == place.0);
        state.waiting.remove(&place.0);
        self.length.store(state.waiting.len(), SeqCst);
        let keeper = self.keeper(&state).map(|(_, (_, waker))| waker.clone());
        drop(state);
        if let (true, Some(keeper)) = (kept_the_clock, keeper) {
            keeper.wake();
        }
    }

    /// Hands out what the bucket has; when it grants again, and whom to wake.
    fn serve(
        &self,
        state: &mut State,
        budget: &Budget,
        now: Duration,
    ) -> (Option<Duration>, Vec<(u64, Waker)>) {
        let mut wake = Vec::new();
        let mut until = None;
        loop {
            let waiting = &mut state.waiting;
            let first =
                if self.terms.newest_first { waiting.last_entry() } else { waiting.first_entry() };
            let Some(first) = first else { break };
            match budget.take(first.get().0, now) {
                Ok(token) => {
                    let (id, (_, waker)) = first.remove_entry();
                    state.granted.insert(id, token);
                    wake.push((id, waker));
                }
                Err(empty) => {
                    until = empty.until();
                    break;
                }
            }
        }
        self.length.store(state.waiting.len(), SeqCst);
        (until, wake)
    }

    /// Who will be served last.
    fn keeper<'a>(&self, state: &'a State) -> Option<(&'a u64, &'a (Class, Waker))> {
        let waiting = &state.waiting;
        if self.terms.newest_first { waiting.first_key_value() } else { waiting.last_key_value() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes all of them but the one that is being polled, which may share its task with others.
fn wake_all(wake: Vec<(u64, Waker)>, polled: u64) {
    for (id, waker) in wake {
        if id != polled {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU32;
    use std::sync::Arc;
    use std::task::Wake;

    use retry_policy::Decision;
    use retry_policy::budget::WhenEmpty;
    use retry_policy::ratio::Ratio;

    use super::*;

    const ZERO: Duration = Duration::ZERO;

    fn line(most: usize) -> Line {
        Line::new(LineTerms { most, newest_first: false })
    }

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// One who waits, and how often it was woken.
    struct Waiter {
        place: Option<Place>,
        woken: Arc<Woken>,
    }

    impl Waiter {
        fn new() -> Self {
            Self { place: None, woken: Arc::default() }
        }

        fn ask(&mut self, line: &Line, budget: &Budget, now: Duration) -> Turn {
            let waker = Waker::from(Arc::clone(&self.woken));
            line.ask(&mut self.place, budget, Class::Server, now, &Context::from_waker(&waker))
        }

        fn woken(&self) -> u32 {
            self.woken.0.load(SeqCst)
        }
    }

    /// A budget without tokens, of which each success earns a whole one.
    fn empty() -> Budget {
        let budget = Budget::pace().with_ratio(Ratio::percent(100).unwrap());
        while budget.tokens() > 0 {
            let _ = budget.take(Class::Server, ZERO).unwrap();
        }
        assert_eq!(budget.when_empty(), WhenEmpty::Pace);
        budget
    }

    fn succeed(line: &Line, budget: &Budget, now: Duration) {
        budget.end(Decision::Return, None);
        line.earned(budget, || now);
    }

    #[test]
    fn a_token_wakes_exactly_the_first_in_line() {
        let (line, budget) = (line(9), empty());
        let mut waiters = [(); 3].map(|()| Waiter::new());
        for waiter in &mut waiters {
            assert!(matches!(waiter.ask(&line, &budget, ZERO), Turn::Wait(_)));
        }
        for served in 0..3 {
            succeed(&line, &budget, ZERO);
            let woken: Vec<u32> = waiters.iter().map(Waiter::woken).collect();
            let expected: Vec<u32> = (0..3).map(|at| u32::from(at <= served)).collect();
            assert_eq!(woken, expected, "after token {served}");
            assert!(matches!(waiters[served].ask(&line, &budget, ZERO), Turn::Token(_)));
        }
        assert_eq!((line.len(), budget.tokens()), (0, 0));
    }

    #[test]
    fn who_comes_later_does_not_overtake() {
        let (line, budget) = (line(9), empty());
        let (mut first, mut second) = (Waiter::new(), Waiter::new());
        assert!(matches!(first.ask(&line, &budget, ZERO), Turn::Wait(_)));
        succeed(&line, &budget, ZERO);
        // The token is the first one's, although the second asks before it is polled.
        assert!(matches!(second.ask(&line, &budget, ZERO), Turn::Wait(_)));
        assert!(matches!(first.ask(&line, &budget, ZERO), Turn::Token(_)));
    }

    #[test]
    fn who_leaves_gives_its_token_to_the_next() {
        let (line, budget) = (line(9), empty());
        let (mut first, mut second) = (Waiter::new(), Waiter::new());
        let _ = first.ask(&line, &budget, ZERO);
        let _ = second.ask(&line, &budget, ZERO);
        succeed(&line, &budget, ZERO);
        line.leave(&first.place.take().unwrap(), &budget, || ZERO);
        assert_eq!(second.woken(), 1);
        assert!(matches!(second.ask(&line, &budget, ZERO), Turn::Token(_)));
        assert_eq!((line.len(), budget.tokens()), (0, 0));
    }

    #[test]
    fn the_last_in_line_keeps_the_clock_and_passes_it_on() {
        let (line, budget) = (line(9), empty());
        let (mut first, mut second) = (Waiter::new(), Waiter::new());
        let second_after = Some(Duration::from_secs(1));
        assert_eq!(first.ask(&line, &budget, ZERO), Turn::Wait(second_after));
        assert_eq!(second.ask(&line, &budget, ZERO), Turn::Wait(second_after));
        assert_eq!(first.ask(&line, &budget, ZERO), Turn::Wait(None), "no longer the last");
        // The probe that the last one finds is the first one's.
        let later = Duration::from_secs(1);
        assert!(matches!(second.ask(&line, &budget, later), Turn::Wait(Some(_))));
        assert_eq!(first.woken(), 1);
        assert!(matches!(first.ask(&line, &budget, later), Turn::Token(_)));
        // The keeper leaves: the one who is last now is told.
        let mut third = Waiter::new();
        let _ = third.ask(&line, &budget, later);
        line.leave(&third.place.take().unwrap(), &budget, || later);
        assert_eq!(second.woken(), 1);
        assert!(matches!(second.ask(&line, &budget, later), Turn::Wait(Some(_))));
    }

    #[test]
    fn the_newest_is_served_first_and_the_first_to_come_keeps_the_clock() {
        let line = Line::new(LineTerms { most: 9, newest_first: true });
        let budget = empty();
        let mut waiters = [(); 3].map(|()| Waiter::new());
        assert_eq!(waiters[0].ask(&line, &budget, ZERO), Turn::Wait(Some(Duration::from_secs(1))));
        for waiter in &mut waiters[1..] {
            assert_eq!(waiter.ask(&line, &budget, ZERO), Turn::Wait(None));
        }
        succeed(&line, &budget, ZERO);
        assert_eq!(waiters.each_ref().map(Waiter::woken), [0, 0, 1]);
        assert!(matches!(waiters[2].ask(&line, &budget, ZERO), Turn::Token(_)));
        // The probe that the keeper finds is the newest one's.
        let later = Duration::from_secs(2);
        assert!(matches!(waiters[0].ask(&line, &budget, later), Turn::Wait(Some(_))));
        assert_eq!(waiters.each_ref().map(Waiter::woken), [0, 1, 1]);
        assert!(matches!(waiters[1].ask(&line, &budget, later), Turn::Token(_)));
        // It leaves, and nobody is left to be told.
        line.leave(&waiters[0].place.take().unwrap(), &budget, || later);
        assert_eq!(line.len(), 0);
    }

    #[test]
    fn a_full_line_takes_nobody_in() {
        let (line, budget) = (line(1), empty());
        let (mut first, mut second) = (Waiter::new(), Waiter::new());
        let _ = first.ask(&line, &budget, ZERO);
        assert_eq!(second.ask(&line, &budget, ZERO), Turn::Full);
        assert_eq!((second.place, line.len()), (None, 1));
    }
}
