//! As much of HTTP/1.1 as a provider needs: one request a connection, and answers that a good server would not give. No path means
//! anything here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Largest body that is read.
const MAX_BODY: usize = 1024 * 1024;
/// How long an answer that never comes to an end goes on, should nobody hang up.
const STUBBORN: Duration = Duration::from_secs(90);

/// What somebody asks.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Behind `?`, as it came.
    pub query: String,
    /// Of `Authorization`, as it came.
    pub authorization: Option<String>,
    /// As it came.
    pub body: String,
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 200 and so on.
    pub status: u16,
    /// Beside length and end of connection.
    pub headers: Vec<(&'static str, String)>,
    /// The rest.
    pub body: Body,
}

/// What follows the head of an answer.
#[derive(Debug, Clone)]
pub enum Body {
    /// These bytes.
    Whole(Vec<u8>),
    /// As many spaces, and then `{}`: well-formed JSON, if somebody reads it to the end.
    Spaces(u64),
    /// One byte every 100 ms.
    Drip,
    /// Nothing, and the connection stays. Not even the head comes.
    Silence,
}

impl Answer {
    /// JSON.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self { status, headers: vec![("Content-Type", "application/json".into())], body: Body::Whole(value.to_string().into_bytes()) }
    }

    /// A page, as a gateway shows one when the provider behind it is gone.
    pub fn page(status: u16) -> Self {
        let page = b"<!doctype html><title>Sorry</title><p>Something went wrong.".to_vec();
        Self { status, headers: vec![("Content-Type", "text/html".into())], body: Body::Whole(page) }
    }

    /// A way to somewhere else.
    pub fn redirect(status: u16, to: String) -> Self {
        Self { status, headers: vec![("Location", to)], body: Body::Whole(Vec::new()) }
    }

    /// JSON's type, and a body that is none of it.
    pub fn odd(body: Body) -> Self {
        Self { status: 200, headers: vec![("Content-Type", "application/json".into())], body }
    }
}

/// Reads one request.
pub fn read(stream: &TcpStream) -> std::io::Result<Request> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream);
    let mut line = || -> std::io::Result<String> {
        let mut line = String::new();
        reader.by_ref().take(64 * 1024).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let (mut length, mut authorization) = (0_usize, None);
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length.min(MAX_BODY)];
    reader.read_exact(&mut body)?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target.as_str(), ""));
    Ok(Request { method, path: path.into(), query: query.into(), authorization, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Writes an answer until it is whole or the other side has hung up, and counts the bytes of its body.
pub fn write(mut stream: &TcpStream, answer: &Answer, sent: &AtomicU64) -> std::io::Result<()> {
    stream.set_write_timeout(Some(STUBBORN))?;
    if matches!(answer.body, Body::Silence) {
        stream.set_read_timeout(Some(STUBBORN))?;
        // Ends when the other side hangs up.
        return stream.read(&mut [0]).map(|_| ());
    }
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", answer.status);
    let length = match &answer.body {
        Body::Whole(bytes) => Some(bytes.len() as u64),
        Body::Spaces(many) => Some(many + 2),
        Body::Drip | Body::Silence => None,
    };
    length.into_iter().for_each(|length| head.push_str(&format!("Content-Length: {length}\r\n")));
    answer.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    match &answer.body {
        Body::Whole(bytes) => stream.write_all(bytes)?,
        Body::Spaces(many) => spaces(stream, *many, sent)?,
        Body::Drip | Body::Silence => drip(stream)?,
    }
    stream.flush()
}

fn spaces(mut stream: &TcpStream, mut many: u64, sent: &AtomicU64) -> std::io::Result<()> {
    let block = [b' '; 64 * 1024];
    while many > 0 {
        let now = many.min(block.len() as u64);
        stream.write_all(block.get(..usize::try_from(now).unwrap_or_default()).unwrap_or_default())?;
        sent.fetch_add(now, Ordering::Relaxed);
        many -= now;
    }
    stream.write_all(b"{}")
}

fn drip(mut stream: &TcpStream) -> std::io::Result<()> {
    let start = Instant::now();
    while start.elapsed() < STUBBORN {
        stream.write_all(b" ")?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
