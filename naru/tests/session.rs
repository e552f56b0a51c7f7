//! The real `naru` against a server of a few lines: what comes out, what goes in, which code it ends with. No proxy here.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use access::decide::Offer;
use access::time::Timestamp;
use bytes::{Bytes, BytesMut};
use client::profile::{Facts, Home, file};
use futures::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use wire::api::{FRAMES, OpenSession, Opened, Problem};
use wire::frames::{Exit, Frame, Stream};

struct Server {
    addr: SocketAddr,
    home: tempfile::TempDir,
    /// How often somebody signed out.
    signed_out: Arc<AtomicU32>,
    _runtime: tokio::runtime::Runtime,
}

/// A server with a certificate of its own authority, and a home that is signed in to it. Each connection speaks like `/v1/ssh`,
/// or answers a plain request with a problem.
fn serve() -> Server {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("ca");
    let key = KeyPair::generate().expect("key");
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("name").signed_by(&key, &ca).expect("leaf");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .expect("config");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("port");
    let addr = listener.local_addr().expect("address");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let signed_out = Arc::new(AtomicU32::new(0));
    let counted = signed_out.clone();
    let approved = Arc::new(AtomicBool::new(false));
    runtime.spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, counted, approved) = (acceptor.clone(), counted.clone(), approved.clone());
            tokio::spawn(async move {
                if let Ok(mut tls) = acceptor.accept(tcp).await {
                    let mut first = [0; 12];
                    if tls.read_exact(&mut first).await.is_err() {
                        return;
                    }
                    if &first == b"GET /v1/ssh " {
                        session(Again { first: Bytes::copy_from_slice(&first), rest: tls }, &approved).await;
                    } else if &first == b"POST /v1/req" {
                        let _ = tls.write_all(request("pending").as_bytes()).await;
                        let _ = tls.shutdown().await;
                    } else if &first == b"GET /v1/requ" {
                        approved.store(true, Ordering::SeqCst);
                        let _ = tls.write_all(request("approved").as_bytes()).await;
                        let _ = tls.shutdown().await;
                    } else if &first == b"POST /v1/sig" {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"ended\":1}").await;
                        let _ = tls.shutdown().await;
                    } else {
                        refuse(&mut tls).await;
                    }
                }
            });
        }
    });
    let home = tempfile::tempdir().expect("home");
    sign_in(home.path(), addr, &ca.as_ref().pem(), &format!("{}{}", key.serialize_pem(), leaf.pem()));
    Server { addr, home, signed_out, _runtime: runtime }
}

fn sign_in(home: &Path, addr: SocketAddr, ca: &str, tls: &str) {
    let profile = Home::under(home).profile(None).expect("profile");
    let facts = Facts {
        address: format!("https://{addr}"),
        user: "i|alice".into(),
        name: "alice".parse().expect("name"),
        roles: vec![],
        expires: Timestamp::from_secs(i64::from(i32::MAX)),
        install: "i-1".parse().expect("id"),
        server_name: "127.0.0.1".into(),
        ssh: vec![addr.to_string()],
        connector: None,
    };
    profile.write(file::CA, ca.as_bytes()).expect("ca");
    profile.write(file::TLS, tls.as_bytes()).expect("tls");
    profile.write(file::FACTS, &serde_json::to_vec(&facts).expect("json")).expect("facts");
}

/// What a session is answered that is not allowed, and not allowed yet.
fn denial(offer: Option<Offer>) -> Problem {
    let (code, title) = ("NARU-P201".into(), "root@demo is not allowed".into());
    Problem { code, title, detail: None, hint: None, offer: offer.map(Box::new), fields: Vec::new(), exit: 4 }
}

