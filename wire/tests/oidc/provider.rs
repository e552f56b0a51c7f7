//! A provider of the tests: keys of each kind, its key set, and tokens that say what a test wants. No test lives here.

use std::sync::LazyLock;
use std::time::Duration;

use access::time::Timestamp;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use wire::oidc::{Algorithm, Expected, KeySet};

pub(crate) const ISSUER: &str = "https://sso.example.com/realms/naru";
pub(crate) const CLIENT: &str = "naru";
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// One key pair: the private half signs, the public half is a JWK whose `kid` and `alg` tests add.
pub(crate) struct Signer {
    key: EncodingKey,
    pub(crate) jwk: Value,
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The DER of a public RSA key (RFC 8017 appendix A.1.1) of the given size, with the usual exponent.
pub(crate) fn rsa_key(size: KeySize) -> (EncodingKey, Vec<u8>) {
    let pair = RsaKeyPair::generate(size).expect("a key");
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("a key");
    // The signing library wants the key within the PKCS #8 envelope, which is 26 bytes for these sizes.
    (EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]), pair.public_key().as_ref().to_vec())
}

/// Two lengths, two tags and the sign byte before the modulus; tag, length and three bytes of 65,537 behind it.
pub(crate) fn modulus(public: &[u8]) -> &[u8] {
    &public[9..public.len() - 5]
}

pub(crate) static RSA: LazyLock<Signer> = LazyLock::new(|| {
    let (key, public) = rsa_key(KeySize::Rsa2048);
    Signer { key, jwk: json!({"kty": "RSA", "n": b64(modulus(&public)), "e": "AQAB"}) }
});
pub(crate) static P256: LazyLock<Signer> = LazyLock::new(|| ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"));
pub(crate) static P384: LazyLock<Signer> = LazyLock::new(|| ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"));
pub(crate) static ED: LazyLock<Signer> = LazyLock::new(ed);

fn ec(algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> Signer {
    let pair = EcdsaKeyPair::generate(algorithm).expect("a key");
    let pkcs8 = pair.to_pkcs8v1().expect("a key");
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    Signer { key: EncodingKey::from_ec_der(pkcs8.as_ref()), jwk: json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y)}) }
}

pub(crate) fn ed() -> Signer {
    let pair = Ed25519KeyPair::generate().expect("a key");
    let pkcs8 = pair.to_pkcs8v1().expect("a key");
    Signer { key: EncodingKey::from_ed_der(pkcs8.as_ref()), jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key())}) }
}

impl Signer {
    /// The public half under a name; `more` adds or replaces members.
    pub(crate) fn named(&self, kid: &str, more: Value) -> Value {
        merged(merged(self.jwk.clone(), json!({"kid": kid})), more)
    }

    /// Signs both parts as they stand, whatever the header claims.
    pub(crate) fn sign_raw(&self, with: &str, header: &[u8], claims: &[u8]) -> String {
        let message = format!("{}.{}", b64(header), b64(claims));
        let algorithm = with.parse().expect("an algorithm");
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, algorithm).expect("signs");
        format!("{message}.{signature}")
    }

    /// Signs with the algorithm that the header names.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let with = header["alg"].as_str().expect("alg");
        self.sign_raw(with, header.to_string().as_bytes(), claims.to_string().as_bytes())
    }
}

/// Members of `more` added to those of `base`; null takes one away.
pub(crate) fn merged(mut base: Value, more: Value) -> Value {
    let into = base.as_object_mut().expect("an object");
    for (name, value) in more.as_object().expect("an object") {
        if value.is_null() {
            into.remove(name);
        } else {
            into.insert(name.clone(), value.clone());
        }
    }
    base
}

pub(crate) fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).expect("usable keys")
}

/// All keys of this provider, named by kind.
pub(crate) fn keys() -> KeySet {
    let named = [(&*RSA, "rsa"), (&*P256, "p256"), (&*P384, "p384"), (&*ED, "ed")];
    key_set(&named.map(|(signer, kid)| signer.named(kid, json!({"use": "sig"}))))
}

pub(crate) fn expected() -> Expected<'static> {
    let leeway = Duration::from_secs(60);
    Expected { issuer: ISSUER, audience: CLIENT, also_audiences: &[], algorithms: &Algorithm::ALL, now: NOW, leeway }
}

pub(crate) fn header(algorithm: &str, kid: &str) -> Value {
    json!({"alg": algorithm, "kid": kid, "typ": "JWT"})
}

/// What a provider says after a login in a browser.
pub(crate) fn id_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "azp": CLIENT, "sub": "5e1c", "sid": "zX-1", "nonce": "n-1", "typ": "ID",
        "iat": NOW.as_secs(), "exp": NOW.as_secs() + 300, "auth_time": NOW.as_secs() - 5, "acr": "1", "amr": ["pwd", "otp"],
        "groups": ["/platform/sre"]
    })
}

/// As Keycloak 26 sends it.
pub(crate) fn logout_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "5e1c", "sid": "zX-1", "jti": "j-1", "typ": "Logout",
        "iat": NOW.as_secs(), "exp": NOW.as_secs() + 120, "events": {LOGOUT: {}, "revoke_offline_access": true}
    })
}

/// As a CI system issues it.
pub(crate) fn workload_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": [CLIENT, "other"], "azp": "ci", "sub": "repo:acme/app:ref:refs/heads/main", "ref": "refs/heads/main",
        "iat": NOW.as_secs(), "nbf": NOW.as_secs() - 5, "exp": NOW.as_secs() + 600
    })
}
