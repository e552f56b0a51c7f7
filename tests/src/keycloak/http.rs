//! HTTP by the real `curl`: one request, one answer, no redirect followed. What is sent goes through its input, not its arguments.

use serde_json::Value;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A request in the making.
pub struct Curl {
    url: String,
    args: Vec<OsString>,
    body: Option<Vec<u8>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    /// As text; what is no UTF-8 is replaced.
    pub body: String,
}

impl Curl {
    /// GET, until a body makes it a POST or [`Curl::method`] says otherwise.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), args: Vec::new(), body: None }
    }

    /// Another method.
    pub fn method(self, name: &str) -> Self {
        self.with(["-X", name])
    }

    /// A header line.
    pub fn header(self, line: &str) -> Self {
        self.with(["-H", line])
    }

    /// `Authorization: Bearer`.
    pub fn bearer(self, token: &str) -> Self {
        self.header(&format!("Authorization: Bearer {token}"))
    }

    /// `Authorization: Basic`, as a confidential client does it.
    pub fn basic(self, name: &str, secret: &str) -> Self {
        self.with(["-u", &format!("{name}:{secret}")])
    }

    /// Reads and keeps cookies in this file.
    pub fn jar(self, file: &Path) -> Self {
        let file = file.as_os_str();
        self.with([OsString::from("-b"), file.into(), "-c".into(), file.into()])
    }

    /// Trusts only this CA.
    pub fn ca(self, file: &Path) -> Self {
        self.with([OsString::from("--cacert"), file.into()])
    }

    /// A form as its body.
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        self.body = Some(query(fields).into_bytes());
        self
    }

    /// JSON as its body.
    pub fn json(mut self, value: &Value) -> Self {
        self.body = Some(value.to_string().into_bytes());
        self.header("Content-Type: application/json")
    }

    fn with<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sends it; the error is curl's own sentence, for example about a certificate.
    pub fn send(self) -> Result<Answer, String> {
        let mut command = Command::new("curl");
        // Without the settings of whoever runs us, and past any proxy.
        command.args(["-q", "-sS", "-i", "--noproxy", "*", "--max-time", "60"]).args(&self.args);
        if self.body.is_some() {
            command.args(["--data-binary", "@-"]);
        }
        command.arg("--url").arg(&self.url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("curl could not be started: {e}"))?;
        if let Some(mut input) = child.stdin.take() {
            // A curl that fails early reads nothing; its own words tell more than the broken pipe.
            let _ = input.write_all(self.body.as_deref().unwrap_or_default());
        }
        let out = child.wait_with_output().map_err(|e| format!("curl: {e}"))?;
        if !out.status.success() {
            return Err(format!("{}: {}", self.url, String::from_utf8_lossy(&out.stderr).trim()));
        }
        answer(&String::from_utf8_lossy(&out.stdout)).ok_or_else(|| format!("{}: no HTTP answer", self.url))
    }
}

fn answer(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Some(Answer { status, headers: lines.filter_map(header).collect(), body: body.to_owned() })
}

impl Answer {
    /// The first header of this name, in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// Itself when the status is a success, else a sentence.
    pub fn good(self) -> Result<Self, String> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(format!("status {}: {}", self.status, self.body.chars().take(500).collect::<String>()))
    }
}

/// `a=b&c=d`, percent-encoded.
pub(super) fn query(fields: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", encode(name), encode(value));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// RFC 3986: everything but the unreserved characters.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A value of a URL's query, decoded.
pub fn query_value(url: &str, name: &str) -> Option<String> {
    let query = url.split_once('?')?.1.split('#').next()?;
    let raw = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?.1;
    let mut bytes = Vec::new();
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => u8::from_str_radix(std::str::from_utf8(&[rest.next()?, rest.next()?]).ok()?, 16).ok()?,
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[test]
fn queries_are_written_and_read() {
    let url = format!("http://x/y?{}#z", query(&[("a", "b c&d"), ("état", "100%")]));
    assert_eq!(url, "http://x/y?a=b%20c%26d&%C3%A9tat=100%25#z");
    assert_eq!(query_value(&url, "a").as_deref(), Some("b c&d"));
    assert_eq!(query_value(&url, "b"), None);
}
