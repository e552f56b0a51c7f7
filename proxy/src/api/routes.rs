//! Every route of the HTTP front in one table: the router and the OpenAPI document are made of it, and the tests of refusal go by it.

use access::policy::{ResourceKind, Stated};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, get, on, post};
use schemars::JsonSchema;
use serde_json::json;
use wire::api::watch::{self, CHANGED, DELETED, ENDED, Gone, PRESENT, READY, Ready, STARTED};
use wire::api::{FRAMES, OpenSession, Opened, Page, Problem, RequestRow, SessionNote, SessionRow, StepUpAsked};
use wire::proof::log::LoggedEvent;

use super::openapi::{self, Described, Operation};
use super::{App, BOT_BODY, STRANGER_BODY};
use super::{access as rights, events, joins, links, native, nodes, oidc, requests, resources, secrets, sessions, sign_in, tokens};

/// A route of the API.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) about: About,
    /// What the handler's signature says.
    pub(super) describe: fn(&mut Operation<'_>),
}

/// Adds to what a signature says.
type More = for<'a, 'g> fn(&'a mut Operation<'g>) -> &'a mut Operation<'g>;

/// What a signature does not say of a route.
pub(super) struct About {
    /// Unique.
    pub(super) id: &'static str,
    /// One of those of the document.
    pub(super) tag: &'static str,
    /// A line.
    pub(super) summary: &'static str,
    /// Streams, headers and words.
    pub(super) more: More,
    /// Most bytes of the body, where that is less than elsewhere.
    body: Option<usize>,
}

fn about(tag: &'static str, id: &'static str, summary: &'static str) -> About {
    About { id, tag, summary, more: |it| it, body: None }
}

impl About {
    fn more(self, more: More) -> Self {
        Self { more, ..self }
    }
    fn body(self, most: usize) -> Self {
        Self { body: Some(most), ..self }
    }
}

/// All routes, with the router that they make.
#[derive(Default)]
pub(super) struct Table {
    pub(super) router: Router<App>,
    /// What programs call.
    pub(super) routes: Vec<Route>,
    /// Pages for people's browsers, which are in no document.
    pub(super) pages: Vec<&'static str>,
}

impl Table {
    fn page(mut self, path: &'static str, page: MethodRouter<App>) -> Self {
        self.pages.push(path);
        self.router = self.router.route(path, page);
        self
    }

    fn add<H, T, D>(mut self, (method, filter): (Method, MethodFilter), path: &'static str, about: About, handler: H) -> Self
    where
        H: Handler<T, App> + Described<D>,
        T: 'static,
    {
        let mut served = on(filter, handler);
        if let Some(most) = about.body {
            served = served.layer(DefaultBodyLimit::max(most));
        }
        self.router = self.router.route(path, served);
        self.routes.push(Route { method, path, about, describe: H::describe });
        self
    }

    fn get<H: Handler<T, App> + Described<D>, T: 'static, D>(self, path: &'static str, about: About, handler: H) -> Self {
        self.add((Method::GET, MethodFilter::GET), path, about, handler)
    }
    fn post<H: Handler<T, App> + Described<D>, T: 'static, D>(self, path: &'static str, about: About, handler: H) -> Self {
        self.add((Method::POST, MethodFilter::POST), path, about, handler)
    }
    fn put<H: Handler<T, App> + Described<D>, T: 'static, D>(self, path: &'static str, about: About, handler: H) -> Self {
        self.add((Method::PUT, MethodFilter::PUT), path, about, handler)
    }
    fn delete<H: Handler<T, App> + Described<D>, T: 'static, D>(self, path: &'static str, about: About, handler: H) -> Self {
        self.add((Method::DELETE, MethodFilter::DELETE), path, about, handler)
    }
}

/// Every route.
pub(super) fn table() -> Table {
    let pages = Table::default()
        .page("/", get(sign_in::landing))
        .page("/sign-in", get(sign_in::landing))
        .page("/sign-in/{id}", get(oidc::open))
        .page("/sign-in/{id}/{word}", post(oidc::say).layer(DefaultBodyLimit::max(1024)));
    joining(declared(sessions_and_log(access(providers(signing_in(pages))))))
}

