//! The strategies of the publications, written as their sources define them.
//!
//! None of them is ours: `strategy` has what people use, through the real layer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt, service_fn};

use crate::world::{Client, has_failed, seconds};

/// When a request is sent again.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// At most; `u32::MAX` is no limit.
    pub attempts: u32,
    /// The seconds before attempt 2, 3, ….
    pub delay: fn(u32) -> f64,
    /// What else has to be the case.
    pub limit: Limit,
}

/// What all requests of a client share.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// Nothing.
    None,
    /// A retry pays.
    Bucket(Bucket),
    /// Attempts that failed, over all calls so far, are at most this share.
    Breaker(f64),
    /// A failure takes one of so many tokens and a success gives this share of one; retries above half. (gRPC's A6)
    Grpc(f64, f64),
    /// So many retries a second, and this share of the requests, of the last ten seconds. (Finagle)
    Window(f64, f64),
}

/// A bucket of tokens.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// The most that it holds.
    pub capacity: f64,
    /// What it holds at first.
    pub start: f64,
    /// What a retry takes.
    pub cost: f64,
    /// What a request earns when it begins.
    pub on_start: f64,
    /// What a success earns.
    pub on_success: f64,
    /// Whether a retry that succeeds gets its cost back in place of that.
    pub gives_back: bool,
    /// Whether the bucket has to hold more than the cost.
    pub keeps_some: bool,
}

/// A bucket that starts full: `capacity`, `cost`, `on_start`, `on_success`.
pub const fn bucket(capacity: f64, cost: f64, on_start: f64, on_success: f64) -> Bucket {
    let (gives_back, keeps_some) = (false, false);
    Bucket { capacity, start: capacity, cost, on_start, on_success, gives_back, keeps_some }
}

/// AWS's: 500 tokens, a retry costs this and gets it back, another success earns one.
pub const fn aws(cost: f64) -> Limit {
    Limit::Bucket(Bucket { gives_back: true, ..bucket(500.0, cost, 0.0, 1.0) })
}

/// At once.
pub fn at_once(_: u32) -> f64 {
    0.0
}

/// U(0, 20 s), then U(0, 40 s).
pub fn long(attempt: u32) -> f64 {
    fastrand::f64() * 10.0 * f64::from(1_u32 << (attempt - 1))
}

/// What a client remembers.
#[derive(Debug, Default)]
struct Memory {
    tokens: f64,
    calls: f64,
    failures: f64,
    /// Seconds, and what was earned or taken then.
    window: VecDeque<(f64, f64)>,
}

impl Limit {
    fn memory(self) -> Memory {
        let tokens = match self {
            Self::Bucket(bucket) => bucket.start,
            Self::Grpc(tokens, _) => tokens,
            _ => 0.0,
        };
        Memory { tokens, ..Memory::default() }
    }

    fn begins(self, memory: &mut Memory, now: f64) {
        memory.calls += 1.0;
        match self {
            Self::Bucket(bucket) => {
                memory.tokens = (memory.tokens + bucket.on_start).min(bucket.capacity);
            }
            Self::Window(_, share) => memory.window.push_back((now, share)),
            _ => {}
        }
    }

    fn succeeded(self, memory: &mut Memory, attempt: u32) {
        let (most, earned) = match self {
            Self::Bucket(bucket) if bucket.gives_back && attempt > 1 => {
                (bucket.capacity, bucket.cost)
            }
            Self::Bucket(bucket) => (bucket.capacity, bucket.on_success),
            Self::Grpc(most, ratio) => (most, ratio),
            _ => return,
        };
        memory.tokens = (memory.tokens + earned).min(most);
    }

    /// An attempt has failed, and there may be another.
    fn may_retry(self, memory: &mut Memory, is_last: bool, now: f64) -> bool {
        memory.failures += 1.0;
        match self {
            Self::Grpc(most, _) => {
                memory.tokens = (memory.tokens - 1.0).max(0.0);
                !is_last && memory.tokens > most / 2.0
            }
            _ if is_last => false,
            Self::None => true,
            Self::Breaker(most) => memory.failures / memory.calls <= most,
            Self::Bucket(Bucket { cost, keeps_some, .. }) => {
                let has = memory.tokens > cost || !keeps_some && memory.tokens >= cost;
                memory.tokens -= if has { cost } else { 0.0 };
                has
            }
            Self::Window(floor, _) => {
                while memory.window.front().is_some_and(|(at, _)| *at <= now - 10.0) {
                    memory.window.pop_front();
                }
                let earned: f64 = memory.window.iter().map(|(_, amount)| amount).sum();
                let has = floor * 10.0 + earned >= 1.0 - 1e-9;
                if has {
                    memory.window.push_back((now, -1.0));
                }
                has
            }
        }
    }
}

/// A client that follows this rule.
pub fn client(api: Client, rule: Rule) -> Client {
    let Rule { attempts, delay, limit } = rule;
    let (memory, began) = (Arc::new(Mutex::new(limit.memory())), Instant::now());
    Client::new(service_fn(move |request: http::Request<_>| {
        let (mut api, memory) = (api.clone(), Arc::clone(&memory));
        async move {
            let now = || began.elapsed().as_secs_f64();
            let memory = || memory.lock().expect("nobody panicked");
            limit.begins(&mut memory(), now());
            let mut attempt = 1;
            loop {
                let answer = api.ready().await?.call(request.clone()).await;
                if !has_failed(&answer) {
                    limit.succeeded(&mut memory(), attempt);
                    return answer;
                }
                if !limit.may_retry(&mut memory(), attempt >= attempts, now()) {
                    return answer;
                }
                attempt += 1;
                let wait = delay(attempt);
                if wait > 0.0 {
                    sleep(seconds(wait)).await;
                }
            }
        }
    }))
}
