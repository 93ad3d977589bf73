#[path = "../../../examples/clients/kube.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use example::{all, client};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::client::{Body, ClientBuilder};
use kube::{Api, Error};
use pagination::Outcome;
use retry_layer::RetryLayer;
use retry_layer::observe::on_end;
use retry_layer::policy::profile;
use retry_layer::replay::TryClone;
use simulated_api::{Api as Simulated, Fault, SimulatedApi};

use tower::buffer::BufferLayer;

use crate::{asked, bearer, origin, serve};

#[tokio::test]
async fn a_list_goes_on_through_throttling_failures_and_an_expired_token() {
    let faults = [
        (2, Fault::status(429).header("retry-after", "1")),
        (4, Fault::Expired),
        (6, Fault::status(503)),
    ];
    let api = SimulatedApi::builder(Simulated::Kubernetes).rows(14).script(faults).build();
    let server = api.serve().await.unwrap();
    let (maps, report) = all(client(origin(&server), bearer())).await.unwrap();
    assert!(matches!(report.outcome(), Some(Outcome::Complete { .. })));
    let names: Vec<_> = maps.into_iter().filter_map(|map| map.metadata.name).collect();
    assert_eq!(names, api.rows().iter().map(|row| row.key().to_owned()).collect::<Vec<_>>());
    let log = api.log();
    let statuses: Vec<_> = log.iter().filter_map(|entry| entry.status).collect();
    assert_eq!(statuses, [200, 429, 200, 410, 200, 503, 200]);
    let waited = log[2].at - log[1].at;
    assert!(waited.as_millis() >= 1000, "the server asked for a second: {waited:?}");
}

#[tokio::test]
async fn every_owed_object_comes_once_while_objects_are_written_and_tokens_expire() {
    for seed in 0..20 {
        let api = SimulatedApi::builder(Simulated::Kubernetes).rows(30).writes_by_seed(seed);
        let api = api.faults(|asked| (asked.number % 3 == 0).then_some(Fault::Expired)).build();
        let server = api.serve().await.unwrap();
        let (maps, report) = all(client(origin(&server), bearer())).await.unwrap();
        assert!(
            matches!(report.outcome(), Some(Outcome::Complete { .. })),
            "seed {seed}: {report}"
        );
        let proof = api.proof(maps.iter().filter_map(|map| map.metadata.uid.as_deref()));
        assert_eq!((proof.missing, proof.twice), (0, 0), "seed {seed}");
    }
}

#[tokio::test]
async fn a_token_that_leads_nowhere_is_a_failure_and_not_the_end() {
    let faults = [(2, Fault::Expired), (3, Fault::Expired)];
    let (api, server) = serve(Simulated::Kubernetes, faults).await;
    let error = all(client(origin(&server), bearer())).await.unwrap_err();
    assert!(error.to_string().contains("too old"), "{error}");
    assert_eq!(api.log().len(), 3);
}

#[tokio::test]
async fn a_list_that_does_not_go_on_is_not_called_complete() {
    let again = || Fault::IgnorePosition;
    let api = SimulatedApi::builder(Simulated::Kubernetes).rows(10);
    let api = api.faults(move |asked| (asked.number > 1).then(again)).build();
    let server = api.serve().await.unwrap();
    let (maps, report) = all(client(origin(&server), bearer())).await.unwrap();
    assert_eq!(maps.len(), 4);
    assert!(matches!(report.outcome(), Some(Outcome::Inconsistent { .. })), "{report}");
}

#[tokio::test]
async fn a_body_that_was_refused_comes_again_and_one_of_unknown_fate_does_not() {
    // The API takes no POST: what counts is what came.
    for (fault, statuses, code) in [
        (Fault::status(429), &[Some(429), Some(405)][..], Some(405)),
        (Fault::status(503), &[Some(503)], Some(503)),
        (Fault::ResetBeforeHead, &[None], None),
    ] {
        let (api, server) = serve(Simulated::Kubernetes, [(1, fault)]).await;
        let maps: Api<ConfigMap> = Api::default_namespaced(client(origin(&server), bearer()));
        let data = BTreeMap::from([("colour".to_owned(), "blue".to_owned())]);
        let map = ConfigMap { data: Some(data), ..ConfigMap::default() };
        let error = maps.create(&PostParams::default(), &map).await.unwrap_err();
        let told = if let Error::Api(status) = &error { Some(status.code) } else { None };
        assert_eq!(told, code, "{error}");
        let body = serde_json::to_vec(&map).unwrap();
        let post = |status: &Option<u16>| ("POST".to_owned(), *status, body.clone().into());
        assert_eq!(asked(&api), statuses.iter().map(post).collect::<Vec<_>>());
    }
}

/// kube's own stack, as `docs/adopting.md` says: a buffer makes it `Clone`, and its retries have to be turned off.
#[tokio::test]
async fn over_kubes_own_stack_a_buffer_makes_the_layer_fit_and_one_of_two_retries() {
    for (default_retry, seen) in [(true, 1), (false, 2)] {
        let (api, server) = serve(Simulated::Kubernetes, [(1, Fault::status(503))]).await;
        let mut config = kube::Config::new(origin(&server));
        config.default_retry = default_retry;
        let attempts = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&attempts);
        let retry = RetryLayer::new(profile::DEFAULT.policy())
            .credential(bearer())
            .replay(TryClone::new(Body::try_clone))
            .observe(on_end(move |_, attempts| count.store(attempts.count(), SeqCst)));
        let builder = ClientBuilder::try_from(config).unwrap();
        let client = builder.with_layer(&BufferLayer::new(64)).with_layer(&retry).build();
        let maps: Api<ConfigMap> = Api::namespaced(client, "demo");
        assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 5);
        assert_eq!((api.log().len(), attempts.load(SeqCst)), (2, seen), "{default_retry}");
    }
}
