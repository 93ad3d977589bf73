//! What hyper and h2 say at their finest level of a request with a credential: nothing of it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use client_tests::{Raw, ok, read_first_request};
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use retry_layer::policy::profile;
use retry_layer::{Credential, Key, Stack};
use tokio::io::AsyncWriteExt;
use tower::ServiceExt;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_secret_is_nowhere() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let server = Raw::serve(|_, mut stream| async move {
            read_first_request(&mut stream).await.unwrap();
            stream.write_all(&ok(1)).await.unwrap();
            stream.flush().await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        for key in [
            Credential::bearer(Key::fixed("s3cret")).unwrap(),
            Credential::api_key(Key::fixed("s3cret")).unwrap(),
        ] {
            let client: Client<HttpConnector, Full<Bytes>> =
                Client::builder(TokioExecutor::new()).http2_only(true).build_http();
            let request = Request::get(server.url()).body(Full::default()).unwrap();
            // The request as the client gets it, in words.
            let client = tower::ServiceBuilder::new()
                .map_request(|request: Request<Full<Bytes>>| {
                    tracing::info!(?request, "what is sent");
                    request
                })
                .service(client);
            let api = Stack::new(profile::DEFAULT).credential(key).around(client);
            assert_eq!(api.oneshot(request).await.unwrap().status(), 200);
        }
    });
    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("h2::") && said.contains("Sensitive"), "they speak of it: {said}");
    assert!(!said.contains("s3cret"), "{said}");
}
