//! A provider's description of itself (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2), believed only where it speaks of
//! the issuer that was asked for and leads to no other host. Fetching it, and keeping the last good one, lives with the caller.

use serde_json::{Map, Value};

use super::address::Address;
use super::{Algorithm, DiscoveryFault, json, strings};

/// Largest document, in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// Members of all objects together.
const MAX_MEMBERS: usize = 4096;

/// A provider that people sign in at. Only [`Discovery::parse`] makes one; each URL was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are those of the document, without `_supported` and `_endpoint` where they are plain")]
pub struct Discovery {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub jwks_uri: String,
    pub device_authorization_endpoint: Option<String>,
    pub end_session_endpoint: Option<String>,
    pub userinfo_endpoint: Option<String>,
    pub revocation_endpoint: Option<String>,
    pub introspection_endpoint: Option<String>,
    pub pushed_authorization_request_endpoint: Option<String>,
    /// What id tokens may be signed with, as far as it is used here: at least one.
    pub algorithms: Vec<Algorithm>,
    pub scopes: Vec<String>,
    pub response_types: Vec<String>,
    pub grant_types: Vec<String>,
    pub acr_values: Vec<String>,
    pub code_challenge_methods: Vec<String>,
    pub token_endpoint_auth_methods: Vec<String>,
    pub backchannel_logout: bool,
    pub backchannel_logout_session: bool,
    /// The answer to a login names the issuer (RFC 9207).
    pub authorization_response_iss: bool,
}

/// An issuer that only signs tokens of workloads: CI systems and Kubernetes clusters have no endpoints for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are those of the document")]
pub struct TokenIssuer {
    pub issuer: String,
    pub jwks_uri: String,
    /// At least one.
    pub algorithms: Vec<Algorithm>,
}

impl Discovery {
    /// Reads the document that was fetched for `issuer`. Each endpoint must be of the issuer's host (with any port) or of one in
    /// `endpoint_hosts` (host names without port), over https; over http only where issuer and endpoint are on this machine.
    pub fn parse(json: &[u8], issuer: &str, endpoint_hosts: &[String]) -> Result<Self, DiscoveryFault> {
        let document = Document::read(json, issuer, endpoint_hosts)?;
        let response_types = document.list("response_types_supported")?;
        if !response_types.is_empty() && !response_types.iter().any(|kind| kind == "code") {
            return Err(DiscoveryFault::NoCode);
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: document.needed("authorization_endpoint")?,
            token_endpoint: document.needed("token_endpoint")?,
            jwks_uri: document.needed("jwks_uri")?,
            device_authorization_endpoint: document.endpoint("device_authorization_endpoint")?,
            end_session_endpoint: document.endpoint("end_session_endpoint")?,
            userinfo_endpoint: document.endpoint("userinfo_endpoint")?,
            revocation_endpoint: document.endpoint("revocation_endpoint")?,
            introspection_endpoint: document.endpoint("introspection_endpoint")?,
            pushed_authorization_request_endpoint: document.endpoint("pushed_authorization_request_endpoint")?,
            algorithms: document.algorithms()?,
            scopes: document.list("scopes_supported")?,
            response_types,
            grant_types: document.list("grant_types_supported")?,
            acr_values: document.list("acr_values_supported")?,
            code_challenge_methods: document.list("code_challenge_methods_supported")?,
            token_endpoint_auth_methods: document.list("token_endpoint_auth_methods_supported")?,
            backchannel_logout: document.flag("backchannel_logout_supported")?,
            backchannel_logout_session: document.flag("backchannel_logout_session_supported")?,
            authorization_response_iss: document.flag("authorization_response_iss_parameter_supported")?,
        })
    }
}

impl TokenIssuer {
    /// As [`Discovery::parse`], of a document that need not name endpoints for people.
    pub fn parse(json: &[u8], issuer: &str, endpoint_hosts: &[String]) -> Result<Self, DiscoveryFault> {
        let document = Document::read(json, issuer, endpoint_hosts)?;
        let (jwks_uri, algorithms) = (document.needed("jwks_uri")?, document.algorithms()?);
        Ok(Self { issuer: issuer.to_owned(), jwks_uri, algorithms })
    }
}

/// A document that speaks of the right issuer.
struct Document<'a> {
    members: Map<String, Value>,
    issuer: Address<'a>,
    hosts: &'a [String],
}

impl<'a> Document<'a> {
    fn read(json: &[u8], issuer: &'a str, hosts: &'a [String]) -> Result<Self, DiscoveryFault> {
        let address = Address::issuer(issuer).map_err(|fault| DiscoveryFault::Connector { issuer: issuer.to_owned(), fault })?;
        if !address.https && !address.is_loopback() {
            return Err(DiscoveryFault::PlainIssuer { issuer: issuer.to_owned() });
        }
        if json.len() > MAX_BYTES {
            return Err(DiscoveryFault::TooBig);
        }
        let members = json::object(json, MAX_MEMBERS).map_err(DiscoveryFault::Json)?;
        let said = match members.get("issuer") {
            Some(Value::String(said)) => said,
            Some(_) => return Err(DiscoveryFault::Type("issuer")),
            None => return Err(DiscoveryFault::Missing("issuer")),
        };
        if said != issuer {
            return Err(DiscoveryFault::issuer(issuer, said));
        }
        Ok(Self { members, issuer: address, hosts })
    }

    fn needed(&self, name: &'static str) -> Result<String, DiscoveryFault> {
        self.endpoint(name)?.ok_or(DiscoveryFault::Missing(name))
    }

    fn endpoint(&self, name: &'static str) -> Result<Option<String>, DiscoveryFault> {
        let Some(value) = self.members.get(name) else { return Ok(None) };
        let url = value.as_str().ok_or(DiscoveryFault::Type(name))?;
        let address = Address::read(url).map_err(|fault| DiscoveryFault::Endpoint { name, fault })?;
        let known = address.host == self.issuer.host || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(&address.host));
        if !known {
            return Err(DiscoveryFault::OtherHost { name, host: address.host });
        }
        let local = !self.issuer.https && address.is_loopback();
        if !address.https && !local {
            return Err(DiscoveryFault::PlainEndpoint { name });
        }
        Ok(Some(url.to_owned()))
    }

    fn list(&self, name: &'static str) -> Result<Vec<String>, DiscoveryFault> {
        match self.members.get(name) {
            None => Ok(Vec::new()),
            Some(list @ Value::Array(items)) if items.iter().all(Value::is_string) => Ok(strings(list)),
            Some(_) => Err(DiscoveryFault::Type(name)),
        }
    }

    /// Those that are used here; `none`, symmetric and unknown ones do not count.
    fn algorithms(&self) -> Result<Vec<Algorithm>, DiscoveryFault> {
        let said = self.list("id_token_signing_alg_values_supported")?;
        let known: Vec<Algorithm> = Algorithm::ALL.into_iter().filter(|known| said.iter().any(|name| name == known.as_str())).collect();
        if known.is_empty() { Err(DiscoveryFault::NoAlgorithm) } else { Ok(known) }
    }

    fn flag(&self, name: &'static str) -> Result<bool, DiscoveryFault> {
        self.members.get(name).map_or(Some(false), Value::as_bool).ok_or(DiscoveryFault::Type(name))
    }
}
