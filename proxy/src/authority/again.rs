//! After a restore: what was ended, used up and removed since the backup is ended, used up and removed again, as the audit log tells it.
//! Where the log does not reach back to the backup, everything that lets somebody in ends.

use std::collections::BTreeMap;
use std::time::Duration;

use access::event::{Event, OutcomeResult, What};
use access::policy::ResourceKind;
use access::time::Timestamp;
use access::words::{NodeName, SessionId};
use recorder::log::{Filter, Log, ReadError};
use store::kv::{Change, Entry, Expect, Kv, KvError, MAX_BATCH};
use wire::backup::Head;
use wire::proof::log::LoggedEvent;

use super::logins::{SIGN_INS, SignIn, TOKENS};
use super::old;
use super::one_time::{Record, SECRETS};
use crate::agents::nodes::{NODES, SEEN, StoredNode};
use crate::agents::serve::AGENTS;
use crate::declared::key_of;
use crate::live::{PEOPLE, REQUESTS, scan};
use crate::session::lost::row_of;
use crate::session::table::SESSIONS;

/// An event is logged before what it speaks of is stored: that far behind the backup's place in the log, what was logged may be missing in
/// the store.
const MARGIN: Duration = Duration::from_secs(600);
/// And so many events at most.
const MARGIN_EVENTS: u64 = 4096;

/// What happened since a backup cannot be told.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum AgainError {
    #[error(transparent)]
    Log(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] KvError),
}

/// What is done again for an event.
enum Again {
    /// This link or join token is used up.
    UseUp(String),
    /// The logins of this person that began before are over.
    EndLogins(String, Timestamp),
    /// This node is removed, unless this agent serves it.
    RemoveNode(String, Option<String>),
    /// These keys are removed.
    Remove(Vec<String>),
    /// This value is stored.
    Put(String, Vec<u8>),
    /// The log does not hold what was written, so it is only counted.
    Count,
}

/// The table: for each type of event that must count after a restore too, what is done again. Doing it twice does no harm.
fn again(event: &Event) -> Option<Again> {
    Some(match &event.what {
        What::TokenUsed { id, .. } | What::TokenRemoved { id, .. } => Again::UseUp(id.clone()),
        What::Logout {} | What::LoginEnded { .. } => Again::EndLogins(event.actor.name.clone(), event.time),
        // Who lost a role shows anew what is left.
        What::LoginChanged { lost, .. } if !lost.is_empty() => Again::EndLogins(event.actor.name.clone(), event.time),
        What::AgentRemoved { node } => Again::RemoveNode(node.clone(), None),
        // It took the name over from the agent that the backup knows.
        What::AgentJoined { node, .. } => Again::RemoveNode(node.clone(), Some(event.actor.id.clone())),
        What::PolicyChanged { kind, name, change, .. } if change == "deleted" && kind == "user" => {
            Again::Remove(vec![key_of(ResourceKind::User, name), format!("{PEOPLE}{name}")])
        }
        What::PolicyChanged { kind, name, change, .. } if change == "deleted" => {
            let kind = ResourceKind::DECLARED.into_iter().find(|known| known.as_str() == kind)?;
            Again::Remove(vec![key_of(kind, name)])
        }
        What::LockCreated { lock, resource, .. } => {
            Again::Put(key_of(ResourceKind::Lock, lock), serde_json::to_vec(resource).unwrap_or_default())
        }
        What::LockRemoved { lock, .. } => Again::Remove(vec![key_of(ResourceKind::Lock, lock)]),
        // What a request gave and gives no more; one that was made since is made anew.
        What::RequestDenied(facts) | What::RequestExpired(facts) | What::RequestRevoked(facts) | What::RequestUsed(facts) => {
            Again::Remove(vec![format!("{REQUESTS}{}", facts.request)])
        }
        What::PolicyChanged { .. } => Again::Count,
        What::ServerStarted { boot, .. } => Again::Put("boot".to_owned(), boot.to_string().into_bytes()),
        _ => return None,
    })
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    sign_ins: u64,
    secrets: u64,
    nodes: u64,
    changes: u64,
}

