//! An SDK as its author ships it: generated code, and one hook through which every request passes.

use progenitor_client::{ClientHooks, ClientInfo, OperationInfo};
use reqwest::Body;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// What a request passes through: any tower service, given by the SDK's user.
pub type Stack = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, reqwest::Error>;

/// Generated from `users.openapi.json`, and not edited.
#[allow(clippy::all, clippy::pedantic, unused, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/users.rs"));
}
pub use generated::{Client, Error, types};

/// In place of the client's own sending.
impl ClientHooks<Stack> for Client {
    async fn exec(
        &self,
        request: reqwest::Request,
        _: &OperationInfo,
    ) -> reqwest::Result<reqwest::Response> {
        let request = http::Request::try_from(request)?;
        Ok(self.inner().clone().oneshot(request).await?.into())
    }
}
