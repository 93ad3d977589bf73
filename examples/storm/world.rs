//! A world of its own for each run: a clock that is paused, and dice that fall the same way each time.

use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use retry_layer::BoxError;
use tower::util::BoxCloneService;

/// Nothing: only the status matters here.
pub type Body = Empty<Bytes>;
/// What a request comes to.
pub type Answer = Result<Response<Body>, BoxError>;
/// A service, and a client of one: a strategy makes the one into the other.
pub type Client = BoxCloneService<Request<Body>, Response<Body>, BoxError>;

/// Lives one life on a paused clock. The same seed gives the same life.
pub fn live<T>(seed: u64, life: impl Future<Output = T>) -> T {
    fastrand::seed(seed);
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O")
        .block_on(life)
}

/// Does each of these jobs, as many at once as there are cores. The results come in the jobs' order.
pub fn side_by_side<J: Sync, T: Send>(jobs: &[J], work: impl Fn(&J) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<T>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Relaxed);
                    let Some(job) = jobs.get(at) else { break };
                    *done[at].lock().expect("nobody panicked") = Some(work(job));
                }
            });
        }
    });
    let results = done.into_iter().map(|result| result.into_inner().expect("nobody panicked"));
    results.map(|result| result.expect("each job is done")).collect()
}

/// A time that is exponentially distributed, in the unit of its mean.
pub fn exponential(mean: f64) -> f64 {
    -mean * (1.0 - fastrand::f64()).ln()
}

/// So many seconds.
pub fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A request that may be repeated.
pub fn request() -> Request<Body> {
    Request::new(Body::new())
}

/// An answer that says no more than this.
pub fn answer(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::new());
    *response.status_mut() = status;
    response
}

/// Whether a strategy would try again.
pub fn has_failed(answer: &Answer) -> bool {
    !answer.as_ref().is_ok_and(|response| response.status().is_success())
}
