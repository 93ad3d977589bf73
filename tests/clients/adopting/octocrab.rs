#[path = "../../../examples/clients/octocrab.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use example::{all, client};
use octocrab::{Error, Octocrab};
use retry_layer::policy::{Policy, backoff::Backoff, profile};
use serde_json::{Value, json};
use simulated_api::{Api, Fault, Server};

use crate::{asked, bearer, origin, serve};

const ISSUES: &str = "/repos/demo/demo/issues?per_page=2";

fn crab(server: &Server) -> Octocrab {
    let soon = Backoff::constant(Duration::from_millis(1));
    let policy = Policy::of(profile::GITHUB).backoff(soon).throttled(soon);
    let policy = policy.max_attempts(5.try_into().unwrap()).build().unwrap();
    client(origin(server), bearer(), policy)
}

/// What GitHub answers when nothing is left until then.
fn exhausted(until: Duration) -> Fault {
    let until = (SystemTime::now() + until).duration_since(UNIX_EPOCH).unwrap().as_secs();
    let fault = Fault::status(403).header("x-ratelimit-remaining", "0");
    fault.header("x-ratelimit-reset", &until.to_string())
}

#[tokio::test]
async fn pages_by_link_go_on_through_failures_and_an_exhausted_limit() {
    let faults = [
        (1, Fault::status(503)),
        (3, exhausted(Duration::from_secs(2))),
        (5, Fault::ResetBeforeHead),
        (6, Fault::CutBody),
        (7, Fault::status(403).body("You have exceeded a secondary rate limit")),
    ];
    let (api, server) = serve(Api::Link, faults).await;
    let issues = all(&crab(&server), ISSUES).await.unwrap();
    let ids: Vec<_> = issues.iter().map(|issue| issue["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, api.rows().iter().map(|row| row.key().to_owned()).collect::<Vec<_>>());
    let log = api.log();
    let statuses: Vec<_> = log.iter().map(|entry| entry.status.unwrap_or_default()).collect();
    assert_eq!(statuses, [503, 200, 403, 200, 0, 200, 403, 200]);
    assert!(log[3].at - log[2].at >= Duration::from_secs(1), "until the reset");
    assert!(log.iter().all(|entry| entry.headers["user-agent"] == "octocrab"));
}

#[tokio::test]
async fn a_403_without_a_limit_is_told_at_once() {
    let fault = Fault::status(403).header("x-ratelimit-remaining", "17");
    let (api, server) = serve(Api::Link, [(1, fault)]).await;
    match all(&crab(&server), ISSUES).await.unwrap_err() {
        Error::GitHub { source, .. } => assert_eq!(source.status_code, 403),
        other => panic!("{other}"),
    }
    assert_eq!(api.log().len(), 1);
}

#[tokio::test]
async fn a_body_comes_again_as_it_came_and_never_empty() {
    // The API takes no POST: what counts is what came.
    let faults = [(1, Fault::status(429)), (2, exhausted(Duration::ZERO))];
    let (api, server) = serve(Api::Link, faults).await;
    let issue = json!({ "title": "it fails" });
    let route = "/repos/demo/demo/issues";
    let error = crab(&server).post::<_, Value>(route, Some(&issue)).await.unwrap_err();
    assert!(matches!(error, Error::GitHub { .. }), "{error:?}");
    let post = |status| ("POST".to_owned(), Some(status), issue.to_string().into());
    assert_eq!(asked(&api), [post(429), post(403), post(405)]);
}
