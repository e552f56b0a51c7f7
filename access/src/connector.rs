//! Where people and machines come from: identity providers' connectors and bots as resources, and how what a provider says of somebody
//! becomes roles and traits. No token is read here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amount::Period;
use crate::identity::Traits;
use crate::policy::Pattern;
use crate::words::{RoleName, shown};

mod faults;
mod host;

/// A secret that is written and never read back: absent in everything that is shown; absent in what is written keeps the one that is there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("writeOnly" = true))]
pub struct WriteOnly(String);

impl WriteOnly {
    /// Takes a secret.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }
    /// For whoever seals it or shows it to the provider.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for WriteOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WriteOnly(…)")
    }
}

/// How to reach a provider of OpenID Connect and what its word is worth: what a connector and a bot have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderSpec {
    /// As in its tokens, to the letter. https, or http on a loopback address.
    pub issuer: String,
    /// Certificates of the provider's own authority, PEM; without it those that the proxy's machine trusts.
    pub ca: Option<String>,
    /// `http://host:port` of an HTTP CONNECT proxy on the way to it.
    pub proxy: Option<String>,
    /// Hosts beside the issuer's own that its endpoints may be on.
    pub endpoint_hosts: Vec<String>,
    /// Signature algorithms that count; empty: every asymmetric one that it announces.
    pub algorithms: Vec<String>,
}

/// An identity provider that people sign in with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["issuer", "client_id"]))]
pub struct ConnectorSpec {
    /// As in its tokens, to the letter. https, or http on a loopback address.
    pub issuer: String,
    /// Certificates of the provider's own authority, PEM; without it those that the proxy's machine trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// `http://host:port` of an HTTP CONNECT proxy on the way to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Hosts beside the issuer's own that its endpoints may be on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoint_hosts: Vec<String>,
    /// Signature algorithms that count; empty: every asymmetric one that it announces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<String>,
    /// Our client there.
    pub client_id: String,
    /// Its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<WriteOnly>,
    /// `private_key_jwt` instead of a secret (OpenID Connect Core section 9): Naru makes the key and publishes its public half.
    #[serde(skip_serializing_if = "is_default")]
    pub private_key_jwt: bool,
    /// Scopes to ask for; `openid` is always among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Path of a claim, then pattern of a value, then the roles that it gives.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, BTreeMap<Pattern, Vec<RoleName>>>,
    /// Name of a trait, then the path of the claim that it is taken from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, String>,
    /// Path of the claim that the handle is taken from; `preferred_username` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Audiences that an ID token may name beside our client.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Ways to sign in; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<Flow>,
    /// How long a login may last, however often it is refreshed; at most, and where absent, 12 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_login: Option<Period>,
    /// How often the provider is asked anew; 60 seconds where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Period>,
    /// How long logins live on while the provider cannot be reached; 15 minutes where absent. A provider's no ends them at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage: Option<Period>,
}

impl ConnectorSpec {
    /// How to reach the provider.
    pub fn provider(&self) -> ProviderSpec {
        ProviderSpec {
            issuer: self.issuer.clone(),
            ca: self.ca.clone(),
            proxy: self.proxy.clone(),
            endpoint_hosts: self.endpoint_hosts.clone(),
            algorithms: self.algorithms.clone(),
        }
    }
    /// The claim of the handle.
    pub fn username_claim(&self) -> &str {
        self.username.as_deref().unwrap_or("preferred_username")
    }
    /// Every path of a claim that counts, each once.
    pub fn paths(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.claims.keys().chain(self.traits.values()).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
    /// Whether people may sign in this way.
    pub fn allows(&self, flow: Flow) -> bool {
        self.flows.is_empty() || self.flows.contains(&flow)
    }
    /// The roles that these claims give, each with its reasons: `groups: /platform/sre`.
    pub fn roles(&self, kept: &Kept) -> BTreeMap<RoleName, Vec<String>> {
        let mut given: BTreeMap<RoleName, Vec<String>> = BTreeMap::new();
        for (path, by_value) in &self.claims {
            for value in kept.get(path).into_iter().flatten() {
                for role in by_value.iter().filter(|(pattern, _)| pattern.matches(value)).flat_map(|(_, roles)| roles) {
                    let why = format!("{path}: {value}");
                    let reasons = given.entry(role.clone()).or_default();
                    if !reasons.contains(&why) {
                        reasons.push(why);
                    }
                }
            }
        }
        given
    }
    /// The traits that these claims give.
    pub fn traits(&self, kept: &Kept) -> Traits {
        self.traits.iter().filter_map(|(name, path)| Some((name.clone(), kept.get(path)?.clone()))).collect()
    }
}

/// What is kept of a token: the values at the paths that a connector names, and nothing else.
pub type Kept = BTreeMap<String, Vec<String>>;

/// A way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// A browser on the same computer.
    Browser,
    /// The provider's device flow (RFC 8628).
    Device,
    /// A browser elsewhere, with a code that is compared.
    Headless,
}

impl Flow {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Browser, Self::Device, Self::Headless];

    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Device => "device",
            Self::Headless => "headless",
        }
    }
}

/// A machine that signs in with a token of a provider: CI jobs, service accounts. No secret of it is kept anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["issuer", "audience", "claims"]))]
pub struct BotSpec {
    /// As in its tokens, to the letter. https, or http on a loopback address.
    pub issuer: String,
    /// Certificates of the provider's own authority, PEM; without it those that the proxy's machine trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// `http://host:port` of an HTTP CONNECT proxy on the way to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Hosts beside the issuer's own that its endpoints may be on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoint_hosts: Vec<String>,
    /// Signature algorithms that count; empty: every asymmetric one that it announces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<String>,
    /// What its tokens must be made for.
    pub audience: String,
    /// Path of a claim (`sub` among them), then the patterns of which one must fit. All claims must fit, and there must be one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Vec<Pattern>>,
    /// Its roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleName>,
    /// Its traits.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: Traits,
    /// How long its certificates last; at most, and where absent, one hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_login: Option<Period>,
}

impl BotSpec {
    /// How to reach the provider.
    pub fn provider(&self) -> ProviderSpec {
        ProviderSpec {
            issuer: self.issuer.clone(),
            ca: self.ca.clone(),
            proxy: self.proxy.clone(),
            endpoint_hosts: self.endpoint_hosts.clone(),
            algorithms: self.algorithms.clone(),
        }
    }
    /// Whether a token is this bot's: at every path there is a value that one of the patterns fits. `value_at` gives the values of a path.
    ///
    /// # Errors
    /// One sentence on the first claim that does not fit, with what stands there, cut.
    pub fn fits(&self, value_at: impl Fn(&str) -> Vec<String>) -> Result<(), String> {
        if self.claims.is_empty() {
            return Err("the bot names no claims, so no token is its own".to_owned());
        }
        for (path, patterns) in &self.claims {
            let values = value_at(path);
            if values.iter().any(|value| patterns.iter().any(|pattern| pattern.matches(value))) {
                continue;
            }
            return Err(match values.first() {
                None => format!("the token has no claim {path}"),
                Some(value) => format!("the claim {path} is {}, which the bot's claims do not fit", shown(value)),
            });
        }
        Ok(())
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
