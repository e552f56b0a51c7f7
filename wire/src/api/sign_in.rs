//! Signing in by a link, through an identity provider and as a machine, and out again: what client and proxy say to each other. The proxy alone
//! talks to the provider; the client never holds a token of it.

use ::access::connector::Flow;
use ::access::identity::Method;
use ::access::time::Timestamp;
use ::access::words::{ConnectorName, InstallId, RoleName, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BotWants;

/// Exchanges the secret of a sign-in link and two public keys for certificates.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// From the link's fragment.
    pub secret: String,
    /// One line as in `id_ed25519.pub`.
    pub ssh_public_key: String,
    /// PKCS#10; only its key counts.
    pub csr_pem: String,
}

/// The answer to [`SignIn`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedIn {
    /// The person: `issuer|subject`.
    pub user: String,
    /// The handle.
    pub name: UserName,
    /// Roles at this moment.
    pub roles: Vec<RoleName>,
    /// When both certificates end.
    pub expires: Timestamp,
    /// One line as in `id_ed25519-cert.pub`.
    pub ssh_certificate: String,
    /// The leaf first, without the root.
    pub x509_chain_pem: String,
    /// The root that every TLS server of this install ends in.
    pub ca_pem: String,
    /// The key that signs host certificates: `ssh-ed25519 AAAA…`.
    pub ssh_host_ca: String,
    /// Which install.
    pub install: InstallId,
    /// Where SSH listens: `host:port`, the best first.
    pub ssh: Vec<String>,
    /// The name of the server's certificate.
    pub server_name: String,
}

/// Who the server thinks the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the words say it")]
pub struct Status {
    pub user: String,
    pub name: UserName,
    pub roles: Vec<RoleName>,
    pub expires: Timestamp,
    pub install: InstallId,
    pub server_name: String,
    pub version: String,
    /// The server's clock.
    pub time: Timestamp,
    pub ssh: Vec<String>,
    /// Why the person has each role.
    #[serde(default)]
    pub given: Vec<Given>,
    #[serde(default)]
    pub login: Option<LoginFacts>,
}

/// A way to sign in, as everybody may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectorRow {
    /// Its name.
    pub name: ConnectorName,
    /// The provider.
    pub issuer: String,
    /// What it allows.
    pub flows: Vec<Flow>,
}

/// Begins a sign-in. The keys are shown first, so that what comes of it is bound to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// Which connector; may be absent where there is one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<ConnectorName>,
    /// Which way.
    pub flow: Flow,
    /// For [`Flow::Browser`]: `http://127.0.0.1:PORT/callback/CONNECTOR`, where the client listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// base64url of the SHA-256 of a verifier that only this client knows (as in RFC 7636): [`Finish`] shows it.
    pub challenge: String,
    /// One line as in `id_ed25519.pub`.
    pub ssh_public_key: String,
    /// PKCS#10; only its key counts.
    pub csr_pem: String,
    /// What the computer calls itself: shown to who approves, and believed by nobody.
    pub host: String,
    /// Asks the provider to let the person show anew who they are.
    #[serde(default)]
    pub again: bool,
}

/// A sign-in that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Begun {
    /// Names it in [`Finish`].
    pub id: String,
    /// The connector.
    pub connector: ConnectorName,
    /// What a browser is to open.
    pub browse: String,
    /// What the person compares or types: of the device flow the provider's, else ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Until when it can be finished.
    pub expires: Timestamp,
    /// Seconds between two questions with [`Finish`].
    pub interval_s: u64,
}

/// Asks whether it is done; for [`Flow::Browser`] with what came to the client's address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// As in [`Begun`].
    pub id: String,
    /// What the challenge was made of.
    pub verifier: String,
    /// The query of the provider's answer, whole and as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl std::fmt::Debug for Finish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finish").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Finished {
    /// Nobody has approved yet.
    Waiting {
        /// Ask again after so many seconds.
        interval_s: u64,
    },
    /// It is done.
    SignedIn(Box<SignedIn>),
}

/// A machine signs in with a token of its provider. For certificates it shows two keys; for an access token none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BotSignIn {
    /// Which bot.
    pub bot: UserName,
    /// The token.
    pub token: String,
    /// What it is to get.
    #[serde(default, skip_serializing_if = "BotWants::is_default")]
    pub want: BotWants,
    /// For certificates: one line as in `id_ed25519.pub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_public_key: Option<String>,
    /// For certificates: PKCS#10; only its key counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr_pem: Option<String>,
    /// For an access token: seconds that it lives, as in [`NewAccessToken`](super::NewAccessToken).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

impl std::fmt::Debug for BotSignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BotSignIn").field("bot", &self.bot).finish_non_exhaustive()
    }
}

/// Signs out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignOut {
    /// Every login of the person, on every computer.
    #[serde(default)]
    pub all: bool,
    /// Only where no session hangs on the login, and without a word to the provider: another one took its place.
    #[serde(default)]
    pub replaced: bool,
}

/// The login is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedOut {
    /// How many logins ended.
    #[serde(default)]
    pub ended: u64,
    /// Whether the provider ended its session too; absent where there is none to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<bool>,
    /// What the browser opens to end the provider's session, where the proxy could not by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browse: Option<String>,
}

/// A role and why somebody has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Given {
    /// The role.
    pub role: RoleName,
    /// `groups: /platform/sre`, `user alice`, …
    pub why: Vec<String>,
}

/// What is known of a login beyond who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginFacts {
    /// By which way.
    pub method: Method,
    /// When it began.
    pub started: Timestamp,
    /// Its connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<ConnectorName>,
    /// When the person last showed the provider who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
    /// When the provider was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed: Option<Timestamp>,
    /// Seconds between two such questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_s: Option<u64>,
}

/// What was found about a connector: all that would keep people from signing in with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectorReport {
    /// Which.
    pub connector: ConnectorName,
    /// Whether people can sign in, as far as that can be told.
    pub ok: bool,
    /// Each thing that was looked at.
    pub checks: Vec<Check>,
    /// What a browser opens to try a sign-in that signs nobody in and shows what would come of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<String>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// `discovery`, `issuer`, `keys`, `tls`, `clock`, `redirect`, `scopes`, `client`, `claims`, `audience`, `logout`.
    pub name: String,
    /// Good, doubtful or bad.
    pub state: CheckState,
    /// What was found, in one sentence.
    pub found: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum CheckState {
    Good,
    Doubtful,
    Bad,
}
