//! The API on a loopback socket.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
#[cfg(feature = "http2")]
use http::Version;
use hyper::body::Incoming;
use hyper::service::service_fn;
#[cfg(feature = "http2")]
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::api::{Reply, SimulatedApi};

/// A running server. Dropping it ends it and its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    path: &'static str,
    task: JoinHandle<()>,
}

impl Server {
    /// The URL of the collection.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// The address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SimulatedApi {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn serve(&self) -> io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let api = self.clone();
        let task = tokio::spawn(async move {
            // Dropped with the task, and with it every connection.
            let mut connections = JoinSet::new();
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(serve_connection(api.clone(), stream));
                }
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Server { address, path: self.api().path(), task })
    }
}

async fn serve_connection(api: SimulatedApi, stream: TcpStream) {
    let reset = Arc::new(AtomicBool::new(false));
    let connection = Connection { stream, reset: Arc::clone(&reset) };
    let service = service_fn(move |request: Request<Incoming>| {
        let (api, reset) = (api.clone(), Arc::clone(&reset));
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, ());
        async move {
            let body = crate::api::read(body).await.map_err(io::Error::other)?;
            let reply = api.reply(&request, &body, &reset);
            if matches!(reply, Reply::Refuse) {
                #[cfg(feature = "http2")]
                if request.version() == Version::HTTP_2 {
                    return Err(io::Error::other(Refused(h2::Reason::REFUSED_STREAM.into())));
                }
                reset.store(true, Ordering::Relaxed);
            }
            reply.sent().await
        }
    });
    let connection = TokioIo::new(connection);
    #[cfg(not(feature = "http2"))]
    let end = hyper::server::conn::http1::Builder::new().serve_connection(connection, service);
    #[cfg(feature = "http2")]
    let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    #[cfg(feature = "http2")]
    let end = http.serve_connection(connection, service);
    // A connection that a fault ends is meant to end.
    let _ = end.await;
}

/// Leads hyper to the reason with which it is to reset the stream: an `io::Error` shows its own source only.
#[cfg(feature = "http2")]
#[derive(Debug)]
struct Refused(h2::Error);

#[cfg(feature = "http2")]
impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}

#[cfg(feature = "http2")]
impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A stream that can end with a reset (RST) instead of a close (FIN).
struct Connection {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())); // All its streams end.
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(())); // A shutdown would send the FIN first.
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
