//! One request to the proxy's API and its answer, with limits on time and size. Knows no route.
//!
//! A connection serves one request: commands live for a moment, and the proxy is one dial away.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wire::api::{Page, Problem, exit};
use wire::link::{Address, Pin};

use crate::failure::{Failure, exit_of_status};
use crate::profile::{Profile, file};
use crate::{tls, when};

/// How often an answer that is no TLS is taken for the proxy's greeting of an SSH client.
const GREETED_AS_SSH: u8 = 3;
/// To connect and to shake hands, each.
pub const CONNECT: Duration = Duration::from_secs(10);
/// To the head of an answer, and for the whole of a bounded one.
const ANSWER: Duration = Duration::from_secs(60);
/// The code for a server that is of another authority.
const NOT_PINNED: &str = "NARU-T102";
/// The code for a connection that broke.
const LOST: &str = "NARU-N102";
/// Rows that are asked for at once: as many as any list gives.
const PAGE: u32 = 5000;
/// Most bytes of an answer that is read whole.
const MOST: usize = 16 * 1024 * 1024;
/// Most bytes of one line of a streamed answer.
const LINE: usize = 4 * 1024 * 1024;

/// A proxy, and who is asking it.
pub struct Api {
    address: Address,
    tls: Arc<rustls::ClientConfig>,
}

impl Api {
    /// As the person who is signed in to the profile.
    pub fn of(profile: &Profile) -> Result<Self, Failure> {
        let facts = profile.signed_in(when::now())?;
        let tls = tls::signed_in(&profile.read(file::CA)?, &profile.read(file::TLS)?)?;
        Ok(Self { address: facts.address()?, tls: Arc::new(tls) })
    }

    /// As nobody, at an address of which only the authority's pin is known.
    pub fn pinned(address: Address, pin: Pin) -> Result<Self, Failure> {
        Ok(Self { address, tls: Arc::new(tls::pinned(pin)?) })
    }

    /// The authority of a server of which nothing is known: its chain holds, and nobody vouches for it. Nothing is asked of the server.
    pub async fn introduce(address: Address) -> Result<Pin, Failure> {
        let (tls, shown) = tls::introducing()?;
        let api = Self { address, tls: Arc::new(tls) };
        api.dial().await.map_err(|failure| match failure.code.as_str() {
            NOT_PINNED => Failure::new(NOT_PINNED, exit::FAILED, format!("{} shows no authority that its certificate is of", api.address))
                .hint("is it the right address?"),
            _ => failure,
        })?;
        shown.pin().ok_or_else(|| api.nonsense(&"it showed no authority"))
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Reads.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.whole(Method::GET, path, Bytes::new()).await
    }

