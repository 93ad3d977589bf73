#[path = "../../../examples/clients/opentelemetry.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use bytes::Bytes;
use example::exports;
use http::Request;
use opentelemetry_http::HttpClient;
use retry_layer::policy::Attempts;
use simulated_api::{Api, Fault};

use crate::{api_key, asked, serve};

#[tokio::test]
async fn a_batch_comes_again_and_its_answer_is_whole() {
    const BODY: &str = r#"{"limit": 2}"#;
    let faults = [(1, Fault::status(503)), (2, Fault::ResetBeforeHead)];
    let (api, server) = serve(Api::JumpCloudSearch, faults).await;
    let request = Request::post(server.url()).body(Bytes::from(BODY)).unwrap();
    let answer = exports(api_key()).send_bytes(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), Attempts::of(&answer).count()), (200, 3));
    let post = |status| ("POST".to_owned(), status, BODY.into());
    assert_eq!(asked(&api), [post(Some(503)), post(None), post(Some(200))]);
    let page: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(page["results"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn only_what_the_protocol_names_is_sent_again() {
    for (status, requests) in [(429, 2), (502, 2), (503, 2), (504, 2), (408, 1), (500, 1), (400, 1)]
    {
        let (api, server) = serve(Api::JumpCloudSearch, [(1, Fault::status(status))]).await;
        let request = Request::post(server.url()).body(Bytes::from("{}")).unwrap();
        exports(api_key()).send_bytes(request).await.unwrap();
        assert_eq!(api.log().len(), requests, "{status}");
    }
}
