//! Requests of somebody else, sent with this client's key or signature.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};

use super::gateway::Gateway;
use super::transport::{Call, Failure, Transport};
use super::{CallError, Client};

/// A refusal says less than this.
const REFUSAL_BYTES: usize = 64 * 1024;
/// The longest wait for what a refusal says.
const REFUSAL_WAIT: Duration = Duration::from_secs(5);

/// A request to send on: what follows the server's URL, the headers and the body.
pub(crate) struct Forwarded {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    /// Sends a request once, and returns the server's answer, whatever its status; its body arrives as it is read.
    /// The head of the answer may take as long as a call of this client, and `wait` besides.
    ///
    /// # Errors
    /// The server can't be reached, or it does not take the key or the signature of this client.
    pub(crate) async fn forward(&self, request: Forwarded, wait: Duration) -> Result<Response, CallError> {
        Ok(self.transport.forward(request, wait).await?)
    }
}

impl Transport {
    async fn forward(&self, request: Forwarded, wait: Duration) -> Result<Response, Failure> {
        let Forwarded { method, path, headers, body } = request;
        let call = Call::forwarded(method, path, headers, body).waiting(wait);
        let mut response = self.begin(&call).await?;
        let status = response.status();
        let is_about_the_caller =
            status == StatusCode::UNAUTHORIZED || Gateway::read(response.headers(), "").is_some();
        if !is_about_the_caller {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let mut body = Vec::new();
        let reading = async {
            while let Some(part) = response.chunk().await.unwrap_or_default() {
                body.extend_from_slice(&part);
                if body.len() > REFUSAL_BYTES {
                    break;
                }
            }
        };
        // What came until then is enough.
        let _ = tokio::time::timeout(REFUSAL_WAIT, reading).await;
        Err(self.refused(&call, status, &headers, &body).await)
    }
}
