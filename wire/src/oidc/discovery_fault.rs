//! Why a provider's description is refused, in sentences that tell an operator what to do. No check lives here but the comparison
//! of two issuers that finds the usual mistake.

use super::address::Address;
use super::fault::{kept, shown_up_to};
use super::{AddressFault, JsonFault};

/// How much of a document's own text a sentence may repeat, in characters: an issuer is to be copied from it.
const SHOWN: usize = 256;

/// Why a discovery document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DiscoveryFault {
    #[error("the connector's issuer `{}` {fault}; write it as the provider shows it", shown_up_to(issuer, SHOWN))]
    Connector { issuer: String, fault: AddressFault },
    #[error(
        "the connector's issuer `{}` is not https; only a provider on this machine may be reached over http",
        shown_up_to(issuer, SHOWN)
    )]
    PlainIssuer { issuer: String },
    #[error("the discovery document is larger than 256 KiB: look whether the issuer's address leads to the provider")]
    TooBig,
    #[error("the discovery document {0}: look whether the issuer's address leads to the provider and not to a sign-in page")]
    Json(JsonFault),
    #[error("the connector says issuer `{}`, the provider calls itself `{}`; {}", shown_up_to(wanted, SHOWN), shown_up_to(said, SHOWN), hint.sentence())]
    Issuer { wanted: String, said: String, hint: IssuerHint },
    #[error("the discovery document has no `{0}`: the provider lacks what a login needs, or the address leads to something else")]
    Missing(&'static str),
    #[error("the discovery document's `{0}` is of the wrong type: this is not a description of OpenID Connect")]
    Type(&'static str),
    #[error("the discovery document's `{name}` {fault}: correct the provider's public address")]
    Endpoint { name: &'static str, fault: AddressFault },
    #[error(
        "the discovery document's `{name}` is http: tell the provider that it is reached over https (Keycloak: `hostname`, `proxy-headers`)"
    )]
    PlainEndpoint { name: &'static str },
    #[error(
        "the discovery document's `{name}` is on another host, `{host}`: correct the provider's public address, or add that host to the connector's endpoint hosts"
    )]
    OtherHost { name: &'static str, host: String },
    #[error("the provider signs id tokens with no algorithm that is accepted: switch on RS256, PS256, ES256 or EdDSA for this client")]
    NoAlgorithm,
    #[error("the provider does not offer the authorization code flow (`response_types_supported` lacks `code`): switch it on")]
    NoCode,
}

/// In what two issuers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentences say it")]
pub enum IssuerHint {
    Slash,
    Scheme,
    Host,
    Port,
    Path,
    Other,
}

impl IssuerHint {
    fn of(wanted: &str, said: &str) -> Self {
        if wanted.trim_end_matches('/') == said.trim_end_matches('/') {
            return Self::Slash;
        }
        let (Ok(wanted_at), Ok(said_at)) = (Address::read(wanted), Address::read(said)) else { return Self::Other };
        let behind_scheme = |url: &str| url.split_once("://").map(|(_, rest)| rest.to_owned());
        if wanted_at.host != said_at.host {
            Self::Host
        } else if wanted_at.path != said_at.path {
            Self::Path
        } else if wanted_at.https != said_at.https && behind_scheme(wanted) == behind_scheme(said) {
            Self::Scheme
        } else {
            Self::Port
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Slash => "they differ only in the slash at the end: write the issuer in the connector as the provider does",
            Self::Scheme => {
                "they differ in http and https: tell the provider that it is reached over https (Keycloak: `hostname`, `proxy-headers`)"
            }
            Self::Host => "the host differs: use the provider's public address, or set it there (Keycloak: `hostname`)",
            Self::Port => "the scheme, port or spelling differs: use the provider's public address, or set it there (Keycloak: `hostname`)",
            Self::Path => "the path differs: look at the realm's name, and whether an older Keycloak has `/auth` before `/realms`",
            Self::Other => "write the issuer in the connector as the provider does, to the letter",
        }
    }
}

impl DiscoveryFault {
    pub(super) fn issuer(wanted: &str, said: &str) -> Self {
        Self::Issuer { wanted: wanted.to_owned(), said: kept(said), hint: IssuerHint::of(wanted, said) }
    }

    /// A short stable word for events and tests.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Connector { .. } => "connector_issuer",
            Self::PlainIssuer { .. } => "plain_issuer",
            Self::TooBig => "size",
            Self::Json(fault) => fault.code(),
            Self::Issuer { .. } => "issuer",
            Self::Missing(_) => "missing",
            Self::Type(_) => "type",
            Self::Endpoint { .. } => "endpoint",
            Self::PlainEndpoint { .. } => "plain_endpoint",
            Self::OtherHost { .. } => "other_host",
            Self::NoAlgorithm => "no_algorithm",
            Self::NoCode => "no_code",
        }
    }
}
