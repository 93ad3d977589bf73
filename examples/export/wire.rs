//! The HTTP client below all layers: it counts what is really sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use tower::Service;

use super::say::Counters;

/// A hyper client that adds the user's headers and counts requests.
#[derive(Clone)]
pub struct Wire {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: HeaderMap,
    /// Where the embedded API listens.
    embedded: Option<Authority>,
    counters: Arc<Counters>,
}

impl Wire {
    pub fn new(
        is_https: bool,
        headers: HeaderMap,
        embedded: Option<Authority>,
        counters: Arc<Counters>,
    ) -> Result<Self, String> {
        let builder = HttpsConnectorBuilder::new();
        // The system's certificates are read only where they are needed.
        let connector = if is_https {
            builder
                .with_native_roots()
                .map_err(|error| format!("https needs the system's certificates: {error}"))?
                .https_only()
                .enable_http1()
                .build()
        } else {
            let roots = rustls::RootCertStore::empty();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_root_certificates(roots)
                .with_no_client_auth();
            builder.with_tls_config(config).https_or_http().enable_http1().build()
        };
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, headers, embedded, counters })
    }
}

impl Service<Request<Full<Bytes>>> for Wire {
    type Response = Response<hyper::body::Incoming>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        for name in self.headers.keys() {
            request.headers_mut().remove(name);
        }
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        if let Some(authority) = &self.embedded {
            let mut parts = request.uri().clone().into_parts();
            parts.authority = Some(authority.clone());
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
        self.counters.sent.fetch_add(1, Ordering::Relaxed);
        Box::pin(self.client.request(request))
    }
}
