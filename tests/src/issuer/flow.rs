//! What a provider of OpenID Connect does when nothing is changed: authorization code with PKCE (OpenID Connect Core 1.0 section 3.1,
//! RFC 7636, RFC 9207), refresh tokens that rotate, and the device flow (RFC 8628). It is strict with its client and keeps what the
//! client did wrong.

use super::form::Form;
use super::http::{Answer, Request};
use super::keys::{challenge, random};
use super::token::{Token, now};
use super::{CLIENT, Issuer};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// A login at the provider.
#[derive(Debug, Clone)]
struct Login {
    person: Value,
    sid: String,
    began: u64,
}

/// A code that waits for its exchange.
#[derive(Debug)]
struct Code {
    login: Login,
    nonce: Option<String>,
    challenge: String,
    redirect: String,
    used: bool,
}

/// A device that waits for its person.
#[derive(Debug)]
struct Device {
    user_code: String,
    word: Option<bool>,
}

/// Everything that the provider remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    codes: HashMap<String, Code>,
    devices: HashMap<String, Device>,
    /// Refresh tokens, with whether each was used.
    refreshes: HashMap<String, (Login, bool)>,
    ended: Vec<String>,
    pub(super) wrongs: Vec<String>,
    pub(super) asked: Vec<Form>,
    pub(super) given: Vec<String>,
    pub(super) client_keys: Option<Value>,
    pub(super) assertions: HashSet<String>,
    pub(super) bodies: Vec<String>,
}

impl Issuer {
    /// What a browser does whose person is signed in and agrees: from the address that it is sent to, to the query that it brings back.
    pub fn authorize(&self, browse: &str) -> Form {
        self.authorize_as(browse, self.person())
    }

    /// The same for somebody else: `person` is the claims, `sub` among them.
    pub fn authorize_as(&self, browse: &str, person: Value) -> Form {
        self.count("authorize");
        let (address, query) = browse.split_once('?').unwrap_or((browse, ""));
        let asked = Form::read(query);
        let mut memory = self.memory();
        let checks = [
            (address == format!("{}/authorize", self.url), "authorization at another address"),
            (asked.text("response_type") == "code", "no response_type=code"),
            (asked.text("client_id") == CLIENT, "another client id"),
            (asked.text("redirect_uri").starts_with("http"), "no redirect_uri"),
            (asked.text("state").len() >= 22, "a state that could be guessed"),
            (asked.text("nonce").len() >= 22, "a nonce that could be guessed"),
            (asked.text("code_challenge").len() == 43 && asked.text("code_challenge_method") == "S256", "no PKCE with S256"),
            (asked.text("scope").split(' ').any(|scope| scope == "openid"), "no scope openid"),
            (asked.get("client_secret").is_none(), "the secret in a browser"),
        ];
        memory.wrongs.extend(checks.into_iter().filter(|(good, _)| !good).map(|(_, wrong)| wrong.to_owned()));
        let code = random();
        let login = Login { person, sid: random(), began: now() };
        let (nonce, challenge) = (asked.get("nonce").map(str::to_owned), asked.text("code_challenge").to_owned());
        let kept = Code { login, nonce, challenge, redirect: asked.text("redirect_uri").into(), used: false };
        memory.given.push(code.clone());
        memory.codes.insert(code.clone(), kept);
        let right = Form::default().also("state", asked.text("state")).also("code", &code).also("iss", &self.url);
        memory.asked.push(asked);
        drop(memory);
        (self.script().redirect)(right)
    }

    /// The session that a code belongs to, by its `sid`.
    pub fn sid_of(&self, code: &str) -> String {
        self.memory().codes.get(code).map(|code| code.login.sid.clone()).unwrap_or_default()
    }

    /// The person of a device says yes or no to its user code.
    pub fn answer_device(&self, user_code: &str, word: bool) {
        let mut memory = self.memory();
        memory.devices.values_mut().filter(|device| device.user_code == user_code).for_each(|device| device.word = Some(word));
    }

    /// Ends every session of a person: refresh tokens are worth nothing from now on.
    pub fn end_sessions(&self, sub: &str) {
        self.memory().ended.push(sub.to_owned());
    }

    pub(super) fn token_endpoint(&self, request: &Request) -> Answer {
        let form = Form::read(&request.body);
        let known = self.is_client(request, &form);
        let named = match form.text("grant_type") {
            "authorization_code" => "token",
            "refresh_token" => "refresh",
            "urn:ietf:params:oauth:grant-type:device_code" => "poll",
            _ => "other",
        };
        self.count(named);
        if !known {
            self.wrong("a token request without the client's secret");
            return refused(401, "invalid_client");
        }
        match named {
            "token" => self.exchange(&form),
            "refresh" => self.refresh(form.text("refresh_token")),
            "poll" => self.poll(form.text("device_code")),
            _ => refused(400, "unsupported_grant_type"),
        }
    }