/// The access request that the session `offered` needs, in this state.
fn request(state: &str) -> String {
    let row = serde_json::json!({
        "id": "abcd2345", "user": "a", "role": "production", "state": state, "created": "2026-11-21T09:00:00Z", "for": "1h",
        "until": "2026-11-21T10:00:00Z", "rule": "prod", "required": 1, "from": ["lead"],
        "decisions": if state == "approved" { serde_json::json!([{"by": "olga", "approve": true, "time": "2026-11-21T09:00:00Z"}]) } else { serde_json::json!([]) },
    });
    let body = row.to_string();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn refuse(tls: &mut (impl tokio::io::AsyncWrite + Unpin)) {
    let problem = Problem {
        code: "NARU-P205".into(),
        title: "No.".into(),
        detail: None,
        hint: Some("ask".into()),
        offer: None,
        fields: Vec::new(),
        exit: 4,
    };
    let body = serde_json::to_string(&problem).expect("json");
    let head = format!("HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = tls.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = tls.shutdown().await;
}

/// Gives the first bytes of a stream once more.
struct Again<S> {
    first: Bytes,
    rest: S,
}

impl<S: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for Again<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.first.is_empty() {
            return std::pin::Pin::new(&mut self.rest).poll_read(cx, buf);
        }
        let n = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first.split_to(n));
        std::task::Poll::Ready(Ok(()))
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for Again<S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.rest).poll_write(cx, buf)
    }
    fn poll_flush(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.rest).poll_flush(cx)
    }
    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.rest).poll_shutdown(cx)
    }
}

/// Echoes input on stdout and its length on stderr, then ends as the command says: `exit N`, `fail`, `denied`, or
/// `offered`: denied until an access request is approved.
async fn session<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: S, approved: &AtomicBool) {
    #[allow(clippy::result_large_err, reason = "the library's signature")]
    let subprotocol = |request: &Request, mut answer: Response| {
        assert_eq!(request.headers().get("Sec-WebSocket-Protocol").map(|v| v.as_bytes()), Some(FRAMES.as_bytes()));
        answer.headers_mut().insert("Sec-WebSocket-Protocol", FRAMES.parse().expect("value"));
        Ok(answer)
    };
    let mut ws = tokio_tungstenite::accept_hdr_async(stream, subprotocol).await.expect("handshake");
    let Some(Ok(Message::Text(first))) = ws.next().await else { panic!("no first message") };
    let open: OpenSession = serde_json::from_str(first.as_str()).expect("an OpenSession");
    let command = open.command.unwrap_or_default();
    if command == "offered" && !approved.load(Ordering::SeqCst) {
        let offer = serde_json::json!({"role": "production", "only": {"kind": "node", "name": "demo", "login": "root"}, "rule": "prod", "reason": true, "approvals": 1});
        let problem = denial(serde_json::from_value(offer).expect("an offer"));
        let _ = ws.send(Message::text(serde_json::to_string(&problem).expect("json"))).await;
        return;
    }
    if command == "denied" {
        let problem = denial(None);
        let _ = ws.send(Message::text(serde_json::to_string(&problem).expect("json"))).await;
        return;
    }
    let id = "01933b6c-8b3e-7000-8000-000000000001".parse().expect("id");
    let opened = Opened { session: id, login: "root".parse().expect("login"), notice: Some("you are\x1b[31m recorded".into()) };
    ws.send(Message::text(serde_json::to_string(&opened).expect("json"))).await.expect("sent");
    let (mut buf, mut offset, mut ended) = (BytesMut::new(), 0, false);
    while !ended {
        let Some(Ok(Message::Binary(data))) = ws.next().await else { return };
        buf.extend_from_slice(&data);
        let mut out = BytesMut::new();
        while let Some(frame) = Frame::decode(&mut buf).expect("frames") {
            let acked = match frame {
                Frame::Input { seq, data } => {
                    let len = data.len() as u64;
                    Frame::Output { offset, stream: Stream::Stdout, data }.encode(&mut out);
                    offset += len;
                    seq
                }
                Frame::InputEof { seq } => {
                    ended = true;
                    seq
                }
                other => panic!("{other:?}"),
            };
            Frame::Acked { seq: acked }.encode(&mut out);
        }
        ws.send(Message::binary(out.freeze())).await.expect("sent");
    }
    let mut out = BytesMut::new();
    Frame::Output { offset, stream: Stream::Stderr, data: Bytes::from(offset.to_string()) }.encode(&mut out);
    let exit = match command.strip_prefix("exit ") {
        Some(code) => Exit::Code(code.parse().expect("a code")),
        None if command == "offered" => Exit::Code(0),
        None => Exit::Failed { code: "NARU-N321".into(), message: "demo was lost".into() },
    };
    Frame::Exit { offset, exit }.encode(&mut out);
    ws.send(Message::binary(out.freeze())).await.expect("sent");
    let _ = ws.close(None).await;
}

