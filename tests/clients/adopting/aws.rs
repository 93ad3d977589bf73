#[path = "../../../examples/clients/aws.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use example::connector;
use http_body_util::Full;
use retry_layer::policy::safety::Vouched;
use simulated_api::{Api, Fault};

use crate::{api_key, asked, serve};

const BODY: &str = r#"{"limit": 2}"#;

fn search(url: String, body: SdkBody) -> HttpRequest {
    let mut request = HttpRequest::new(body);
    request.set_method("POST").unwrap();
    request.set_uri(url).unwrap();
    request.add_extension(Vouched::new());
    request
}

#[tokio::test]
async fn a_request_of_the_sdk_comes_again_and_its_answer_is_whole() {
    let faults = [(1, Fault::status(503)), (2, Fault::CutBody)];
    let (api, server) = serve(Api::JumpCloudSearch, faults).await;
    let request = search(server.url(), SdkBody::from(BODY));
    let answer = connector(api_key()).call(request).await.unwrap();
    let post = |status| ("POST".to_owned(), Some(status), BODY.into());
    assert_eq!(asked(&api), [post(503), post(200), post(200)]);
    let page: serde_json::Value = serde_json::from_slice(answer.body().bytes().unwrap()).unwrap();
    assert_eq!(page["results"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_body_that_the_sdk_cannot_copy_is_sent_once() {
    let (api, server) = serve(Api::JumpCloudSearch, [(1, Fault::status(503))]).await;
    let request = search(server.url(), SdkBody::from_body_1_x(Full::from(BODY)));
    let answer = connector(api_key()).call(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), api.log().len()), (503, 1));
}

#[tokio::test]
async fn an_error_is_the_connectors() {
    let (api, server) = serve(Api::JumpCloudSearch, [(1, Fault::ResetBeforeHead)]).await;
    let mut request = HttpRequest::new(SdkBody::from(BODY));
    request.set_method("POST").unwrap();
    request.set_uri(server.url()).unwrap();
    let error = connector(api_key()).call(request).await.unwrap_err();
    assert!(error.is_io(), "{error:?}");
    assert_eq!(api.log().len(), 1);
}

#[tokio::test]
async fn a_400_that_says_so_is_a_throttle() {
    let says = |body: &str| Fault::status(400).body(body);
    for (fault, requests) in [
        (says(r#"{"__type":"com.amazonaws.dynamodb#ProvisionedThroughputExceededException"}"#), 2),
        (says("").header("x-amzn-errortype", "ThrottlingException:http://internal"), 2),
        (says(r#"{"__type":"ValidationException","message":"no ThrottlingException here"}"#), 1),
        (says(r#"{"__type":"ValidationException"}"#), 1),
    ] {
        let (api, server) = serve(Api::JumpCloudSearch, [(1, fault)]).await;
        let request = search(server.url(), SdkBody::from(BODY));
        connector(api_key()).call(request).await.unwrap();
        assert_eq!(api.log().len(), requests);
    }
}
