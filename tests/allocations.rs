//! A decision allocates nothing: not for the default number of attempts, and not for more.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, SystemTime};

use retry_policy::profile::{self, Answer};
use retry_policy::{Budget, Class, Decision, Policy, Run, Safety};

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_decision_allocates_nothing() {
    let policy = Policy::of(profile::IXON).max_attempts(20.try_into().unwrap()).build().unwrap();
    let mut headers = http::HeaderMap::new();
    headers.insert("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
    headers.insert("ratelimit", "\"default\";r=0;t=50".parse().unwrap());
    let body = br#"{"data": [{"message": "Invalid value", "propertyName": "Api-Company"}]}"#;
    let budget = Budget::shed();
    let mut decisions = 0;

    let before = COUNT.get();
    let mut run = Run::new(policy, Safety::Idempotent);
    let answer = Answer::new(503).headers(&headers, SystemTime::UNIX_EPOCH).body(body);
    for _ in 0..12 {
        let answer = if decisions % 2 == 0 { answer } else { Answer::new(400).body(body) };
        let outcome = policy.profile().outcome(&answer);
        let decision = run.after(&outcome, Duration::ZERO, 7);
        if let (Decision::Retry { .. }, Ok(token)) =
            (decision, budget.take(Class::Server, Duration::ZERO))
        {
            budget.refund(token);
        }
        budget.end(decision, None);
        decisions += 1;
    }
    assert_eq!((COUNT.get() - before, decisions), (0, 12));
    let _ = vec![0];
    assert_eq!(COUNT.get() - before, 1, "the count counts");
}