/// Makes a restored store safe to be used; answers the event to log. `expected` is the revision that HEAD names.
pub(crate) fn restored(store: &dyn Kv, log: &Log, backup: &Head, expected: u64) -> Result<What, AgainError> {
    let by_log = reaches(log, backup)?;
    let done = if by_log {
        since(store, log, backup)?
    } else {
        forget_requests(store)?;
        Done { sign_ins: old::end_all_sign_ins(store)?, secrets: old::use_up_all_secrets(store)?, ..Done::default() }
    };
    store.raise(expected)?;
    let Done { sign_ins, secrets, nodes, changes } = done;
    Ok(What::StoreRestored { found: backup.revision, expected, sign_ins, secrets, backup: Some(backup.time), by_log, nodes, changes })
}

/// Nobody knows which of them were denied, taken back or used up since: whoever needs one asks anew.
fn forget_requests(store: &dyn Kv) -> Result<(), AgainError> {
    let all: Vec<Change> = scan(store, REQUESTS)?.into_iter().map(|entry| Change::delete(entry.key, Expect::Any)).collect();
    for some in all.chunks(MAX_BATCH) {
        store.batch(some)?;
    }
    Ok(())
}

/// What the event says to people: what they have to look at.
pub(crate) fn message(what: &What) -> Option<String> {
    match what {
        What::StoreRestored { backup: Some(time), by_log: false, .. } => Some(format!(
            "restored from the backup of {time}; the audit log does not reach back to it, so every sign-in has ended, every link and join token is used up, and every access request is gone"
        )),
        What::StoreRestored { backup: Some(time), changes: 0, .. } => Some(format!("restored from the backup of {time}")),
        What::StoreRestored { backup: Some(time), changes, .. } => Some(format!(
            "restored from the backup of {time}; {changes} changes of roles, people and the like since then are not in force: naru events search --type policy.changed"
        )),
        _ => None,
    }
}

/// Whether this is the log that the backup knew, with at least what it had then.
fn reaches(log: &Log, backup: &Head) -> Result<bool, ReadError> {
    let place = &backup.log;
    if place.count == 0 || *log.last().borrow() < place.count {
        return Ok(false);
    }
    let found = log.reader(place.count)?.next()?;
    Ok(found.map(|entry| entry.event()).transpose()?.is_some_and(|event| event.hash == place.hash))
}

/// Does again what the log tells since the backup.
fn since(store: &dyn Kv, log: &Log, backup: &Head) -> Result<Done, AgainError> {
    let index = Index::of(store)?;
    let margin = backup.time.minus(MARGIN);
    let mut reader = log.reader(backup.log.count.saturating_sub(MARGIN_EVENTS).max(1))?;
    let mut done = Done::default();
    let mut sessions = Sessions::default();
    while let Some(entry) = reader.next()? {
        let logged = entry.event()?;
        sessions.see(store, log, &logged)?;
        let counts = logged.seq > backup.log.count || logged.logged_time >= margin;
        // What was taken back or refused did not happen; what may have happened is done.
        if counts
            && matches!(logged.event.outcome.result, OutcomeResult::Success | OutcomeResult::Unknown)
            && let Some(again) = again(&logged.event)
        {
            apply(store, &index, again, &mut done, logged.seq > backup.log.count)?;
        }
    }
    Ok(done)
}

/// Sessions that ended since a backup stay in the list: people find their recordings by it.
#[derive(Default)]
struct Sessions {
    begun: BTreeMap<SessionId, LoggedEvent>,
}

