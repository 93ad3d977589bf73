//! The examples of `examples/clients`, each as it stands, against an API that fails: what was sent, how often, and what
//! came of it.

mod adopting {
    mod aws;
    mod hyper_util;
    mod kube;
    mod octocrab;
    mod opentelemetry;
    mod reqwest;
    mod reverse_proxy;
    mod sdk;
    mod tonic;
    mod tower_http;
    mod without_tower;
}

use bytes::Bytes;
use retry_layer::{Credential, Key};
use simulated_api::{Api, Fault, Server, SimulatedApi};

/// An API of five rows with these faults, and its server.
async fn serve<const N: usize>(api: Api, faults: [(u64, Fault); N]) -> (SimulatedApi, Server) {
    let api = SimulatedApi::builder(api).rows(5).script(faults).build();
    let server = api.serve().await.unwrap();
    (api, server)
}

fn origin(server: &Server) -> http::Uri {
    format!("http://{}", server.address()).parse().unwrap()
}

/// What was asked: method, status and body of each request.
fn asked(api: &SimulatedApi) -> Vec<(String, Option<u16>, Bytes)> {
    let log = api.log().into_iter();
    log.map(|entry| (entry.method.to_string(), entry.status, entry.body)).collect()
}

fn api_key() -> Credential {
    Credential::api_key(Key::fixed("key")).unwrap()
}

fn bearer() -> Credential {
    Credential::bearer(Key::fixed("key")).unwrap()
}
