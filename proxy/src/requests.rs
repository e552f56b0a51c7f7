//! Access requests: made, decided by others than who asked, in force for a time, used so often, over. What is in the store is the whole
//! truth; steps are taken one after the other, each a compare-and-swap, and each durably in the log before it counts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use access::amount::Period;
use access::condition::{Facts, TargetFacts};
use access::decide::{Review, decide, locked};
use access::event::{Actor, Client, Event, RequestFacts, Text, What};
use access::identity::{Granted, Identity, Labels, OnlyTarget, Reach, UserId};
use access::policy::{AccessRuleSpec, PolicySet};
use access::time::Timestamp;
use access::words::{NodeName, REQUEST_ALPHABET, RequestId, ResourceName, RoleName, UserName};
use recorder::{Log, LogError};
use serde::{Deserialize, Serialize};
use store::kv::{Expect, Kv, KvError};
use wire::api::{DecisionRow, NewRequest, RequestRow, RequestState};

use crate::clock;
use crate::live::{LiveError, REQUESTS, scan};

pub(crate) mod sweep;
#[cfg(test)]
mod tests;

/// Most requests of one person that wait or are in force at once.
const MOST: usize = 20;
/// Most that wait for or watch requests at once, of all people together.
const WAITING: usize = 512;
/// Longest reason and comment, in bytes.
const WORDS: usize = 1000;
/// Where a rule says nothing.
const MAX_TTL: u64 = 8 * 3_600;
const PENDING: u64 = 24 * 3_600;

/// A request as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredRequest {
    pub(crate) user: UserName,
    /// Whoever takes the name later gets nothing of it.
    pub(crate) asker: UserId,
    pub(crate) role: RoleName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only: Option<OnlyTarget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) rule: ResourceName,
    pub(crate) created: Timestamp,
    pub(crate) length: Period,
    /// Until when it waits, then until when it gives its role.
    pub(crate) until: Timestamp,
    pub(crate) state: RequestState,
    #[serde(default)]
    pub(crate) decisions: Vec<Said>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uses: Option<u32>,
    #[serde(default)]
    pub(crate) used: u32,
}

