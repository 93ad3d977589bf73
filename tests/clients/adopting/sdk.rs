#[path = "../../../examples/clients/generated_sdk.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use client_examples::sdk::Error;
use example::{all_users, client};
use simulated_api::{Api, Fault, SimulatedApi};

use crate::{api_key, origin, serve};

#[tokio::test]
async fn every_call_of_the_sdk_is_sorted_and_sent_again() {
    let faults = [(1, Fault::status(503)), (3, Fault::CutBody), (5, Fault::ResetBeforeHead)];
    let api = SimulatedApi::builder(Api::JumpCloudV1).rows(250).script(faults).build();
    let server = api.serve().await.unwrap();
    let (client, sort) = client(&format!("{}api", origin(&server)), api_key()).unwrap();
    let users = all_users(&client, &server.url()).await.unwrap();
    let keys: Vec<_> = api.rows().iter().map(|row| row.key().to_owned()).collect();
    assert_eq!(users.into_iter().map(|user| user.id).collect::<Vec<_>>(), keys);
    let log = api.log();
    let sorts = |sort: &str| {
        let has = |query: &str| query.split('&').any(|pair| pair == sort);
        log.iter().filter(|entry| entry.uri.query().is_some_and(has)).count()
    };
    assert_eq!(sorts("sort=_id") + sorts("sort=-_id"), log.len(), "each request has one");
    assert_eq!(
        sorts("sort=_id"),
        usize::try_from(sort.counts().sorted).unwrap() + 2,
        "two were repeated"
    );
}

#[tokio::test]
async fn every_owed_row_comes_once_while_rows_are_written() {
    for seed in 0..20 {
        let api = SimulatedApi::builder(Api::JumpCloudV1).rows(450).writes_by_seed(seed);
        let api = api.faults_by_seed(seed).build();
        let server = api.serve().await.unwrap();
        let (client, _) = client(&format!("{}api", origin(&server)), api_key()).unwrap();
        let users = all_users(&client, &server.url()).await.unwrap();
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