fn naru(server: &Server, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_naru"))
        .args(args)
        .env("NARU_HOME", server.home.path())
        .env_remove("NARU_PROFILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("ends");
    writer.join().expect("written");
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn bytes_go_both_ways_whole_and_the_code_comes_back() {
    let server = serve();
    // More than the window of unacknowledged input, with every byte in it.
    let input: Vec<u8> = (0..3_000_017u32).map(|n| (n % 251) as u8).collect();
    let output = naru(&server, &["ssh", "demo", "--", "exit", "7"], &input);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(output.stdout == input, "{} bytes came back", output.stdout.len());
    assert_eq!(stderr(&output), "you are\\u{1b}[31m recorded\n3000017");
}

#[test]
fn what_fails_before_the_command_is_255_with_the_code() {
    let server = serve();
    let denied = naru(&server, &["ssh", "root@demo", "denied"], b"");
    assert_eq!(denied.status.code(), Some(255));
    assert!(stderr(&denied).starts_with("error[NARU-P201]: root@demo is not allowed"), "{}", stderr(&denied));
    let lost = naru(&server, &["ssh", "demo", "fail"], b"");
    assert_eq!(lost.status.code(), Some(255));
    assert!(stderr(&lost).contains("error[NARU-N321]: demo was lost"), "{}", stderr(&lost));
}

#[test]
fn a_session_that_a_request_would_open_says_so_and_with_wait_goes_on_by_itself() {
    let server = serve();
    let denied = naru(&server, &["ssh", "--request-for", "1h", "root@demo", "offered"], b"");
    assert_eq!((denied.status.code(), denied.stdout.len()), (Some(255), 0));
    let said = stderr(&denied);
    assert!(said.starts_with("error[NARU-P201]: root@demo is not allowed"), "{said}");
    assert!(said.contains("hint:  naru request create production --on root@demo --for 1h --reason 'WHY'\n"), "{said}");
    let waited = naru(&server, &["ssh", "--wait", "--reason", "INC-1", "root@demo", "offered"], b"hello");
    let said = stderr(&waited);
    assert_eq!((waited.status.code(), waited.stdout.as_slice()), (Some(0), &b"hello"[..]), "{said}");
    assert!(said.contains("request abcd2345 waits for somebody with role lead: naru request approve abcd2345\n"), "{said}");
    assert!(said.contains("request abcd2345 is approved by olga\n"), "{said}");
}

#[test]
fn a_problem_keeps_its_exit_code_and_stdout_stays_empty() {
    let server = serve();
    let output = naru(&server, &["sessions", "ls", "--json"], b"");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(4), 0));
    let error: Problem = serde_json::from_str(&stderr(&output)).expect("one JSON object");
    assert_eq!((error.code.as_str(), error.hint.as_deref()), ("NARU-P205", Some("ask")));
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_file_that_declares_nothing_is_a_mistake_and_faults_come_once() {
    let server = serve();
    let output = naru(&server, &["apply", "-f", "/dev/null"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("this file declares nothing"), "{}", stderr(&output));
    let output = naru(&server, &["apply", "-f", "-"], b"kind: rule\nname: a\n");
    assert_eq!(
        (output.status.code(), stderr(&output).matches("rule").count()),
        (Some(2), 2),
        "the sentence and the line: {}",
        stderr(&output)
    );
    assert!(stderr(&output).starts_with("error[NARU-C041]: 1 fault in -, so nothing was applied\n\nerror: "), "{}", stderr(&output));
    let bad = server.home.path().join("bad.yaml");
    std::fs::write(&bad, "listen: 18471\n").expect("written");
    for line in [["up", "--config"], ["agent", "run"]] {
        let config = format!("--config={}", bad.display());
        let args: Vec<&str> = line.iter().copied().filter(|word| *word != "--config").chain([config.as_str()]).collect();
        let output = naru(&server, &args, b"");
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("\n1 | listen: 18471\n") && !stderr(&output).contains("applied"), "{}", stderr(&output));
    }
}

#[test]
fn json_is_json_or_refused() {
    let server = serve();
    let profile = Home::under(server.home.path()).profile(None).expect("profile");
    profile.write(file::KNOWN_HOSTS, b"@cert-authority *.naru ssh-ed25519 AAAA\n").expect("written");
    let written = server.home.path().join("config");
    let cast = server.home.path().join("a.cast");
    std::fs::write(&cast, "{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}\n[1, \"o\", \"a\\n\"]\n[1, \"x\", \"0\"]\n")
        .expect("written");
    let (written, cast) = (written.display().to_string(), cast.display().to_string());
    for (args, key, lines) in [
        (&["config", "ssh", "--json"][..], "text", 1),
        (&["config", "ssh", "--json", "--write", &written], "written", 1),
        (&["config", "ssh", "--json", "--known-hosts"], "known_hosts", 1),
        (&["play", "--json", &cast], "code", 2),
        (&["status", "--json", "--all"], "items", 1),
    ] {
        let output = naru(&server, args, b"");
        assert_eq!(output.status.code(), Some(0), "{args:?} {}", stderr(&output));
        let text = stdout(&output);
        let documents: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(documents.len() == lines && documents.iter().all(|one| one.get(key).is_some()), "{args:?} {text}");
    }
    for args in [&["--json", "completion", "bash"][..], &["--json", "recording", "export", "01933b6c", "--format", "txt"]] {
        let output = naru(&server, args, b"");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}");
        serde_json::from_str::<Problem>(&stderr(&output)).expect("one JSON object");
    }
}

