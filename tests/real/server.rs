//! A server that other people wrote, as a child process on a free port of loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

/// How often a start asks for a connection, 100 ms apart. Our choice: on an idle machine Datasette
/// accepts one after 0.4 s.
const MAX_CONNECTS: u32 = 300;

/// A running server. The process ends when this value drops, after a panic as well.
pub struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts one of our scripts: `node SCRIPT PORT`.
    pub async fn node(script: &str) -> Self {
        let port = free_port();
        let mut command = Command::new("node");
        command.arg(here().join(script)).arg(port.to_string());
        command.env("NODE_PATH", installed().join("node_modules"));
        Self::start(command, port).await
    }

    /// Starts Datasette with our plugin.
    pub async fn datasette() -> Self {
        let port = free_port();
        let mut command = Command::new(installed().join("venv/bin/datasette"));
        command.args(["serve", "rows.db", "--create", "--host", "127.0.0.1", "--port"]);
        command.arg(port.to_string()).arg("--plugins-dir").arg(here().join("plugins"));
        Self::start(command, port).await
    }

    /// Waits until the server accepts a connection. Its errors appear among those of the test.
    async fn start(mut command: Command, port: u16) -> Self {
        command.current_dir(installed()).stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().expect("tests/real/install.sh has installed the server");
        let mut server = Self { process, address: format!("http://127.0.0.1:{port}") };
        for _ in 0..MAX_CONNECTS {
            let ended = server.process.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?} ends: {ended:?}");
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
                return server;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{command:?} accepts no connection");
    }

    /// Scheme, host and port.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where `install.sh` installs the servers.
fn installed() -> PathBuf {
    here().join("../../target/real")
}

/// A port that is free now; another process is unlikely to take it before the server does.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().unwrap().port()
}
