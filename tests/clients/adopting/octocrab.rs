#[path = "../../../examples/clients/octocrab.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use example::{all, client};
use octocrab::{Error, Octocrab};
use pagination::Outcome;
use serde_json::{Value, json};
use simulated_api::{Api, Fault, Server, SimulatedApi};

use crate::{asked, bearer, origin, serve};

const ISSUES: &str = "/repos/demo/demo/issues";

fn crab(server: &Server) -> Octocrab {
    client(origin(server), bearer())
}

/// What GitHub answers when nothing is left until then.
fn exhausted(until: Duration) -> Fault {
    let until = (SystemTime::now() + until).duration_since(UNIX_EPOCH).unwrap().as_secs();
    let fault = Fault::status(403).header("x-ratelimit-remaining", "0");
    fault.header("x-ratelimit-reset", &until.to_string())
}

#[tokio::test]
async fn pages_by_link_go_on_through_failures_and_exhausted_limits() {
    let secondary = "You have exceeded a secondary rate limit";
    let api = SimulatedApi::builder(Api::Link).rows(5).faults(move |asked| match asked.number {
        1 => Some(Fault::status(503)),
        // Two seconds from the moment in which it is asked for.
        3 => Some(exhausted(Duration::from_secs(2))),
        5 => Some(Fault::ResetBeforeHead),
        6 => Some(Fault::CutBody),
        8 => Some(Fault::status(403).body(secondary).header("retry-after", "1")),
        _ => None,
    });
    let api = api.build();
    let server = api.serve().await.unwrap();
    let (issues, report) = all(&crab(&server), &server.url().parse().unwrap()).await.unwrap();
    let ids: Vec<_> = issues.iter().map(|issue| issue["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, api.rows().iter().map(|row| row.key().to_owned()).collect::<Vec<_>>());
    assert!(matches!(report.outcome(), Some(Outcome::BestEffort)), "{report}");
    let log = api.log();
    let statuses: Vec<_> = log.iter().map(|entry| entry.status.unwrap_or_default()).collect();
    assert_eq!(statuses, [503, 200, 403, 200, 0, 200, 200]);
    // The reset is told in whole seconds.
    assert!(log[3].at - log[2].at >= Duration::from_secs(1), "until the reset");
    assert!(log.iter().all(|entry| entry.headers["user-agent"] == "octocrab"));
}

#[tokio::test]
async fn a_link_that_leads_to_itself_is_no_end() {
    let next = r#"</repos/demo/demo/issues?per_page=2&page=2>; rel="next""#;
    let page = || Fault::status(200).header("link", next).body(r#"[{"id": "a"}, {"id": "b"}]"#);
    let api = SimulatedApi::builder(Api::Link).rows(5).faults(move |_| Some(page())).build();
    let server = api.serve().await.unwrap();
    let (issues, report) = all(&crab(&server), &server.url().parse().unwrap()).await.unwrap();
    assert_eq!(issues.len(), 2);
    assert!(matches!(report.outcome(), Some(Outcome::Inconsistent { .. })), "{report}");
}

#[tokio::test]
async fn a_403_without_a_limit_is_told_at_once() {
    let fault = Fault::status(403).header("x-ratelimit-remaining", "17");
    let (api, server) = serve(Api::Link, [(1, fault)]).await;
    let error = crab(&server).get::<Value, _, ()>(ISSUES, None).await.unwrap_err();
    assert!(matches!(error, Error::GitHub { source, .. } if source.status_code == 403));
    assert_eq!(api.log().len(), 1);
}

#[tokio::test]
async fn a_body_comes_again_as_it_came_and_never_empty() {
    // The API takes no POST: what counts is what came.
    let limit = || Fault::status(403).header("retry-after", "1");
    let faults = [(1, limit()), (2, limit())];
    let (api, server) = serve(Api::Link, faults).await;
    let issue = json!({ "title": "it fails" });
    let route = "/repos/demo/demo/issues";
    let error = crab(&server).post::<_, Value>(route, Some(&issue)).await.unwrap_err();
    assert!(matches!(error, Error::GitHub { .. }), "{error:?}");
    let post = |status| ("POST".to_owned(), Some(status), issue.to_string().into());
    assert_eq!(asked(&api), [post(403), post(403), post(405)]);
}
