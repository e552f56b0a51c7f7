//! Keycloak's Admin REST API: a token of the administrator, and one call. What the calls mean is `realm.rs`'s.

use super::http::Curl;
use serde_json::Value;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Below the 60 s that a token of the master realm lives.
const TOKEN_USE: Duration = Duration::from_secs(40);

/// The administrator of a server.
pub(super) struct Admin {
    url: String,
    password: String,
    token: Mutex<Option<(String, Instant)>>,
}

impl Admin {
    pub(super) fn new(url: String, password: String) -> Self {
        Self { url, password, token: Mutex::new(None) }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends to a path below `/admin/realms`; the answer's body, null when there is none.
    pub(super) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let mut request = Curl::new(&format!("{}/admin/realms{path}", self.url)).method(method).bearer(&self.token()?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send()?.good().map_err(|e| format!("{method} {path}: {e}"))?;
        Ok(answer.json())
    }

    fn token(&self) -> Result<String, String> {
        let mut kept = self.token.lock().map_err(|e| e.to_string())?;
        if let Some((token, since)) = kept.as_ref()
            && since.elapsed() < TOKEN_USE
        {
            return Ok(token.clone());
        }
        let fields = [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "admin"), ("password", self.password.as_str())];
        let begun = Instant::now();
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.url);
        let answer = Curl::new(&url).form(&fields).send()?.good()?.json();
        let token = answer["access_token"].as_str().ok_or("Keycloak gave its administrator no token")?.to_owned();
        *kept = Some((token.clone(), begun));
        Ok(token)
    }
}