#[test]
fn words_that_are_wrong_are_told_what_there_is() {
    let server = serve();
    let help = naru(&server, &[], b"");
    assert_eq!((help.status.code(), help.stderr.len()), (Some(0), 0));
    assert!(stdout(&help).contains("Usage: naru") && !stdout(&help).contains("zygote"), "{}", stdout(&help));
    for (args, says) in [
        (&["ssh", "-L", "80:x:80", "demo"][..], "port forwards (-L) are not built yet"),
        (&["sessions", "kill", "01933b6c-8b3e-7000-8000-000000000001", "--reason", " "], "give a reason"),
        (&["sessions", "show", "01933b6"], "first 8 characters"),
        (&["events", "search", "--type", "nonsense"], "session.start"),
    ] {
        let output = naru(&server, args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(says), "{args:?} {}", stderr(&output));
    }
    let state = format!("--state={}", server.home.path().join("agent").display());
    let output = naru(&server, &["agent", "run", &state], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("this host has not joined yet") && stderr(&output).contains("naru agent join"), "{}", stderr(&output));
}

#[test]
fn another_pin_is_the_same_answer_for_a_person_and_a_host() {
    let server = serve();
    let pin = format!("sha256:{}", "A".repeat(43));
    let url = format!("https://{}", server.addr);
    let link = format!("{url}/sign-in#abcdefghijklmnop.{pin}");
    let state = format!("--state={}", server.home.path().join("agent").display());
    let person = naru(&server, &["--profile", "new", "login", "--link", &link], b"");
    let host = naru(&server, &["agent", "join", &url, "--token", "T", "--ca-pin", &pin, &state], b"");
    for output in [&person, &host] {
        assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
        assert!(
            stderr(output).starts_with("error[NARU-T102]") && stderr(output).contains("its authority is another one"),
            "{}",
            stderr(output)
        );
    }
    assert_eq!(stderr(&person), stderr(&host));
}

#[test]
fn another_authority_is_not_believed() {
    let (one, two) = (serve(), serve());
    let ca = std::fs::read_to_string(two.home.path().join("profiles/default/ca.pem")).expect("ca");
    let tls = std::fs::read_to_string(two.home.path().join("profiles/default/tls.pem")).expect("tls");
    sign_in(two.home.path(), one.addr, &ca, &tls);
    let output = naru(&two, &["status"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error[NARU-T102]"), "{}", stderr(&output));
}

#[test]
fn a_logout_tells_the_server_and_one_that_cannot_says_what_remains() {
    let server = serve();
    let key = server.home.path().join("profiles/default/tls.pem");
    let kept = (std::fs::read_to_string(server.home.path().join("profiles/default/ca.pem")), std::fs::read_to_string(&key));
    let output = naru(&server, &["logout"], b"");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    assert_eq!((server.signed_out.load(Ordering::SeqCst), key.exists()), (1, false));
    let nobody = naru(&server, &["logout"], b"");
    assert_eq!((nobody.status.code(), server.signed_out.load(Ordering::SeqCst)), (Some(0), 1));
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
    sign_in(server.home.path(), nowhere, &kept.0.expect("ca"), &kept.1.expect("tls"));
    let output = naru(&server, &["logout"], b"");
    assert_eq!((output.status.code(), key.exists()), (Some(0), false));
    assert!(stderr(&output).contains("warning: ") && stderr(&output).contains("until 2038-"), "{}", stderr(&output));
}