    /// Sends and reads the answer.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| self.nonsense(&e))?;
        self.whole(Method::POST, path, body.into()).await
    }

    /// Deletes.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.whole(Method::DELETE, path, Bytes::new()).await
    }

    /// Deletes what is still at this revision (`If-Match`, RFC 9110 section 13.1.1).
    pub async fn delete_at<T: DeserializeOwned>(&self, path: &str, revision: u64) -> Result<T, Failure> {
        let at = [(header::IF_MATCH, format!("\"{revision}\""))];
        let answer = self.send(Method::DELETE, path, Bytes::new(), &at).await?;
        self.read(answer).await
    }

    /// Sends what makes something, and reads the answer. It is sent once more where the connection broke before there was one: by its
    /// key the server knows it again, and makes nothing twice.
    pub async fn make<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = Bytes::from(serde_json::to_vec(body).map_err(|e| self.nonsense(&e))?);
        let key = [(HeaderName::from_static(wire::api::IDEMPOTENCY_KEY), new_key()?)];
        let once = async || self.read(self.send(Method::POST, path, body.clone(), &key).await?).await;
        match once().await {
            Err(failure) if failure.code == LOST => once().await,
            answered => answered,
        }
    }

    /// Every row of a list that comes in pages, or the first `most` of them.
    pub async fn all<T: DeserializeOwned>(&self, path: &str, most: Option<u32>) -> Result<Vec<T>, Failure> {
        let (mut rows, mut after) = (Vec::new(), None::<String>);
        let join = if path.contains('?') { '&' } else { '?' };
        let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        loop {
            let limit = u32::try_from(most.saturating_sub(rows.len())).unwrap_or(u32::MAX).min(PAGE);
            let from = after.as_deref().map(|after| format!("&after={}", encode(after))).unwrap_or_default();
            let page: Page<T> = self.get(&format!("{path}{join}limit={limit}{from}")).await?;
            let got = page.items.len();
            rows.extend(page.items);
            // A page that is empty or that repeats itself would go on for ever.
            match page.next.filter(|next| got > 0 && rows.len() < most && after.as_ref() != Some(next)) {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        rows.truncate(most);
        Ok(rows)
    }

    /// Reads an answer that goes on.
    pub async fn stream(&self, path: &str) -> Result<Streamed, Failure> {
        self.send(Method::GET, path, Bytes::new(), &[]).await
    }

    /// The same of one that comes as messages.
    pub async fn messages(&self, path: &str) -> Result<Streamed, Failure> {
        self.send(Method::GET, path, Bytes::new(), &[(header::ACCEPT, wire::api::watch::EVENTS.to_owned())]).await
    }

    async fn whole<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Failure> {
        let answer = self.send(method, path, body, &[]).await?;
        self.read(answer).await
    }

    async fn read<T: DeserializeOwned>(&self, mut answer: Streamed) -> Result<T, Failure> {
        let bytes = timeout(ANSWER, answer.read_to_end(MOST)).await.map_err(|_| self.silent())??;
        serde_json::from_slice(&bytes).map_err(|e| self.nonsense(&e))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes, more: &[(HeaderName, String)]) -> Result<Streamed, Failure> {
        let stream = self.dial().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.lost(&e))?;
        let driver = Driver(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.authority())
            .header(header::USER_AGENT, concat!("naru/", env!("CARGO_PKG_VERSION")));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in more {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|e| self.nonsense(&e))?;
        let answer = timeout(ANSWER, sender.send_request(request)).await.map_err(|_| self.silent())?.map_err(|e| self.lost(&e))?;
        let status = answer.status();
        let mut answer = Streamed { body: answer.into_body(), rest: BytesMut::new(), place: self.address.to_string(), _driver: driver };
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = timeout(ANSWER, answer.read_to_end(MOST)).await.map_err(|_| self.silent())??;
        Err(self.refused(status, &bytes))
    }

    /// A TLS connection to the proxy, for HTTP or a WebSocket.
    pub async fn dial(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let reach = |cause: &dyn std::fmt::Display| {
            Failure::new("NARU-N101", exit::CANNOT_REACH, format!("{} cannot be reached", self.address.authority()))
                .because(cause)
                .hint("is the network up, and is the server running?")
        };
        let late = "no answer within 10 seconds";
        // One port serves both, and a hello that is late (a laptop with much to do) is greeted as SSH: then we are quicker the next time.
        for _ in 0..GREETED_AS_SSH {
            match self.dial_once(&reach, late).await? {
                Ok(stream) => return Ok(stream),
                Err(e) if is_no_tls(&e) => {}
                Err(e) => return Err(tls_failure(&self.address, &e).unwrap_or_else(|| reach(&cause_of(&e)))),
            }
        }
        Err(reach(&"what answers there does not speak TLS"))
    }

    /// The outer failure is about the way there, the inner one about TLS.
    async fn dial_once(
        &self,
        reach: &impl Fn(&dyn std::fmt::Display) -> Failure,
        late: &str,
    ) -> Result<std::io::Result<TlsStream<TcpStream>>, Failure> {
        let tcp = timeout(CONNECT, TcpStream::connect((self.address.host(), self.address.port()))).await;
        let tcp = tcp.map_err(|_| reach(&late))?.map_err(|e| reach(&e))?;
        tcp.set_nodelay(true).map_err(|e| reach(&e))?;
        let name = ServerName::try_from(self.address.host().to_owned()).map_err(|e| reach(&e))?;
        timeout(CONNECT, TlsConnector::from(self.tls.clone()).connect(name, tcp)).await.map_err(|_| reach(&late))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => Failure::from_problem(problem, status.as_u16()),
            Err(_) => Failure::new("NARU-N104", exit_of_status(status.as_u16()), format!("{} answered {status}", self.address)),
        }
    }

    fn lost(&self, cause: &(dyn std::error::Error + 'static)) -> Failure {
        lost(&self.address.to_string(), cause)
    }

    fn silent(&self) -> Failure {
        Failure::new("NARU-N103", exit::CANNOT_REACH, format!("{} does not answer", self.address)).because("nothing came within 60 seconds")
    }

    fn nonsense(&self, cause: &dyn std::fmt::Display) -> Failure {
        Failure::new("NARU-N105", exit::FAILED, format!("{} gave an answer that this naru does not understand", self.address))
            .because(cause)
            .hint("compare `naru --version` on both sides")
    }
}

