//! From what a provider's token endpoint gave to a person who is proven: the one place where that is believed.

use std::time::Duration;

use access::connector::{ConnectorSpec, Kept};
use access::identity::{Auth, Method};
use access::time::Timestamp;
use access::words::{ConnectorName, UserName};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::OAuth2TokenResponse as _;
use serde_json::{Map, Value};
use wire::oidc::{IdToken, MAX_TOKEN, Nonce, WorkloadToken, claim, id_token, strings};

use super::client::{Client, Credential, Tokens};
use super::{NAME, Oidc, Refusal, UNBELIEVED};
use crate::authority::logins::{self, Provided, tokens_of};
use crate::authority::people::{NobodyError, Vouched};
use crate::authority::sealed::{Seal, SignAssertion, Unseal};
use crate::clock;
use crate::declared::StoredConnector;

/// Longest login without a way to ask the provider again.
const WITHOUT_REFRESH: Duration = Duration::from_secs(3600);
/// The word for an access token that its own provider refuses.
pub(super) const NOT_TAKEN: &str = "not_taken";
/// Life of a client assertion.
const ASSERTION_LIFE: Duration = Duration::from_secs(60);

/// The proof that a token was believed, for one login that may begin with it.
#[derive(Debug)]
pub(crate) struct Believed {
    sign_in: u64,
}

impl Believed {
    fn new() -> Self {
        let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
        // The two bits of the variant are put back to chance.
        Self { sign_in: low ^ uuid::Uuid::new_v4().as_u64_pair().0.rotate_left(32) }
    }
    /// By an ID token.
    fn of_person(_token: &IdToken) -> Self {
        Self::new()
    }
    /// By a machine's token.
    pub(super) fn of_machine(_token: &WorkloadToken) -> Self {
        Self::new()
    }
    /// The login that it may begin.
    pub(crate) fn sign_in(&self) -> u64 {
        self.sign_in
    }
}

/// Somebody of whom a provider said who they are.
#[derive(Debug, Clone)]
pub(crate) struct Proven {
    pub(crate) name: UserName,
    pub(crate) provided: Provided,
    pub(crate) auth: Auth,
    pub(crate) expires: Timestamp,
    /// Plain until a login is made of them.
    pub(super) refresh: Option<Plain>,
    pub(super) id_token: Plain,
    token: IdToken,
}

impl Proven {
    /// Whether the provider can be asked again.
    pub(crate) fn is_refreshable(&self) -> bool {
        self.refresh.is_some()
    }
}

/// A token on its way into the store.
#[derive(Clone)]
pub(super) struct Plain(pub(super) zeroize::Zeroizing<String>);

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plain(…)")
    }
}

/// What a token says, as far as it counts.
pub(super) struct Claims {
    pub(super) subject: String,
    /// With those of the userinfo endpoint where the token lacks some.
    pub(super) all: Map<String, Value>,
    /// The ID token and its text; none where a refresh gave none.
    pub(super) token: Option<(IdToken, String)>,
}

/// The claims that a connector names.
pub(super) fn kept(spec: &ConnectorSpec, all: &Map<String, Value>) -> Kept {
    let at = |path: &str| claim(all, path).map(strings);
    spec.paths().into_iter().filter_map(|path| Some((path.to_owned(), at(path)?))).collect()
}

impl Oidc {
    /// Our client at the connector's provider.
    pub(super) async fn client(&self, name: &ConnectorName, stored: &StoredConnector) -> Result<Client, Refusal> {
        let spec = &stored.spec;
        let provider = self.providers.of_people(spec.provider())?;
        let discovery = provider.discovery().await?;
        let place = format!("connector/{name}");
        let ours = |error| Refusal::new(super::AWAY, "declaration", format!("the connector's secret cannot be used: {error}"));
        let credential = match (&stored.secret, &stored.key) {
            (Some(secret), _) => {
                let secret = self.keys.ask(Unseal { place: &place, sealed: secret }).map_err(ours)?;
                Credential::Secret(secret.to_string())
            }
            (None, Some(key)) => {
                let (keys, key, client) = (self.keys.clone(), key.clone(), spec.client_id.clone());
                // One audience and no list: a provider may refuse an assertion that is made for others too. Our key is this connector's
                // alone, so that nobody else could use it.
                let audience = discovery.token_endpoint.clone();
                Credential::Assertion(Box::new(move || {
                    let now = clock::now();
                    let claims = serde_json::json!({
                        "iss": client, "sub": client, "aud": audience, "jti": uuid::Uuid::new_v4().to_string(),
                        "iat": now.as_secs(), "exp": now.plus(ASSERTION_LIFE).as_secs(),
                    });
                    keys.ask(SignAssertion { place: &place, key: &key.private, kid: &kid(&key.public), claims: &claims })
                }))
            }
            (None, None) => Credential::Public,
        };
        Ok(Client::new(provider.web.clone(), &discovery, &spec.client_id, credential, &spec.scopes)?)
    }