/// What somebody said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    /// The handle.
    by: String,
    /// One person counts once, under whatever name; none of the rule itself.
    user: Option<UserId>,
    approve: bool,
    time: Timestamp,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// A request did not go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum RequestError {
    #[error("there is no request {0}")]
    Unknown(String),
    #[error("{0} may not ask for the role {1}: no role of theirs has it in may_request")]
    MayNot(UserName, RoleName),
    #[error("nobody can say yes to a request for {0}: there is no access rule for it")]
    NoRule(RoleName),
    #[error("{0} has the role {1} already")]
    HasIt(UserName, RoleName),
    #[error("the rule {rule} lets nobody ask for longer than {most}")]
    TooLong { rule: ResourceName, most: Period },
    #[error("the rule {rule} lets nobody ask for more than {most} sessions")]
    TooMany { rule: ResourceName, most: u32 },
    #[error("the rule {0} demands a reason")]
    NoReason(ResourceName),
    #[error("the rule {rule} demands a reason with {pattern} in it")]
    BadReason { rule: ResourceName, pattern: String },
    #[error("reasons and comments have at most {WORDS} bytes, without control characters")]
    Words,
    #[error("what the request is for is no name of a node or a cluster")]
    Target,
    #[error("{0} has {MOST} requests that wait or are in force; take some of them back")]
    Full(UserName),
    #[error("the request {0} is {1} already")]
    Over(RequestId, &'static str),
    #[error("the request {0} has opened all the sessions that it may")]
    UsedUp(RequestId),
    #[error(transparent)]
    Store(#[from] KvError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Live(#[from] LiveError),
}

/// Everything about requests on this proxy.
#[derive(Clone)]
pub(crate) struct Requests {
    store: Arc<dyn Kv>,
    log: Log,
    live: crate::live::Live,
    changed: Arc<tokio::sync::watch::Sender<u64>>,
    /// Whoever takes a step: what is logged of it is then what happens.
    writing: Arc<tokio::sync::Mutex<()>>,
    /// Places for those who wait and watch: each looks at every request at every step.
    waiting: Arc<tokio::sync::Semaphore>,
}

/// The proof that somebody may decide this request, and as what rule says.
pub(crate) type MayReview = access::decide::Permit<Review>;

fn key_of(id: &RequestId) -> String {
    format!("{REQUESTS}{id}")
}

/// What requests give, by principal: all that were approved, those included whose sessions are all opened, since these go on.
pub(crate) fn granted(store: &dyn Kv) -> Result<BTreeMap<String, Vec<Granted>>, LiveError> {
    let mut all: BTreeMap<String, Vec<Granted>> = BTreeMap::new();
    for entry in scan(store, REQUESTS)? {
        let bad = |why: &dyn std::fmt::Display| LiveError::Stored { key: entry.key.clone(), why: why.to_string() };
        let stored: StoredRequest = serde_json::from_slice(&entry.at.value).map_err(|error| bad(&error))?;
        if matches!(stored.state, RequestState::Approved | RequestState::UsedUp) {
            let request = entry.key.trim_start_matches(REQUESTS).parse().map_err(|error| bad(&error))?;
            let StoredRequest { asker, role, only, until, .. } = stored;
            all.entry(asker.principal()).or_default().push(Granted { request, role, only, until });
        }
    }
    Ok(all)
}

impl StoredRequest {
    /// Where it stands at this moment: time ends what nobody did.
    pub(crate) fn state_at(&self, now: Timestamp) -> RequestState {
        match self.state {
            RequestState::Pending | RequestState::Approved | RequestState::UsedUp if now >= self.until => RequestState::Expired,
            state => state,
        }
    }

    fn approvals(&self) -> u32 {
        u32::try_from(self.decisions.iter().filter(|said| said.approve).count()).unwrap_or(u32::MAX)
    }

    /// For people; `may_decide` is about who looks.
    pub(crate) fn row(&self, id: &RequestId, policy: &PolicySet, now: Timestamp, may_decide: bool) -> RequestRow {
        let rule = policy.others().access_rules.get(&self.rule);
        let said = |said: &Said| DecisionRow { by: said.by.clone(), approve: said.approve, time: said.time, comment: said.comment.clone() };
        let state = self.state_at(now);
        RequestRow {
            id: id.clone(),
            user: self.user.clone(),
            role: self.role.clone(),
            only: self.only.clone(),
            reason: self.reason.clone(),
            state,
            created: self.created,
            length: self.length,
            until: self.until,
            rule: self.rule.clone(),
            required: rule.map_or(1, required),
            decisions: self.decisions.iter().map(said).collect(),
            uses: self.uses,
            used: self.used,
            may_decide: may_decide && state == RequestState::Pending,
            from: rule.map(|rule| rule.approvals.from.clone()).unwrap_or_default(),
        }
    }

    fn facts(&self, id: &RequestId, rule: Option<&AccessRuleSpec>, comment: Option<&str>) -> RequestFacts {
        RequestFacts {
            request: id.clone(),
            requester: self.user.to_string(),
            role: self.role.clone(),
            only: self.only.clone(),
            reason: self.reason.as_ref().map(|reason| Text::of(reason.as_bytes())),
            comment: comment.map(|comment| Text::of(comment.as_bytes())),
            until: self.until,
            approvals: (self.approvals(), rule.map_or(1, required)),
        }
    }
}

fn required(rule: &AccessRuleSpec) -> u32 {
    rule.approvals.required.unwrap_or(1)
}

/// Words of a person that others will read.
fn words(text: Option<String>) -> Result<Option<String>, RequestError> {
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let good = |text: &String| text.len() <= WORDS && !text.chars().any(|c| c.is_control() || access::condition::is_bidi(c));
    if text.as_ref().is_none_or(good) { Ok(text) } else { Err(RequestError::Words) }
}

/// The rule by which somebody may ask for a role.
pub(crate) fn rule_for<'a>(
    role: &RoleName,
    who: &Identity,
    policy: &'a PolicySet,
) -> Result<(&'a ResourceName, &'a AccessRuleSpec), RequestError> {
    let may = who.roles.iter().filter_map(|role| policy.role(role)).any(|spec| spec.may_request.contains(role));
    if !may {
        return Err(RequestError::MayNot(who.name.clone(), role.clone()));
    }
    policy.access_rule(role).ok_or_else(|| RequestError::NoRule(role.clone()))
}

