//! Whether people could sign in by a connector: everything that can be looked at without a person, each in a sentence with its remedy.

use std::time::{Duration, SystemTime};

use access::connector::Flow;
use access::event::Client;
use access::words::ConnectorName;
use http::header;
use wire::api::{Check, CheckState, ConnectorReport};
use wire::oidc::Discovery;

use super::attempts::For;
use super::client::{Client as At, ClientError, Extra};
use super::provider::{LEEWAY, ProviderError};
use super::{Oidc, Providers, Refusal, Wanted};
use crate::declared::StoredConnector;

/// A code that no provider gave.
const NO_CODE: &str = "naru-checks-the-client";

struct Report(Vec<Check>);

impl Report {
    fn add(&mut self, name: &str, state: CheckState, found: impl Into<String>, remedy: Option<&str>) {
        let check = Check { name: name.to_owned(), state, found: found.into(), remedy: remedy.map(str::to_owned) };
        self.0.push(check);
    }
    fn good(&mut self, name: &str, found: impl Into<String>) {
        self.add(name, CheckState::Good, found, None);
    }
    fn doubt(&mut self, name: &str, found: impl Into<String>, remedy: &str) {
        self.add(name, CheckState::Doubtful, found, Some(remedy));
    }
    fn bad(&mut self, name: &str, found: impl Into<String>, remedy: &str) {
        self.add(name, CheckState::Bad, found, Some(remedy));
    }
}

impl Oidc {
    /// What must hold before a connector is taken: its provider describes itself as declared and shows keys.
    pub(crate) async fn tried(&self, stored: &StoredConnector) -> Result<(), ProviderError> {
        // Asked anew, and not what is remembered of it.
        let provider = Providers::default().of_people(stored.spec.provider())?;
        provider.discovery().await?;
        provider.keys().await.map(drop)
    }

    /// A link that lets an administrator try the connector and signs nobody in.
    pub(crate) async fn dry_run(&self, connector: &ConnectorName, client: Client) -> Result<String, Refusal> {
        let wanted = Wanted { connector: connector.clone(), purpose: For::DryRun, client, acr_values: Vec::new(), max_age: None };
        self.begin_here(wanted).await.map(|(_, browse)| browse)
    }

    /// Looks at everything.
    pub(crate) async fn check(&self, name: &ConnectorName, client: Client) -> Result<ConnectorReport, Refusal> {
        let stored = self.connector(name)?;
        let mut report = Report(Vec::new());
        let mut dry_run = None;
        let provider = Providers::default().of_people(stored.spec.provider())?;
        match provider.discovery().await {
            Err(error) => told(&mut report, &error),
            Ok(discovery) => {
                report.good("discovery", format!("{} describes itself, and as the issuer that is declared", stored.spec.issuer));
                match provider.keys().await {
                    Ok(keys) => report.good("keys", format!("its keys that can be used: {}", keys.kids().count())),
                    Err(error) => report.bad("keys", error.to_string(), "Let the realm have an active RS256, PS256, ES256 or EdDSA key."),
                }
                self.clock(&mut report, &stored, &provider.web).await;
                scopes(&mut report, &stored, &discovery);
                ways(&mut report, &stored, &discovery, self, name);
                match self.client(name, &stored).await {
                    Err(refusal) => report.bad("client", refusal.sentence, "Apply the connector again with its secret."),
                    Ok(at) => self.asks(&mut report, &at, &provider.web, name, &stored).await,
                }
                dry_run = self.dry_run(name, client).await.ok();
            }
        }
        let ok = report.0.iter().all(|check| check.state != CheckState::Bad);
        Ok(ConnectorReport { connector: name.clone(), ok, checks: report.0, dry_run })
    }