/// What a failure during the handshake means, where it is about trust and not about the network.
fn tls_failure(address: &Address, error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
    use rustls::{CertificateError as Bad, Error};
    let mut at = Some(error);
    while let Some(e) = at {
        // An io::Error hides what it wraps from `source` when it was made from it.
        let inner = e.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()).and_then(|inner| inner.downcast_ref::<Error>());
        match inner.or_else(|| e.downcast_ref::<Error>()) {
            Some(Error::AlertReceived(alert)) => {
                return Some(
                    Failure::not_signed_in(format!("{address} does not accept this sign-in")).because(format!("TLS alert {alert:?}")),
                );
            }
            Some(Error::InvalidCertificate(
                bad @ (Bad::Expired | Bad::NotValidYet | Bad::ExpiredContext { .. } | Bad::NotValidYetContext { .. }),
            )) => {
                let title = format!("the certificate of {address} is not valid at this computer's time");
                return Some(
                    Failure::new("NARU-T110", exit::FAILED, title).because(bad).hint("set the clock of this computer or of the server"),
                );
            }
            Some(Error::InvalidCertificate(bad)) => {
                return Some(other_authority(address, bad));
            }
            _ => at = e.source(),
        }
    }
    None
}

/// The server's certificate does not end in the authority that was pinned, or is not for this name.
fn other_authority(address: &Address, bad: &rustls::CertificateError) -> Failure {
    use rustls::CertificateError as Bad;
    let cause = match bad {
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => "its certificate is for another name",
        _ => "its certificate is of another authority than the one that was pinned",
    };
    not_the_pinned(&address.to_string()).because(cause)
}

/// The sentence for a server that is not of the pinned authority, the same for a sign-in and for a host that joins.
pub fn not_the_pinned(address: &str) -> Failure {
    let title = format!("{address} is not the server that was pinned: its authority is another one");
    let hint =
        "is it the right address? if the server was set up anew, ask an administrator for a new link or join line; else go no further";
    Failure::new(NOT_PINNED, exit::FAILED, title).hint(hint)
}

/// Whether the answer to our hello was something else, such as an SSH banner.
fn is_no_tls(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)))
}

fn lost(place: &str, cause: &(dyn std::error::Error + 'static)) -> Failure {
    if let Some(failure) = place.parse().ok().and_then(|address| tls_failure(&address, cause)) {
        return failure;
    }
    Failure::new(LOST, exit::CANNOT_REACH, format!("the connection to {place} was lost")).because(cause_of(cause))
}

/// Why a connection ended, in words of ours: those of libraries speak of their own insides, and link to their manuals.
pub(crate) fn cause_of(error: &(dyn std::error::Error + 'static)) -> String {
    use std::io::ErrorKind as Kind;
    let mut at = Some(error);
    while let Some(e) = at {
        if let Some(io) = e.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
                    "the other side closed it".to_owned()
                }
                Kind::InvalidData => "what came was not understood".to_owned(),
                // What the system itself says is plain; what a library wrapped is not.
                _ if io.get_ref().is_none() => io.to_string(),
                _ => "what came was not understood".to_owned(),
            };
        }
        if let Some(http) = e.downcast_ref::<hyper::Error>()
            && (http.is_incomplete_message() || http.is_closed() || http.is_canceled())
        {
            return "the other side closed it before its answer was whole".to_owned();
        }
        if e.downcast_ref::<rustls::Error>().is_some() {
            return "what came was not understood".to_owned();
        }
        at = e.source();
    }
    "what came was not understood".to_owned()
}

/// The task that moves the connection's bytes: it ends with the answer.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer as it comes.
pub struct Streamed {
    body: Incoming,
    rest: BytesMut,
    place: String,
    _driver: Driver,
}

impl Streamed {
    /// The next piece, or nothing at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|e| lost(&self.place, &e))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The next line without its end; a last one without an end counts.
    pub async fn line(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.rest.iter().skip(searched).position(|b| *b == b'\n') {
                let mut line = self.rest.split_to(searched + at + 1).freeze();
                line.truncate(searched + at);
                return Ok(Some(line));
            }
            searched = self.rest.len();
            if searched > LINE {
                return Err(Failure::new("NARU-N105", exit::FAILED, format!("{} sent a line of more than 4 MiB", self.place)));
            }
            match self.chunk().await? {
                Some(data) => self.rest.extend_from_slice(&data),
                None if self.rest.is_empty() => return Ok(None),
                None => return Ok(Some(self.rest.split().freeze())),
            }
        }
    }

    async fn read_to_end(&mut self, most: usize) -> Result<BytesMut, Failure> {
        let mut all = BytesMut::new();
        while let Some(data) = self.chunk().await? {
            if all.len() + data.len() > most {
                return Err(Failure::new("NARU-N105", exit::FAILED, format!("{} sent an answer of more than {most} bytes", self.place)));
            }
            all.extend_from_slice(&data);
        }
        Ok(all)
    }
}

