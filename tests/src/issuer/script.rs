//! What a provider does beyond the right thing: one field for each thing that a case may change. How the right thing is done lives in
//! `flow`.

use super::form::Form;
use super::http::Answer;
use super::token::Token;
use serde_json::Value;

/// A change of what would have been right.
pub type Change<T> = fn(T) -> T;

/// How one address answers.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// What becomes of the right JSON.
    pub edit: Change<Value>,
    /// Another answer in its place; told the issuer.
    pub instead: Option<fn(&str) -> Answer>,
}

/// What a provider does.
#[derive(Clone, Copy)]
pub struct Script {
    /// `/.well-known/openid-configuration`.
    pub discovery: Endpoint,
    /// The key set.
    pub keys: Endpoint,
    /// The answer to a code.
    pub token: Endpoint,
    /// The answer to a refresh token.
    pub refresh: Endpoint,
    /// The claims once more.
    pub userinfo: Endpoint,
    /// The beginning of the device flow.
    pub device: Endpoint,
    /// The answer to a device code.
    pub poll: Endpoint,
    /// The id token of a login.
    pub id_token: Change<Token>,
    /// The id token of a refresh.
    pub refreshed: Change<Token>,
    /// What the browser brings back.
    pub redirect: Change<Form>,
    /// Who signs in: the claims, `sub` among them.
    pub person: Change<Value>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { edit: |right| right, instead: None }
    }
}

impl Endpoint {
    /// What is answered.
    pub fn answer(&self, issuer: &str, right: Value) -> Answer {
        self.instead.map_or_else(|| Answer::json(200, &(self.edit)(right)), |instead| instead(issuer))
    }
}

impl Default for Script {
    fn default() -> Self {
        let right = Endpoint::default();
        Self {
            discovery: right,
            keys: right,
            token: right,
            refresh: right,
            userinfo: right,
            device: right,
            poll: right,
            id_token: |token| token,
            refreshed: |token| token,
            redirect: |query| query,
            person: |claims| claims,
        }
    }
}

/// JSON with a member of this value.
#[must_use]
pub fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// JSON without a member.
#[must_use]
pub fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().and_then(|members| members.remove(name));
    object
}