/// What was asked, held against the rule; none of it stored yet.
fn checked(asked: NewRequest, who: &Identity, policy: &PolicySet, now: Timestamp) -> Result<StoredRequest, RequestError> {
    let NewRequest { role, only, length, reason, uses } = asked;
    let (rule, spec) = rule_for(&role, who, policy)?;
    if who.roles.contains(&role) {
        return Err(RequestError::HasIt(who.name.clone(), role));
    }
    let most = spec.max_ttl.unwrap_or(Period::from_secs(MAX_TTL));
    let length = length.unwrap_or(most);
    if length > most || length.duration().is_zero() {
        return Err(RequestError::TooLong { rule: rule.clone(), most });
    }
    let uses = match (uses, spec.max_uses) {
        (Some(asked), Some(most)) if asked > most => return Err(RequestError::TooMany { rule: rule.clone(), most }),
        (Some(0), _) => return Err(RequestError::TooMany { rule: rule.clone(), most: spec.max_uses.unwrap_or(u32::MAX) }),
        (asked, most) => asked.or(most),
    };
    // Told to others in the log, in lists and by messengers: a name and nothing else.
    let is_name = |only: &OnlyTarget| match only.kind {
        Reach::Node => only.name.parse::<NodeName>().is_ok(),
        Reach::Cluster => only.name.parse::<ResourceName>().is_ok(),
    };
    if only.as_ref().is_some_and(|only| !is_name(only)) {
        return Err(RequestError::Target);
    }
    let reason = words(reason)?;
    match (&reason, &spec.reason.pattern) {
        (None, _) if spec.reason.required => return Err(RequestError::NoReason(rule.clone())),
        (Some(reason), Some(pattern)) if !pattern.is_in(reason) => {
            return Err(RequestError::BadReason { rule: rule.clone(), pattern: pattern.to_string() });
        }
        _ => {}
    }
    Ok(StoredRequest {
        user: who.name.clone(),
        asker: who.user.clone(),
        role,
        only,
        reason,
        rule: rule.clone(),
        created: now,
        length,
        until: now.plus(spec.pending.unwrap_or(Period::from_secs(PENDING)).duration()),
        state: RequestState::Pending,
        decisions: Vec::new(),
        uses,
        used: 0,
    })
}

/// Who decided, for the log.
pub(crate) struct By<'a> {
    pub(crate) actor: Actor,
    pub(crate) client: Option<&'a Client>,
}

impl By<'_> {
    fn system() -> Self {
        Self { actor: Actor::system(), client: None }
    }

    fn event(&self, what: What) -> Event {
        let mut event = Event::new(clock::now(), self.actor.clone(), what);
        event.client = self.client.cloned();
        event
    }
}

impl Requests {
    pub(crate) fn new(store: Arc<dyn Kv>, log: Log, live: crate::live::Live) -> Self {
        Self {
            store,
            log,
            live,
            changed: Arc::new(tokio::sync::watch::Sender::new(0)),
            writing: Arc::default(),
            waiting: Arc::new(tokio::sync::Semaphore::new(WAITING)),
        }
    }

    /// A place among those who wait or watch; none where there are too many.
    pub(crate) fn place(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.waiting.clone().try_acquire_owned().ok()
    }

    /// Wakes at every step of any request.
    pub(crate) fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// One, with the revision that it is at.
    pub(crate) fn get(&self, id: &RequestId) -> Result<(StoredRequest, u64), RequestError> {
        let at = self.store.get(&key_of(id))?.ok_or_else(|| RequestError::Unknown(id.to_string()))?;
        let stored = serde_json::from_slice(&at.value).map_err(|_| KvError::Damaged(key_of(id)))?;
        Ok((stored, at.revision))
    }

    /// All, newest first.
    pub(crate) fn all(&self) -> Result<Vec<(RequestId, StoredRequest)>, RequestError> {
        let mut all = Vec::new();
        for entry in scan(self.store.as_ref(), REQUESTS)? {
            let damaged = || KvError::Damaged(entry.key.clone());
            let id = entry.key.trim_start_matches(REQUESTS).parse().map_err(|_| damaged())?;
            all.push((id, serde_json::from_slice(&entry.at.value).map_err(|_| damaged())?));
        }
        all.sort_by_key(|(id, stored): &(RequestId, StoredRequest)| (std::cmp::Reverse(stored.created), id.clone()));
        Ok(all)
    }