/// 128 bits of chance: no two things are made by the same key.
fn new_key() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Failure::new("NARU-C010", exit::FAILED, "this computer gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A path with the fields of `query` behind it; absent and false ones are left out.
pub fn with_query(path: &str, query: &impl Serialize) -> String {
    let mut out = path.to_owned();
    let fields = serde_json::to_value(query).unwrap_or_default();
    for (key, value) in fields.as_object().into_iter().flatten() {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => continue,
            other => other.to_string(),
        };
        out.push(if out.contains('?') { '&' } else { '?' });
        out.push_str(key);
        out.push('=');
        out.push_str(&encode(&text));
    }
    out
}

/// Percent-encodes everything that is not unreserved (RFC 3986 section 2.3): safe in a path segment and in a query.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wire::api::EventQuery;

    use super::*;
    use crate::login::fake::{BROKEN, Fake};

    #[test]
    fn hostile_words_stay_inside_their_field() {
        let query = EventQuery { text: Some("a&b=c #?\n/../한".into()), kind: Some("session.*".into()), ..EventQuery::default() };
        assert_eq!(
            with_query("/v1/events", &query),
            "/v1/events?follow=false&text=a%26b%3Dc%20%23%3F%0A%2F..%2F%ED%95%9C&type=session.%2A"
        );
        assert_eq!(encode("../x"), "..%2Fx");
    }

    #[tokio::test]
    async fn what_makes_something_is_sent_once_more_where_the_connection_broke_and_never_on_an_answer() {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let fake = Fake::start(Box::new(move |path, _| {
            let before = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            match path {
                "/once" if before == 0 => Some((BROKEN, Value::Null)),
                "/never" => Some((BROKEN, Value::Null)),
                "/refused" => Some((409, json!({"code": "NARU-W431", "title": "No."}))),
                _ => Some((200, json!({"made": true}))),
            }
        }))
        .await;
        let (api, ask) = (fake.api(), json!({"a": 1}));
        let made: Value = api.make("/once", &ask).await.expect("made");
        assert_eq!((made, fake.asked("/once").len()), (json!({"made": true}), 2));
        let keys = fake.keys();
        assert!(keys.len() == 2 && keys[0] == keys[1] && keys[0].len() == 32, "{keys:?}");
        let refused = api.make::<Value>("/refused", &ask).await.expect_err("refused");
        assert_eq!((refused.code.as_str(), fake.asked("/refused").len()), ("NARU-W431", 1));
        let lost = api.make::<Value>("/never", &ask).await.expect_err("lost");
        assert_eq!((lost.code.as_str(), fake.asked("/never").len()), (LOST, 2));
        assert_ne!(fake.keys()[2], keys[0], "each thing has its own");
        // What only asks is not sent again by itself, and has no key.
        assert!(api.post::<Value>("/never", &ask).await.is_err());
        assert_eq!((fake.asked("/never").len(), fake.keys().len()), (3, 5));
    }

    #[test]
    fn what_the_handshake_says_decides_the_exit_code() {
        let address: Address = "https://h:1".parse().expect("address");
        let of = |e: rustls::Error| tls_failure(&address, &std::io::Error::other(e)).map(|f| (f.code, f.exit));
        assert_eq!(of(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired)), Some(("NARU-A104".into(), 3)));
        assert_eq!(of(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)), Some(("NARU-T102".into(), 1)));
        assert_eq!(of(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidYet)), Some(("NARU-T110".into(), 1)));
        assert_eq!(of(rustls::Error::HandshakeNotComplete), None);
    }

    #[test]
    fn no_word_of_a_library_is_a_cause() {
        let eof = std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "peer closed connection without sending TLS close_notify: https://docs.rs/x",
        );
        let failure = lost("https://h:1", &eof);
        assert_eq!((failure.code.as_str(), failure.cause.as_deref()), ("NARU-N102", Some("the other side closed it")));
        assert_eq!(cause_of(&std::io::Error::other(rustls::Error::HandshakeNotComplete)), "what came was not understood");
        let refused = std::io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        assert!(cause_of(&refused).starts_with("Connection refused"));
    }
}
