//! Two threads whose requests share a budget, each sent by a service that answers at once.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http::{Request, Response};
use tower::{Layer, Service};

use crate::peers::OURS;
use crate::wiring::{Answer, Body, Tuned, of_tower, ours, request, resilience};

/// How long a round is, and how many there are; the best counts.
const ROUND: Duration = Duration::from_millis(100);
const ROUNDS: usize = 15;

/// Drops the request and answers: nothing in it is shared.
#[derive(Clone, Debug)]
pub struct AtOnce;

impl Service<Request<Body>> for AtOnce {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::default()))
    }
}

/// Millions of requests in a second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub one: f64,
    pub two: f64,
}

/// How often they are taken until the control shows that both cores were free.
const TRIES: usize = 5;

/// Each with its rates, the control first: it shares nothing, so a machine with two free cores doubles it.
pub fn rates() -> Vec<(&'static str, Rates)> {
    let mut rates = once();
    for _ in 1..TRIES {
        if rates[0].1.two / rates[0].1.one >= 1.9 {
            break;
        }
        rates = once();
    }
    rates
}

fn once() -> Vec<(&'static str, Rates)> {
    let tower = tower::retry::Retry::new(of_tower(), AtOnce);
    let tuned = tower::retry::Retry::new(Tuned::default(), AtOnce);
    vec![
        ("control: arithmetic", best(|| arithmetic)),
        ("the bare service", service(&AtOnce)),
        (OURS, service(&ours().layer(AtOnce))),
        ("retry-layer, one for each thread", best(|| sends(ours().layer(AtOnce)))),
        ("tower, as documented", service(&tower)),
        ("tower, tuned", service(&tuned)),
        ("tower-resilience", service(&resilience().layer(AtOnce))),
    ]
}

fn arithmetic() {
    (0..400_u64).for_each(|number| {
        black_box(number.wrapping_mul(black_box(7)));
    });
}

fn service<S>(service: &S) -> Rates
where
    S: Service<Request<Body>, Error = Infallible> + Clone + Send + Sync,
{
    best(|| sends(service.clone()))
}

fn sends<S>(mut service: S) -> impl FnMut()
where
    S: Service<Request<Body>, Error = Infallible>,
{
    move || {
        let polled =
            pin!(service.call(request(None, false))).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready());
    }
}

/// One thread and two by turns, so that what disturbs the one disturbs the other.
fn best<F: FnMut()>(work: impl Fn() -> F + Sync) -> Rates {
    let mut rates = Rates { one: 0.0, two: 0.0 };
    for _ in 0..ROUNDS {
        rates.one = rates.one.max(rate(1, &work));
        rates.two = rates.two.max(rate(2, &work));
    }
    rates
}

fn rate<F: FnMut()>(threads: usize, work: &(impl Fn() -> F + Sync)) -> f64 {
    let until = Instant::now() + ROUND;
    let count = || {
        let (mut work, mut done) = (work(), 0_u32);
        while Instant::now() < until {
            (0..100).for_each(|_| work());
            done += 100;
        }
        done
    };
    let done: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
    });
    f64::from(done) / ROUND.as_secs_f64() / 1e6
}
