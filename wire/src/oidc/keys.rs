//! A provider's public keys (RFC 7517): which are usable, what each is for, and whether one fits a signature. Fetching and keeping
//! them, and when to ask again, lives with the caller.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Algorithm, JsonFault, json};

/// Members of all objects of a key set together: each of 64 keys may have some that mean nothing here.
const MAX_MEMBERS: usize = 4096;
/// Longest key id, in bytes.
pub(super) const MAX_KID: usize = 256;
/// Size of an RSA modulus, in bits: what aws-lc verifies with, and NIST SP 800-131A's floor.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why bytes are no key set that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum KeySetFault {
    #[error("the provider's key set is larger than 256 KiB")]
    TooBig,
    #[error("the provider's key set {0}")]
    Json(JsonFault),
    #[error("the provider's key set has no list `keys`: look whether `jwks_uri` of its discovery document leads to a key set")]
    NoList,
    #[error("the provider's key set has more than 64 keys")]
    TooMany,
    #[error(
        "none of the provider's {skipped} keys can check a signature: it needs an RSA key of 2048 bits or more, P-256, P-384 or Ed25519"
    )]
    NoneUsable { skipped: usize },
}

impl KeySetFault {
    /// A short stable word for events and tests.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooBig => "size",
            Self::Json(fault) => fault.code(),
            Self::NoList => "no_list",
            Self::TooMany => "too_many_keys",
            Self::NoneUsable { .. } => "no_usable_key",
        }
    }
}

/// The usable keys of a provider: at least one.
#[derive(Debug, Clone)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: usize,
}

impl KeySet {
    /// Largest document, in bytes.
    pub const MAX_BYTES: usize = 256 * 1024;
    /// Most keys, usable or not.
    pub const MAX_KEYS: usize = 64;

    /// Reads a JWK Set. A key that cannot check a signature here is skipped; without any usable key the set is refused.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetFault> {
        if json.len() > Self::MAX_BYTES {
            return Err(KeySetFault::TooBig);
        }
        let set = json::object(json, MAX_MEMBERS).map_err(KeySetFault::Json)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(KeySetFault::NoList)?;
        if listed.len() > Self::MAX_KEYS {
            return Err(KeySetFault::TooMany);
        }
        let keys: Vec<Key> = listed.iter().filter_map(Value::as_object).filter_map(Key::read).collect();
        let skipped = listed.len().saturating_sub(keys.len());
        if keys.is_empty() {
            return Err(KeySetFault::NoneUsable { skipped });
        }
        Ok(Self { keys, skipped })
    }

    /// Whether a token with this key id (or with none) has a key here that may fit.
    pub fn knows(&self, kid: Option<&str>) -> bool {
        self.keys.iter().any(|key| key.is(kid))
    }

    /// The ids of the usable keys; a key without one is left out.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| key.kid.as_deref())
    }

    /// Keys that were left out since they cannot check a signature here.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// The keys of this id (all of them when no id is given) that are for this algorithm.
    pub(super) fn fitting(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        self.keys.iter().filter(|key| key.is(kid) && key.fits(algorithm)).collect()
    }
}

