#[path = "../../../examples/clients/generated_sdk.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use client_examples::sdk::Error;
use client_examples::sdk::types::Search;
use example::{all_users, client};
use pagination::Outcome;
use simulated_api::{Api, Fault, SimulatedApi};

use crate::{api_key, asked, origin, serve};

#[tokio::test]
async fn every_call_of_the_sdk_is_sorted_and_sent_again() {
    let faults = [(1, Fault::status(503)), (3, Fault::CutBody), (5, Fault::ResetBeforeHead)];
    let api = SimulatedApi::builder(Api::JumpCloudV1).rows(250).script(faults).build();
    let server = api.serve().await.unwrap();
    let (client, sort) = client(&format!("{}api", origin(&server)), api_key()).unwrap();
    let (users, report) = all_users(&client, &server.url()).await.unwrap();
    assert!(matches!(report.outcome(), Some(Outcome::Complete { .. })));
    let keys: Vec<_> = api.rows().iter().map(|row| row.key().to_owned()).collect();
    assert_eq!(users.into_iter().map(|user| user.id).collect::<Vec<_>>(), keys);
    let log = api.log();
    let queries: Vec<_> = log.iter().filter_map(|entry| entry.uri.query()).collect();
    let first = "limit=100&skip=0&sort=_id";
    let (fence, second) = ("limit=4&skip=0&sort=-_id", "limit=100&skip=99&sort=_id");
    let third = "limit=100&skip=198&sort=_id";
    assert_eq!(queries, [first, first, fence, fence, second, second, third]);
    assert_eq!(
        sort.counts().sorted,
        3,
        "the fence has its own, and a repetition is not sorted anew"
    );
}

#[tokio::test]
async fn every_owed_row_comes_once_while_rows_are_written() {
    for seed in 0..20 {
        let api = SimulatedApi::builder(Api::JumpCloudV1).rows(450).writes_by_seed(seed);
        let api = api.faults_by_seed(seed).build();
        let server = api.serve().await.unwrap();
        let (client, _) = client(&format!("{}api", origin(&server)), api_key()).unwrap();
        let (users, report) = all_users(&client, &server.url()).await.unwrap();
        assert!(matches!(report.outcome(), Some(Outcome::Complete { .. })), "seed {seed}");
        let proof = api.proof(users.iter().map(|user| user.id.as_str()));
        assert_eq!((proof.missing, proof.twice), (0, 0), "seed {seed}");
    }
}

#[tokio::test]
async fn an_error_of_the_api_is_the_sdks_own() {
    let (api, server) = serve(Api::JumpCloudV1, []).await;
    let (client, sort) = client(&format!("{}api", origin(&server)), api_key()).unwrap();
    match client.list_users(Some(1000), None, None).await {
        Err(Error::ErrorResponse(answer)) => {
            assert_eq!(answer.status(), 400);
            assert!(answer.into_inner().message.unwrap().contains("maximum value of 100"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((api.log().len(), sort.counts().sorted), (1, 1));
}

#[tokio::test]
async fn a_body_of_the_sdk_comes_again_where_it_may_and_not_where_it_may_not() {
    for (fault, statuses) in [
        (Fault::status(429), &[Some(429), Some(200)][..]),
        (Fault::status(503), &[Some(503)]),
        (Fault::ResetBeforeHead, &[None]),
    ] {
        let (api, server) = serve(Api::JumpCloudSearch, [(1, fault)]).await;
        let (client, _) = client(&format!("{}api", origin(&server)), api_key()).unwrap();
        let answer = client.search_users(&Search { limit: 2 }).await;
        let post = |status: &Option<u16>| ("POST".to_owned(), *status, r#"{"limit":2}"#.into());
        assert_eq!(asked(&api), statuses.iter().map(post).collect::<Vec<_>>());
        match (answer, statuses.last().unwrap()) {
            (Ok(page), Some(200)) => assert_eq!(page.into_inner().results.len(), 2),
            (Err(error), status) => assert_eq!(error.status().map(|it| it.as_u16()), *status),
            (Ok(_), status) => panic!("{status:?}"),
        }
    }
}

/// The page cannot compile the hook, which has to stand beside the generated code, so it shows the one that is.
#[test]
fn the_page_shows_the_hook_as_it_stands() {
    let hook = include_str!("../../../examples/clients/sdk.rs");
    let hook = hook.split_once("\n\n").unwrap().1.trim();
    assert!(include_str!("../../../docs/adopting.md").contains(hook));
}
