//! The address on this computer to which the browser comes back: one answer is taken, and nobody else is listened to. Knows no server.
//!
//! Every page in the browser can send requests here. A port that nobody knows, the exact `Host`, one path, one method and the browser's
//! own word that it goes to a page keep them out; whether the answer is worth anything, the server says.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::words::ConnectorName;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wire::api::exit;

use crate::failure::Failure;

/// Where the one path begins; the connector's name ends it.
const PATH: &str = "/callback/";
/// Most bytes of a request's head.
const HEAD: usize = 8 * 1024;
/// For a head to come whole, and for an answer to be read.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once: browsers open some that they do not use.
const MOST: usize = 16;
/// What nobody may do with a page of ours.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For the browser to take the page.
const SHOWN: Duration = Duration::from_secs(2);

/// Listens on 127.0.0.1, at a port that the system chose.
pub(super) struct Listener {
    listener: TcpListener,
    authority: String,
    path: String,
}

/// The answer that came. The browser waits until it is shown a page.
pub(super) struct Arrived {
    /// The query, as it came.
    pub(super) query: String,
    page: oneshot::Sender<String>,
    /// Ends with the connection: then the page is written.
    written: Option<oneshot::Receiver<()>>,
    /// Connections that are open; they end with this.
    _open: JoinSet<()>,
}

impl Listener {
    /// Begins to listen for an answer of this connector's provider. No two have the same address to come back to, so that none can send a
    /// browser on to the other and be taken for it (RFC 9700 section 4.4.2.2).
    pub(super) async fn bind(connector: &ConnectorName) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::new("NARU-C016", exit::FAILED, "this computer gives no port to come back to").because(e);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let authority = listener.local_addr().map_err(failed)?.to_string();
        Ok(Self { listener, authority, path: format!("{PATH}{connector}") })
    }

    /// Where the browser is to be sent back to.
    pub(super) fn redirect(&self) -> String {
        format!("http://{}{}", self.authority, self.path)
    }

    /// Waits for the first answer that has the form of one, then listens no more.
    pub(super) async fn wait(self) -> Arrived {
        let (give, mut take) = oneshot::channel();
        let door = Arc::new(Door { authority: self.authority, path: self.path, give: Mutex::new(Some(give)) });
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Ok(arrived) = &mut take => return Arrived { _open: open, ..arrived },
                Some(_) = open.join_next() => {}
                accepted = self.listener.accept(), if open.len() < MOST => match accepted {
                    Ok((stream, _)) => {
                        open.spawn(serve(stream, door.clone()));
                    }
                    // No file handle is free, perhaps: one may be soon.
                    Err(_) => sleep(Duration::from_millis(100)).await,
                },
            }
        }
    }
}

impl Arrived {
    /// Shows the browser a page, and waits until it has it.
    pub(super) async fn show(self, title: &str, sentence: &str) {
        let _ = self.page.send(page(title, sentence));
        if let Some(written) = self.written {
            let _ = timeout(SHOWN, written).await;
        }
    }
}

/// What every connection shares: who may come in, and the one place for an answer.
struct Door {
    authority: String,
    path: String,
    give: Mutex<Option<oneshot::Sender<Arrived>>>,
}

