//! hyper-util's client under the layer: a POST of bytes and a streamed one, over HTTP/1 and HTTP/2.
//!
//! Run: `cargo run -p client-examples --example hyper_util`

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use retry_layer::policy::{Attempts, profile, safety::Vouched};
use retry_layer::replay::Captured;
use retry_layer::{BoxError, Credential, Key, RetryLayer};
use simulated_api::{Api, Fault, SimulatedApi};
use tower::{Layer, Service, ServiceExt};

/// A body of bytes or a stream: both can be sent again.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The client, whose answers and errors stay hyper-util's.
pub fn client(
    is_http2: bool,
    credential: Credential,
) -> impl Service<Request<Body>, Response = Response<Incoming>, Error = Error> + Clone {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(is_http2)
        .retry_canceled_requests(false) // The layer sends again what a dead connection lost.
        .build_http();
    RetryLayer::new(profile::DEFAULT.policy())
        .credential(credential)
        .replay(Captured::new(64 * 1024, Body::new))
        .layer(client)
}

/// The whole body at once.
pub fn whole(text: &'static str) -> Body {
    Full::from(text).map_err(BoxError::from).boxed_unsync()
}

/// The same, piece by piece.
pub fn streamed(pieces: &'static [&'static str]) -> Body {
    let frames = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    for is_http2 in [false, true] {
        let faults = [(1, Fault::status(503)), (3, Fault::ResetBeforeHead)];
        let api = SimulatedApi::builder(Api::JumpCloudSearch).rows(3).script(faults).build();
        let server = api.serve().await?;
        let client = client(is_http2, Credential::api_key(Key::fixed("key"))?);
        for body in [whole(r#"{"limit": 2}"#), streamed(&[r#"{"li"#, r#"mit": 2}"#])] {
            // A search is a POST that changes nothing.
            let request = Request::post(server.url()).extension(Vouched::new()).body(body)?;
            let response = client.clone().oneshot(request).await?;
            println!("{:?}: {}", response.version(), Attempts::of(&response));
            println!("  {} bytes", response.into_body().collect().await?.to_bytes().len());
        }
    }
    Ok(())
}
