//! The streams over a service: what is sent, when, and what comes of failures.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, Stream};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use pagination::dialect::{IXON, JUMPCLOUD_V1, LINK, PAGE_TOKEN};
use pagination::{Error, Failure, Inconsistency, Outcome, Pages, Proof, Query};
use serde_json::Value;
use simulated_api::{AnswerBody, Api, Builder, Fault, Row, SimulatedApi};
use tower::{BoxError, Service, ServiceBuilder, service_fn};

fn authorized(
    api: &SimulatedApi,
) -> impl Service<Request<Full<Bytes>>, Response = Response<AnswerBody>, Error = std::io::Error> + Clone
{
    ServiceBuilder::new()
        .map_request(|mut request: Request<Full<Bytes>>| {
            for (name, value) in [("x-api-key", "key"), ("authorization", "Bearer key")] {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            request
        })
        .service(api.clone())
}

fn users() -> Query<pagination::dialect::JumpCloudV1> {
    Query::new(JUMPCLOUD_V1, "https://api.example.com/api/systemusers".parse().unwrap()).unwrap()
}

fn agents() -> Query<pagination::dialect::Ixon> {
    Query::new(IXON, "https://api.example.com/api/agents".parse().unwrap()).unwrap()
}

fn v1() -> Builder {
    SimulatedApi::builder(Api::JumpCloudV1)
}

#[tokio::test]
async fn a_row_of_another_shape_is_an_error_with_its_index_and_bytes() {
    let row = |id: &str, age: &str| Row::new(id, format!("{{\"_id\":\"{id}\",\"age\":\"{age}\"}}"));
    let rows = [
        row("a", "one"),
        Row::new("b", r#"{"_id":"b","age":2}"#),
        row("c", "three"),
        Row::new("d", "7"),
        row("e", "five"),
    ];
    let api = v1().rows_of(rows).build();
    let mut items = Pages::new(authorized(&api), users()).items::<BTreeMap<String, String>>();
    let mut found = Vec::new();
    while let Some(item) = items.next().await {
        found.push(match item {
            Ok(user) => format!("{} is {}", user["_id"], user["age"]),
            Err(Error::Row { row, .. }) => {
                format!("row {}: {}", row.index(), String::from_utf8_lossy(row.json()))
            }
            Err(other) => panic!("{other}"),
        });
    }
    let bad = r#"row 1: {"_id":"b","age":2}"#;
    assert_eq!(found, ["a is one", bad, "c is three", "row 3: 7", "e is five"]);
    let report = items.report();
    assert_eq!((report.rows(), report.bad_rows()), (5, 1), "the number has no key at all");
    assert!(matches!(report.outcome(), Some(Outcome::BestEffort)), "{report}");
}

#[tokio::test]
async fn nothing_is_sent_before_it_is_polled_and_nothing_after_it_is_dropped() {
    let api = v1().rows(500).build();
    let mut pages = Pages::new(authorized(&api), users());
    assert_eq!(api.log().len(), 0);
    pages.next().await.unwrap().unwrap();
    assert_eq!(api.log().len(), 1, "no page ahead");
    drop(pages);
    tokio::task::yield_now().await;
    assert_eq!(api.log().len(), 1);
}

#[tokio::test]
async fn the_hint_of_the_size_is_what_is_at_hand() {
    let api = v1().rows(150).build();
    let mut items = Pages::new(authorized(&api), users()).items::<Value>();
    assert_eq!(items.size_hint(), (0, None));
    let mut left = 150;
    while items.next().await.is_some() {
        left -= 1;
        assert!(items.size_hint().0 <= left && items.size_hint().1.is_none());
    }
    assert_eq!((left, items.size_hint()), (0, (0, None)));
}

#[tokio::test]
async fn after_an_error_it_is_over_until_it_is_resumed_at_the_same_row() {
    // Every request fails once.
    for prefetch in [0, 3] {
        let api =
            v1().rows(450).faults(|asked| (asked.number % 2 == 1).then(|| Fault::status(503)));
        let api = api.build();
        let mut pages = Pages::new(authorized(&api), users().prefetch(prefetch));
        let (mut keys, mut errors) = (Vec::new(), 0);
        loop {
            match pages.next().await {
                Some(Ok(rows)) => {
                    keys.extend(rows.rows().iter().map(|row| row.key().unwrap().to_string()))
                }
                Some(Err(error)) => {
                    assert_eq!(
                        error.to_string(),
                        "the API answered 503 Service Unavailable: simulated 503"
                    );
                    errors += 1;
                    let at = keys.len() as u64;
                    assert_eq!(pages.report().outcome(), Some(&Outcome::Failed { at }));
                    assert!(pages.next().await.is_none(), "over until resumed");
                    pages.resume();
                }
                None => break,
            }
        }
        let proof = api.proof(&keys);
        assert_eq!((proof.once, proof.missing, proof.twice), (450, 0, 0));
        assert!(matches!(pages.report().outcome(), Some(Outcome::Complete { .. })));
        assert!(errors >= 4, "{errors}");
    }
}

#[tokio::test]
async fn it_keeps_going_after_temporary_errors_and_never_after_a_permanent_one() {
    let failing = |status, times: u64| {
        v1().rows(150).faults(move |asked| {
            (2..2 + times).contains(&asked.number).then(|| Fault::status(status))
        })
    };
    for (status, times, keep_going, outcome) in [
        (503, 3, 3, Outcome::Complete { proof: Proof::Fenced }),
        (503, 4, 3, Outcome::Failed { at: 100 }),
        (429, 1, 1, Outcome::Complete { proof: Proof::Fenced }),
        (403, 1, 9, Outcome::Failed { at: 100 }),
        (404, 1, 9, Outcome::Failed { at: 100 }),
        (503, 1, 0, Outcome::Failed { at: 100 }),
    ] {
        let api = failing(status, times).build();
        let mut pages = Pages::new(authorized(&api), users()).keep_going(keep_going);
        while pages.next().await.is_some_and(|rows| rows.is_ok()) {}
        let case = format!("{status}, {times} times, keep going {keep_going}");
        assert_eq!(pages.report().outcome(), Some(&outcome), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stack_whose_timeouts_are_errors_can_say_that_pages_are_too_heavy() {
    let api = v1().rows(300).faults(|asked| (asked.limit > 30).then_some(Fault::Hang)).build();
    let service = ServiceBuilder::new().timeout(Duration::from_secs(5)).service(authorized(&api));
    let is_timeout = |error: &BoxError| match error.is::<tower::timeout::error::Elapsed>() {
        true => Failure::TooHeavy,
        false => Failure::Permanent,
    };
    let mut pages = Pages::new(service, users()).failures(is_timeout);
    let mut rows = 0;
    while let Some(page) = pages.next().await {
        rows += page.unwrap().rows().len();
    }
    let report = pages.report();
    assert_eq!(
        (rows, report.shrinks(), report.outcome()),
        (300, 2, Some(&Outcome::Complete { proof: Proof::Fenced }))
    );
}

/// Milliseconds that this test's API has taken.
static CLOCK: AtomicU64 = AtomicU64::new(0);

#[tokio::test]
async fn a_page_shrinks_before_the_api_gives_up_on_it() {
    // IXON gives up after 50 s; its rows take 40 ms each here.
    let api = SimulatedApi::builder(Api::Ixon).rows(3_000).faults(|asked| {
        CLOCK.fetch_add(asked.limit as u64 * 40, Ordering::Relaxed);
        None
    });
    let api = api.build();
    let mut pages = Pages::new(authorized(&api), agents())
        .clock(|| Duration::from_millis(CLOCK.load(Ordering::Relaxed)));
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        sizes.push(page.unwrap().rows().len());
    }
    assert_eq!(sizes[..3], [1_000, 500, 500], "40 s are more than half of 50 s, 20 s are not");
    assert_eq!(pages.report().elapsed(), Duration::from_secs(120));
    assert!(matches!(pages.report().outcome(), Some(Outcome::Complete { .. })));
}

#[tokio::test(start_paused = true)]
async fn pages_ahead_are_bounded_by_number_and_bytes_and_fewer_while_throttled() {
    let most_at_once = |query: Query, waits: bool| async move {
        let api = v1().rows(3_000).build();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let inner = authorized(&api);
        let service = service_fn(move |mut request: Request<Full<Bytes>>| {
            let (mut inner, now, most) = (inner.clone(), Arc::clone(&now), Arc::clone(&most));
            let record = request.extensions_mut().remove::<retry_layer::Record>();
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                now.fetch_sub(1, Ordering::Relaxed);
                if waits {
                    // As a retry layer records it: the first attempt was told to wait.
                    record.unwrap().set(throttled());
                }
                inner.call(request).await
            }
        });
        let mut pages = Pages::new(service, query);
        let mut rows = 0;
        while let Some(page) = pages.next().await {
            rows += page.unwrap().rows().len();
        }
        assert_eq!(
            (rows, pages.report().outcome()),
            (3_000, Some(&Outcome::Complete { proof: Proof::Fenced }))
        );
        seen.load(Ordering::Relaxed)
    };
    let query = users().untyped();
    assert_eq!(most_at_once(query.clone(), false).await, 1);
    assert_eq!(most_at_once(query.clone().prefetch(4), false).await, 5);
    let page = 11_000; // of 100 rows with 107 bytes each
    assert_eq!(most_at_once(query.clone().prefetch(40).prefetch_bytes(3 * page), false).await, 3);
    assert_eq!(most_at_once(query.prefetch(4), true).await, 3, "halved by the first answer");
}

/// A history of a request that was told to wait and then answered.
fn throttled() -> retry_policy::Attempts {
    use retry_policy::{Decision, Delivery, Policy, Run, Safety, profile};
    let policy = Policy::of(profile::DEFAULT).build().unwrap();
    let mut run = Run::new(policy, Safety::Idempotent);
    let outcome = retry_policy::Outcome::new(Delivery::Answered(429));
    let decision = run.after(&outcome, Duration::ZERO, u32::MAX / 2);
    assert!(matches!(decision, Decision::Retry { .. }), "{decision:?}");
    *run.attempts()
}

#[tokio::test]
async fn a_link_to_another_origin_is_never_followed_and_its_page_is_not_lost() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let api = service_fn(move |request: Request<Full<Bytes>>| {
        log.lock().unwrap().push(request.uri().to_string());
        let response = Response::builder()
            .header("link", "<https://user:hunter2@evil.example/next?token=s3cret>; rel=\"next\"")
            .body(Full::<Bytes>::from(r#"[{"id":1},{"id":2}]"#));
        async move { Ok::<_, Infallible>(response.unwrap()) }
    });
    let query = Query::new(LINK, "https://api.example.com/issues".parse().unwrap()).unwrap();
    let mut pages = Pages::new(api, query.clone());
    assert_eq!(pages.next().await.unwrap().unwrap().rows().len(), 2);
    assert!(pages.next().await.is_none());
    let Some(Outcome::Inconsistent { why: why @ Inconsistency::ForeignLink(_) }) =
        pages.report().outcome()
    else {
        panic!("{}", pages.report());
    };
    let told = "the next page's link leads to https://evil.example, another origin";
    assert_eq!(why.to_string(), told, "neither the password nor the token");
    assert_eq!(*asked.lock().unwrap(), ["https://api.example.com/issues?per_page=100"]);
    // It does not go on elsewhere when it is resumed from its checkpoint either.
    let checkpoint = pages.checkpoint();
    assert!(!serde_json::to_string(&checkpoint).unwrap().contains("evil"));
}

#[tokio::test]
async fn page_tokens_may_come_with_short_and_empty_pages_and_errors_in_googles_words() {
    let answers = [
        r#"{"users":[{"name":"a"}],"nextPageToken":"1"}"#,
        r#"{"nextPageToken":"2"}"#,
        r#"{"users":[],"nextPageToken":"3"}"#,
        r#"{"users":[{"name":"b"},{"name":"c"}],"nextPageToken":""}"#,
    ];
    let api = service_fn(move |request: Request<Full<Bytes>>| {
        let query = request.uri().query().unwrap().to_owned();
        let at = query.split_once("pageToken=").map_or(0, |(_, token)| token.parse().unwrap());
        async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(answers[at]))) }
    });
    let uri: http::Uri = "https://api.example.com/v1/users".parse().unwrap();
    let query = Query::new(PAGE_TOKEN, uri.clone()).unwrap();
    let mut pages = Pages::new(api, query.clone());
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        names.extend(page.unwrap().into_iter().map(|row| row.key().unwrap().to_string()));
    }
    assert_eq!((names, pages.report().pages()), (["a", "b", "c"].map(String::from).into(), 4));

    for (status, body) in [
        (404, r#"{"error":{"code":5,"message":"no such list","status":"NOT_FOUND"}}"#),
        (503, r#"{"code":14,"message":"no such list","details":[]}"#),
        (200, r#"{"error":{"code":13,"message":"no such list"}}"#),
    ] {
        let api = service_fn(move |_: Request<Full<Bytes>>| async move {
            let mut response = Response::new(Full::<Bytes>::from(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, Infallible>(response)
        });
        let mut pages = Pages::new(api, query.clone());
        let error = pages.next().await.unwrap().unwrap_err().to_string();
        assert!(error.ends_with("no such list"), "{error}");
    }
}

#[tokio::test]
async fn cancelling_items_leaves_a_place_after_the_last_one_that_was_taken() {
    let api = v1().rows(150).build();
    let mut items = Pages::new(authorized(&api), users()).items::<Value>();
    let mut keys = Vec::new();
    for _ in 0..30 {
        keys.push(items.next().await.unwrap().unwrap()["_id"].as_str().unwrap().to_owned());
    }
    items.cancel();
    assert!(items.next().await.is_none());
    assert_eq!(items.report().outcome(), Some(&Outcome::Cancelled));
    let here = items.checkpoint();
    assert_eq!(here.rows(), 30);
    let mut rest =
        Pages::from_checkpoint(authorized(&api), users(), here).unwrap().items::<Value>();
    while let Some(item) = rest.next().await {
        keys.push(item.unwrap()["_id"].as_str().unwrap().to_owned());
    }
    let proof = api.proof(&keys);
    assert_eq!((proof.once, proof.missing, proof.twice), (150, 0, 0));
}

#[tokio::test]
async fn a_limit_sends_one_request_for_what_one_page_holds() {
    let api = v1().rows(5_000).build();
    let mut pages = Pages::new(authorized(&api), users().limit(30).prefetch(4));
    let rows = pages.next().await.unwrap().unwrap();
    assert_eq!((rows.rows().len(), pages.next().now_or_never().unwrap().is_none()), (30, true));
    assert_eq!(pages.report().outcome(), Some(&Outcome::LimitReached { more: Some(true) }));
    let log = api.log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].uri.query(), Some("limit=31&skip=0&sort=_id"));
}

/// Is told when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn dropping_a_stream_cancels_what_is_in_flight() {
    let (sent, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let api = v1().rows(900).build();
    let (inner, count, drops) = (authorized(&api), Arc::clone(&sent), Arc::clone(&dropped));
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let (mut inner, at) = (inner.clone(), count.fetch_add(1, Ordering::Relaxed));
        let guard = Dropped(Arc::clone(&drops));
        async move {
            let _guard = guard;
            if at > 0 {
                std::future::pending::<()>().await;
            }
            inner.call(request).await
        }
    });
    let mut pages = Pages::new(service, users().prefetch(3));
    pages.next().await.unwrap().unwrap();
    assert!(pages.next().now_or_never().is_none(), "the next page hangs");
    let (sent, before) = (sent.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed));
    assert_eq!((sent, before), (5, 1), "the fence and three pages ahead are on their way");
    drop(pages);
    assert_eq!(dropped.load(Ordering::Relaxed), sent);
}

