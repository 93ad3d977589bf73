//! A generated gRPC client over the layer: `UNAVAILABLE`, a pushback, and a stream that was refused.
//!
//! Run: `cargo run -p client-examples --example tonic`

use client_examples::notes::Note;
use client_examples::notes::notes_client::NotesClient;
use http::{Response, Uri};
use retry_layer::delivery::AnyError;
use retry_layer::observe::on_end;
use retry_layer::policy::{profile, safety::Vouched};
use retry_layer::replay::Captured;
use retry_layer::{BoxError, Credential, Key, RetryLayer};
use simulated_api::{Api, Fault, SimulatedApi};
use tonic::Request;
use tonic::body::Body;
use tonic::transport::{Channel, Error};
use tower::{Layer, Service};

/// What the generated client calls: the channel under the layer.
pub fn client(
    origin: Uri,
    credential: Credential,
) -> NotesClient<
    impl Service<http::Request<Body>, Response = Response<Body>, Error = Error, Future: Send> + Clone,
> {
    let channel = Channel::builder(origin.clone()).connect_lazy();
    let layer = RetryLayer::new(profile::GRPC.policy()) // Reads the status of gRPC.
        .credential(credential)
        .replay(Captured::new(64 * 1024, Body::new))
        .errors(AnyError) // Finds h2's inside of tonic's.
        .observe(on_end(|uri, attempts| println!("{}: {attempts}", uri.path())));
    NotesClient::with_origin(layer.layer(channel), origin)
}

/// A call that may be repeated: to put a note again changes nothing.
pub fn idempotent<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Vouched::new());
    request
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let faults = [
        (1, Fault::grpc(14)),
        (2, Fault::grpc(14).header("grpc-retry-pushback-ms", "250")),
        (4, Fault::Refused),
        (6, Fault::grpc(14)),
    ];
    let api = SimulatedApi::builder(Api::Grpc).script(faults).build();
    let server = api.serve().await?;
    let mut notes = client(server.url().parse()?, Credential::bearer(Key::fixed("key"))?);

    let note = |text: &str| Note { text: text.to_owned() };
    println!("{:?}", notes.put(idempotent(note("vouched for"))).await?.get_ref());
    // A refused stream was never processed, so that anything can be sent again …
    println!("{:?}", notes.put(note("refused")).await?.get_ref());
    // … and where that is not known, only what may be repeated.
    println!("{:?}", notes.put(note("unavailable")).await.map_err(|status| status.code()));
    Ok(())
}
