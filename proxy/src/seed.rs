//! What a new install begins with: an administrator, and for the demo two people and their roles. Nothing that exists is changed.

use std::time::Duration;

use access::event::{Actor, Event, FieldChanges, What};
use access::policy::{Resource, Stated};
use access::words::UserName;
use store::kv::{Change, Expect, KvError};
use wire::link::{Address, SignInLink};

use crate::api::pin_of;
use crate::authority::one_time::Purpose;
use crate::build::Proxy;
use crate::clock;
use crate::declared::{Stored, key_of};

/// A new install could not be seeded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SeedError {
    #[error(transparent)]
    Store(#[from] KvError),
    #[error(transparent)]
    Log(#[from] recorder::LogError),
    #[error("{0}")]
    Other(String),
}

/// A one-time secret for somebody.
#[derive(Debug)]
pub struct Seeded(pub String);

impl Proxy {
    /// Writes those of these resources that do not exist yet.
    pub async fn seed(&self, resources: Vec<Stated>) -> Result<(), SeedError> {
        let mut writes = Vec::new();
        let mut last = None;
        for Stated { resource, labels, managed_by, .. } in resources {
            let key = key_of(resource.kind(), resource.name());
            if matches!(resource, Resource::OidcConnector { .. }) {
                return Err(SeedError::Other("a connector is not seeded: its provider is to be tried".into()));
            }
            if self.app.store.get(&key)?.is_some() {
                continue;
            }
            let new = Stored::new(uuid::Uuid::new_v4().to_string(), clock::now(), resource.spec());
            let stored = Stored { labels, managed_by, ..new };
            let what = What::PolicyChanged {
                kind: resource.kind().as_str().to_owned(),
                name: resource.name().to_owned(),
                change: "created".to_owned(),
                policy: String::new(),
                diff: FieldChanges::between(None, Some(&stored.spec)),
            };
            last = Some(self.app.sessions.log.append(&Event::new(clock::now(), Actor::system(), what))?);
            writes.push(Change::put(key, stored.bytes(), Expect::Absent));
        }
        if let Some(logged) = last {
            let _durable = self.app.sessions.log.durable(logged).await?;
            self.app.store.batch(&writes)?;
            self.app.sessions.live.refresh().map_err(|error| SeedError::Other(error.to_string()))?;
        }
        Ok(())
    }

    /// A one-time sign-in link for a person who exists.
    pub async fn sign_in_link(&self, user: &UserName) -> Result<Seeded, SeedError> {
        let made = self.one_time(Purpose::login_link(user.clone()), self.app.link_life).await?;
        let address: Address = self.url().parse().map_err(|error| SeedError::Other(format!("{error}")))?;
        let pin = pin_of(&self.app).map_err(SeedError::Other)?;
        Ok(Seeded(SignInLink { address, secret: made, pin }.to_string()))
    }

    /// A join token for one node, and the CA pin that goes with it. One for any name takes over none that is there.
    pub async fn join_token(&self, node: &str, labels: &[(&str, &str)], life: Duration) -> Result<(Seeded, String), SeedError> {
        let replace = !node.contains('*');
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let made = self.one_time(Purpose::Node { node: node.to_owned(), labels, replace }, life).await?;
        Ok((Seeded(made), pin_of(&self.app).map_err(SeedError::Other)?.to_string()))
    }

    async fn one_time(&self, purpose: Purpose, life: Duration) -> Result<String, SeedError> {
        let kind = purpose.kind().to_owned();
        let made = self.app.once.make(purpose, life, None, clock::now())?;
        let what = What::TokenCreated { kind, id: made.id, expires: made.expires, key: None };
        let logged = self.app.sessions.log.append(&Event::new(clock::now(), Actor::system(), what))?;
        let _durable = self.app.sessions.log.durable(logged).await?;
        Ok(made.secret)
    }
}

impl Proxy {
    /// An administrator of roles and users, where none of them is signed in: whoever starts the server may let one in, lest an install
    /// whose last sign-in ended be closed for good.
    pub fn locked_out(&self) -> Result<Option<UserName>, SeedError> {
        let view = self.app.sessions.live.now();
        let administers = |name: &UserName| view.users.get(name).is_some_and(|user| view.policy.has_administrator(&user.spec.roles));
        let signed_in = self.app.sessions.people.signed_in(clock::now())?;
        let mut administrators = view.users.keys().filter(|name| administers(name));
        Ok(if signed_in.iter().any(administers) { None } else { administrators.next().cloned() })
    }

    /// Completes when this node has a tunnel. To be taken before [`Proxy::run`], and awaited beside it.
    pub fn connected(&self, node: access::words::NodeName) -> impl Future<Output = ()> + Send + use<> {
        let nodes = self.app.sessions.nodes.clone();
        async move {
            let mut changed = nodes.agents.watch();
            while nodes.said(&node).is_none() && changed.changed().await.is_ok() {}
        }
    }
}