    async fn clock(&self, report: &mut Report, stored: &StoredConnector, web: &super::http::Web) {
        let url = format!("{}/.well-known/openid-configuration", stored.spec.issuer.trim_end_matches('/'));
        let Ok(answer) = web.get(&url).await else { return };
        let date =
            answer.headers().get(header::DATE).and_then(|value| value.to_str().ok()).and_then(|text| httpdate::parse_http_date(text).ok());
        // One that does not say its time (Keycloak) shows it in its tokens: a login then names the difference.
        let Some(theirs) = date else { return };
        let ours = SystemTime::now();
        let apart = ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours)).unwrap_or(Duration::ZERO);
        let found = format!("the clocks are {} s apart", apart.as_secs());
        if apart > LEEWAY {
            report.bad("clock", found, "Set both clocks by NTP: a token counts from when the provider says, give or take 60 s.");
        } else {
            report.good("clock", found);
        }
    }

    /// What only the provider can say: whether it knows our client, its secret, and where it may send people back to.
    async fn asks(&self, report: &mut Report, at: &At, web: &super::http::Web, name: &ConnectorName, stored: &StoredConnector) {
        let callback = self.callback(name);
        match at.exchange(NO_CODE, &"x".repeat(43), &callback).await {
            Err(ClientError::Refused { error, .. }) if matches!(error.as_str(), "invalid_client" | "unauthorized_client") => {
                report.bad(
                    "client",
                    format!("the provider does not take client {} with this credential: {error}", stored.spec.client_id),
                    "Compare client id and secret with the provider's console, and that the client is confidential.",
                );
            }
            Err(ClientError::Refused { .. }) => {
                report.good("client", format!("the provider knows client {} and its credential", stored.spec.client_id))
            }
            Err(error) => {
                report.doubt("client", format!("the token endpoint did not answer as it should: {error}"), "Look at the provider's log.")
            }
            Ok(_) => report.bad("client", "the provider exchanged a code that it never gave", "Do not use this provider."),
        }
        let loopback = format!("http://127.0.0.1:41234/callback/{name}");
        let places = [(Flow::Browser, loopback.as_str()), (Flow::Headless, callback.as_str())];
        for (flow, redirect) in places.into_iter().filter(|(flow, _)| stored.spec.allows(*flow)) {
            let Ok(asked) = at.authorize(redirect, &Extra::default()) else { continue };
            match web.get(&asked.url).await {
                Ok(answer) if answer.status().is_client_error() || answer.status().is_server_error() => {
                    let remedy = match flow {
                        Flow::Browser => "Add http://127.0.0.1/* to the client's valid redirect URIs (any port on loopback), or leave browser out of the connector's flows.".to_owned(),
                        _ => format!("Add {callback} to the client's valid redirect URIs."),
                    };
                    report.bad(
                        "redirect",
                        format!("the provider answers {} to a sign-in that comes back to {redirect}", answer.status().as_u16()),
                        &remedy,
                    );
                }
                Ok(_) => report.good("redirect", format!("people may come back to {redirect}")),
                Err(error) => report.doubt("redirect", error.to_string(), "Look at the provider's log."),
            }
        }
    }
}

/// A provider that cannot be used at all.
fn told(report: &mut Report, error: &ProviderError) {
    let (name, remedy) = match error {
        ProviderError::Discovery(fault) if fault.code() == "issuer" => (
            "issuer",
            "Write the issuer as the provider says it, or set the provider's public host name (Keycloak: KC_HOSTNAME; before version 17 its addresses began with /auth).",
        ),
        ProviderError::Discovery(_) => {
            ("discovery", "Look at the provider's discovery document; endpoints on other hosts go into endpoint_hosts.")
        }
        ProviderError::Status { status: 404, .. } => ("discovery", "Is the realm's name in the issuer right?"),
        ProviderError::Status { .. } => ("discovery", "Look at the provider's log."),
        ProviderError::Away(cause) if cause.is_trust() => {
            ("tls", "Put the certificates of the provider's authority into the connector as `ca`, and check that the name fits.")
        }
        ProviderError::Away(_) => {
            ("discovery", "Is the provider up, and can the proxy reach it? `proxy` in the connector names an HTTP proxy on the way.")
        }
        ProviderError::Keys(_) => ("keys", "Let the realm have an active asymmetric signing key."),
        ProviderError::Bad(_) => ("declaration", "Mend the connector's `ca` or `proxy`."),
    };
    report.bad(name, error.to_string(), remedy);
}

fn scopes(report: &mut Report, stored: &StoredConnector, discovery: &Discovery) {
    if discovery.scopes.is_empty() {
        return;
    }
    let missing: Vec<&str> = stored.spec.scopes.iter().filter(|scope| !discovery.scopes.contains(scope)).map(String::as_str).collect();
    if missing.is_empty() {
        report.good("scopes", "the provider knows every scope that is asked for");
    } else {
        report.bad(
            "scopes",
            format!("the provider does not know the scopes {}", missing.join(", ")),
            "Make them at the provider (Keycloak: client scopes, also optional ones of the client), or leave them out.",
        );
    }
    let groups = stored.spec.claims.keys().any(|path| path == "groups");
    if groups && !stored.spec.scopes.iter().any(|scope| scope == "groups") && discovery.scopes.iter().any(|scope| scope == "groups") {
        report.doubt(
            "scopes",
            "roles come from the claim groups, and the scope groups is not asked for",
            "Add groups to scopes, unless the client has a mapper of its own; the dry run shows it.",
        );
    }
}

/// Device flow, PKCE and logout as the provider announces them.
fn ways(report: &mut Report, stored: &StoredConnector, discovery: &Discovery, oidc: &Oidc, name: &ConnectorName) {
    if stored.spec.flows.contains(&Flow::Device) && discovery.device_authorization_endpoint.is_none() {
        report.bad("device", "the provider has no device flow", "Leave device out of flows, or switch it on at the provider.");
    }
    if !discovery.code_challenge_methods.is_empty() && !discovery.code_challenge_methods.iter().any(|method| method == "S256") {
        report.doubt("pkce", "the provider does not announce PKCE with S256", "Use a provider that does; Naru sends it all the same.");
    }
    let place = format!("{}/v1/oidc/{name}/backchannel-logout", oidc.url);
    if discovery.backchannel_logout {
        report.good("logout", format!("the provider can tell of sign-outs at once, if its client's back-channel logout URL is {place}"));
    } else {
        let every = stored.spec.refresh.map_or(Duration::from_secs(60), |every| every.duration()).as_secs();
        report.doubt(
            "logout",
            format!("the provider does not tell of sign-outs: they count after {every} s"),
            "Choose a shorter refresh, where that is too late.",
        );
    }
}