    fn exchange(&self, form: &Form) -> Answer {
        let mut memory = self.memory();
        let Some(code) = memory.codes.get_mut(form.text("code")) else { return refused(400, "invalid_grant") };
        let proven = challenge(form.text("code_verifier")) == code.challenge;
        let again = std::mem::replace(&mut code.used, true);
        let same = form.text("redirect_uri") == code.redirect;
        let (login, nonce) = (code.login.clone(), code.nonce.clone());
        drop(memory);
        let checks = [(proven, "a verifier that fits no challenge"), (!again, "a code twice"), (same, "another redirect_uri")];
        if let Some((_, wrong)) = checks.iter().find(|(good, _)| !good) {
            self.wrong(wrong);
            return refused(400, "invalid_grant");
        }
        let mut token = self.id_token(&login);
        if let Some(nonce) = nonce {
            token = token.claim("nonce", json!(nonce));
        }
        let script = self.script();
        script.token.answer(&self.url, self.answer(login, &(script.id_token)(token)))
    }

    fn refresh(&self, refresh: &str) -> Answer {
        let mut memory = self.memory();
        let Some((login, used)) = memory.refreshes.get_mut(refresh) else { return refused(400, "invalid_grant") };
        let again = std::mem::replace(used, true);
        let login = login.clone();
        let over = login.person["sub"].as_str().is_some_and(|sub| memory.ended.iter().any(|ended| ended == sub));
        drop(memory);
        if again {
            self.wrong("a refresh token twice");
        }
        if again || over {
            return refused(400, "invalid_grant");
        }
        let script = self.script();
        // Who the person is now, and not who they were: groups may have changed.
        let login = if login.person["sub"] == self.person()["sub"] { Login { person: self.person(), ..login } } else { login };
        let token = (script.refreshed)(self.id_token(&login));
        script.refresh.answer(&self.url, self.answer(login, &token))
    }

    pub(super) fn device_endpoint(&self, request: &Request) -> Answer {
        self.count("device");
        if !self.is_client(request, &Form::read(&request.body)) {
            return refused(401, "invalid_client");
        }
        let (device_code, user_code) = (random(), random().chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>());
        self.memory().devices.insert(device_code.clone(), Device { user_code: user_code.clone(), word: None });
        let (page, whole) = (format!("{}/activate", self.url), format!("{}/activate?user_code={user_code}", self.url));
        let right = json!({"device_code": device_code, "user_code": user_code, "verification_uri": page, "verification_uri_complete": whole,
            "expires_in": 600, "interval": 1});
        self.script().device.answer(&self.url, right)
    }

    fn poll(&self, device_code: &str) -> Answer {
        let script = self.script();
        if let Some(instead) = script.poll.instead {
            return instead(&self.url);
        }
        let word = self.memory().devices.get(device_code).map(|device| device.word);
        match word {
            None => refused(400, "expired_token"),
            Some(None) => refused(400, "authorization_pending"),
            Some(Some(false)) => refused(400, "access_denied"),
            Some(Some(true)) => {
                self.memory().devices.remove(device_code);
                let login = Login { person: self.person(), sid: random(), began: now() };
                let token = (script.id_token)(self.id_token(&login));
                script.poll.answer(&self.url, self.answer(login, &token))
            }
        }
    }

    fn id_token(&self, login: &Login) -> Token {
        let token = Token::of(&self.url, CLIENT).claims(&login.person);
        token.claim("sid", json!(login.sid)).claim("auth_time", json!(login.began)).claim("azp", json!(CLIENT)).claim("acr", json!("1"))
    }

    fn answer(&self, login: Login, id_token: &Token) -> Value {
        let (access, refresh, id) = (random(), random(), id_token.written());
        let mut memory = self.memory();
        memory.refreshes.insert(refresh.clone(), (login, false));
        memory.given.extend([access.clone(), refresh.clone(), id.clone()]);
        json!({"access_token": access, "token_type": "Bearer", "expires_in": 60, "refresh_token": refresh, "id_token": id,
            "scope": "openid profile"})
    }
}

/// The error of RFC 6749 section 5.2.
fn refused(status: u16, error: &str) -> Answer {
    Answer::json(status, &json!({"error": error, "error_description": "as the case wants it"}))
}