impl Sessions {
    fn see(&mut self, store: &dyn Kv, log: &Log, logged: &LoggedEvent) -> Result<(), AgainError> {
        let Some(id) = logged.event.session.as_ref().map(|session| session.id) else { return Ok(()) };
        match &logged.event.what {
            What::SessionStart { .. } => drop(self.begun.insert(id, logged.clone())),
            What::SessionEnd { .. } => {
                let (begun, key) = (self.begun.remove(&id), format!("{SESSIONS}{id}"));
                if store.get(&key)?.is_some() {
                    return Ok(());
                }
                // It began long before the backup.
                let start = match begun {
                    Some(start) => Some(start),
                    None => log.search(start_of(id), 1, 1)?.next().map(|entry| entry?.event()).transpose()?,
                };
                if let Some(row) = start.and_then(|start| row_of(start, &logged.event)) {
                    store.put(&key, &json(&row), Expect::Any)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn start_of(id: SessionId) -> Filter {
    Filter { types: vec!["session.start".to_owned()], session: Some(id), text: Some(id.to_string()), ..Filter::default() }
}

fn apply(store: &dyn Kv, index: &Index, again: Again, done: &mut Done, is_since: bool) -> Result<(), KvError> {
    match again {
        Again::UseUp(id) => {
            let Some(key) = index.secrets.get(&id) else { return Ok(()) };
            let Some(mut record) = get::<Record>(store, key)? else { return Ok(()) };
            if record.used_by.is_none() {
                record.used_by = Some(String::new());
                store.put(key, &json(&record), Expect::Any)?;
                done.secrets += 1;
            }
        }
        Again::EndLogins(person, before) => {
            for id in index.logins.get(&person).into_iter().flatten() {
                done.sign_ins += u64::from(end(store, id, before)?);
            }
        }
        Again::RemoveNode(name, but) => {
            let Ok(name) = name.parse::<NodeName>() else { return Ok(()) };
            let Some(node) = get::<StoredNode>(store, &format!("{NODES}{name}"))? else { return Ok(()) };
            if but.as_deref() != Some(node.agent.as_str()) {
                remove(store, &[format!("{NODES}{name}"), format!("{AGENTS}{}", node.agent), format!("{SEEN}{name}")])?;
                done.nodes += 1;
            }
        }
        Again::Remove(keys) => remove(store, &keys)?,
        Again::Put(key, value) => {
            store.put(&key, &value, Expect::Any)?;
        }
        Again::Count => done.changes += u64::from(is_since),
    }
    Ok(())
}

/// Ends a login that began before; answers whether it went on.
fn end(store: &dyn Kv, id: &str, before: Timestamp) -> Result<bool, KvError> {
    let key = format!("{SIGN_INS}{id}");
    let Some(mut record) = get::<SignIn>(store, &key)? else { return Ok(false) };
    if record.ended || record.started > before {
        return Ok(false);
    }
    record.ended = true;
    record.why = Some("it ended before the server was restored from a backup".to_owned());
    store.batch(&[Change::put(key, json(&record), Expect::Any), Change::delete(format!("{TOKENS}{id}"), Expect::Any)])?;
    Ok(true)
}

fn remove(store: &dyn Kv, keys: &[String]) -> Result<(), KvError> {
    store.batch(&keys.iter().map(|key| Change::delete(key, Expect::Any)).collect::<Vec<_>>()).map(drop)
}

fn get<T: serde::de::DeserializeOwned>(store: &dyn Kv, key: &str) -> Result<Option<T>, KvError> {
    let stored = store.get(key)?;
    stored.map(|stored| serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key.to_owned()))).transpose()
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Where the store has what events name otherwise than by its key.
struct Index {
    /// Keys of links and join tokens, by their public id.
    secrets: BTreeMap<String, String>,
    /// Ids of logins, by their person.
    logins: BTreeMap<String, Vec<String>>,
}

impl Index {
    fn of(store: &dyn Kv) -> Result<Self, KvError> {
        let (mut secrets, mut logins) = (BTreeMap::new(), BTreeMap::<String, Vec<String>>::new());
        for entry in scan(store, SECRETS)? {
            secrets.insert(parse::<Record>(&entry)?.id, entry.key);
        }
        for entry in scan(store, SIGN_INS)? {
            let id = entry.key.trim_start_matches(SIGN_INS).to_owned();
            logins.entry(parse::<SignIn>(&entry)?.user.to_string()).or_default().push(id);
        }
        Ok(Self { secrets, logins })
    }
}

fn parse<T: serde::de::DeserializeOwned>(entry: &Entry) -> Result<T, KvError> {
    serde_json::from_slice(&entry.at.value).map_err(|_| KvError::Damaged(entry.key.clone()))
}