    /// Checks the ID token, and asks the userinfo endpoint for claims that it lacks. None where the provider gives neither.
    pub(super) async fn claims(
        &self,
        stored: &StoredConnector,
        client: &Client,
        tokens: &Tokens,
        nonce: Nonce<'_>,
    ) -> Result<Option<Claims>, Refusal> {
        let spec = &stored.spec;
        let provider = self.providers.of_people(spec.provider())?;
        let token = match tokens.id_token_text() {
            Some(text) => {
                let token = provider.believe(&spec.client_id, &spec.audiences, text, nonce, id_token).await?;
                Some((token, text.to_owned()))
            }
            None => None,
        };
        let mut all = token.as_ref().map(|(token, _)| token.claims().clone()).unwrap_or_default();
        let lacking = spec.paths().into_iter().chain([spec.username_claim()]).any(|path| claim(&all, path).is_none());
        let endpoint = provider.discovery().await?.userinfo_endpoint.clone();
        let said = match endpoint {
            Some(endpoint) if lacking => Some(client.user_info(&endpoint, tokens.access_token().secret()).await?),
            _ => None,
        };
        let refuse = |why: &str| Refusal::new(UNBELIEVED, "userinfo", format!("the provider's userinfo answer {why}"));
        let said = match said {
            // What is kept of it is read again with every change of policy.
            Some(body) if body.len() > MAX_TOKEN => return Err(refuse("is longer than any token may be")),
            Some(body) => Some(serde_json::from_slice::<Map<String, Value>>(&body).map_err(|_| refuse("is no JSON object"))?),
            None => None,
        };
        let about = said.as_ref().and_then(|said| said.get("sub")).and_then(Value::as_str).map(str::to_owned);
        let subject = match (&token, &said, about) {
            (None, None, _) => return Ok(None),
            (Some((token, _)), None, _) => token.subject().to_owned(),
            // OpenID Connect Core section 5.3.2: of another subject it must not be used.
            (Some((token, _)), Some(_), Some(about)) if about == token.subject() => about,
            (None, Some(_), Some(about)) => about,
            _ => return Err(Refusal::new(UNBELIEVED, "userinfo", "the provider's userinfo answer is about somebody else")),
        };
        for (key, value) in said.into_iter().flatten() {
            all.entry(key).or_insert(value);
        }
        Ok(Some(Claims { subject, all, token }))
    }

    /// Who it is, after the person came back from the provider.
    pub(super) async fn settle(
        &self,
        name: &ConnectorName,
        stored: &StoredConnector,
        client: &Client,
        tokens: &Tokens,
        nonce: Nonce<'_>,
    ) -> Result<Proven, Refusal> {
        let claims = self.claims(stored, client, tokens, nonce).await?;
        let missing = || Refusal::new(UNBELIEVED, "missing", "the provider gave no ID token");
        let Claims { subject, all, token } = claims.ok_or_else(missing)?;
        let (token, text) = token.ok_or_else(missing)?;
        let spec = &stored.spec;
        let handle = self.handle(spec, &subject, &all)?;
        let provided = Provided {
            issuer: spec.issuer.clone(),
            subject,
            connector: Some(name.clone()),
            kept: kept(spec, &all),
            sid: token.sid().map(str::to_owned),
        };
        self.people.may_be_called(&handle, &provided)?;
        let refresh = tokens.refresh_token().map(|token| Plain(zeroize::Zeroizing::new(token.secret().clone())));
        let most = spec.max_login.map_or(self.people.life(), |most| most.duration().min(self.people.life()));
        let most = if refresh.is_some() { most } else { most.min(WITHOUT_REFRESH) };
        Ok(Proven {
            name: handle,
            provided,
            auth: auth_of(&token),
            expires: clock::now().plus(most),
            refresh,
            id_token: Plain(zeroize::Zeroizing::new(text)),
            token,
        })
    }

    /// The name that the person has here, or gets now.
    fn handle(&self, spec: &ConnectorSpec, subject: &str, all: &Map<String, Value>) -> Result<UserName, Refusal> {
        if let Some(known) = self.live.now().handle(&spec.issuer, subject) {
            return Ok(known.clone());
        }
        let path = spec.username_claim();
        let said = claim(all, path).and_then(Value::as_str);
        let said = said
            .ok_or_else(|| Refusal::new(NAME, "name", format!("the provider says no name for the person: the claim {path} is missing")))?;
        said.to_ascii_lowercase().parse().map_err(|error: access::words::BadName| Refusal::new(NAME, "name", error.to_string()))
    }

    /// A person who is proven becomes one who may sign in.
    pub(crate) fn vouch(&self, proven: Proven) -> Result<Vouched, Refusal> {
        let proof = Believed::of_person(&proven.token);
        let place = tokens_of(proof.sign_in());
        let seal = |text: &Plain| {
            let sealed = self.keys.ask(Seal { place: &place, secret: text.0.as_bytes() });
            sealed.map_err(|error| NobodyError::Store(store::kv::KvError::Io(std::io::Error::other(error))))
        };
        let tokens = logins::Tokens {
            refresh: proven.refresh.as_ref().map(seal).transpose()?,
            id_token: Some(seal(&proven.id_token)?),
            confirmed: clock::now(),
        };
        let Proven { name, provided, auth, expires, .. } = proven;
        Ok(Vouched { name, provided, auth, tokens: Some(tokens), expires, proof })
    }
}

/// How somebody showed who they are, as the provider tells it.
pub(super) fn auth_of(token: &IdToken) -> Auth {
    Auth { method: Method::Oidc, time: token.auth_time(), acr: token.acr().map(str::to_owned), amr: token.amr() }
}

/// Our public key as a provider reads it (RFC 7517), from an uncompressed point in hex.
pub(crate) fn public_jwk(public: &str) -> Value {
    let point = hex::decode(public).unwrap_or_default();
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
    serde_json::json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid(public), "x": part(1..33), "y": part(33..65),
    })
}

/// The id of our key: a hash of its public half.
pub(crate) fn kid(public: &str) -> String {
    blake3::hash(public.as_bytes()).to_hex().chars().take(16).collect()
}
