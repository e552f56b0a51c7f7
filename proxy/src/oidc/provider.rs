//! What is known of each provider: its description and its keys, fetched when they are needed, kept while they are good, and never
//! asked for more often than a stranger's token may make us. Nothing here knows who signs in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use access::connector::ProviderSpec;
use wire::oidc::{Algorithm, Discovery, DiscoveryFault, Expected, KeySet, KeySetFault, Nonce, TokenFault, TokenIssuer};

use super::http::{BadProvider, Web, WebError};
use crate::clock;

/// How long a description counts as new.
const DISCOVERY_LIFE: Duration = Duration::from_secs(3600);
/// Between two fetches of keys, whatever came of them.
const KEYS_FLOOR: Duration = Duration::from_secs(30);
/// How long keys count as new: one that a provider takes back, since it was stolen perhaps, counts no longer than that here.
const KEYS_LIFE: Duration = Duration::from_secs(600);
/// After a fetch that failed, where there is nothing from before.
const RETRY_FLOOR: Duration = Duration::from_secs(5);
/// How far the provider's clock may be from ours.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);
/// Most providers that are kept: more than anybody declares.
const MAX_PROVIDERS: usize = 512;

/// A provider cannot be used now, or what it said cannot.
#[derive(Debug, Clone, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum ProviderError {
    #[error("the identity provider cannot be asked: {0}")]
    Away(Arc<WebError>),
    #[error("the identity provider answered {status} at {what}")]
    Status { what: &'static str, status: u16 },
    #[error("{0}")]
    Discovery(DiscoveryFault),
    #[error("{0}")]
    Keys(KeySetFault),
    #[error("{0}")]
    Bad(Arc<BadProvider>),
}

/// Why something that was signed is not believed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Unbelieved {
    /// What is wrong with it.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// The keys could not be had.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// Which kind of description is read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Described {
    People(Arc<Discovery>),
    Tokens(Arc<TokenIssuer>),
}

impl Described {
    fn jwks_uri(&self) -> &str {
        match self {
            Self::People(of) => &of.jwks_uri,
            Self::Tokens(of) => &of.jwks_uri,
        }
    }
    fn algorithms(&self) -> &[Algorithm] {
        match self {
            Self::People(of) => &of.algorithms,
            Self::Tokens(of) => &of.algorithms,
        }
    }
}

#[derive(Default)]
struct Known {
    described: Option<(Described, Instant)>,
    /// With the moment when they came.
    keys: Option<(Arc<KeySet>, Instant)>,
    /// The last time that keys were asked for, whatever came.
    asked: Option<Instant>,
    failed: Option<(Instant, ProviderError)>,
}

/// How a token of one kind is checked.
pub(super) type Check<T> = fn(&str, &KeySet, &Expected<'_>, Nonce<'_>) -> Result<T, TokenFault>;

/// One provider.
pub(crate) struct Provider {
    pub(super) spec: ProviderSpec,
    pub(super) web: Web,
    /// Whether it is for people, who need endpoints, or signs tokens of machines only.
    people: bool,
    known: Mutex<Known>,
    /// One fetch at a time; whoever waited looks again at what is known.
    fetching: tokio::sync::Mutex<()>,
}

impl Provider {
    fn new(spec: ProviderSpec, people: bool) -> Result<Self, ProviderError> {
        let web = Web::new(&spec).map_err(|error| ProviderError::Bad(Arc::new(error)))?;
        Ok(Self { spec, web, people, known: Mutex::default(), fetching: tokio::sync::Mutex::new(()) })
    }

    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The description for people's sign-ins.
    pub(super) async fn discovery(&self) -> Result<Arc<Discovery>, ProviderError> {
        match self.described().await? {
            Described::People(discovery) => Ok(discovery),
            Described::Tokens(_) => Err(ProviderError::Status { what: "its discovery document", status: 0 }),
        }
    }

