//! The few pages that a browser sees while somebody signs in. Every text that comes from elsewhere is escaped here; nothing is loaded
//! from anywhere, and no page can be framed.

use access::connector::Flow;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::oidc::attempts::{Attempt, For};
use crate::oidc::{Proven, Refusal};

const STYLE: &str = "body{font:17px/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1rem;color:#1b1f24;background:#fff}\
h1{font-size:1.3rem}table{border-collapse:collapse}td{padding:.15rem 1rem .15rem 0;vertical-align:top}td:first-child{color:#59636e}\
.code{font:600 1.7rem/1.4 ui-monospace,monospace;letter-spacing:.12em}p[lang=ko]{color:#59636e;margin-top:-.7rem}\
button{font:inherit;padding:.5rem 1.2rem;margin-right:.6rem;border-radius:6px;border:1px solid #1f6feb;background:#1f6feb;color:#fff}\
button.no{background:#fff;color:#1b1f24;border-color:#8b949e}form{display:inline}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}button.no{background:#0d1117;color:#e6edf3}}";

/// A text in a page, as text.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Marks that turn the direction of writing make a text look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => out.push('\u{fffd}'),
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Naru: {title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>",
        title = text(title)
    );
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!("default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'");
    let mut answer = (status, Html(html)).into_response();
    let headers = answer.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // With `no-referrer` a browser says `Origin: null` when its person answers on a page of ours (Fetch standard, section 3.2).
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    answer
}

fn both(english: &str, korean: &str) -> String {
    format!("<p>{english}</p><p lang=\"ko\">{korean}</p>")
}

/// What a browser sees that came without a reason.
pub(super) fn landing() -> Response {
    let body = both(
        "This is a Naru proxy. Sign in from a terminal: <code>naru login</code>, or with a link of an administrator: <code>naru login --link 'THE WHOLE LINK'</code>.",
        "나루 프록시입니다. 터미널에서 <code>naru login</code>으로 로그인하거나, 관리자가 준 링크로 로그인하세요.",
    );
    page(StatusCode::OK, "Sign in", &body)
}

/// Somebody is proven: do they mean this? Whoever sent them here may have begun it.
pub(super) fn confirm(attempt: &Attempt, proven: &Proven) -> Response {
    let row = |name: &str, value: &str| format!("<tr><td>{name}</td><td>{}</td></tr>", text(value));
    let (title, what) = match &attempt.purpose {
        For::Login(login) => ("Let this computer sign in as you?", row("computer", &login.host)),
        For::StepUp { asked, .. } => ("Is it you who waits for this?", row("waits", asked)),
        For::DryRun => ("Dry run", String::new()),
    };
    let mut body = format!("<p class=\"code\">{}</p>", text(&attempt.code));
    body += &both(
        "Does the terminal that waits show this very code? If it does not, or nobody of yours waits, refuse.",
        "기다리는 터미널에 이 코드가 똑같이 보입니까? 다르거나 기다리는 것이 없으면 거부하세요.",
    );
    body += "<table>";
    body += &row("you", proven.name.as_str());
    body += &what;
    body += &row("address", &attempt.client.ip.to_string());
    body += &row("asked at", &seconds(&attempt.begun.to_string()));
    body += "</table><p>";
    for (action, word, class) in [("approve", "It is me · 저입니다", "yes"), ("deny", "Refuse · 거부", "no")] {
        body += &format!(
            "<form method=\"post\" action=\"/sign-in/{}/{action}\"><input type=\"hidden\" name=\"code\" value=\"{}\"><button class=\"{class}\">{word}</button></form>",
            text(&attempt.id),
            text(&attempt.code)
        );
    }
    body += "</p>";
    page(StatusCode::OK, title, &body)
}

/// A time as people read it: `2026-11-21 17:57:35 UTC`.
fn seconds(time: &str) -> String {
    let whole = time.split(['.', 'Z']).next().unwrap_or(time);
    format!("{} UTC", whole.replace('T', " "))
}

/// It is done, and the terminal goes on.
pub(super) fn approved() -> Response {
    let body =
        both("It is done. You can close this window; the terminal goes on.", "끝났습니다. 이 창을 닫아도 됩니다. 터미널이 이어집니다.");
    page(StatusCode::OK, "Approved", &body)
}

/// It was refused by hand.
pub(super) fn denied() -> Response {
    let body = both(
        "It was refused, and nobody was signed in. If you did not begin this, tell your security team.",
        "거부되었고 아무도 로그인되지 않았습니다. 직접 시작한 것이 아니라면 보안 담당자에게 알리세요.",
    );
    page(StatusCode::OK, "Refused", &body)
}

/// What a sign-in by this connector would give.
pub(super) fn dry_run(attempt: &Attempt, proven: &Proven, roles: &[(String, String)]) -> Response {
    let mut body = both(
        "Nobody was signed in. This is what a login by this connector would be now:",
        "아무도 로그인되지 않았습니다. 지금 이 커넥터로 로그인하면 다음과 같습니다:",
    );
    body += "<table>";
    let mut row = |name: &str, value: &str| body += &format!("<tr><td>{}</td><td>{}</td></tr>", text(name), text(value));
    row("connector", attempt.connector.as_str());
    row("name", proven.name.as_str());
    row("subject", &proven.provided.subject);
    if roles.is_empty() {
        row("roles", "none: no claim gives one");
    }
    for (role, why) in roles {
        row(&format!("role {role}"), why);
    }
    for (path, values) in &proven.provided.kept {
        row(&format!("claim {path}"), &values.join(", "));
    }
    row("can be refreshed", if proven.is_refreshable() { "yes" } else { "no: logins are short" });
    row("session", if proven.provided.sid.is_some() { "named: sign-outs can be told" } else { "not named" });
    row("acr", proven.auth.acr.as_deref().unwrap_or("not said"));
    row("amr", &proven.auth.amr.join(", "));
    body += "</table>";
    page(StatusCode::OK, "Dry run", &body)
}

/// It came to nothing.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let hint = refusal.hint.map(|hint| format!("<p>{}</p>", text(hint))).unwrap_or_default();
    let body = format!(
        "<p>{} ({})</p>{hint}<p lang=\"ko\">로그인하지 못했습니다. 처음부터 다시 해 보고, 그래도 안 되면 위 문장을 관리자에게 전하세요.</p>",
        text(&refusal.sentence),
        refusal.code
    );
    page(StatusCode::BAD_REQUEST, "This sign-in came to nothing", &body)
}

/// The way as people read it.
pub(super) fn way(flow: Flow) -> &'static str {
    flow.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_by_people() {
        assert_eq!(seconds("2026-11-21T17:57:35.045791166Z"), "2026-11-21 17:57:35 UTC");
        assert_eq!(seconds("2026-11-21T17:57:35Z"), "2026-11-21 17:57:35 UTC");
    }

    #[test]
    fn what_comes_from_elsewhere_stays_text() {
        assert_eq!(text("<b onload='x'>\u{202e}&\"\u{1b}"), "&lt;b onload=&#39;x&#39;&gt;\u{fffd}&amp;&quot;\u{fffd}");
        let answer = refused(&Refusal::new("NARU-A121", "refused", "<script>alert(1)</script>"));
        let policy = answer.headers().get(header::CONTENT_SECURITY_POLICY).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        let referrer = answer.headers().get(header::REFERRER_POLICY).map(HeaderValue::as_bytes);
        assert_eq!(referrer, Some(&b"same-origin"[..]), "else the answer of a form says no origin, and is refused");
    }
}
