//! The few API calls that an agent makes for itself: join and renew. One request on one connection, bounded in time and size.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::api::Problem;
use wire::link::Address;

const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_ANSWER: usize = 256 * 1024;

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Not reached, or not understood.
    #[error("cannot reach {address}: {why}")]
    Reach {
        /// Whom.
        address: String,
        /// Why not.
        why: String,
    },
    /// The proxy refused, with its own words.
    #[error("{}", .0.title)]
    Refused(Box<Problem>),
}

/// `POST`s JSON and reads JSON.
pub(crate) async fn post<Q: Serialize, A: DeserializeOwned>(
    address: &Address,
    tls: Arc<ClientConfig>,
    path: &str,
    question: &Q,
) -> Result<A, CallError> {
    let body = serde_json::to_vec(question).unwrap_or_default();
    let reach = |why: String| CallError::Reach { address: address.authority(), why };
    let (status, bytes) = tokio::time::timeout(TIMEOUT, exchange(address, tls, path, body))
        .await
        .map_err(|_| reach("it did not answer in time".into()))?
        .map_err(|error| reach(error.to_string()))?;
    if !status.is_success() {
        let problem = serde_json::from_slice(&bytes).map_err(|_| reach(format!("it answered {status}")))?;
        return Err(CallError::Refused(problem));
    }
    serde_json::from_slice(&bytes).map_err(|error| reach(format!("its answer is not understood: {error}")))
}

async fn exchange(address: &Address, tls: Arc<ClientConfig>, path: &str, body: Vec<u8>) -> io::Result<(http::StatusCode, Bytes)> {
    let tcp = TcpStream::connect((address.host(), address.port())).await?;
    let name = ServerName::try_from(address.host().to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls).connect(name, tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::post(path)
        .header(header::HOST, address.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(io::Error::other)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(io::Error::other)?.to_bytes();
        Ok((status, bytes))
    };
    let connection = async {
        // Ends by itself after the answer; its errors reach the exchange.
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answered = exchange => answered,
        () = connection => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}
