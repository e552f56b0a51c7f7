//! A provider for tests that describes itself and shows a key, on this machine. It signs nobody in.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The key of RFC 7515, appendix A.3.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k","alg":"ES256","use":"sig","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

/// Serves until it is dropped.
pub(crate) struct Stub {
    pub(crate) issuer: String,
    _serving: AbortOnDropHandle<()>,
}

impl Stub {
    /// Begins to serve; `asked` hears the request line of each request before it is answered.
    pub(crate) async fn start(asked: impl Fn(&str) + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let issuer = format!("http://{}", listener.local_addr().expect("bound"));
        let discovery = serde_json::json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"), "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"), "id_token_signing_alg_values_supported": ["ES256"],
        })
        .to_string();
        let serving = tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let (mut head, mut piece) = (Vec::new(), [0; 1024]);
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    match tcp.read(&mut piece).await {
                        Ok(read) if read > 0 => head.extend_from_slice(&piece[..read]),
                        _ => break,
                    }
                }
                let head = String::from_utf8_lossy(&head);
                let line = head.lines().next().unwrap_or_default();
                asked(line);
                let body = if line.contains("/keys") { KEYS } else { &discovery };
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                let _ = tcp.write_all(answer.as_bytes()).await;
            }
        });
        Self { issuer, _serving: AbortOnDropHandle::new(serving) }
    }
}
