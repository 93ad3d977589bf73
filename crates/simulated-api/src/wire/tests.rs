use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::ServiceExt;

use crate::{AnswerBody, Api, Fault, SimulatedApi};

async fn ask(api: &SimulatedApi, path: &str) -> Response<AnswerBody> {
    let request = Request::builder().uri(path).header("authorization", "Bearer key");
    api.clone().oneshot(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap()
}

async fn json(response: Response<AnswerBody>) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn kubernetes_lists_go_on_behind_a_token_and_behind_the_one_of_a_410() {
    let api = SimulatedApi::builder(Api::Kubernetes).rows(5).script([(2, Fault::Expired)]).build();
    let path = api.api().path();
    let first = json(ask(&api, &format!("{path}?limit=2")).await).await;
    assert_eq!(first["kind"], "ConfigMapList");
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    let token = first["metadata"]["continue"].as_str().unwrap();
    assert_eq!(first["items"][1]["metadata"]["name"], token);
    let expired = ask(&api, &format!("{path}?limit=2&continue={token}")).await;
    assert_eq!(expired.status(), 410);
    let expired = json(expired).await;
    assert_eq!((&expired["kind"], &expired["reason"]), (&"Status".into(), &"Expired".into()));
    let token = expired["metadata"]["continue"].as_str().unwrap();
    let rest = json(ask(&api, &format!("{path}?limit=9&continue={token}")).await).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 3);
    assert_eq!(rest["metadata"].get("continue"), None);
    // Without a limit everything comes at once.
    assert_eq!(json(ask(&api, path).await).await["items"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_first_page_never_expires() {
    let api = SimulatedApi::builder(Api::Kubernetes).rows(1).script([(1, Fault::Expired)]).build();
    assert_eq!(ask(&api, Api::Kubernetes.path()).await.status(), 200);
}

#[tokio::test]
async fn githubs_links_are_absolute_where_the_request_names_its_host() {
    let api = SimulatedApi::builder(Api::Link).rows(3).build();
    let path = format!("{}?per_page=2", api.api().path());
    let plain = api.api().path();
    assert_eq!(ask(&api, plain).await.headers().get("link"), None, "thirty a page");
    for (request, link) in [
        (format!("https://api.test{path}"), format!("<https://api.test{path}&page=2>")),
        (path.clone(), format!("<{path}&page=2>")),
    ] {
        let link = link.replace("per_page", "per%5Fpage");
        let answer = ask(&api, &request).await;
        assert_eq!(answer.headers()["link"], format!("{link}; rel=\"next\""));
    }
}

#[tokio::test]
async fn a_call_of_grpc_answers_with_its_message_and_a_fault_without_a_body() {
    let api = SimulatedApi::builder(Api::Grpc).script([(1, Fault::grpc(14))]).build();
    let message = Bytes::from_static(b"\0\0\0\0\x02\x08\x07");
    let call = |key: &str| {
        let request = Request::post("/demo.Notes/Put").header("authorization", key);
        api.clone().oneshot(request.body(Full::new(message.clone())).unwrap())
    };
    let unavailable = call("Bearer key").await.unwrap();
    assert_eq!(unavailable.headers()["grpc-status"], "14");
    assert!(unavailable.into_body().collect().await.unwrap().to_bytes().is_empty());
    let refused = call("Bearer other").await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["grpc-status"]),
        (200, &"16".parse().unwrap())
    );
    let answer = call("Bearer key").await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(body.to_bytes(), message);
    assert!(api.log().iter().all(|entry| entry.body == message));
}

/// The keys of a list of GitHub's by its links, at most ten pages.
async fn walk(api: &SimulatedApi, mut path: String) -> Vec<String> {
    let mut keys = Vec::new();
    for _ in 0..10 {
        let answer = ask(api, &path).await;
        let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        let rows = json(answer).await;
        let ids = rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
        keys.extend(ids);
        let Some(link) = link else { return keys };
        path = link.split(['<', '>']).nth(1).unwrap().to_owned();
    }
    panic!("it does not end");
}

#[tokio::test]
async fn links_lead_through_every_row_whatever_the_size_of_a_page() {
    for (query, rows) in [("", 70), ("?per_page=7", 70), ("?per_page=200", 250)] {
        let api = SimulatedApi::builder(Api::Link).rows(rows).ceiling(100, true).build();
        let keys = walk(&api, format!("{}{query}", api.api().path())).await;
        assert_eq!(keys, api.rows().iter().map(|row| row.key().to_owned()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_empty_first_page_leads_to_the_first_row() {
    let api =
        SimulatedApi::builder(Api::Kubernetes).rows(3).script([(1, Fault::EmptyPage)]).build();
    let path = api.api().path();
    let empty = json(ask(&api, &format!("{path}?limit=2")).await).await;
    let token = empty["metadata"]["continue"].as_str().unwrap();
    let page = json(ask(&api, &format!("{path}?limit=0&continue={token}")).await).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn an_answer_without_a_body_ends_with_its_head() {
    let api = SimulatedApi::builder(Api::Grpc).script([(1, Fault::grpc(14))]).build();
    let request = Request::post("/demo.Notes/Put").body(Full::<Bytes>::default()).unwrap();
    let answer = api.oneshot(request).await.unwrap();
    assert!(http_body::Body::is_end_stream(answer.body()));
}
