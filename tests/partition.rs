//! One collection as several scans side by side, and the unique sort for somebody else's requests.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use pagination::dialect::{JUMPCLOUD_SEARCH, JUMPCLOUD_V1, JUMPCLOUD_V2, JumpCloudV1};
use pagination::partition::{CannotSplit, Partitions, PartitionsCheckpoint};
use pagination::{Key, Outcome, Query, StableSortLayer};
use retry_policy::Stopped;
use simulated_api::{AnswerBody, Api, Fault, SimulatedApi};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

fn authorized(
    api: &SimulatedApi,
) -> impl Service<Request<Full<Bytes>>, Response = Response<AnswerBody>, Error = std::io::Error> + Clone
{
    ServiceBuilder::new()
        .map_request(|mut request: Request<Full<Bytes>>| {
            request.headers_mut().insert("x-api-key", HeaderValue::from_static("key"));
            request
        })
        .service(api.clone())
}

fn users() -> Query<JumpCloudV1> {
    Query::new(JUMPCLOUD_V1, "https://api.example.com/api/systemusers".parse().unwrap()).unwrap()
}

#[tokio::test]
async fn every_owed_row_comes_once_from_some_range_while_rows_are_written() {
    let mut proved = 0;
    for api in [Api::JumpCloudV1, Api::JumpCloudV2, Api::JumpCloudSearch] {
        for parts in [1, 2, 5] {
            for seed in 0..2 {
                let api = SimulatedApi::builder(api).rows(700).writes_by_seed(seed).build();
                let uri: http::Uri =
                    format!("https://api.example.com{}", api.api().path()).parse().unwrap();
                let query = match api.api() {
                    Api::JumpCloudV1 => Query::new(JUMPCLOUD_V1, uri).unwrap().untyped(),
                    Api::JumpCloudV2 => Query::new(JUMPCLOUD_V2, uri).unwrap().untyped(),
                    _ => Query::new(JUMPCLOUD_SEARCH, uri).unwrap().untyped(),
                };
                let query = query.page_size(40).unwrap();
                let query = if seed == 1 { query.sort("-_id").unwrap() } else { query };
                let mut partitions = match Partitions::split(authorized(&api), query, parts).await {
                    Ok(partitions) => partitions,
                    // Rows are written before every other request: a bound that kept changing is refused.
                    Err(CannotSplit::NotProved { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                proved += 1;
                let mut keys = Vec::new();
                let mut ranges = BTreeSet::new();
                while let Some(page) = partitions.next().await {
                    let (range, rows) = page.unwrap();
                    ranges.insert(range);
                    keys.extend(rows.rows().iter().map(|row| row.key().unwrap().to_string()));
                }
                let proof = api.proof(&keys);
                let report = partitions.report();
                let case = format!("{:?}, {parts} parts, seed {seed}: {report}", api.api());
                assert_eq!((proof.missing, proof.twice), (0, 0), "{case}");
                assert!(matches!(report.outcome(), Some(Outcome::Complete { .. })), "{case}");
                assert_eq!(
                    (report.rows(), ranges.len()),
                    (keys.len() as u64, parts as usize),
                    "{case}"
                );
                assert_eq!(report.requests(), api.log().len() as u64, "{case}");
            }
        }
    }
    assert_eq!(proved, 18);
}

#[tokio::test]
async fn a_filter_that_is_ignored_or_not_cast_is_found_at_the_bound() {
    // A server that ignores filters, and one that shows nothing for any.
    for shows_nothing in [false, true] {
        let api = SimulatedApi::builder(Api::JumpCloudV1).rows(300).build();
        let inner = authorized(&api);
        let service = service_fn(move |mut request: Request<Full<Bytes>>| {
            let uri = request.uri().to_string();
            let is_filtered = uri.contains("filter");
            let without = uri.split('&').filter(|pair| !pair.contains("filter"));
            let mut without = without.collect::<Vec<_>>().join("&");
            if uri.contains("?filter") {
                let (path, rest) = uri.split_once('?').unwrap();
                let rest: Vec<_> =
                    rest.split('&').filter(|pair| !pair.contains("filter")).collect();
                without = format!("{path}?{}", rest.join("&"));
            }
            if is_filtered && shows_nothing {
                without.push_str("&filter=_id:$lt:!");
            }
            *request.uri_mut() = without.parse().unwrap();
            inner.clone().call(request)
        });
        let error = Partitions::split(service, users(), 2).await.unwrap_err();
        assert!(matches!(error, CannotSplit::NotProved { .. }), "{shows_nothing}: {error}");
    }
    // A server that ignores the direction of the sort.
    let api =
        SimulatedApi::builder(Api::JumpCloudV1).rows(10).faults(|_| Some(Fault::IgnoreReverse));
    let error = Partitions::split(authorized(&api.build()), users(), 4).await.unwrap_err();
    assert!(matches!(error, CannotSplit::NotProved { .. }), "{error}");
    let any = [JUMPCLOUD_V1.field("a").eq(1), JUMPCLOUD_V1.field("a").eq(2)];
    let api = SimulatedApi::builder(Api::JumpCloudV1).rows(300).build();
    let error = Partitions::split(authorized(&api), users().any_of(any), 2).await.unwrap_err();
    assert!(matches!(error, CannotSplit::Query(_)), "a choice and a bound cannot stand together");
    let bounds = vec![Key::Text("b".into()), Key::Text("a".into())];
    let error = Partitions::split_at(authorized(&api), users(), bounds).await.unwrap_err();
    assert!(matches!(error, CannotSplit::Order));
    let error = Partitions::split(authorized(&api), users().limit(5), 2).await.unwrap_err();
    assert!(matches!(error, CannotSplit::Limited));
}

#[tokio::test]
async fn ranges_go_on_behind_the_rows_that_were_taken() {
    for kill in 0..24 {
        let api = SimulatedApi::builder(Api::JumpCloudV1).rows(400).build();
        let query = users().page_size(20).unwrap();
        let mut first = Partitions::split(authorized(&api), query.clone(), 4).await.unwrap();
        let mut keys = Vec::new();
        let mut here = serde_json::to_string(&first.checkpoint()).unwrap();
        for _ in 0..kill {
            let (range, rows) = first.next().await.unwrap().unwrap();
            // Only the first seven rows are taken before the kill.
            let mut checkpoint = first.checkpoint();
            keys.extend(
                rows.rows()[..7.min(rows.rows().len())]
                    .iter()
                    .map(|row| row.key().unwrap().to_string()),
            );
            if rows.rows().len() > 7 {
                checkpoint.put(range, rows.checkpoint_after(7));
                here = serde_json::to_string(&checkpoint).unwrap();
                break;
            }
            here = serde_json::to_string(&checkpoint).unwrap();
        }
        drop(first);
        let here: PartitionsCheckpoint = serde_json::from_str(&here).unwrap();
        let mut second =
            Partitions::from_checkpoint(authorized(&api), query.clone(), here.clone()).unwrap();
        while let Some(page) = second.next().await {
            keys.extend(page.unwrap().1.rows().iter().map(|row| row.key().unwrap().to_string()));
        }
        let proof = api.proof(&keys);
        assert_eq!((proof.once, proof.missing, proof.twice), (400, 0, 0), "kill {kill}");
        let other = query.filter(JUMPCLOUD_V1.field("active").eq(true));
        assert!(Partitions::from_checkpoint(authorized(&api), other, here).is_err());
    }
}

#[tokio::test]
async fn a_range_that_fails_does_not_hold_the_others_and_goes_on_when_resumed() {
    let api = SimulatedApi::builder(Api::JumpCloudV1)
        .rows(400)
        .faults(|asked| (asked.number == 12).then(|| Fault::status(500)));
    let api = api.build();
    let query = users().page_size(20).unwrap();
    let mut partitions = Partitions::split(authorized(&api), query, 4).await.unwrap();
    let (mut keys, mut errors) = (Vec::new(), 0);
    loop {
        match partitions.next().await {
            Some(Ok((_, rows))) => {
                keys.extend(rows.rows().iter().map(|row| row.key().unwrap().to_string()));
            }
            Some(Err(_)) => errors += 1,
            None if matches!(partitions.report().outcome(), Some(Outcome::Complete { .. })) => {
                break;
            }
            None => {
                assert!(matches!(partitions.report().outcome(), Some(Outcome::Failed { .. })));
                assert!(keys.len() > 250, "the others are at their end: {}", keys.len());
                partitions.resume();
            }
        }
    }
    let proof = api.proof(&keys);
    assert_eq!((proof.once, proof.missing, proof.twice, errors), (400, 0, 0, 1));
}

/// An SDK as a generator writes it: it pages with `skip` and knows nothing of a sort.
async fn list_users<S>(mut service: S) -> Result<Vec<String>, S::Error>
where
    S: Service<Request<Full<Bytes>>, Response = Response<AnswerBody>>,
{
    let mut names = Vec::new();
    loop {
        let address = format!("/api/systemusers?limit=100&skip={}", names.len());
        let request = Request::get(address).body(Full::default()).unwrap();
        let response = service.ready().await?.call(request).await?;
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let rows = page["results"].as_array().unwrap();
        names.extend(rows.iter().map(|row| row["_id"].as_str().unwrap().to_owned()));
        if rows.len() < 100 {
            return Ok(names);
        }
    }
}

#[tokio::test]
async fn an_sdk_gets_the_unique_sort_without_being_changed() {
    let api = SimulatedApi::builder(Api::JumpCloudV1).rows(250).build();
    let sort = StableSortLayer::new(JUMPCLOUD_V1).unwrap();
    let service = ServiceBuilder::new().layer(sort.clone()).service(authorized(&api));
    assert_eq!(list_users(service).await.unwrap().len(), 250);
    for entry in api.log() {
        assert!(entry.uri.query().unwrap().ends_with("&sort=_id"), "{}", entry.uri);
    }
    assert_eq!((sort.counts().sorted, sort.counts().passed), (3, 0));
}

#[derive(Debug)]
enum SdkError {
    Refused(Stopped),
}

impl From<Stopped> for SdkError {
    fn from(stopped: Stopped) -> Self {
        Self::Refused(stopped)
    }
}

#[tokio::test]
async fn a_request_gets_the_key_appended_or_is_refused_and_others_pass() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sent);
    let api = service_fn(move |request: Request<()>| {
        log.lock().unwrap().push(request.uri().to_string());
        async { Ok::<_, Infallible>(()) }
    });
    let v1 = StableSortLayer::new(JUMPCLOUD_V1).unwrap();
    for (asked, expected) in [
        ("/api/systemusers?skip=0", "/api/systemusers?skip=0&sort=_id"),
        ("/api/systemusers?limit=5&sort=", "/api/systemusers?limit=5&sort=_id"),
        ("/api/systemusers?filter=a:$eq:b", "/api/systemusers?filter=a:$eq:b&sort=_id"),
        ("/api/systems?skip=0&sort=-hostname&a=b", "/api/systems?skip=0&a=b&sort=-hostname%20_id"),
        ("/api/systemusers?skip=0&sort=-_id", "/api/systemusers?skip=0&sort=-_id"),
        ("/api/systemusers?skip=0&sort=username+_id", "/api/systemusers?skip=0&sort=username+_id"),
        ("/api/systemusers?skip=0&s%6Frt=_id", "/api/systemusers?skip=0&s%6Frt=_id"),
        // Not a list, not paged, not sortable: as they are.
        ("/api/systemusers/5f5e100", "/api/systemusers/5f5e100"),
        ("/api/systemusers", "/api/systemusers"),
        ("/api/other?skip=5", "/api/other?skip=5"),
    ] {
        let service = ServiceBuilder::new().layer(v1.clone()).service(api.clone());
        service.oneshot(Request::get(asked).body(()).unwrap()).await.unwrap();
        assert_eq!(sent.lock().unwrap().pop().as_deref(), Some(expected));
    }
    let post = Request::post("/api/systemusers?skip=0").body(()).unwrap();
    ServiceBuilder::new().layer(v1.clone()).service(api.clone()).oneshot(post).await.unwrap();
    assert_eq!(sent.lock().unwrap().pop().as_deref(), Some("/api/systemusers?skip=0"));
    let counts = v1.counts();
    assert_eq!((counts.sorted, counts.passed, counts.refused, counts.unstable), (4, 7, 0, 0));

    let v2 = StableSortLayer::new(JUMPCLOUD_V2).unwrap();
    assert!(StableSortLayer::new(JUMPCLOUD_SEARCH).is_err(), "it asks in a body");
    for (asked, expected) in [
        ("/api/v2/usergroups?skip=0&sort=name", "/api/v2/usergroups?skip=0&sort=name%2C_id"),
        ("/api/v2/usergroups?skip=0&sort=name,id", "/api/v2/usergroups?skip=0&sort=name,id"),
        ("/api/v2/usergroups/1/members?skip=0", "/api/v2/usergroups/1/members?skip=0"),
    ] {
        let service = ServiceBuilder::new().layer(v2.clone()).service(api.clone());
        service.oneshot(Request::get(asked).body(()).unwrap()).await.unwrap();
        assert_eq!(sent.lock().unwrap().pop().as_deref(), Some(expected));
    }
    assert_eq!((v2.counts().unstable, v2.counts().sorted), (1, 1));

    let refusing = StableSortLayer::new(JUMPCLOUD_V1).unwrap().refuse();
    let reached = Arc::clone(&sent);
    let api = service_fn(move |request: Request<()>| {
        reached.lock().unwrap().push(request.uri().to_string());
        async { Ok::<_, SdkError>(()) }
    });
    let service = ServiceBuilder::new().layer(refusing.clone()).service(api);
    let unsorted = Request::get("/api/systemusers?skip=100").body(()).unwrap();
    let SdkError::Refused(stopped) = service.clone().oneshot(unsorted).await.unwrap_err();
    assert_eq!(stopped.to_string(), "no answer: 0 attempts; a list is paged without a unique sort");
    assert_eq!(stopped.attempts().count(), 0);
    let sorted = Request::get("/api/systemusers?skip=100&sort=_id").body(()).unwrap();
    service.oneshot(sorted).await.unwrap();
    assert_eq!(refusing.counts().refused, 1);
    assert_eq!(*sent.lock().unwrap(), ["/api/systemusers?skip=100&sort=_id"]);
}