/// One public key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    kid: Option<String>,
    /// The only algorithm that it is for, where the set says so.
    only: Option<Algorithm>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Key {
    /// Nothing for a key that is of no use, or that says something of itself that does not fit.
    pub(crate) fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let kid = optional(jwk, "kid")?;
        let only = optional(jwk, "alg")?.map(|name| name.parse::<Algorithm>()).transpose().ok()?;
        let signs = optional(jwk, "use")?.is_none_or(|usage| usage == "sig");
        let verifies = jwk.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
        // A key whose private half was published proves nothing.
        if !signs || !verifies || jwk.contains_key("d") || kid.is_some_and(|kid| kid.len() > MAX_KID) {
            return None;
        }
        let key = Self { kid: kid.map(str::to_owned), only, material: Material::read(jwk)? };
        only.is_none_or(|only| key.fits(only)).then_some(key)
    }

    fn is(&self, kid: Option<&str>) -> bool {
        kid.is_none() || self.kid.as_deref() == kid
    }

    /// Whether this key is for that algorithm: by its own word and by its type.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::*;
        let kind = match self.material {
            Material::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Material::P256(_) => algorithm == Es256,
            Material::P384(_) => algorithm == Es384,
            Material::Ed25519(_) => algorithm == EdDsa,
        };
        kind && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether the signature is of this key over this message; never for an algorithm that the key is not for.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let rsa = |parameters| match &self.material {
            Material::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok(),
            _ => false,
        };
        let point = |with: &'static dyn VerificationAlgorithm| match &self.material {
            Material::P256(key) | Material::P384(key) | Material::Ed25519(key) => {
                UnparsedPublicKey::new(with, key).verify(message, signature).is_ok()
            }
            Material::Rsa { .. } => false,
        };
        match algorithm {
            Algorithm::Rs256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 => point(&signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::Es384 => point(&signature::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDsa => point(&signature::ED25519),
        }
    }

    /// The base64url of the SHA-256 thumbprint (RFC 7638 section 3.2, RFC 8037 appendix A.3); none for RSA, with which nobody proves here.
    pub(crate) fn thumbprint(&self) -> Option<String> {
        let curve = |name: &str, point: &[u8]| {
            let (x, y) = point.get(1..)?.split_at_checked(point.len() / 2)?;
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            Some(format!(r#"{{"crv":"{name}","kty":"EC","x":"{x}","y":"{y}"}}"#))
        };
        let members = match &self.material {
            Material::Rsa { .. } => None,
            Material::P256(point) => curve("P-256", point),
            Material::P384(point) => curve("P-384", point),
            Material::Ed25519(x) => Some(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(x))),
        }?;
        Some(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes())))
    }
}

impl Material {
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name| jwk.get(name).and_then(Value::as_str);
        match (text("kty")?, text("crv")) {
            ("RSA", _) => rsa(unsigned(jwk, "n")?, unsigned(jwk, "e")?),
            ("EC", Some("P-256")) => Some(Self::P256(ec_point(jwk, 32, &signature::ECDSA_P256_SHA256_FIXED)?)),
            ("EC", Some("P-384")) => Some(Self::P384(ec_point(jwk, 48, &signature::ECDSA_P384_SHA384_FIXED)?)),
            ("OKP", Some("Ed25519")) => {
                let x = bytes(jwk, "x")?;
                usable(&signature::ED25519, &x).then_some(Self::Ed25519(x))
            }
            _ => None,
        }
    }
}

fn rsa(n: Vec<u8>, e: Vec<u8>) -> Option<Material> {
    let top = usize::try_from(n.first()?.leading_zeros()).ok()?;
    let bits = n.len().checked_mul(8)?.checked_sub(top)?;
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    // An exponent of 1 signs nothing, and a long one costs much time at each token.
    let exponent = odd(&e) && e.len() <= 4 && e != [1];
    (RSA_BITS.contains(&bits) && odd(&n) && exponent).then_some(Material::Rsa { n, e })
}

/// An uncompressed point that lies on its curve (RFC 7518 section 6.2.1: coordinates in full length).
fn ec_point(jwk: &Map<String, Value>, length: usize, with: &'static dyn VerificationAlgorithm) -> Option<Vec<u8>> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != length || y.len() != length {
        return None;
    }
    let point = [&[4_u8], x.as_slice(), y.as_slice()].concat();
    usable(with, &point).then_some(point)
}

fn usable(with: &'static dyn VerificationAlgorithm, key: &[u8]) -> bool {
    ParsedPublicKey::new(with, key).is_ok()
}

/// Absent is `Some(None)`, another type than text is `None`.
fn optional<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<Option<&'a str>> {
    match jwk.get(name) {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => None,
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()
}

/// A number without the leading zeros that some providers write although RFC 7518 section 2 says not to.
fn unsigned(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    Some(bytes(jwk, name)?.into_iter().skip_while(|byte| *byte == 0).collect())
}
