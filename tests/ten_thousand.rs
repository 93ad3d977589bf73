//! Ten thousand requests at once, through one stack, against a server that fails half of them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use retry_layer::policy::ratio::Ratio;
use retry_layer::policy::{Attempts, Budget, StopReason, profile};
use retry_layer::{BoxError, GateState, Stack};
use tower::{ServiceExt, service_fn};

static LIVE: AtomicI64 = AtomicI64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUESTS: usize = 10_000;
const MANY: u32 = 1_000_000;

#[test]
fn nothing_leaks_and_every_answer_is_accounted_for() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let calls = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&calls);
        let client = service_fn(move |_: Request<Full<Bytes>>| {
            // Every second call fails, of whichever request.
            let status = if count.fetch_add(1, Relaxed).is_multiple_of(2) { 503 } else { 200 };
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let body = Full::<Bytes>::from(Bytes::from(vec![7; 1024]));
                Ok::<_, BoxError>(Response::builder().status(status).body(body).unwrap())
            }
        });
        // As it is, for jobs, and with a budget that earns nothing, so that each token can be counted.
        let counted = || Budget::pace().with_reserve(MANY).unwrap().with_ratio(Ratio::ZERO);
        for (budget, is_counted) in
            [(Budget::shed(), false), (Budget::pace(), false), (counted(), true)]
        {
            let mut left = MANY;
            let stack = Stack::new(profile::DEFAULT).with_retry(|retry| retry.budget(budget));
            let api = stack.with_retry(|retry| retry.longest_line(REQUESTS.try_into().unwrap()));
            let api = api.around(client.clone());
            let mut live = [0; 3];
            let mut counts = (0, 0);
            for live in &mut live {
                calls.store(0, Relaxed);
                let uri = Uri::from_static("http://api.example/");
                let all: Vec<_> = (0..REQUESTS)
                    .map(|_| {
                        let request = Request::get(uri.clone()).body(Full::default()).unwrap();
                        tokio::spawn(api.clone().oneshot(request))
                    })
                    .collect();
                let (mut succeeded, mut stopped, mut attempts, mut paid) = (0, 0, 0, 0);
                for answer in all {
                    let answer = answer.await.unwrap().unwrap();
                    let said = Attempts::of(&answer);
                    attempts += said.count();
                    // A retry that succeeds gets its token back.
                    let lost = if answer.status() == 200 { 2 } else { 1 };
                    paid += said.count().saturating_sub(lost);
                    match (answer.status().as_u16(), said.stop_reason()) {
                        (200, None) => succeeded += 1,
                        (503, Some(StopReason::Budget | StopReason::Attempts)) => stopped += 1,
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(succeeded + stopped, REQUESTS);
                assert_eq!(attempts, calls.load(Relaxed), "each call belongs to a request");
                let state = api.origin(&Request::get(uri).body(()).unwrap());
                assert_eq!((state.waiting, state.gate), (0, Some(GateState::Open)));
                if is_counted {
                    left -= paid;
                    assert_eq!(state.tokens, Some(left), "each retry that failed has cost one");
                }
                assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
                counts = (succeeded, attempts);
                *live = LIVE.load(Relaxed);
            }
            // The runtime keeps what it needed for the first batch; after that nothing grows.
            assert_eq!(live[2], live[1], "bytes alive after each batch: {live:?}");
            println!("(successes, attempts) {counts:?}, bytes alive {live:?}");
        }
    });
}