    /// Makes a request; the rule may decide it at once. `labels` are those of its only target, where it has one that is there.
    pub(crate) async fn make(
        &self,
        asked: NewRequest,
        who: &Identity,
        labels: Option<&Labels>,
        by: By<'_>,
    ) -> Result<(RequestId, StoredRequest), RequestError> {
        let _one_at_a_time = self.writing.lock().await;
        let (view, now) = (self.live.now(), clock::now());
        let mut stored = checked(asked, who, &view.policy, now)?;
        let open = self.all()?.into_iter().filter(|(_, other)| {
            other.asker == stored.asker && matches!(other.state_at(now), RequestState::Pending | RequestState::Approved)
        });
        if open.count() >= MOST {
            return Err(RequestError::Full(who.name.clone()));
        }
        let id = new_id();
        let rule = view.policy.others().access_rules.get(&stored.rule).cloned();
        let mut told = vec![by.event(What::RequestCreated(stored.facts(&id, rule.as_ref(), None)))];
        if let Some(approve) = rule.as_ref().and_then(|rule| self.auto(rule, &stored, who, labels, now)) {
            stored.decisions.push(Said { by: "auto_review".into(), user: None, approve, time: now, from: None, comment: None });
            let facts = |stored: &StoredRequest| stored.facts(&id, rule.as_ref(), None);
            let what = if approve {
                (stored.state, stored.until) = (RequestState::Approved, now.plus(stored.length.duration()));
                What::RequestApproved(facts(&stored))
            } else {
                stored.state = RequestState::Denied;
                What::RequestDenied(facts(&stored))
            };
            told.push(By::system().event(what));
        }
        self.put(&id, &stored, Expect::Absent, told).await?;
        Ok((id, stored))
    }

    /// What the rule decides by itself; none where people do. A condition that cannot be answered leaves it to people, and is told.
    fn auto(&self, rule: &AccessRuleSpec, stored: &StoredRequest, who: &Identity, labels: Option<&Labels>, now: Timestamp) -> Option<bool> {
        let auto = rule.auto_review.as_ref()?;
        let mut asking = who.clone();
        asking.context.reason.clone_from(&stored.reason);
        let (none, only) = (Labels::new(), stored.only.as_ref());
        let target = only.map(|only| TargetFacts {
            kind: if only.kind == access::identity::Reach::Node { "node" } else { "cluster" },
            name: &only.name,
            labels: labels.unwrap_or(&none),
            login: only.login.as_ref().map_or("", |login| login.as_str()),
        });
        let facts = Facts { identity: &asking, target, kind: "request", command: None, now };
        match auto.when.holds(&facts) {
            Ok(true) => Some(auto.approve),
            Ok(false) => None,
            Err(cause) => {
                let what = What::ConditionFailed { rule: format!("access_rule/{}/auto_review", stored.rule), cause };
                let _logged = self.log.append(&By::system().event(what));
                None
            }
        }
    }

    /// Somebody who may says yes or no. A yes counts once for each person; the last that is needed puts it in force.
    pub(crate) async fn decide(
        &self,
        id: &RequestId,
        permit: &MayReview,
        approve: bool,
        words_of: wire::api::Decide,
        by: By<'_>,
    ) -> Result<StoredRequest, RequestError> {
        let Identity { user, name, .. } = &permit.question().identity;
        let comment = words(words_of.comment)?;
        let shorter = words_of.length;
        self.step(id, |stored, rule, now| {
            let same = stored.role == permit.question().role && stored.user == permit.question().requester;
            if stored.state_at(now) != RequestState::Pending || !same || stored.asker == *user {
                return Err(RequestError::Over(id.clone(), stored.state_at(now).as_str()));
            }
            // Nobody's yes is enough where no rule says whose are.
            let required = match rule {
                Some(rule) => required(rule),
                None if approve => return Err(RequestError::NoRule(stored.role.clone())),
                None => 0,
            };
            if let Some(shorter) = shorter.filter(|shorter| approve && *shorter < stored.length && !shorter.duration().is_zero()) {
                stored.length = shorter;
            }
            let (user, from) = (Some(user.clone()), by.client.map(|client| client.ip));
            stored.decisions.retain(|said| said.user != user);
            stored.decisions.push(Said { by: name.to_string(), user, approve, time: now, from, comment: comment.clone() });
            if !approve {
                stored.state = RequestState::Denied;
            } else if self.standing(stored, now)? >= required {
                (stored.state, stored.until) = (RequestState::Approved, now.plus(stored.length.duration()));
            }
            let facts = stored.facts(id, rule, comment.as_deref());
            Ok(by.event(if approve { What::RequestApproved(facts) } else { What::RequestDenied(facts) }))
        })
        .await
    }