#[tokio::test]
async fn a_cursor_that_repeats_is_the_end_only_for_an_api_that_promises_it() {
    use pagination::dialect::{Dialect, Method};
    const CIRCLE: Dialect = Dialect::new("circle", Method::Cursor)
        .key(&["id"])
        .call(|call| {
            if let Some(cursor) = call.cursor() {
                call.parameter("from", cursor);
            }
        })
        .page(|answer| {
            let [rows, next] = answer.object(["rows", "next"])?;
            Ok(answer.rows_in(rows)?.with_next(next.cursor()?))
        });
    for (dialect, is_end) in [(CIRCLE, false), (CIRCLE.repeat_is_end(), true)] {
        let api = service_fn(|request: Request<Full<Bytes>>| async move {
            let at = if request.uri().query().is_some() { 2 } else { 1 };
            let body = format!("{{\"rows\":[{{\"id\":{at}}}],\"next\":\"same\"}}");
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(body)))
        });
        let query = Query::new(dialect, "http://h/".parse().unwrap()).unwrap();
        let mut pages = Pages::new(api, query);
        let mut rows = 0;
        while let Some(page) = pages.next().await {
            rows += page.unwrap().rows().len();
        }
        let by_word = Outcome::Complete { proof: Proof::ApiSaysSo };
        let is_complete = pages.report().outcome() == Some(&by_word);
        assert_eq!((rows, is_complete), (2, is_end), "{}", pages.report());
    }
}

/// Released crates stay small: the crates behind each, itself not counted.
#[test]
fn the_crates_need_no_more_crates_than_they_may() {
    let count = |package: &str, features: &str| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = std::process::Command::new(cargo)
            .args(["tree", "--offline", "--prefix=none", "--edges=normal", "--no-dedupe"])
            .args(["--format={p}", "--package", package, "--features", features])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // By name and version: two versions are two crates.
        let of = |line: &str| line.split(" (").next().unwrap_or_default().to_owned();
        let mut crates: Vec<_> = text.lines().map(of).collect();
        crates.sort_unstable();
        crates.dedup();
        let has = |name: &str| crates.iter().any(|it| it.split(' ').next() == Some(name));
        assert!(!has("serde_derive"), "{package} {features}");
        (crates.len() - 1, has("tracing"))
    };
    for (package, features, most) in
        [("retry-policy", "http", 4), ("retry-layer", "", 15), ("pagination", "", 18)]
    {
        let (crates, has_tracing) = count(package, features);
        assert!(crates <= most && !has_tracing, "{package} {features}: {crates}");
    }
    assert!(count("retry-layer", "tracing").1 && count("pagination", "tracing").1);
}
