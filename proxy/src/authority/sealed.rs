//! Secrets of others that must be kept to be used: client secrets, refresh tokens. In the store they are sealed with a key that is not.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ask::{Ask, SignError, sealed};
use super::keyring::Keyring;

/// AES-256-GCM: nonce, ciphertext and tag in base64. Bound to its place, so that it opens nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sealed(String);

/// Bytes of a nonce (NIST SP 800-38D).
const NONCE: usize = 12;

/// Seals a secret for one place, such as `connector/keycloak`.
pub(crate) struct Seal<'a> {
    pub(crate) place: &'a str,
    pub(crate) secret: &'a [u8],
}

impl sealed::Sealed for Seal<'_> {}
impl Ask for Seal<'_> {
    type Answer = Sealed;
    fn answer(self, keys: &Keyring) -> Result<Sealed, SignError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &keys.secrets[..]).map_err(SignError::of)?;
        let mut text = self.secret.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(self.place.as_bytes()), &mut text).map_err(SignError::of)?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.extend_from_slice(&text);
        Ok(Sealed(STANDARD_NO_PAD.encode(bytes)))
    }
}

/// Opens what was sealed for this place.
pub(crate) struct Unseal<'a> {
    pub(crate) place: &'a str,
    pub(crate) sealed: &'a Sealed,
}

impl sealed::Sealed for Unseal<'_> {}
impl Ask for Unseal<'_> {
    type Answer = Zeroizing<String>;
    fn answer(self, keys: &Keyring) -> Result<Zeroizing<String>, SignError> {
        let bad = |_| SignError::of("a stored secret cannot be opened: it was sealed with another key, or damaged");
        let bytes = STANDARD_NO_PAD.decode(&self.sealed.0).map_err(|_| bad(aws_lc_rs::error::Unspecified))?;
        let (nonce, text) = bytes.split_at_checked(NONCE).ok_or_else(|| bad(aws_lc_rs::error::Unspecified))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(bad)?;
        let mut text = Zeroizing::new(text.to_vec());
        let key = RandomizedNonceKey::new(&AES_256_GCM, &keys.secrets[..]).map_err(bad)?;
        let plain = key.open_in_place(nonce, Aad::from(self.place.as_bytes()), &mut text).map_err(bad)?;
        String::from_utf8(plain.to_vec()).map(Zeroizing::new).map_err(|_| bad(aws_lc_rs::error::Unspecified))
    }
}

/// Signs a client assertion for a provider (RFC 7523 section 2.2) with a sealed key of ours, P-256.
pub(crate) struct SignAssertion<'a> {
    pub(crate) place: &'a str,
    pub(crate) key: &'a Sealed,
    pub(crate) kid: &'a str,
    pub(crate) claims: &'a serde_json::Value,
}

impl sealed::Sealed for SignAssertion<'_> {}
impl Ask for SignAssertion<'_> {
    type Answer = String;
    fn answer(self, keys: &Keyring) -> Result<String, SignError> {
        let pkcs8 = Unseal { place: self.place, sealed: self.key }.answer(keys)?;
        let der = Zeroizing::new(hex::decode(pkcs8.as_bytes()).map_err(SignError::of)?);
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.kid = Some(self.kid.to_owned());
        jsonwebtoken::encode(&header, self.claims, &jsonwebtoken::EncodingKey::from_ec_der(&der)).map_err(SignError::of)
    }
}
