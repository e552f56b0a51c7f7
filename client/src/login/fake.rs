//! A proxy that signs everybody in, for tests: real TLS, real certificates, and a note of all that it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use ssh_key::certificate::{Builder, CertType};
use ssh_key::{PrivateKey, PublicKey};
use tokio::net::TcpListener;
use wire::link::Pin;

use crate::keys::Keys;
use crate::when;

/// What it is asked: path and body.
pub(crate) type Asked = (String, Value);
/// What it answers beside signing in, given path and body; the status and the body. With [`BROKEN`] the connection breaks instead.
pub(crate) type Says = Box<dyn Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync>;

/// No status: there is no answer.
pub(crate) const BROKEN: u16 = 0;

pub(crate) struct Fake {
    pub(crate) url: String,
    pub(crate) pin: Pin,
    asked: Arc<Mutex<Vec<Asked>>>,
    keys: Arc<Mutex<Vec<String>>>,
}

struct Inside {
    ca: CertifiedIssuer<'static, KeyPair>,
    ssh: PrivateKey,
    asked: Arc<Mutex<Vec<Asked>>>,
    keys: Arc<Mutex<Vec<String>>>,
    says: Says,
    /// The keys of the sign-in that was begun last.
    begun: Mutex<Value>,
}

impl Fake {
    /// Listens; `says` may answer first.
    pub(crate) async fn start(says: Says) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("ca");
        let key = KeyPair::generate().expect("key");
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("name").signed_by(&key, &ca).expect("leaf");
        let root = ca.as_ref().der().clone();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), root.clone()], PrivateKeyDer::try_from(key.serialize_der()).expect("key"))
            .expect("tls");
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let url = format!("https://{}", listener.local_addr().expect("address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ssh = PrivateKey::from_openssh(Keys::make().expect("keys").ssh_private.as_str()).expect("key");
        let keys = Arc::new(Mutex::new(Vec::new()));
        let inside = Arc::new(Inside { ca, ssh, asked: asked.clone(), keys: keys.clone(), says, begun: Mutex::new(Value::Null) });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, inside) = (tls.clone(), inside.clone());
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let inside = inside.clone();
                        async move { inside.answer(request).await }
                    });
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, pin: Pin::of_der(&root), asked, keys }
    }

    /// Asking it, as nobody.
    pub(crate) fn api(&self) -> crate::http::Api {
        crate::http::Api::pinned(self.url.parse().expect("address"), self.pin).expect("api")
    }

    /// The keys that came along, one for each request that had one.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.keys.lock().expect("keys").clone()
    }

    /// Bodies of what it was asked at this path.
    pub(crate) fn asked(&self, path: &str) -> Vec<Value> {
        self.asked.lock().expect("asked").iter().filter(|(there, _)| there == path).map(|(_, body)| body.clone()).collect()
    }
}

impl Inside {
    async fn answer(&self, request: Request<Incoming>) -> std::io::Result<Response<Full<Bytes>>> {
        let path = request.uri().path().to_owned();
        let key = request.headers().get(wire::api::IDEMPOTENCY_KEY).map(|key| key.to_str().expect("a key").to_owned());
        self.keys.lock().expect("keys").extend(key);
        let body = request.into_body().collect().await.expect("body").to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.asked.lock().expect("asked").push((path.clone(), body.clone()));
        let (status, body) = (self.says)(&path, &body).unwrap_or_else(|| (200, self.usual(&path, &body)));
        if status == BROKEN {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        // A text is sent as it is.
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        Ok(Response::builder().status(status).body(Full::new(text.into())).expect("answer"))
    }

    fn usual(&self, path: &str, body: &Value) -> Value {
        let expires = when::now().plus(Duration::from_secs(3600));
        match path {
            "/v1/connectors" => {
                json!({"items": [{"name": "corp", "issuer": "https://id.example", "flows": ["browser", "device", "headless"]}]})
            }
            "/v1/sign-in/begin" => {
                *self.begun.lock().expect("begun") = body.clone();
                let code = (body["flow"] != "browser").then_some("ABCD-EFGH");
                json!({"id": "b-1", "connector": "corp", "browse": "https://id.example/auth?x=y", "code": code,
                       "expires": when::now().plus(Duration::from_secs(600)), "interval_s": 1})
            }
            "/v1/sign-in/finish" => {
                let begun = self.begun.lock().expect("begun").clone();
                let mut done = self.signed_in(&begun, expires);
                done["state"] = "signed_in".into();
                done
            }
            "/v1/sign-in/bot" | "/v1/sign-in/link" => self.signed_in(body, expires),
            "/v1/sign-out" => json!({"ended": 1, "provider": true}),
            _ => json!({}),
        }
    }

    fn signed_in(&self, keys: &Value, expires: access::time::Timestamp) -> Value {
        let text = |name: &str| keys[name].as_str().expect("a key").to_owned();
        let csr = CertificateSigningRequestParams::from_pem(&text("csr_pem")).expect("csr");
        let leaf = CertificateParams::new(vec!["alice".to_owned()]).expect("name").signed_by(&csr.public_key, &self.ca).expect("leaf");
        let public = PublicKey::from_openssh(&text("ssh_public_key")).expect("public");
        let mut builder = Builder::new([7; 16], public.key_data().clone(), 0, u64::from(u32::MAX)).expect("builder");
        builder.cert_type(CertType::User).expect("type").valid_principal("alice").expect("principal");
        let certificate = builder.sign(&self.ssh).expect("certificate").to_openssh().expect("text");
        json!({
            "user": "https://id.example|1", "name": "alice", "roles": ["sre"], "expires": expires, "ssh_certificate": certificate,
            "x509_chain_pem": leaf.pem(), "ca_pem": self.ca.as_ref().pem(), "install": "i-1", "ssh": ["127.0.0.1:1"],
            "ssh_host_ca": self.ssh.public_key().to_openssh().expect("text"), "server_name": "127.0.0.1",
        })
    }
}
