//! How the client shows the provider that it is the client: its secret (RFC 6749 section 2.3.1), or a JWT of its own key (RFC 7523,
//! OpenID Connect Core 1.0 section 9). What it asks for then is answered elsewhere.

use super::form::Form;
use super::http::Request;
use super::token::now;
use super::{CLIENT, Issuer, SECRET};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

impl Issuer {
    /// Knows the client by these keys from now on, and by no secret.
    pub fn set_client_keys(&self, key_set: Value) {
        self.memory().client_keys = Some(key_set);
    }

    pub(super) fn is_client(&self, request: &Request, form: &Form) -> bool {
        let keys = self.memory().client_keys.clone();
        match keys {
            None => has_secret(request, form),
            Some(keys) => {
                let jti = self.asserted(form.text("client_assertion"), &keys);
                let known = form.text("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                // An assertion counts once.
                known && jti.is_some_and(|jti| self.memory().assertions.insert(jti))
            }
        }
    }

    /// The id of an assertion that a key of the client signed for us, now.
    fn asserted(&self, assertion: &str, keys: &Value) -> Option<String> {
        let (message, signature) = assertion.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let json = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let (header, claims) = (json(header)?, json(claims)?);
        let key = keys["keys"].as_array()?.iter().find(|key| key["kid"] == header["kid"] && header["alg"] == "ES256")?;
        let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok();
        let point = [vec![4], part("x")?, part("y")?].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?)
            .ok()?;
        let ours = [self.url.clone(), format!("{}/token", self.url)];
        let named = |one: &Value| one.as_str().is_some_and(|one| ours.iter().any(|url| url == one));
        let for_us = named(&claims["aud"]) || claims["aud"].as_array().is_some_and(|all| !all.is_empty() && all.iter().all(named));
        let short = (now()..=now() + 300).contains(&claims["exp"].as_u64()?);
        let of_client = claims["iss"] == CLIENT && claims["sub"] == CLIENT;
        (for_us && short && of_client).then(|| claims["jti"].as_str().map(str::to_owned)).flatten()
    }
}

fn has_secret(request: &Request, form: &Form) -> bool {
    if (form.text("client_id"), form.text("client_secret")) == (CLIENT, SECRET) {
        return true;
    }
    let basic = request.authorization.as_deref().and_then(|text| text.strip_prefix("Basic "));
    let basic = basic.and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    basic.is_some_and(|pair| pair == format!("{CLIENT}:{SECRET}"))
}
