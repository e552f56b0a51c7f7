//! From a compact signed token (RFC 7515) to its claims, by the provider's keys. What the claims must say lives elsewhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::fault::kept;
use super::keys::{Key, MAX_KID};
use super::{Algorithm, KeySet, MAX_CLAIMS, MAX_TOKEN, TokenFault, json};

/// Members of a header; those that are known are ten.
const MAX_HEADER: usize = 32;
/// What would let a token bring its own key, or demand what is not understood here (RFC 7515 sections 4.1.2 to 4.1.11).
const REFUSED: [&str; 5] = ["jwk", "jku", "x5u", "x5c", "crit"];

/// A token whose signature fits a key of the provider.
#[derive(Debug)]
pub(super) struct Signed {
    /// The media type of the header in lower case, without `application/`.
    pub(super) typ: Option<String>,
    pub(super) claims: Map<String, Value>,
}

/// Checks form, header, key and signature. `algorithms` is what this provider may sign with.
pub(super) fn open(token: &str, keys: &KeySet, algorithms: &[Algorithm]) -> Result<Signed, TokenFault> {
    if token.len() > MAX_TOKEN {
        return Err(TokenFault::TooBig);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenFault::Parts)?;
    let (head, body) = message.split_once('.').ok_or(TokenFault::Parts)?;
    if head.is_empty() || body.is_empty() || signature.is_empty() || body.contains('.') {
        return Err(TokenFault::Parts);
    }
    let header = part(head, "header", MAX_HEADER)?;
    let algorithm = algorithm(&header, algorithms)?;
    let typ = typ(&header)?;
    let key = key(&header, keys, algorithm)?;
    if !key.verifies(algorithm, message.as_bytes(), &decoded(signature)?) {
        return Err(TokenFault::Signature);
    }
    Ok(Signed { typ, claims: part(body, "body", MAX_CLAIMS)? })
}

/// The engine takes one spelling of the bytes only: no padding, no white space, no stray bits at the end.
fn decoded(text: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenFault::Encoding)
}

fn part(text: &str, name: &'static str, most: usize) -> Result<Map<String, Value>, TokenFault> {
    json::object(&decoded(text)?, most).map_err(|fault| TokenFault::Json { part: name, fault })
}

/// The header only chooses among what the provider may sign with.
fn algorithm(header: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Algorithm, TokenFault> {
    if let Some(name) = REFUSED.into_iter().find(|name| header.contains_key(*name)) {
        return Err(TokenFault::Header(name));
    }
    let said = header.get("alg").ok_or(TokenFault::Missing("alg"))?.as_str().ok_or(TokenFault::ClaimType("alg"))?;
    let known = said.parse().ok().filter(|algorithm| allowed.contains(algorithm));
    known.ok_or_else(|| TokenFault::Algorithm { said: kept(said) })
}

fn typ(header: &Map<String, Value>) -> Result<Option<String>, TokenFault> {
    let Some(typ) = header.get("typ") else { return Ok(None) };
    let typ = typ.as_str().ok_or(TokenFault::ClaimType("typ"))?.to_ascii_lowercase();
    Ok(Some(typ.strip_prefix("application/").map_or_else(|| typ.clone(), str::to_owned)))
}

/// Exactly one key must be of the token's id and for its algorithm: keys are never tried one after the other.
fn key<'a>(header: &Map<String, Value>, keys: &'a KeySet, algorithm: Algorithm) -> Result<&'a Key, TokenFault> {
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid.as_str()),
        Some(_) => return Err(TokenFault::Kid),
    };
    if !keys.knows(kid) {
        return Err(TokenFault::UnknownKey { kid: kid.map(str::to_owned) });
    }
    let fitting: Vec<&Key> = keys.fitting(kid, algorithm);
    match fitting.as_slice() {
        [] => Err(TokenFault::KeyAlgorithm { kid: kid.map(str::to_owned), algorithm }),
        [key] => Ok(key),
        _ => Err(TokenFault::AmbiguousKey),
    }
}