async fn serve(stream: TcpStream, door: Arc<Door>) {
    let (_open, written) = oneshot::channel::<()>();
    let written = Arc::new(Mutex::new(Some(written)));
    let service = service_fn(move |request: Request<Incoming>| {
        let (door, written) = (door.clone(), written.clone());
        async move { Ok::<_, Infallible>(door.answer(&request, &written).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD).keep_alive(false);
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

impl Door {
    async fn answer(&self, request: &Request<Incoming>, written: &Mutex<Option<oneshot::Receiver<()>>>) -> Response<Full<Bytes>> {
        let query = match self.fits(request.method(), request.uri(), request.headers()) {
            Ok(query) => query,
            Err(status) => return respond(status, page("Nothing is here", "This address waits for one sign-in and nothing else.")),
        };
        let (page_back, waiting) = oneshot::channel();
        // Taken out at once, so that no second one can be given.
        let give = self.give.lock().unwrap_or_else(PoisonError::into_inner).take();
        let written = written.lock().unwrap_or_else(PoisonError::into_inner).take();
        let gone = || respond(StatusCode::GONE, page("Too late", "This sign-in has had its answer already."));
        let Some(give) = give else { return gone() };
        if give.send(Arrived { query, page: page_back, written, _open: JoinSet::new() }).is_err() {
            return gone();
        }
        match waiting.await {
            Ok(html) => respond(StatusCode::OK, html),
            Err(_) => respond(StatusCode::OK, page("Not signed in", "The program that waited has ended. Go back to the terminal.")),
        }
    }

    /// The query of a request that may be the answer.
    fn fits(&self, method: &Method, uri: &http::Uri, headers: &HeaderMap) -> Result<String, StatusCode> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let ours = hosts.next().is_some_and(|host| host.as_bytes() == self.authority.as_bytes()) && hosts.next().is_none();
        // A whole address in the request line is for a proxy, and a name that leads here is somebody's trick.
        if !ours || uri.authority().is_some() {
            return Err(StatusCode::BAD_REQUEST);
        }
        if uri.path() != self.path {
            return Err(StatusCode::NOT_FOUND);
        }
        if method != Method::GET {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        // Browsers say what they fetch for (Fetch Metadata): a picture or a script of another page is no sign-in.
        if headers.get("sec-fetch-dest").is_some_and(|dest| dest.as_bytes() != b"document") {
            return Err(StatusCode::BAD_REQUEST);
        }
        let query = uri.query().unwrap_or_default();
        if is_answer(query) { Ok(query.to_owned()) } else { Err(StatusCode::BAD_REQUEST) }
    }
}

/// Whether a query has what RFC 6749 section 4.1.2 gives an answer: a state, and a code or an error.
fn is_answer(query: &str) -> bool {
    let has = |name: &str| query.split('&').any(|field| field.split_once('=').is_some_and(|(key, value)| key == name && !value.is_empty()));
    has("state") && (has("code") || has("error"))
}

fn respond(status: StatusCode, html: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    response.headers_mut().extend(headers.map(|(name, value)| (name, http::HeaderValue::from_static(value))));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, http::HeaderValue::from_static("GET"));
    }
    response
}

/// A small page. Both texts may be anybody's.
fn page(title: &str, sentence: &str) -> String {
    let (title, sentence) = (escape(title), escape(sentence));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Naru: {title}</title></head>\n\
         <body><h1>{title}</h1><p>{sentence}</p></body></html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn ask(authority: &str, request: String) -> String {
        let mut stream = TcpStream::connect(authority).await.expect("there");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // Who is taken for the answer waits for a page.
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("answered at once").ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn only_the_answer_itself_ends_the_waiting() {
        let listener = Listener::bind(&"idp".parse().expect("name")).await.expect("port");
        let at = listener.authority.clone();
        let port = at.rsplit(':').next().expect("port").to_owned();
        assert!(at.starts_with("127.0.0.1:") && listener.redirect() == format!("http://{at}/callback/idp"));
        let waiting = tokio::spawn(listener.wait());
        // Somebody who says nothing holds nobody up.
        let _idle: Vec<_> = futures::future::join_all((0..4).map(|_| TcpStream::connect(at.clone()))).await;
        let good = "/callback/idp?state=s&code=c";
        for (line, host, more, status) in [
            ("GET /".to_owned(), at.clone(), "", 404),
            ("GET /callback/idp/?state=s&code=c".into(), at.clone(), "", 404),
            ("GET /callback?state=s&code=c".into(), at.clone(), "", 404),
            ("GET /callback/other?state=s&code=c".into(), at.clone(), "", 404),
            ("GET //callback/idp?state=s&code=c".into(), at.clone(), "", 404),
            (format!("GET {good}"), format!("localhost:{port}"), "", 400),
            (format!("GET {good}"), "127.0.0.1".into(), "", 400),
            (format!("GET {good}"), "evil.example".into(), "", 400),
            (format!("GET {good}"), at.clone(), "Host: evil.example\r\n", 400),
            (format!("GET http://{at}{good}"), at.clone(), "", 400),
            (format!("GET {good}"), at.clone(), "Sec-Fetch-Dest: image\r\n", 400),
            ("GET /callback/idp".into(), at.clone(), "", 400),
            ("GET /callback/idp?code=c".into(), at.clone(), "", 400),
            ("GET /callback/idp?state=&code=c".into(), at.clone(), "", 400),
            (format!("POST {good}"), at.clone(), "Content-Length: 3\r\n", 405),
            (format!("HEAD {good}"), at.clone(), "", 405),
            (format!("OPTIONS {good}"), at.clone(), "", 405),
            (format!("GET {good}{}", "x".repeat(HEAD)), at.clone(), "", 431),
        ] {
            let answer = ask(&at, format!("{line} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {host}: {answer}");
        }
        assert!(!waiting.is_finished());
        let browser = tokio::spawn({
            let at = at.clone();
            async move { ask(&at.clone(), format!("GET {good}%20%3C HTTP/1.1\r\nHost: {at}\r\nSec-Fetch-Dest: document\r\n\r\n")).await }
        });
        let arrived = waiting.await.expect("waited");
        assert_eq!(arrived.query, "state=s&code=c%20%3C", "as it came");
        assert!(TcpStream::connect(at).await.is_err(), "nobody listens any more");
        arrived.show("Not signed in", "no <script> \"for\" you & 'yours'").await;
        let page = browser.await.expect("asked");
        assert!(
            page.starts_with("HTTP/1.1 200 ") && page.contains("no &lt;script&gt; &quot;for&quot; you &amp; &#39;yours&#39;"),
            "{page}"
        );
        for header in ["cache-control: no-store", "referrer-policy: no-referrer", "content-security-policy: default-src 'none'"] {
            assert!(page.contains(header), "{page}");
        }
    }

    #[tokio::test]
    async fn a_second_answer_is_too_late() {
        let listener = Listener::bind(&"idp".parse().expect("name")).await.expect("port");
        let at = listener.authority.clone();
        let request = format!("GET /callback/idp?error=access_denied&state=s HTTP/1.1\r\nHost: {at}\r\n\r\n");
        // Both are accepted before either is answered.
        let first = tokio::spawn(async move { listener.wait().await });
        let (mut one, mut two) = (TcpStream::connect(&at).await.expect("one"), TcpStream::connect(&at).await.expect("two"));
        let other = ask(&at, "GET / HTTP/1.1\r\nHost: x\r\n\r\n".into()).await;
        assert!(other.starts_with("HTTP/1.1 400"), "{other}");
        one.write_all(request.as_bytes()).await.expect("sent");
        let arrived = first.await.expect("first");
        two.write_all(request.as_bytes()).await.expect("sent");
        let mut late = String::new();
        two.read_to_string(&mut late).await.expect("read");
        assert!(late.starts_with("HTTP/1.1 410 "), "{late}");
        arrived.show("Signed in", "as alice").await;
    }
}
