//! Providers are asked again, for each login every minute or as its connector says: whoever was disabled or moved is so here too. One
//! question at a time for a login, since a refresh token counts once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use access::event::{Actor, Event, What};
use access::words::{ConnectorName, RoleName};
use openidconnect::OAuth2TokenResponse as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use wire::oidc::Nonce;

use super::client::ClientError;
use super::ends::Cause;
use super::settle::{self, Claims};
use super::{Oidc, Refusal};
use crate::authority::logins::{Login, Provided, Tokens, tokens_of};
use crate::authority::people::NobodyError;
use crate::authority::sealed::{Seal, Unseal};
use crate::clock;
use crate::declared::StoredConnector;

/// Between two questions where the connector says nothing.
const EVERY: Duration = Duration::from_secs(60);
/// How long logins live on while the provider cannot be asked, where the connector says nothing.
const OUTAGE: Duration = Duration::from_secs(15 * 60);
/// Questions at once.
const AT_ONCE: usize = 64;
/// Of these, about logins of one connector: one provider that takes its time does not hold up the others.
const AT_ONCE_EACH: usize = 16;
/// Until a login is looked at again whose connector has no place left.
const FULL: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Due {
    at: BTreeSet<(Instant, u64)>,
    of: HashMap<u64, Instant>,
    busy: HashSet<u64>,
    /// Asked for while a question was under way.
    again: HashSet<u64>,
    /// Connectors whose provider did not answer last.
    failing: HashSet<ConnectorName>,
    /// Places for questions, of each connector.
    places: HashMap<ConnectorName, Arc<Semaphore>>,
}

/// When each login's provider is asked next. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Renewals {
    due: Arc<Mutex<Due>>,
    bell: Arc<tokio::sync::Notify>,
}

impl Renewals {
    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for this login at that time, or before.
    pub(crate) fn plan(&self, id: u64, at: Instant) {
        let mut due = self.due();
        if due.busy.contains(&id) {
            due.again.insert(id);
            return;
        }
        if let Some(before) = due.of.get(&id).copied() {
            if before <= at {
                return;
            }
            due.at.remove(&(before, id));
        }
        due.at.insert((at, id));
        due.of.insert(id, at);
        drop(due);
        self.bell.notify_one();
    }

    pub(crate) fn forget(&self, id: u64) {
        let mut due = self.due();
        if let Some(at) = due.of.remove(&id) {
            due.at.remove(&(at, id));
        }
        due.again.remove(&id);
    }

    /// One whose time has come; it is busy until [`Self::done`].
    fn next(&self, now: Instant) -> Option<u64> {
        let mut due = self.due();
        let (at, id) = due.at.first().copied().filter(|(at, _)| *at <= now)?;
        due.at.remove(&(at, id));
        due.of.remove(&id);
        due.busy.insert(id);
        Some(id)
    }

    fn done(&self, id: u64, next: Option<Instant>) {
        let again = {
            let mut due = self.due();
            due.busy.remove(&id);
            due.again.remove(&id)
        };
        match next {
            Some(_) if again => self.plan(id, Instant::now()),
            Some(at) => self.plan(id, at),
            None => {}
        }
    }

    /// A place for one question to this connector's provider, where there is one.
    fn place(&self, connector: &ConnectorName) -> Option<OwnedSemaphorePermit> {
        let places = || Arc::new(Semaphore::new(AT_ONCE_EACH));
        let places = self.due().places.entry(connector.clone()).or_insert_with(places).clone();
        places.try_acquire_owned().ok()
    }

    /// Whether this is news.
    fn fails(&self, connector: &ConnectorName, fails: bool) -> bool {
        let mut due = self.due();
        if fails { due.failing.insert(connector.clone()) } else { due.failing.remove(connector) }
    }
}

/// A question under way.
struct Asking {
    renewals: Renewals,
    id: u64,
    /// When it is asked again.
    next: Option<Instant>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.renewals.done(self.id, self.next);
    }
}

/// What came of a question.
enum Asked {
    /// There is nothing to ask with: a login without a refresh token, which is short, or by a break-glass link. It says nothing of the
    /// provider either.
    Nothing,
    /// All is as it is now known.
    Confirmed,
    /// The login is over.
    Over(Cause),
    /// The provider could not be asked.
    Away(String),
}

