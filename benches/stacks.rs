//! Peers that are a stack of their own, over a connection that answers at once: their base is the same stack without retries.

use std::hint::black_box;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::HttpStatusCodeClassifier;
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use http::{Extensions, Request, Response};
use http_body_util::BodyExt;
use reqwest_middleware::{ClientBuilder, Middleware, Next};
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;
use tower::Service;

use crate::wiring::{Bare, Body, Failed, Scenario, Sender};

/// The bytes of a body that is at hand.
fn bytes(body: Body) -> bytes::Bytes {
    let collected = futures_util::FutureExt::now_or_never(body.collect());
    collected.expect("it is at hand").expect("it is never an error").to_bytes()
}

#[derive(Clone)]
struct Terminal(Bare);

#[async_trait::async_trait]
impl Middleware for Terminal {
    async fn handle(
        &self,
        request: reqwest::Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        drop(request);
        let answer = self.0.clone().call(Request::new(Body::default())).await;
        let answer = answer.expect("it is never an error");
        Ok(reqwest::Response::from(answer.map(|_| reqwest::Body::default())))
    }
}

/// reqwest-middleware, with reqwest-retry or without it.
pub fn reqwest(scenario: Scenario, retries: bool) -> Sender {
    let mut client = ClientBuilder::new(reqwest::Client::new());
    if retries {
        let waits = ExponentialBackoff::builder().retry_bounds(Duration::ZERO, Duration::ZERO);
        let policy = waits.build_with_max_retries(4);
        client = client.with(RetryTransientMiddleware::new_with_policy(policy));
    }
    let client = client.with(Terminal(Bare::new(scenario))).build();
    Box::new(move |requests| {
        let client = client.clone();
        let requests: Vec<reqwest::Request> = requests
            .into_iter()
            .map(|request| request.map(bytes).try_into().expect("a request"))
            .collect();
        Box::pin(async move {
            for request in requests {
                let _ = black_box(client.execute(request).await);
            }
        })
    })
}

#[derive(Debug)]
struct Canned(Bare);

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        drop(request);
        let mut bare = self.0.clone();
        HttpConnectorFuture::new(async move {
            let answer = bare.call(Request::new(Body::default())).await;
            let answer: Response<Body> = answer.expect("it is never an error");
            Ok(HttpResponse::new(
                answer.status().as_u16().try_into().expect("a status"),
                SdkBody::empty(),
            ))
        })
    }
}

/// The whole orchestrator of AWS's clients, with standard retries or without.
pub fn smithy(scenario: Scenario, retries: bool) -> Sender {
    let connector = SharedHttpConnector::new(Canned(Bare::new(scenario)));
    let mut operation = Operation::builder()
        .service_name("bench")
        .operation_name("bench")
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .endpoint_url("http://api.example")
        .no_auth()
        .timeout_config(TimeoutConfig::disabled())
        .sleep_impl(TokioSleep::new());
    operation = if retries {
        let config = RetryConfig::standard().with_max_attempts(5);
        let config = config.with_initial_backoff(Duration::ZERO).with_max_backoff(Duration::ZERO);
        let mut budget = Layer::new("budget");
        let partition = RetryPartition::custom("bench").token_bucket(TokenBucket::unlimited());
        budget.store_put(partition.build());
        operation
            .standard_retry(&config)
            .retry_classifier(HttpStatusCodeClassifier::new_from_codes(vec![429, 503]))
            .runtime_plugin(StaticRuntimePlugin::new().with_config(budget.freeze()))
    } else {
        operation.no_retry()
    };
    let operation = operation
        .serializer(|request: HttpRequest| Ok(request))
        .deserializer(|answer: &HttpResponse| {
            if answer.status().is_success() {
                Ok(())
            } else {
                Err(OrchestratorError::operation(Failed))
            }
        })
        .build();
    Box::new(move |requests| {
        let operation = operation.clone();
        let requests: Vec<HttpRequest> = requests
            .into_iter()
            .map(|request| {
                request.map(|body| SdkBody::from(bytes(body))).try_into().expect("a request")
            })
            .collect();
        Box::pin(async move {
            for request in requests {
                let _ = black_box(operation.invoke(request).await);
            }
        })
    })
}