fn signing_in(table: Table) -> Table {
    let about = |id, summary| about("signing in", id, summary);
    table
        .get(
            "/v1/openapi.json",
            about("getOpenApi", "This document").more(|it| it.gives_as("application/json", json!({ "type": "object" })).tagged()),
            openapi::show,
        )
        .get("/v1/ca", about("getAuthority", "What anybody may know of an install: its keys and names"), sign_in::ca)
        .post("/v1/sign-in/link", about("signInByLink", "Exchange a one-time link for certificates").body(STRANGER_BODY), sign_in::by_link)
        .post("/v1/sign-in/begin", about("beginSignIn", "Begin to sign in through a provider").body(STRANGER_BODY), oidc::begin)
        .post("/v1/sign-in/finish", about("finishSignIn", "Ask whether a sign-in is done").body(STRANGER_BODY), oidc::finish)
        .post("/v1/sign-in/bot", about("signInAsBot", "Sign in as a machine with a token of its provider").body(BOT_BODY), oidc::bot)
        .post(
            "/v1/sign-in/token",
            about("createAccessToken", "Make an access token of one's login, for minutes").body(STRANGER_BODY),
            tokens::make,
        )
        .post("/v1/sign-out", about("signOut", "End one's login, or all of them"), sign_in::out)
        .get("/v1/status", about("getStatus", "Who the caller is"), sign_in::status)
        .get("/v1/connectors", about("listConnectors", "Providers that people can sign in with"), oidc::connectors)
        .post("/v1/connectors/{name}/check", about("checkConnector", "Try whether people could sign in with a provider"), oidc::check)
}

fn providers(table: Table) -> Table {
    let about = |id, summary| about("providers", id, summary);
    table
        .get(
            "/v1/oidc/{connector}/callback",
            about("oidcCallback", "Where a browser comes back to from its provider")
                .more(|it| it.gives_as("text/html", json!({ "type": "string" })).refuses_as("text/html", json!({ "type": "string" }))),
            oidc::callback,
        )
        .post(
            "/v1/oidc/{connector}/backchannel-logout",
            about("oidcBackchannelLogout", "A provider says that somebody signed out there")
                .body(STRANGER_BODY)
                .more(|it| it.refuses_as("application/json", json!({ "type": "object", "required": ["error"] }))),
            oidc::back_channel,
        )
        .get("/v1/oidc/{connector}/jwks.json", about("getConnectorKeys", "Naru's public keys for a provider"), oidc::jwks)
}

fn access(table: Table) -> Table {
    table
        .get("/v1/nodes", about("targets", "listNodes", "Nodes that the caller may reach, or all of them"), nodes::list)
        .get("/v1/nodes/{name}", about("targets", "getNode", "One node"), nodes::show)
        .delete("/v1/nodes/{name}", about("targets", "deleteNode", "Take a node off the list; its agent has to join anew"), nodes::delete)
        .post("/v1/can", about("access", "can", "What would be decided, and why"), rights::can)
        .get("/v1/access", about("access", "listAccess", "Who reaches what"), rights::list)
        .post(
            "/v1/access/diff",
            about("access", "diffAccess", "Who would gain and who would lose what by a change")
                .more(|it| it.right("to plan each kind that would change")),
            rights::diff,
        )
        .get(
            "/v1/requests",
            about("requests", "listRequests", "One's own requests, and those that one may decide")
                .more(|it| watched::<RequestRow>(it.gives::<Page<RequestRow>>())),
            requests::list,
        )
        .post("/v1/requests", about("requests", "createRequest", "Ask for access"), requests::create)
        .get("/v1/requests/{id}", about("requests", "getRequest", "One request, waiting for a change of it where wanted"), requests::show)
        .post(
            "/v1/requests/{id}/{word}",
            about("requests", "decideRequest", "Approve, deny or revoke a request")
                .more(|it| it.one_of("word", &["approve", "deny", "revoke"])),
            requests::say,
        )
}

/// Messages of things that come, change and go.
fn watched<'a, 'g, T: JsonSchema>(it: &'a mut Operation<'g>) -> &'a mut Operation<'g> {
    let (one, ready, gone, problem) = (it.schema::<T>(), it.schema::<Ready>(), it.schema::<Gone>(), it.schema::<Problem>());
    it.gives_messages(&[(PRESENT, one.clone()), (READY, ready), (CHANGED, one), (DELETED, gone), (watch::PROBLEM, problem)])
}

