//! Every dialect against its API: quiet, while rows are written, at the edges of a page, filtered.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use pagination::dialect::{
    DIRECTORY_INSIGHTS, Dialect, IXON, JUMPCLOUD_SEARCH, JUMPCLOUD_V1, JUMPCLOUD_V2,
    JUMPCLOUD_V2_LINK, LINK, OPERATIONS1, PAGE_TOKEN,
};
use pagination::{Outcome, Pages, Query, Report};
use simulated_api::{AnswerBody, Api, Builder, Fault, Proof, SimulatedApi};
use tower::{Service, ServiceBuilder};

fn authorized(
    api: SimulatedApi,
) -> impl Service<Request<Full<Bytes>>, Response = Response<AnswerBody>, Error = std::io::Error> {
    ServiceBuilder::new()
        .map_request(|mut request: Request<Full<Bytes>>| {
            for (name, value) in [("x-api-key", "key"), ("authorization", "Bearer key")] {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            request
        })
        .service(api)
}

/// The query for all rows of each API.
fn query(api: Api) -> Query {
    fn of<G>(dialect: Dialect<G>, api: Api) -> Query<G> {
        let uri = format!("https://api.example.com{}", api.path());
        Query::new(dialect, uri.parse().unwrap()).unwrap()
    }
    match api {
        Api::DirectoryInsights => events(api).untyped(),
        Api::Ixon => of(IXON, api).untyped(),
        Api::JumpCloudSearch => of(JUMPCLOUD_SEARCH, api).untyped(),
        Api::JumpCloudV1 => of(JUMPCLOUD_V1, api).untyped(),
        Api::JumpCloudV2 => of(JUMPCLOUD_V2, api).untyped(),
        Api::JumpCloudV2Link => of(JUMPCLOUD_V2_LINK, api).untyped(),
        Api::Link => of(LINK, api).untyped(),
        Api::Operations1 => {
            of(OPERATIONS1, api).header("accept-version", "2026-01-01").unwrap().untyped()
        }
        Api::PageToken => of(PAGE_TOKEN, api).untyped(),
        other => panic!("{other:?}"),
    }
}

fn events(api: Api) -> Query<pagination::dialect::DirectoryInsights> {
    let uri = format!("https://api.example.com{}", api.path()).parse().unwrap();
    let from = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    Query::new(DIRECTORY_INSIGHTS, uri).unwrap().events(["all"], from, from + DAY)
}

const DAY: Duration = Duration::from_secs(86_400);

const ALL: [Api; 9] = [
    Api::DirectoryInsights,
    Api::Ixon,
    Api::JumpCloudSearch,
    Api::JumpCloudV1,
    Api::JumpCloudV2,
    Api::JumpCloudV2Link,
    Api::Link,
    Api::Operations1,
    Api::PageToken,
];

async fn read(api: &SimulatedApi, query: Query) -> (Vec<String>, Report) {
    let mut pages = Pages::new(authorized(api.clone()), query);
    let mut keys = Vec::new();
    while let Some(rows) = pages.next().await {
        let rows = rows.unwrap_or_else(|error| panic!("{:?}: {error}", api.api()));
        keys.extend(rows.rows().iter().map(|row| row.key().unwrap().to_string()));
    }
    (keys, pages.report().clone())
}

async fn proved(builder: Builder, query: Query) -> (Proof, Report) {
    let api = builder.build();
    let (keys, report) = read(&api, query).await;
    (api.proof(&keys), report)
}

#[tokio::test]
async fn a_quiet_collection_is_read_whole_at_every_size() -> Result<(), Infallible> {
    for api in ALL {
        for rows in [0, 1, 2, 99, 100, 101, 199, 200, 201, 1_000, 1_001] {
            let builder = SimulatedApi::builder(api).rows(rows);
            let (proof, report) = proved(builder, query(api)).await;
            let found = (proof.missing, proof.twice, proof.once as u64);
            assert_eq!(found, (0, 0, rows), "{api:?} with {rows} rows");
            // A link with a page number proves nothing.
            let is_link = matches!(api, Api::Link | Api::JumpCloudV2Link);
            let is_silent = api == Api::Link && rows == 100; // A full page may lack its link.
            let is_offset = is_link && rows > 100 || is_silent;
            let is_complete = matches!(report.outcome(), Some(Outcome::Complete { .. }));
            assert_eq!(is_complete, !is_offset, "{api:?} with {rows} rows: {report}");
        }
    }
    Ok(())
}

/// Link pages hold the offsets of their API, which nothing can anchor: they are left out.
#[tokio::test]
async fn every_owed_row_comes_once_while_rows_are_written() {
    for api in ALL.into_iter().filter(|api| !matches!(api, Api::Link | Api::JumpCloudV2Link)) {
        for seed in 0..6 {
            for size in [2, 7, 100] {
                let builder = SimulatedApi::builder(api).rows(300).writes_by_seed(seed);
                let (proof, report) =
                    proved(builder, query(api).page_size(size).unwrap().prefetch(3)).await;
                let case = format!("{api:?}, pages of {size}, seed {seed}: {report}");
                assert_eq!((proof.missing, proof.twice), (0, 0), "{case}");
                assert!(matches!(report.outcome(), Some(Outcome::Complete { .. })), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_as_the_refusal_says() {
    for (api, ceiling) in [
        (Api::JumpCloudV1, 30),
        (Api::JumpCloudV2, 7),
        (Api::JumpCloudSearch, 100),
        (Api::Operations1, 50),
        (Api::Ixon, 20),
        (Api::PageToken, 20),
    ] {
        let builder = SimulatedApi::builder(api).rows(300).ceiling(ceiling, false);
        let (proof, report) = proved(builder, query(api)).await;
        assert_eq!((proof.missing, proof.once), (0, 300), "{api:?}");
        assert_eq!(report.shrinks(), 1, "{api:?}: once, not for every page");
    }
}

#[tokio::test]
async fn pages_shrink_on_gateway_errors_and_lose_nothing() {
    for api in ALL.into_iter().filter(|api| !matches!(api, Api::Link | Api::JumpCloudV2Link)) {
        for status in [502, 504, 413] {
            // The size that comes through changes while the scan runs.
            let builder = SimulatedApi::builder(api).rows(600).faults(move |asked| {
                let most = if asked.number % 20 < 10 { 40 } else { 13 };
                (asked.limit > most).then(|| Fault::status(status))
            });
            let (proof, report) = proved(builder, query(api)).await;
            assert_eq!((proof.missing, proof.twice, proof.once), (0, 0, 600), "{api:?}");
            assert!(report.shrinks() > 0, "{api:?}: {report}");
        }
    }
}

#[tokio::test]
async fn filters_reach_each_api_in_its_own_words() {
    let uri = |api: Api| format!("https://api.example.com{}", api.path()).parse().unwrap();
    let count = |rows: u64, api: Api, query: Query| async move {
        let api = SimulatedApi::builder(api).rows(rows).build();
        read(&api, query).await.0.len()
    };
    let query = Query::new(JUMPCLOUD_V1, uri(Api::JumpCloudV1)).unwrap();
    let [it, sales] = ["IT", "Sales"].map(|name| JUMPCLOUD_V1.field("department").eq(name));
    let active = JUMPCLOUD_V1.field("active").eq(true);
    assert_eq!(count(240, Api::JumpCloudV1, query.clone().filter(it.clone()).untyped()).await, 60);
    let both = query.clone().filter(it.clone()).filter(active);
    assert_eq!(count(240, Api::JumpCloudV1, both.untyped()).await, 40);
    let either = query.any_of([it, sales]);
    assert_eq!(count(240, Api::JumpCloudV1, either.untyped()).await, 120);

    let query = Query::new(JUMPCLOUD_SEARCH, uri(Api::JumpCloudSearch)).unwrap();
    let [it, ops] = ["IT", "Ops"].map(|name| JUMPCLOUD_SEARCH.field("department").eq(name));
    let late = JUMPCLOUD_SEARCH.field("username").gte("user000200");
    let query = query.filter(late).any_of([it, ops]);
    assert_eq!(count(240, Api::JumpCloudSearch, query.untyped()).await, 20);

    let query = Query::new(JUMPCLOUD_V2, uri(Api::JumpCloudV2)).unwrap();
    let field = JUMPCLOUD_V2.field("username");
    let query = query.filter(field.ge("user000010")).filter(field.le("user000019"));
    assert_eq!(count(240, Api::JumpCloudV2, query.untyped()).await, 10);
    let query = Query::new(JUMPCLOUD_V2, uri(Api::JumpCloudV2)).unwrap();
    for (filter, rows) in [
        (JUMPCLOUD_V2.field("department").is_in(["IT", "Ops"]).unwrap(), 120),
        (field.between("user000010", "user000019").unwrap(), 10),
        (field.search("00001"), 11),
    ] {
        let query = query.clone().filter(filter).untyped();
        assert_eq!(count(240, Api::JumpCloudV2, query).await, rows);
    }

    let query = Query::new(IXON, uri(Api::Ixon)).unwrap();
    let query = query.filter(IXON.field("department").eq("R&D"));
    assert_eq!(count(240, Api::Ixon, query.untyped()).await, 60);
}

#[tokio::test]
async fn slices_of_time_deliver_every_event_once() {
    for slices in [1, 2, 3, 7] {
        let api = SimulatedApi::builder(Api::DirectoryInsights).rows(500).build();
        let from = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        // Events are 1,024 ms apart: 500 in 512 s, some on the bound of two slices.
        let whole = events(Api::DirectoryInsights).events(
            ["all"],
            from,
            from + Duration::from_millis(1024 * 512),
        );
        let mut keys = Vec::new();
        for slice in whole.slices(slices).unwrap() {
            let (of_slice, report) = read(&api, slice.untyped()).await;
            assert!(matches!(report.outcome(), Some(Outcome::Complete { .. })));
            keys.extend(of_slice);
        }
        keys.sort();
        let before = keys.len();
        keys.dedup();
        assert_eq!((keys.len(), before), (500, 500), "{slices} slices");
    }
}
