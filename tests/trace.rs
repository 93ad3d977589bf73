//! What tracing is told: OpenTelemetry's names, why it waited and stopped, and no secret.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use pagination::dialect::JUMPCLOUD_V1;
use pagination::{Outcome, Pages, Query};
use retry_layer::{BoxError, Credential, Key, Stack, policy::profile};
use simulated_api::{Api, Fault, SimulatedApi};
use tower::{ServiceExt, service_fn};
use tracing::Metadata;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;

/// What was written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// All that is said at the finest level while a request is answered by these statuses.
async fn said(statuses: &[u16]) -> String {
    said_to(statuses, |_| true).await
}

/// What of that this filter lets through.
async fn said_to(statuses: &[u16], filter: fn(&Metadata<'_>) -> bool) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish()
        .with(filter_fn(filter));
    let _guard = tracing::subscriber::set_default(subscriber);
    let statuses = statuses.to_vec();
    let answers = Arc::new(Mutex::new(statuses.into_iter()));
    let client = service_fn(move |_: Request<Full<Bytes>>| {
        let status = answers.lock().unwrap().next().unwrap();
        let mut answer = Response::builder().status(status);
        if status == 503 {
            answer = answer.header("retry-after", "2");
        }
        std::future::ready(Ok::<_, BoxError>(answer.body(Full::<Bytes>::from("s3cret")).unwrap()))
    });
    let api = Stack::new(profile::DEFAULT)
        .credential(Credential::bearer(Key::fixed("s3cret")).unwrap())
        .around(client);
    tracing::info!(?api, "what is about to be used");
    let request = Request::post("https://user:s3cret@api.example:8443/items?key=s3cret")
        .header("x-api-key", "s3cret-of-the-caller")
        .header("idempotency-key", "1")
        .body(Full::from("s3cret"))
        .unwrap();
    let _ = api.oneshot(request).await;
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_span_for_the_request_and_one_for_each_attempt() {
    let said = said(&[503, 200]).await;
    for expected in [
        "request{http.request.method=POST server.address=\"api.example\" server.port=8443 \
         url.full=https://api.example:8443/items",
        "attempt{otel.kind=\"client\" otel.name=POST http.request.method=POST \
         server.address=\"api.example\" server.port=8443 url.full=https://api.example:8443/items",
        "http.response.status_code=503 error.type=503",
        "sends again class=\"server error\" wait=2s source=\"retry-after\"",
        "http.request.resend_count=1",
        "http.response.status_code=200",
        "attempts=2",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    let first = said.lines().find(|line| line.contains("attempt{")).unwrap();
    assert!(!first.contains("resend_count"), "the first is not sent again: {first}");
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_lets_only_spans_through_gets_them_all() {
    let said = said_to(&[503, 200], |about| about.is_span()).await;
    let new: Vec<_> = said.lines().filter(|line| line.ends_with(": new")).collect();
    assert_eq!(new.len(), 3, "{said}");
    assert!(new.iter().all(|line| line.contains("request{")), "{said}");
}

#[tokio::test(start_paused = true)]
async fn the_end_has_its_reason() {
    for (statuses, reason) in [
        (&[503, 503, 503][..], "all attempts are used"),
        (&[404], "a permanent error"),
        (&[401], "the credential was refused"),
    ] {
        let said = said(statuses).await;
        assert!(said.contains(&format!("reason={reason}")), "{said}");
        assert!(said.contains(&format!("stop_reason={reason}")), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_nowhere() {
    for statuses in [&[200][..], &[503, 200], &[401], &[503, 503, 503], &[404]] {
        let said = said(statuses).await;
        assert!(said.contains("http.request.method"), "the log is not empty");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[tokio::test]
async fn events_tell_of_pages_shrinking_repairs_and_resuming_and_of_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let api = SimulatedApi::builder(Api::JumpCloudV1)
        .rows(500)
        .script([(3, Fault::status(504)), (5, Fault::status(500))])
        .writes(|number, rows| {
            if number == 6 {
                rows.delete_at(0);
            }
        })
        .build();
    let service = tower::ServiceBuilder::new()
        .map_request(|mut request: Request<Full<Bytes>>| {
            let key = http::HeaderValue::from_static("key");
            request.headers_mut().insert("x-api-key", key);
            request
        })
        .service(api);
    let uri = "https://api.example.com/api/systemusers?token=s3cret".parse().unwrap();
    let query = Query::new(JUMPCLOUD_V1, uri).unwrap().header("x-org-id", "s3cret").unwrap();
    let query = query.filter(JUMPCLOUD_V1.field("username").ne("s3cret"));
    let mut pages = Pages::new(service, query).keep_going(1);
    while let Some(rows) = pages.next().await {
        rows.unwrap();
    }
    assert!(matches!(pages.report().outcome(), Some(Outcome::Complete { .. })));
    tracing::info!(?pages, "what was used");
    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for line in [
        "page asked for ask=1 rank=0 rows=100 order=Ascending",
        "page arrived ask=1 rows=100",
        "pages become smaller ask=3 rows=100",
        "scan goes on after a failure rows=",
        "rows have shifted between two pages: repaired rows=",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
}
