//! DPoP proofs (RFC 9449): that whoever sends a request holds a key, read and believed or refused with a reason. Whether a proof was seen
//! before, and which key a token is bound to, lives with the caller.

use std::time::Duration;

use access::time::Timestamp;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::oidc::json::object;
use crate::oidc::keys::Key;
use crate::oidc::{Algorithm, JsonFault};

/// The header of a request that holds its proof.
pub const HEADER: &str = "dpop";
/// Longest proof, in bytes: one with an ordinary key has about 500.
pub const MAX_PROOF: usize = 4096;
/// How far `iat` may lie from now, before or after.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Longest `jti`, in bytes.
pub const MAX_ID: usize = 64;
/// What may sign.
pub const ALGORITHMS: [Algorithm; 2] = [Algorithm::Es256, Algorithm::EdDsa];

/// Members of all objects of a header or of a body, together: those that are known are nine.
const MAX_MEMBERS: usize = 32;
/// What would let a proof bring its key from elsewhere, or demand what is not understood here (RFC 7515 sections 4.1.2 to 4.1.11).
const REFUSED: [&str; 4] = ["jku", "x5u", "x5c", "crit"];
/// The private halves of keys of any kind (RFC 7518 sections 6.2.2, 6.3.2 and 6.4): of a key that was shown with one nothing is proven.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// What a proof must be for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// As it stands in the request line.
    pub method: &'a str,
    /// The address that was asked, in each of its spellings, without query: one must be `htu` to the letter.
    pub urls: &'a [String],
    /// The access token that is shown with the proof; none where a token is asked for.
    pub token: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// A proof that was believed. Only [`proof`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    thumbprint: String,
    id: String,
    made: Timestamp,
}

impl Proof {
    /// The base64url of the SHA-256 thumbprint of its key (RFC 7638): what a token is bound to.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }
    /// `jti`: together with the key, names the proof; 1 to [`MAX_ID`] bytes.
    pub fn id(&self) -> &str {
        &self.id
    }
    /// `iat`.
    pub fn made(&self) -> Timestamp {
        self.made
    }
}

/// Why a proof is refused. No sentence holds any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ProofFault {
    #[error("the DPoP proof is larger than 4 KiB")]
    TooBig,
    #[error("the DPoP proof has not the three parts of a signed token")]
    Parts,
    #[error("a part of the DPoP proof is not in base64url without padding")]
    Encoding,
    #[error("the {part} of the DPoP proof {fault}")]
    Json { part: &'static str, fault: JsonFault },
    #[error("the DPoP proof is not of the type dpop+jwt")]
    Kind,
    #[error("the header of the DPoP proof has `{0}`, which is not understood")]
    Header(&'static str),
    #[error("the DPoP proof is signed with something else than ES256 or EdDSA")]
    Algorithm,
    #[error("the DPoP proof has no public key for its algorithm: P-256 for ES256, Ed25519 for EdDSA")]
    Key,
    #[error("the DPoP proof shows a private key")]
    Private,
    #[error("the signature of the DPoP proof does not fit")]
    Signature,
    #[error("the DPoP proof has no `{0}` of the right type")]
    Claim(&'static str),
    #[error("the DPoP proof is for another method")]
    Method,
    #[error("the DPoP proof is for another address")]
    Url,
    #[error("the DPoP proof was made more than 60 s before or after now: compare the clocks")]
    Time,
    #[error("the DPoP proof is for another access token")]
    Token,
}

impl ProofFault {
    /// A short stable word for events and tests.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooBig => "size",
            Self::Parts => "parts",
            Self::Encoding => "encoding",
            Self::Json { fault, .. } => fault.code(),
            Self::Kind => "typ",
            Self::Header(_) => "header",
            Self::Algorithm => "alg",
            Self::Key => "jwk",
            Self::Private => "private",
            Self::Signature => "signature",
            Self::Claim(_) => "claim",
            Self::Method => "htm",
            Self::Url => "htu",
            Self::Time => "iat",
            Self::Token => "ath",
        }
    }
}

