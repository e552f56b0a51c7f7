//! A realm as `tests/keycloak/realm.json` describes it, and what an administrator does in it: people log out, move, are disabled; clients
//! and keys change. Each call is one or two of Keycloak's own; none waits for what Naru makes of it.

use super::admin::Admin;
use super::http::query;
use serde_json::{Value, json};

const TEMPLATE: &str = include_str!("../../keycloak/realm.json");

/// A realm of one test.
pub struct Realm<'a> {
    admin: &'a Admin,
    name: String,
}

/// What somebody knows and holds when they sign in.
#[derive(Debug, Clone)]
pub struct Person {
    /// The user name.
    pub name: String,
    /// The password.
    pub password: String,
    /// The secret in the app on the phone.
    pub totp: Option<Vec<u8>>,
}

impl Person {
    /// One of the realm file: `minji` and `taeho` (with TOTP) in `/platform/sre`, `jun` in `/product/shop`, `sora` with the realm role
    /// `security-officer`, `hana` who is disabled.
    pub fn of(name: &str) -> Self {
        let totp = (name == "taeho").then(|| b"taeho-secret-of-20-b".to_vec());
        Self { name: name.into(), password: format!("{name}-password"), totp }
    }
}

impl<'a> Realm<'a> {
    pub(super) fn create(admin: &'a Admin, name: &str, naru: &str) -> Result<Self, String> {
        let filled = TEMPLATE.replace("@REALM@", name).replace("@NARU@", naru);
        let realm: Value = serde_json::from_str(&filled).map_err(|e| format!("realm.json: {e}"))?;
        admin.call("POST", "", Some(&realm))?;
        Ok(Self { admin, name: name.into() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The issuer, as it stands in tokens.
    pub fn issuer(&self) -> String {
        format!("{}/realms/{}", self.admin.url(), self.name)
    }

    /// An endpoint: `auth`, `token`, `auth/device`, `logout`, `userinfo`, `certs`, `revoke`.
    pub fn endpoint(&self, name: &str) -> String {
        format!("{}/protocol/openid-connect/{name}", self.issuer())
    }

    /// Any other call of the Admin API: the path below the realm, with its slash.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        self.admin.call(method, &format!("/{}{path}", self.name), body)
    }

    /// The id of a user, which is the `sub` of tokens.
    pub fn user(&self, name: &str) -> Result<String, String> {
        self.id_of(&format!("/users?{}", query(&[("username", name), ("exact", "true")])), name)
    }

    /// Ends all sessions of a user, as the console's button does.
    pub fn logout(&self, user: &str) -> Result<(), String> {
        self.call("POST", &format!("/users/{}/logout", self.user(user)?), None).map(drop)
    }

    /// Ends one session.
    pub fn end_session(&self, sid: &str) -> Result<(), String> {
        self.call("DELETE", &format!("/sessions/{sid}"), None).map(drop)
    }

    /// The sessions of a user; `id` is the `sid` of tokens.
    pub fn sessions(&self, user: &str) -> Result<Vec<Value>, String> {
        list(&self.call("GET", &format!("/users/{}/sessions", self.user(user)?), None)?)
    }

    /// Disables an account. Keycloak leaves its sessions there and refuses their refresh.
    pub fn disable(&self, user: &str) -> Result<(), String> {
        self.set_user(user, &json!({ "enabled": false }))
    }

    /// Enables it again.
    pub fn enable(&self, user: &str) -> Result<(), String> {
        self.set_user(user, &json!({ "enabled": true }))
    }

    /// Changes fields of an account.
    pub fn set_user(&self, user: &str, fields: &Value) -> Result<(), String> {
        let path = format!("/users/{}", self.user(user)?);
        let changed = merged(self.call("GET", &path, None)?, fields);
        self.call("PUT", &path, Some(&changed)).map(drop)
    }

    /// Removes an account.
    pub fn delete(&self, user: &str) -> Result<(), String> {
        self.call("DELETE", &format!("/users/{}", self.user(user)?), None).map(drop)
    }

    /// Puts a user in a group, by its path.
    pub fn join(&self, user: &str, group: &str) -> Result<(), String> {
        self.call("PUT", &format!("/users/{}/groups/{}", self.user(user)?, self.group(group)?), None).map(drop)
    }

    /// Takes a user out of a group.
    pub fn leave(&self, user: &str, group: &str) -> Result<(), String> {
        self.call("DELETE", &format!("/users/{}/groups/{}", self.user(user)?, self.group(group)?), None).map(drop)
    }

    /// Gives a user a realm role, or takes it with `DELETE`.
    pub fn realm_role(&self, method: &str, user: &str, role: &str) -> Result<(), String> {
        let role = self.call("GET", &format!("/roles/{role}"), None)?;
        self.call(method, &format!("/users/{}/role-mappings/realm", self.user(user)?), Some(&json!([role]))).map(drop)
    }

    /// Changes settings of the realm.
    pub fn set(&self, fields: &Value) -> Result<(), String> {
        self.call("PUT", "", Some(&merged(self.call("GET", "", None)?, fields))).map(drop)
    }

    /// Changes a client: `change` gets Keycloak's own representation.
    pub fn set_client(&self, client: &str, change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let id = self.id_of(&format!("/clients?{}", query(&[("clientId", client)])), client)?;
        let path = format!("/clients/{id}");
        let mut client = self.call("GET", &path, None)?;
        change(&mut client);
        self.call("PUT", &path, Some(&client)).map(drop)
    }

    /// Sets one attribute of a client.
    pub fn set_client_attribute(&self, client: &str, name: &str, value: &str) -> Result<(), String> {
        self.set_client(client, |client| client["attributes"][name] = value.into())
    }

    /// Allows one more redirect URI.
    pub fn add_client_redirect(&self, client: &str, uri: &str) -> Result<(), String> {
        self.set_client(client, |client| {
            if let Some(all) = client["redirectUris"].as_array_mut() {
                all.push(uri.into());
            }
        })
    }

    /// Makes a new key that signs from now on; the old ones still verify.
    pub fn rotate_keys(&self) -> Result<(), String> {
        let id = &self.call("GET", "", None)?["id"];
        let config = json!({ "priority": ["200"], "algorithm": ["RS256"], "keySize": ["2048"] });
        let component = json!({ "name": "newer", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
            "parentId": id, "config": config });
        self.call("POST", "/components", Some(&component)).map(drop)
    }

    /// What happened at sign-in, newest first: `type`, `error`, `clientId`, `userId`.
    pub fn events(&self) -> Result<Vec<Value>, String> {
        list(&self.call("GET", "/events", None)?)
    }

    fn group(&self, path: &str) -> Result<String, String> {
        let group = self.call("GET", &format!("/group-by-path{path}"), None)?;
        group["id"].as_str().map(str::to_owned).ok_or_else(|| format!("there is no group {path}"))
    }

    fn id_of(&self, path: &str, name: &str) -> Result<String, String> {
        let found = self.call("GET", path, None)?;
        found[0]["id"].as_str().map(str::to_owned).ok_or_else(|| format!("Keycloak knows no {name} in {}", self.name))
    }
}

fn merged(mut whole: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().into_iter().flatten() {
        whole[name] = value.clone();
    }
    whole
}

fn list(value: &Value) -> Result<Vec<Value>, String> {
    value.as_array().cloned().ok_or_else(|| format!("no list but {value}"))
}