    async fn described(&self) -> Result<Described, ProviderError> {
        let now = Instant::now();
        let fresh = |known: &mut Known| known.described.clone().filter(|(_, at)| now.duration_since(*at) < DISCOVERY_LIFE);
        if let Some((described, _)) = self.known(fresh) {
            return Ok(described);
        }
        let _one = self.fetching.lock().await;
        if let Some((described, _)) = self.known(fresh) {
            return Ok(described);
        }
        // One that did not answer a moment ago is not asked by each of many who wait.
        if let Some((_, error)) = self.known(|known| known.failed.clone().filter(|(at, _)| at.elapsed() < RETRY_FLOOR)) {
            return self.last_good(error);
        }
        match self.fetch_description().await {
            Ok(described) => {
                self.known(|known| {
                    known.described = Some((described.clone(), Instant::now()));
                    known.failed = None;
                });
                Ok(described)
            }
            Err(error) => {
                self.known(|known| known.failed = Some((Instant::now(), error.clone())));
                self.last_good(error)
            }
        }
    }

    /// What was good stays in use when the new one is not.
    fn last_good(&self, error: ProviderError) -> Result<Described, ProviderError> {
        match self.known(|known| known.described.clone()) {
            Some((described, _)) => {
                tracing::warn!(issuer = self.spec.issuer, %error, "the provider's description could not be renewed; the one before stays");
                Ok(described)
            }
            None => Err(error),
        }
    }

    async fn fetch_description(&self) -> Result<Described, ProviderError> {
        let url = format!("{}/.well-known/openid-configuration", self.spec.issuer.trim_end_matches('/'));
        let body = self.get("its discovery document", &url).await?;
        let (issuer, hosts) = (&self.spec.issuer, &self.spec.endpoint_hosts);
        Ok(if self.people {
            Described::People(Arc::new(Discovery::parse(&body, issuer, hosts).map_err(ProviderError::Discovery)?))
        } else {
            Described::Tokens(Arc::new(TokenIssuer::parse(&body, issuer, hosts).map_err(ProviderError::Discovery)?))
        })
    }

    async fn get(&self, what: &'static str, url: &str) -> Result<Vec<u8>, ProviderError> {
        let answer = self.web.get(url).await.map_err(|error| ProviderError::Away(Arc::new(error)))?;
        if answer.status().as_u16() != 200 {
            return Err(ProviderError::Status { what, status: answer.status().as_u16() });
        }
        Ok(answer.into_body())
    }

    /// The keys that are known, fetched where there are none or they are old. Old ones stay in use where newer ones cannot be had.
    pub(super) async fn keys(&self) -> Result<Arc<KeySet>, ProviderError> {
        match self.known(|known| known.keys.clone()) {
            Some((keys, at)) if at.elapsed() < KEYS_LIFE => Ok(keys),
            known => self.fetch_keys(known.map(|(keys, _)| keys).as_ref()).await,
        }
    }