/// Believes a proof for this request (RFC 9449 section 4.3), but for whether it was seen before.
///
/// # Errors
/// The first reason against it.
pub fn proof(text: &str, request: &Request<'_>) -> Result<Proof, ProofFault> {
    if text.len() > MAX_PROOF {
        return Err(ProofFault::TooBig);
    }
    let (message, signature) = text.rsplit_once('.').ok_or(ProofFault::Parts)?;
    let (head, body) = message.split_once('.').ok_or(ProofFault::Parts)?;
    if head.is_empty() || body.is_empty() || signature.is_empty() || body.contains('.') {
        return Err(ProofFault::Parts);
    }
    let (key, algorithm) = key(&part(head, "header")?)?;
    if !key.verifies(algorithm, message.as_bytes(), &decoded(signature)?) {
        return Err(ProofFault::Signature);
    }
    let (id, made) = claims(&part(body, "body")?, request)?;
    Ok(Proof { thumbprint: key.thumbprint().ok_or(ProofFault::Key)?, id, made })
}

/// One spelling of the bytes only: no padding, no white space, no stray bits at the end.
fn decoded(text: &str) -> Result<Vec<u8>, ProofFault> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| ProofFault::Encoding)
}

fn part(text: &str, part: &'static str) -> Result<Map<String, Value>, ProofFault> {
    object(&decoded(text)?, MAX_MEMBERS).map_err(|fault| ProofFault::Json { part, fault })
}

/// The key that the header shows, which must be one for the algorithm that it names.
fn key(header: &Map<String, Value>) -> Result<(Key, Algorithm), ProofFault> {
    if header.get("typ").and_then(Value::as_str) != Some("dpop+jwt") {
        return Err(ProofFault::Kind);
    }
    if let Some(name) = REFUSED.into_iter().find(|name| header.contains_key(*name)) {
        return Err(ProofFault::Header(name));
    }
    let said = header.get("alg").and_then(Value::as_str).and_then(|name| name.parse().ok());
    let algorithm = said.filter(|said| ALGORITHMS.contains(said)).ok_or(ProofFault::Algorithm)?;
    let jwk = header.get("jwk").and_then(Value::as_object).ok_or(ProofFault::Key)?;
    if PRIVATE.into_iter().any(|name| jwk.contains_key(name)) {
        return Err(ProofFault::Private);
    }
    let key = Key::read(jwk).filter(|key| key.fits(algorithm)).ok_or(ProofFault::Key)?;
    Ok((key, algorithm))
}

/// What the proof says of the request; answers its id, and when it was made.
fn claims(claims: &Map<String, Value>, request: &Request<'_>) -> Result<(String, Timestamp), ProofFault> {
    let text = |name: &'static str| claims.get(name).and_then(Value::as_str).ok_or(ProofFault::Claim(name));
    if text("htm")? != request.method {
        return Err(ProofFault::Method);
    }
    let url = text("htu")?;
    if !request.urls.iter().any(|ours| ours == url) {
        return Err(ProofFault::Url);
    }
    let made = claims.get("iat").and_then(Value::as_i64).ok_or(ProofFault::Claim("iat"))?;
    // In seconds: as nanoseconds a far year would be cut.
    if made.abs_diff(request.now.as_secs()) > WINDOW.as_secs() {
        return Err(ProofFault::Time);
    }
    // Of which token it is must be said where there is one, and cannot be said where there is none yet.
    let hash = request.token.map(|token| URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes())));
    match (hash, claims.get("ath")) {
        (None, None) => {}
        (Some(hash), Some(Value::String(said))) if hash == *said => {}
        (Some(_), None) => return Err(ProofFault::Claim("ath")),
        _ => return Err(ProofFault::Token),
    }
    let id = text("jti")?;
    if id.is_empty() || id.len() > MAX_ID {
        return Err(ProofFault::Claim("jti"));
    }
    Ok((id.to_owned(), Timestamp::from_secs(made)))
}