impl Oidc {
    /// Asks, for as long as it is polled.
    pub(crate) async fn keep_asking(self) -> std::convert::Infallible {
        self.plan_all();
        let mut under_way = JoinSet::new();
        let mut view = self.live.watch();
        let mut connectors = view.borrow_and_update().connectors.clone();
        loop {
            while under_way.len() < AT_ONCE {
                let Some(id) = self.renewals.next(Instant::now()) else { break };
                let oidc = self.clone();
                under_way.spawn(async move {
                    // Also where the question is broken off, so that no login is forgotten.
                    let mut asking = Asking { renewals: oidc.renewals.clone(), id, next: Some(Instant::now() + EVERY) };
                    asking.next = oidc.renew(id).await;
                });
            }
            let next = match self.renewals.due().at.first() {
                Some((at, _)) if under_way.len() < AT_ONCE => at.saturating_duration_since(Instant::now()),
                _ => EVERY,
            };
            tokio::select! {
                Some(_) = under_way.join_next() => {}
                () = self.renewals.bell.notified() => {}
                Ok(()) = view.changed() => {
                    let newer = view.borrow_and_update().connectors.clone();
                    if newer != connectors {
                        connectors = newer;
                        self.plan_sooner();
                    }
                }
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// After a start: those that go on from before, spread so that not all are asked at once.
    fn plan_all(&self) {
        let now = Instant::now();
        self.plan_each(|login, _| now + spread(login, EVERY));
    }

    /// Connectors were declared anew: where one is to be asked more often, that counts for the logins that there are.
    fn plan_sooner(&self) {
        let now = Instant::now();
        self.plan_each(|login, provided| self.every(provided).map_or(now, |every| now + every - spread(login, every)));
    }

    fn plan_each(&self, at: impl Fn(&Login, &Provided) -> Instant) {
        match self.people.live_logins(clock::now(), |record| record.provider.is_some()) {
            Ok(logins) => logins.iter().for_each(|login| {
                if let Some(provided) = login.record.provider.as_ref().filter(|provided| provided.connector.is_some()) {
                    self.renewals.plan(login.id, at(login, provided));
                }
            }),
            Err(error) => tracing::error!(%error, "the logins could not be read; no provider is asked about them"),
        }
    }

    /// A login began: its provider is asked about it from now on.
    pub(crate) fn follow(&self, id: u64, provided: &Provided) {
        if let Some(every) = self.every(provided) {
            self.renewals.plan(id, Instant::now() + every);
        }
    }

    pub(crate) fn every(&self, provided: &Provided) -> Option<Duration> {
        let view = self.live.now();
        let spec = &view.connectors.get(provided.connector.as_ref()?)?.spec;
        Some(spec.refresh.map_or(EVERY, |every| every.duration()))
    }

    /// Asks about one login; answers when to ask again.
    async fn renew(&self, id: u64) -> Option<Instant> {
        let record = self.people.login(id).ok().flatten().filter(|record| record.lives(clock::now()))?;
        let login = Login { id, record };
        let provided = login.record.provider.clone()?;
        let connector = provided.connector.clone()?;
        let Some(every) = self.every(&provided) else {
            self.end(&login, &Cause::new("connector", format!("the connector {connector}, by which you signed in, was removed")));
            return None;
        };
        let Some(_place) = self.renewals.place(&connector) else { return Some(Instant::now() + FULL) };
        match self.ask_about(&login, &provided, &connector).await {
            Asked::Nothing => Some(Instant::now() + every),
            Asked::Confirmed => {
                self.tell_provider(&connector, None);
                Some(Instant::now() + every)
            }
            Asked::Over(cause) => {
                self.tell_provider(&connector, None);
                self.end(&login, &cause);
                None
            }
            Asked::Away(why) => {
                self.tell_provider(&connector, Some(&why));
                let outage = self.live.now().connectors.get(&connector).and_then(|stored| stored.spec.outage);
                let outage = outage.map_or(OUTAGE, |outage| outage.duration());
                let confirmed = self.people.tokens(id).ok().flatten().map_or(login.record.started, |tokens| tokens.confirmed);
                if confirmed.plus(outage) <= clock::now() {
                    let sentence = format!("your identity provider could not be asked about you since {confirmed}");
                    self.end(&login, &Cause::new("outage", sentence));
                    return None;
                }
                Some(Instant::now() + every.min(outage))
            }
        }
    }

    async fn ask_about(&self, login: &Login, provided: &Provided, connector: &ConnectorName) -> Asked {
        let place = tokens_of(login.id);
        let (refresh, id_token) = match self.people.tokens(login.id) {
            Ok(Some(Tokens { refresh: Some(refresh), id_token, .. })) => (refresh, id_token),
            Ok(_) => return Asked::Nothing,
            Err(error) => return Asked::Away(error.to_string()),
        };
        let refresh_text = match self.keys.ask(Unseal { place: &place, sealed: &refresh }) {
            Ok(text) => text,
            Err(error) => return Asked::Over(Cause::new("provider", format!("what your identity provider gave is lost: {error}"))),
        };
        let declared = match self.connector(connector) {
            Ok(declared) => declared,
            Err(refusal) => return Asked::Over(Cause::new("connector", refusal.sentence)),
        };
        let client = match self.client(connector, &declared).await {
            Ok(client) => client,
            Err(refusal) => return Asked::Away(refusal.sentence),
        };
        let tokens = match client.refresh(&refresh_text).await {
            Ok(tokens) => tokens,
            Err(error @ ClientError::Refused { .. }) if error.is_no() => {
                return Asked::Over(Cause::new("provider", format!("your identity provider ended this login: {error}")));
            }
            Err(error) => return Asked::Away(error.to_string()),
        };
        let seal = |text: &str| self.keys.ask(Seal { place: &place, secret: text.as_bytes() }).ok();
        let newer = tokens.refresh_token().and_then(|token| seal(token.secret()));
        let newer_id = tokens.id_token_text().and_then(seal);
        // Kept at once: the one before may count for nothing from here on. What is not believed below ends the login, and these with it.
        let kept = Tokens { refresh: newer.or(Some(refresh)), id_token: newer_id.or(id_token), confirmed: clock::now() };
        if let Err(error) = self.people.renewed(login.id, None, None, Some(&kept)) {
            return gone(error);
        }
        let claims = match self.claims(&declared, &client, &tokens, Nonce::None).await {
            Ok(claims) => claims,
            // A token that the provider gave a moment ago and does not take: it does not know the person any more.
            Err(refusal) if refusal.word == settle::NOT_TAKEN => {
                return Asked::Over(Cause::new("provider", format!("your identity provider ended this login: {refusal}")));
            }
            Err(refusal) if refusal.code == super::AWAY => return Asked::Away(refusal.sentence),
            Err(refusal) => {
                self.tell_refused(&refusal);
                return Asked::Over(Cause::new("provider", format!("your identity provider's answer is not believed: {refusal}")));
            }
        };
        match claims {
            Some(claims) => self.take_in(login, provided, &declared, &claims),
            None => Asked::Confirmed,
        }
    }

    /// What the provider says of a person now counts from now on.
    fn take_in(&self, login: &Login, provided: &Provided, declared: &StoredConnector, claims: &Claims) -> Asked {
        // Core section 12.2: the same person, or nobody.
        if claims.subject != provided.subject {
            let refusal = Refusal::new(super::UNBELIEVED, "subject", "the provider's answer to a refresh is about somebody else");
            self.tell_refused(&refusal);
            return Asked::Over(Cause::new("provider", refusal.sentence));
        }
        let roles = |kept: &access::connector::Kept| declared.spec.roles(kept).into_keys().collect::<BTreeSet<RoleName>>();
        let now_kept = settle::kept(&declared.spec, &claims.all);
        let (was, is) = (roles(&provided.kept), roles(&now_kept));
        match self.people.renewed(login.id, Some(&now_kept), None, None) {
            Ok(_) => {}
            Err(error) => return gone(error),
        }
        if was != is {
            let gained = is.difference(&was).cloned().collect();
            let lost = was.difference(&is).cloned().collect();
            let event = Event::new(clock::now(), self.actor(&login.record), What::LoginChanged { gained, lost });
            if let Err(error) = self.log.append(&event) {
                tracing::error!(%error, "changed roles could not be logged");
            }
        }
        Asked::Confirmed
    }

    fn tell_refused(&self, refusal: &Refusal) {
        if let Err(error) = self.refuse(refusal, "oidc", None) {
            tracing::error!(%error, "a refusal could not be logged");
        }
    }

    /// An event when a provider stops to answer, and when it answers again.
    fn tell_provider(&self, connector: &ConnectorName, why: Option<&str>) {
        if !self.renewals.fails(connector, why.is_some()) {
            return;
        }
        let name = connector.to_string();
        let what = match why {
            Some(why) => What::ProviderFailed { connector: name, cause: why.to_owned() },
            None => What::ProviderRecovered { connector: name },
        };
        if let Err(error) = self.log.append(&Event::new(clock::now(), Actor::system(), what)) {
            tracing::error!(%error, "a provider's state could not be logged");
        }
    }
}

/// A part of a quarter of that time, another for each login.
fn spread(login: &Login, of: Duration) -> Duration {
    of / 4 * u32::try_from(login.id % 1000).unwrap_or(0) / 1000
}

fn gone(error: NobodyError) -> Asked {
    match error {
        NobodyError::Store(error) => Asked::Away(error.to_string()),
        // Somebody ended it meanwhile.
        _ => Asked::Over(Cause::new("provider", "the login had ended")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_provider_that_takes_its_time_leaves_places_for_the_others() {
        let renewals = Renewals::default();
        let (slow, other) = ("slow".parse().expect("a name"), "other".parse().expect("a name"));
        let places: Vec<_> = std::iter::from_fn(|| renewals.place(&slow)).collect();
        assert_eq!(places.len(), AT_ONCE_EACH);
        assert!(AT_ONCE_EACH < AT_ONCE && renewals.place(&other).is_some());
        drop(places);
        assert!(renewals.place(&slow).is_some());
    }
}