    /// Keys that are newer than `than`, or those that are known where it is too early to ask again.
    async fn fetch_keys(&self, than: Option<&Arc<KeySet>>) -> Result<Arc<KeySet>, ProviderError> {
        let described = self.described().await?;
        let _one = self.fetching.lock().await;
        let (keys, asked) = self.known(|known| (known.keys.clone(), known.asked));
        if let Some((keys, _)) = keys {
            let newer = than.is_some_and(|than| !Arc::ptr_eq(than, &keys));
            if newer || asked.is_some_and(|at| at.elapsed() < KEYS_FLOOR) {
                return Ok(keys);
            }
        } else if let Some((_, error)) = self.known(|known| known.failed.clone().filter(|(at, _)| at.elapsed() < RETRY_FLOOR)) {
            return Err(error);
        }
        self.known(|known| known.asked = Some(Instant::now()));
        let fetched = match self.get("its keys", described.jwks_uri()).await {
            Ok(body) => KeySet::parse(&body).map_err(ProviderError::Keys),
            Err(error) => Err(error),
        };
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                self.known(|known| known.keys = Some((keys.clone(), Instant::now())));
                Ok(keys)
            }
            Err(error) => {
                self.known(|known| known.failed = Some((Instant::now(), error.clone())));
                self.known(|known| known.keys.clone()).map(|(keys, _)| keys).ok_or(error)
            }
        }
    }

    /// Algorithms that count: the provider's, or those of them that the declaration names.
    async fn algorithms(&self) -> Result<Vec<Algorithm>, ProviderError> {
        let described = self.described().await?;
        let wanted: Vec<Algorithm> = self.spec.algorithms.iter().filter_map(|name| name.parse().ok()).collect();
        let all = described.algorithms().iter().copied();
        Ok(if self.spec.algorithms.is_empty() { all.collect() } else { all.filter(|algorithm| wanted.contains(algorithm)).collect() })
    }

    /// Believes a token, with one look for newer keys where its key is not known.
    pub(super) async fn believe<T>(
        &self,
        audience: &str,
        also: &[String],
        token: &str,
        nonce: Nonce<'_>,
        check: Check<T>,
    ) -> Result<T, Unbelieved> {
        let algorithms = self.algorithms().await?;
        let expected = Expected {
            issuer: &self.spec.issuer,
            audience,
            also_audiences: also,
            algorithms: &algorithms,
            now: clock::now(),
            leeway: LEEWAY,
        };
        let keys = self.keys().await?;
        match check(token, &keys, &expected, nonce) {
            Err(TokenFault::UnknownKey { kid }) => {
                let newer = self.fetch_keys(Some(&keys)).await?;
                if Arc::ptr_eq(&newer, &keys) {
                    return Err(TokenFault::UnknownKey { kid }.into());
                }
                Ok(check(token, &newer, &expected, nonce)?)
            }
            other => Ok(other?),
        }
    }
}

/// By what is declared, and whether people sign in there.
type Needed = HashMap<(ProviderSpec, bool), Arc<Provider>>;

/// Every provider that was needed so far.
#[derive(Clone, Default)]
pub(crate) struct Providers(Arc<Mutex<Needed>>);

impl Providers {
    /// One where people sign in.
    pub(super) fn of_people(&self, spec: ProviderSpec) -> Result<Arc<Provider>, ProviderError> {
        self.get(spec, true)
    }

    /// One whose tokens machines show.
    pub(super) fn of_machines(&self, spec: ProviderSpec) -> Result<Arc<Provider>, ProviderError> {
        self.get(spec, false)
    }

    fn get(&self, spec: ProviderSpec, people: bool) -> Result<Arc<Provider>, ProviderError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (spec, people);
        if let Some(provider) = all.get(&key) {
            return Ok(provider.clone());
        }
        let provider = Arc::new(Provider::new(key.0.clone(), people)?);
        // Only what was declared once comes here; old declarations are forgotten all at once, and learnt again where they are not old.
        if all.len() >= MAX_PROVIDERS {
            all.clear();
        }
        all.insert(key, provider.clone());
        Ok(provider)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub::Stub;
    use super::*;

    #[tokio::test]
    async fn keys_that_were_taken_back_count_no_longer_than_their_life() {
        let stub = Stub::start(|_| {}).await;
        let provider = Provider::new(ProviderSpec { issuer: stub.issuer.clone(), ..ProviderSpec::default() }, true).expect("a provider");
        let first = provider.keys().await.expect("keys");
        assert!(Arc::ptr_eq(&first, &provider.keys().await.expect("keys")), "known");
        let long_ago = Instant::now().checked_sub(KEYS_LIFE).expect("this machine is up for longer");
        provider.known(|known| (known.keys, known.asked) = (Some((first.clone(), long_ago)), Some(long_ago)));
        assert!(!Arc::ptr_eq(&first, &provider.keys().await.expect("keys")), "asked for again");
    }
}