    /// How many of those who said yes still may, for somebody who still may ask.
    fn standing(&self, stored: &StoredRequest, now: Timestamp) -> Result<u32, RequestError> {
        let view = self.live.now();
        let soon = now.plus(std::time::Duration::from_secs(60));
        let known =
            |name: &UserName, user: &UserId| view.still(name, user, soon).filter(|identity| locked(identity, &view.policy, now).is_ok());
        let never = || RequestError::MayNot(stored.user.clone(), stored.role.clone());
        let asks = known(&stored.user, &stored.asker).ok_or_else(never)?;
        rule_for(&stored.role, &asks, &view.policy)?;
        // With the roles of now, from where and when they said it: whose hours have ended since has said it all the same.
        let still = |said: &&Said| {
            let Some(mut identity) = said.by.parse().ok().and_then(|name| known(&name, said.user.as_ref()?)) else { return false };
            identity.context.from = said.from;
            let question = Review { identity, requester: stored.user.clone(), role: stored.role.clone() };
            decide(question, &view.policy, said.time).is_ok()
        };
        let count = stored.decisions.iter().filter(|said| said.approve).filter(still).count();
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Takes a request back; what it opened ends.
    pub(crate) async fn revoke(&self, id: &RequestId, comment: Option<String>, by: By<'_>) -> Result<StoredRequest, RequestError> {
        let comment = words(comment)?;
        self.step(id, |stored, rule, now| {
            let state = stored.state_at(now);
            if !matches!(state, RequestState::Pending | RequestState::Approved | RequestState::UsedUp) {
                return Err(RequestError::Over(id.clone(), state.as_str()));
            }
            stored.state = RequestState::Revoked;
            Ok(by.event(What::RequestRevoked(stored.facts(id, rule, comment.as_deref()))))
        })
        .await
    }

    /// A session is opened by it: one of its uses is gone, before anything is opened.
    pub(crate) async fn used(&self, id: &RequestId, by: By<'_>) -> Result<(), RequestError> {
        let (stored, _) = self.get(id)?;
        if stored.uses.is_none() {
            return Ok(());
        }
        let used = self.step(id, |stored, rule, now| {
            if stored.state_at(now) == RequestState::UsedUp {
                return Err(RequestError::UsedUp(id.clone()));
            }
            if stored.state_at(now) != RequestState::Approved {
                return Err(RequestError::Over(id.clone(), stored.state_at(now).as_str()));
            }
            stored.used += 1;
            if stored.uses.is_some_and(|uses| stored.used >= uses) {
                stored.state = RequestState::UsedUp;
            }
            Ok(by.event(What::RequestUsed(stored.facts(id, rule, None))))
        });
        used.await.map(|_| ())
    }

    /// One step of a request, as it is when those before have taken theirs.
    async fn step(
        &self,
        id: &RequestId,
        change: impl Fn(&mut StoredRequest, Option<&AccessRuleSpec>, Timestamp) -> Result<Event, RequestError>,
    ) -> Result<StoredRequest, RequestError> {
        let _one_at_a_time = self.writing.lock().await;
        let (mut stored, revision) = self.get(id)?;
        let view = self.live.now();
        // The rule for the role that is in force, whatever the one was called by which it was asked for.
        let rule = view.policy.access_rule(&stored.role);
        if let Some((name, _)) = rule {
            stored.rule.clone_from(name);
        }
        let event = change(&mut stored, rule.map(|(_, rule)| rule), clock::now())?;
        self.put(id, &stored, Expect::Revision(revision), vec![event]).await?;
        Ok(stored)
    }

    /// Durably in the log, then in the store. What the log says already and did not happen after all is told, too.
    async fn put(&self, id: &RequestId, stored: &StoredRequest, expect: Expect, told: Vec<Event>) -> Result<(), RequestError> {
        let mut last = None;
        for event in &told {
            last = Some(self.log.append(event)?);
        }
        if let Some(logged) = last {
            let _durable = self.log.durable(logged).await?;
        }
        if let Err(error) = self.store.put(&key_of(id), &bytes(stored), expect) {
            for event in told {
                let _logged = self.log.append(&crate::unmade::unmade(event, &error))?;
            }
            return Err(error.into());
        }
        self.moved()
    }

    fn moved(&self) -> Result<(), RequestError> {
        self.live.refresh()?;
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }
}

fn bytes(stored: &StoredRequest) -> Vec<u8> {
    serde_json::to_vec(stored).unwrap_or_default()
}

/// 40 bits of chance: a request is found by its id only among those that one may see anyway.
fn new_id() -> RequestId {
    loop {
        let random = uuid::Uuid::new_v4();
        let letters = random.as_bytes().iter().filter_map(|byte| REQUEST_ALPHABET.get(usize::from(*byte % 32)));
        let text: String = letters.take(8).map(|letter| char::from(*letter)).collect();
        if let Ok(id) = text.parse() {
            return id;
        }
    }
}
