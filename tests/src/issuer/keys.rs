//! Keys of the provider, and of somebody who would like to be it: made once a process. Which of them a token is signed with is said
//! elsewhere.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// With what, and how, a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The provider's RSA key, `rsa-1`, PKCS#1 v1.5.
    Rs256,
    /// The same key, PSS.
    Ps256,
    /// The provider's P-256 key, `ec-1`.
    Es256,
    /// The provider's Ed25519 key, `ed-1`.
    EdDsa,
    /// An RSA key that the provider never published.
    Stranger,
    /// HMAC-SHA-256 with the provider's public RSA key, as PEM, for a secret.
    HmacOfPem,
    /// The same with its DER bytes.
    HmacOfDer,
    /// HMAC-SHA-256 with the client's secret, as OpenID Connect allows and we do not.
    HmacOfSecret,
    /// Nobody: the third part is empty.
    Nobody,
}

struct Keys {
    rsa: RsaPair,
    stranger: RsaPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    rsa: RsaPair::generate(KeySize::Rsa2048).unwrap(),
    stranger: RsaPair::generate(KeySize::Rsa2048).unwrap(),
    ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
    ed: Ed25519KeyPair::generate().unwrap(),
});

impl Signer {
    /// The name of it in a header.
    pub fn algorithm(self) -> &'static str {
        match self {
            Self::Rs256 | Self::Stranger => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::HmacOfPem | Self::HmacOfDer | Self::HmacOfSecret => "HS256",
            Self::Nobody => "none",
        }
    }

    /// The id of its key, as the provider publishes it.
    pub fn kid(self) -> &'static str {
        match self {
            Self::Es256 => "ec-1",
            Self::EdDsa => "ed-1",
            _ => "rsa-1",
        }
    }

    /// A signature, raw.
    pub fn sign(self, message: &[u8]) -> Vec<u8> {
        let rsa = |key: &RsaPair, how| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(how, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        let mac = |secret: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec();
        match self {
            Self::Rs256 => rsa(&KEYS.rsa, &RSA_PKCS1_SHA256),
            Self::Ps256 => rsa(&KEYS.rsa, &RSA_PSS_SHA256),
            Self::Stranger => rsa(&KEYS.stranger, &RSA_PKCS1_SHA256),
            Self::Es256 => KEYS.ec.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::EdDsa => KEYS.ed.sign(message).as_ref().to_vec(),
            Self::HmacOfPem => mac(public_pem().as_bytes()),
            Self::HmacOfDer => mac(&public_der()),
            Self::HmacOfSecret => mac(super::SECRET.as_bytes()),
            Self::Nobody => Vec::new(),
        }
    }
}

/// The provider's key set (RFC 7517).
pub fn key_set() -> Value {
    let rsa = rsa_jwk(&KEYS.rsa, "rsa-1");
    let point = KEYS.ec.public_key().as_ref();
    let (x, y) = point[1..].split_at(32);
    let ec = json!({"kty": "EC", "use": "sig", "kid": "ec-1", "alg": "ES256", "crv": "P-256", "x": encoded(x), "y": encoded(y)});
    let ed =
        json!({"kty": "OKP", "use": "sig", "kid": "ed-1", "alg": "EdDSA", "crv": "Ed25519", "x": encoded(KEYS.ed.public_key().as_ref())});
    json!({"keys": [rsa, ec, ed]})
}

/// The public half of the key that the provider never published.
pub fn stranger() -> Value {
    rsa_jwk(&KEYS.stranger, "stranger")
}

fn rsa_jwk(key: &RsaPair, kid: &str) -> Value {
    let public = key.public_key();
    let (n, e) = (public.modulus(), public.exponent());
    json!({"kty": "RSA", "use": "sig", "kid": kid, "n": encoded(n.big_endian_without_leading_zero()), "e": encoded(e.big_endian_without_leading_zero())})
}

fn public_der() -> Vec<u8> {
    KEYS.rsa.public_key().as_der().unwrap().as_ref().to_vec()
}

fn public_pem() -> String {
    let text = STANDARD.encode(public_der());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// base64url without padding.
pub fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What PKCE shows of a verifier (RFC 7636, `S256`).
pub fn challenge(verifier: &str) -> String {
    encoded(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref())
}

/// A text that nobody guesses.
pub fn random() -> String {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    encoded(&bytes)
}
