//! One refresh for all requests that met the same stale credential.
//!
//! Whoever is polled drives it, so nothing runs in the background and nothing is lost when a request is
//! dropped; when the last one is, the refresh is dropped as well.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use super::key::Fetch;
use crate::BoxError;
use crate::credential::Secret;

/// A future that many wait for.
#[derive(Default)]
pub(super) struct Flight {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, Waker>,
    /// Counts the flights that have begun and that have ended.
    begun: u64,
    ended: u64,
    /// Out while somebody polls it.
    future: Option<Fetch>,
}

/// One who waits, and for which flight.
#[derive(Debug)]
pub(crate) struct Passenger {
    id: u64,
    flight: u64,
}

impl Flight {
    /// Whether somebody is on the way.
    pub(super) fn is_under_way(&self) -> bool {
        let state = self.lock();
        state.begun != state.ended
    }

    /// Joins the flight under way, or begins one.
    ///
    /// Nobody flies if nothing is stale any more.
    pub(super) fn join(
        &self,
        is_stale: impl FnOnce() -> bool,
        fetch: impl FnOnce() -> Fetch,
    ) -> Option<Passenger> {
        let mut state = self.lock();
        if state.begun == state.ended {
            if !is_stale() {
                return None; // Somebody landed meanwhile.
            }
            // If it panics, nothing has begun.
            state.future = Some(fetch());
            state.begun = state.begun.wrapping_add(1);
        }
        let id = state.next;
        state.next = id.wrapping_add(1);
        state.waiting.insert(id, Waker::noop().clone());
        Some(Passenger { id, flight: state.begun })
    }

    /// Is ready when the passenger's flight is over. `land` is called once for each flight that ends,
    /// before anybody hears of it.
    pub(super) fn poll(
        &self,
        passenger: &Passenger,
        cx: &Context<'_>,
        land: impl FnOnce(Result<Secret, BoxError>),
    ) -> Poll<()> {
        let mut state = self.lock();
        if state.begun != passenger.flight || state.ended == passenger.flight {
            state.waiting.remove(&passenger.id);
            return Poll::Ready(());
        }
        state.waiting.insert(passenger.id, cx.waker().clone());
        let Some(future) = state.future.take() else { return Poll::Pending };
        drop(state);
        // Polled without the lock: it may do anything. If it panics, the flight is over.
        let mut polled = Polled { flight: self, future: Some(future), is_over: true };
        let waker = Waker::from(Arc::new(WakeAll(Arc::clone(&self.state))));
        let future = polled.future.as_mut().map(Pin::as_mut);
        if let Some(Poll::Ready(secret)) =
            future.map(|future| future.poll(&mut Context::from_waker(&waker)))
        {
            land(secret);
            drop(polled);
            self.lock().waiting.remove(&passenger.id);
            Poll::Ready(())
        } else {
            polled.is_over = false;
            Poll::Pending
        }
    }

    /// Gives up waiting. Another drives it on, or nobody does and it is dropped.
    pub(super) fn leave(&self, passenger: &Passenger) {
        let mut state = self.lock();
        state.waiting.remove(&passenger.id);
        let next = state.waiting.values().next().cloned();
        let abandoned = match next {
            None if state.begun != state.ended => {
                state.ended = state.begun;
                state.future.take()
            }
            _ => None,
        };
        drop(state);
        drop(abandoned);
        if let Some(next) = next {
            next.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the future back, or ends the flight.
struct Polled<'a> {
    flight: &'a Flight,
    future: Option<Fetch>,
    is_over: bool,
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        let mut state = self.flight.lock();
        if self.is_over {
            state.ended = state.begun;
            let all: Vec<Waker> = state.waiting.values().cloned().collect();
            drop(state);
            all.into_iter().for_each(Waker::wake);
        } else if state.begun != state.ended {
            state.future = self.future.take();
        }
    }
}

/// Wakes all who wait: any of them may drive it on.
struct WakeAll(Arc<Mutex<State>>);

impl Wake for WakeAll {
    fn wake(self: Arc<Self>) {
        let all: Vec<Waker> = lock(&self.0).waiting.values().cloned().collect();
        all.into_iter().for_each(Waker::wake);
    }
}
