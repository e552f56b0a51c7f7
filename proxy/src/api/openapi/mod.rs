//! The API as an OpenAPI 3.1 document, made from the table of routes and the types that they take and give. It is served to everybody,
//! and `docs/openapi.json` is the same text.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use wire::api::{PROBLEM, Problem};

use super::repeat;
use super::routes::{self, Route};

mod operation;
#[cfg(test)]
mod tests;

pub(super) use operation::{Described, Operation};

/// What all the routes are about, in the order of a first reading.
const TAGS: [(&str, &str); 8] = [
    ("signing in", "By a link, through an identity provider, as a machine; and out again."),
    ("providers", "What identity providers and browsers call while somebody signs in."),
    ("targets", "Nodes that the caller may reach."),
    ("access", "Who may do what, and what a change would do."),
    ("requests", "Asking for access, and deciding what others ask for."),
    ("sessions", "What goes on, what went on, and the log of it."),
    ("resources", "What is declared: read, write, delete."),
    ("joining", "Links and tokens that let people and machines in."),
];

const ABOUT: &str = "Requests refuse fields that they do not know; answers may grow. Every answer that is not 2xx is a problem of type \
application/problem+json (RFC 9457). A list that has `next` goes on with `after` set to it. `x-naru-messages` are the server-sent events of a stream, by name, with their data. What is open to everybody says so by an empty \
`security`; all else wants the client certificate that signing in gives, or, where `security` names it, an access token. No origin but the server's own may read an answer (there is no CORS). `x-naru-right` names the right that an operation demands.";

/// The document and its tag, made once.
struct Published {
    text: String,
    tag: HeaderValue,
}

static PUBLISHED: LazyLock<Published> = LazyLock::new(|| {
    let text = text();
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let tag = HeaderValue::from_str(&format!("\"{}\"", hash.get(..32).unwrap_or_default()));
    Published { text, tag: tag.unwrap_or(HeaderValue::from_static("\"\"")) }
});

/// `GET /v1/openapi.json`, for everybody.
pub(super) async fn show(headers: HeaderMap) -> Response {
    let tag = (header::ETAG, PUBLISHED.tag.clone());
    if headers.get(header::IF_NONE_MATCH) == Some(&PUBLISHED.tag) {
        return (StatusCode::NOT_MODIFIED, [tag]).into_response();
    }
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([tag, kind], PUBLISHED.text.as_str()).into_response()
}

/// The document as it is served and kept: in one order, for people too.
fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document(&routes::table().routes)).unwrap_or_default();
    text.push('\n');
    text
}

fn document(routes: &[Route]) -> Value {
    // Types are told as they are read: what a request may leave out, an answer may too.
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in routes {
        let mut operation = Operation::new(&mut generator, route.path);
        (route.describe)(&mut operation);
        (route.about.more)(&mut operation);
        if repeat::is_kept(&route.method, route.path) {
            operation.header("IdempotencyKey");
        }
        let mut told = operation.told();
        let about = [("operationId", route.about.id), ("summary", route.about.summary)];
        told.extend(about.map(|(name, text)| (name.to_owned(), text.into())));
        told.insert("tags".to_owned(), json!([route.about.tag]));
        if let Value::Object(methods) = paths.entry(route.path).or_insert_with(|| json!({})) {
            methods.insert(route.method.as_str().to_ascii_lowercase(), told.into());
        }
    }
    let mut all = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Naru",
            "version": "1",
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The proxy that this document was read from." }],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": components(generator),
    });
    tidy(&mut all);
    all
}

fn components(mut generator: SchemaGenerator) -> Value {
    let problem = generator.subschema_for::<Problem>().to_value();
    let header = |name: &str, about: &str| json!({ "name": name, "in": "header", "schema": { "type": "string" }, "description": about });
    json!({
        "schemas": generator.take_definitions(true),
        "responses": { "Problem": { "description": "It did not go well.", "content": { PROBLEM: { "schema": problem } } } },
        "parameters": {
            "IfMatch": header("If-Match", "The `ETag` of what was read: the write is refused with 412 where somebody else changed it in between."),
            "IfNoneMatch": header("If-None-Match", "Only `*`: the write is refused with 412 where there is one already."),
            "IdempotencyKey": header("Idempotency-Key", "Of one's own making: the same request with the same key is answered as the first time, and makes nothing twice."),
            "LastEventId": header("Last-Event-ID", "The id of the last message that came, to go on after it."),
            "DPoP": header("DPoP", "A proof of a key (RFC 9449), with which the access token that is asked for is bound to that key. ES256 or EdDSA."),
            "NaruRun": header("Naru-Run", "What the program calls this run of itself, such as a pipeline's id. Events have it; cut to 128 characters."),
        },
        "headers": { "ETag": { "schema": { "type": "string" }, "description": "Stands for what was read, as it is now." } },
        "securitySchemes": {
            "certificate": { "type": "mutualTLS", "description": "The X.509 certificate of a person's login, or of an agent." },
            "bearer": { "type": "http", "scheme": "bearer", "description": "An access token (RFC 6750) of `POST /v1/sign-in/token` or `POST /v1/sign-in/bot`." },
            "dpop": { "type": "http", "scheme": "DPoP", "description": "An access token that is bound to a key, with a proof of that key in `DPoP` (RFC 9449)." },
        },
    })
}

/// Makes what is derived from types of ours fit for others: descriptions come from comments, which link as only rustdoc understands, and
/// a field that must be there has no default, whatever its type has.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let required = fields.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            let members = fields.get_mut("properties").and_then(Value::as_object_mut);
            for (_, member) in members.into_iter().flatten().filter(|(name, _)| required.contains(&name.as_str().into())) {
                member.as_object_mut().and_then(|member| member.remove("default"));
            }
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => *text = plain(text),
                    other => tidy(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Without links and breaks of lines: `[`crate::link::Pin`]` is `Pin`.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split("[`");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (link, rest) = part.split_once("`]").unwrap_or((part, ""));
        plain.push('`');
        plain.push_str(link.rsplit("::").next().unwrap_or(link));
        plain.push('`');
        plain.push_str(rest);
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