fn sessions_and_log(table: Table) -> Table {
    let about = |id, summary| about("sessions", id, summary);
    table
        .get(
            "/v1/sessions",
            about("listSessions", "Sessions that the caller may see, newest first").more(|it| {
                let (row, ready, problem) = (it.schema::<SessionRow>(), it.schema::<Ready>(), it.schema::<Problem>());
                let rows = [PRESENT, STARTED, CHANGED, ENDED].map(|name| (name, row.clone()));
                let messages = [rows.as_slice(), &[(READY, ready), (watch::PROBLEM, problem)]].concat();
                it.gives::<Page<SessionRow>>().gives_messages(&messages)
            }),
            sessions::list,
        )
        .get("/v1/sessions/{id}", about("getSession", "One session"), sessions::show)
        .post("/v1/sessions/{id}/kill", about("killSession", "End a live session"), sessions::kill)
        .post("/v1/sessions/{id}/extend", about("extendSession", "Make a session of one's own longer"), sessions::extend)
        .get(
            "/v1/sessions/{id}/cast",
            about("getCast", "A recording as asciicast v3, as it goes on where wanted")
                .more(|it| it.right("to play, watch or export it").gives_as("application/x-asciicast", json!({ "type": "string" }))),
            sessions::cast,
        )
        .get("/v1/sessions/{id}/verify", about("verifySession", "Whether a recording is as it was made"), sessions::verify)
        .get(
            "/v1/events",
            about("listEvents", "The audit log, and what comes where wanted: lines of naru.event/v1").more(|it| {
                let messages = [("*", it.schema::<LoggedEvent>()), (watch::PROBLEM, it.schema::<Problem>())];
                it.gives_lines::<LoggedEvent>("application/jsonl").gives_messages(&messages)
            }),
            events::read,
        )
        .get(
            "/v1/ssh",
            about("openSession", "Open a session over a WebSocket").more(|it| {
                let first = it.schema::<OpenSession>();
                let answers = [it.schema::<StepUpAsked>(), it.schema::<Opened>(), it.schema::<SessionNote>(), it.schema::<Problem>()];
                it.says("x-naru-subprotocol", FRAMES.into()).says("x-naru-messages", json!({ "client": [first], "server": answers }));
                it.ends_with("101")
            }),
            native::open,
        )
}

fn kinds_of<'a, 'g>(it: &'a mut Operation<'g>) -> &'a mut Operation<'g> {
    it.one_of("kind", &ResourceKind::DECLARED.map(ResourceKind::as_str))
}

fn on_condition<'a, 'g>(it: &'a mut Operation<'g>) -> &'a mut Operation<'g> {
    writes(kinds_of(it)).header("IfMatch")
}

// These rights hang on the kind, which no type of a handler knows.
fn reads<'a, 'g>(it: &'a mut Operation<'g>) -> &'a mut Operation<'g> {
    it.right("to read that kind")
}

fn writes<'a, 'g>(it: &'a mut Operation<'g>) -> &'a mut Operation<'g> {
    it.right("to write that kind; with a dry run, to plan it")
}

fn declared(table: Table) -> Table {
    let about = |id, summary| about("resources", id, summary);
    table
        .get(
            "/v1/resources/{kind}",
            about("listResources", "Resources of a kind, by name")
                .more(|it| watched::<Stated>(reads(kinds_of(it)).gives::<Page<Stated>>())),
            resources::list,
        )
        .get(
            "/v1/resources/{kind}/{name}",
            about("getResource", "One resource").more(|it| reads(kinds_of(it)).gives::<Stated>().tagged()),
            resources::show,
        )
        .put(
            "/v1/resources/{kind}/{name}",
            about("putResource", "Write the whole of a resource")
                .more(|it| on_condition(it).header("IfNoneMatch").takes::<Stated>().gives::<Stated>().tagged()),
            resources::put,
        )
        .delete("/v1/resources/{kind}/{name}", about("deleteResource", "Delete a resource").more(on_condition), resources::delete)
        .post(
            "/v1/apply",
            about("apply", "Write several resources, all or none; or only say what would change").more(writes),
            resources::apply,
        )
}

fn joining(table: Table) -> Table {
    let about = |id, summary| about("joining", id, summary);
    table
        .get("/v1/tokens", about("listTokens", "Join tokens, without their secrets"), secrets::tokens)
        .post("/v1/tokens", about("createToken", "Make a join token, which is shown once"), links::token)
        .delete("/v1/tokens/{id}", about("deleteToken", "Take a join token back"), secrets::remove_token)
        .get("/v1/links", about("listLinks", "Sign-in links, without their secrets"), secrets::links)
        .post("/v1/links", about("createLink", "Make a one-time sign-in link, which is shown once"), links::link)
        .delete("/v1/links/{id}", about("deleteLink", "Take a sign-in link back"), secrets::remove_link)
        .post("/v1/join", about("joinAgent", "An agent redeems its join token").body(STRANGER_BODY), joins::join)
        .post("/v1/agent/renew", about("renewAgent", "An agent renews its certificate").more(|it| it.certified()), joins::renew)
}
