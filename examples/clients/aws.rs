//! Under AWS's SDKs, which have a connector trait of their own.
//!
//! Run: `cargo run -p client-examples --example aws`

use std::fmt::Debug;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use retry_layer::policy::{Delivery, Profile, profile::Reading, safety::Vouched};
use retry_layer::replay::TryClone;
use retry_layer::{BoxError, Collected, Credential, Key, Stack};
use simulated_api::{Api, Fault, SimulatedApi};
use tower::{Service, ServiceExt};

/// Any stack of ours, whose answers are whole.
#[derive(Clone, Debug)]
pub struct Connector<S>(pub S);

impl<S> HttpConnector for Connector<S>
where
    S: Service<Request<SdkBody>, Response = Response<Collected>, Error = BoxError, Future: Send>,
    S: Clone + Debug + Send + Sync + 'static,
{
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let service = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|e| ConnectorError::user(e.into()))?;
            let answer = service.oneshot(request).await.map_err(ConnectorError::io)?;
            let answer = answer.map(|body| SdkBody::from(body.bytes().clone()));
            HttpResponse::try_from(answer).map_err(|e| ConnectorError::other(e.into(), None))
        })
    }
}

/// Some services throttle by a 400; its code stands in a header or in `__type`. These are the codes of AWS's SDKs.
const AWS: &Profile = &Profile::new("aws").with_refinement(|answer| {
    const THROTTLED: &str = "Throttling ThrottlingException ThrottledException RequestThrottledException \
        TooManyRequestsException ProvisionedThroughputExceededException TransactionInProgressException \
        RequestLimitExceeded BandwidthLimitExceeded LimitExceededException RequestThrottled SlowDown \
        PriorRequestNotComplete EC2ThrottledException";
    let is = |code: &str| {
        let header = answer.header("x-amzn-errortype").unwrap_or_default();
        header.split(':').next() == Some(code) || answer.says(&format!("{code}\""))
    };
    let is_throttled = answer.status() == 400 && THROTTLED.split_whitespace().any(is);
    is_throttled.then_some(Reading::of(Delivery::Answered(429)))
});

/// For an SDK whose own retries are turned off: `.retry_config(RetryConfig::disabled())`.
pub fn connector(credential: Credential) -> impl HttpConnector {
    let stack = Stack::new(AWS)
        .credential(credential)
        .with_retry(|retry| retry.replay(TryClone::new(SdkBody::try_clone)));
    let mut hyper = Client::builder(TokioExecutor::new());
    Connector(stack.around(hyper.retry_canceled_requests(false).build_http()))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let faults = [(1, Fault::status(503)), (2, Fault::CutBody)];
    let api = SimulatedApi::builder(Api::JumpCloudSearch).rows(3).script(faults).build();
    let server = api.serve().await?;

    let mut request = HttpRequest::new(SdkBody::from(r#"{"limit": 2}"#));
    request.set_method("POST")?;
    request.set_uri(server.url())?;
    request.add_extension(Vouched::new()); // A search: a POST that changes nothing.
    let answer = connector(Credential::api_key(Key::fixed("key"))?).call(request).await?;
    println!("{} after {} requests", answer.status(), api.log().len());
    println!("{} bytes", answer.body().bytes().map_or(0, <[u8]>::len));
    Ok(())
}
