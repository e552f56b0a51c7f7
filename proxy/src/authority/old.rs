//! What ended long ago is removed from the store; and of a store that was set back nothing counts that lets somebody in.

use std::time::Duration;

use access::time::Timestamp;
use serde::de::DeserializeOwned;
use store::kv::{Change, Entry, Expect, Kv, KvError, MAX_BATCH};

use super::access_tokens::{self, HELD, Held};
use super::logins::{SIGN_INS, SignIn, TOKENS};
use super::one_time::{self, MACHINES, SECRETS};
use crate::answers::{LIFE, ORDER, ordered};
use crate::oidc::USED;

/// How long something stays after its end: long after its link could begin it again.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Removes, over many rounds, what ended long ago.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    /// Where each of the lists goes on.
    after: [Option<String>; 7],
}

impl Sweeper {
    /// Looks at one batch of each list. Answers how many were removed. Blocks on the disk.
    pub(crate) fn round(&mut self, store: &dyn Kv, now: Timestamp) -> Result<usize, KvError> {
        let [sign_ins, secrets, machines, used, answers, tokens, held] = &mut self.after;
        let over = |end: Timestamp| end.plus(KEPT) < now;
        let mut gone = some(store, SIGN_INS, sign_ins, |entry| read::<SignIn>(entry).is_ok_and(|sign_in| over(sign_in.expires)))?;
        // With each goes what its provider gave.
        let given = |change: &Change| change.key().strip_prefix(SIGN_INS).map(|id| Change::delete(format!("{TOKENS}{id}"), Expect::Any));
        gone.extend(gone.iter().filter_map(given).collect::<Vec<_>>());
        gone.extend(some(store, SECRETS, secrets, |entry| read::<one_time::Record>(entry).is_ok_and(|secret| over(secret.expires)))?);
        gone.extend(some(store, MACHINES, machines, |entry| read::<one_time::Machine>(entry).is_ok_and(|machine| over(machine.expires)))?);
        // A logout token that is too old to be believed need not be remembered.
        gone.extend(some(store, USED, used, |entry| read::<Timestamp>(entry).is_ok_and(|until| until < now))?);
        gone.extend(some(store, access_tokens::TOKENS, tokens, |entry| {
            read::<access_tokens::Record>(entry).is_ok_and(|token| token.expires < now)
        })?);
        gone.extend(some(store, HELD, held, |entry| read::<Held>(entry).is_ok_and(|held| held.is_over(now)))?);
        let answers = some(store, ORDER, answers, |entry| ordered(&entry.key).is_some_and(|(given, _)| given.plus(LIFE) < now))?;
        gone.extend(answers.iter().filter_map(|place| Some(Change::delete(ordered(place.key())?.1, Expect::Any))).collect::<Vec<_>>());
        gone.extend(answers);
        let count = gone.len();
        for changes in gone.chunks(MAX_BATCH) {
            store.batch(changes)?;
        }
        Ok(count)
    }
}

/// Deletes for those of the next entries that are to go.
fn some(store: &dyn Kv, prefix: &str, after: &mut Option<String>, go: impl Fn(&Entry) -> bool) -> Result<Vec<Change>, KvError> {
    let entries = store.scan(prefix, after.as_deref(), MAX_BATCH)?;
    // After the last one it begins again.
    *after = entries.last().map(|entry| entry.key.clone());
    Ok(entries.iter().filter(|entry| go(entry)).map(|entry| Change::delete(&entry.key, Expect::Revision(entry.at.revision))).collect())
}

fn read<T: DeserializeOwned>(entry: &Entry) -> Result<T, KvError> {
    serde_json::from_slice(&entry.at.value).map_err(|_| KvError::Damaged(entry.key.clone()))
}

/// Ends every sign-in; answers how many there were. `naru up` then says how an administrator signs in.
pub(crate) fn end_all_sign_ins(store: &dyn Kv) -> Result<u64, KvError> {
    all(store, TOKENS, |entry| Ok(Change::delete(&entry.key, Expect::Any)))?;
    all(store, SIGN_INS, |entry| Ok(Change::delete(&entry.key, Expect::Any)))
}

/// Marks every link and join token as used, by nobody who could use it again; answers how many there were.
pub(crate) fn use_up_all_secrets(store: &dyn Kv) -> Result<u64, KvError> {
    all(store, SECRETS, |entry| {
        let mut record: one_time::Record = read(entry)?;
        record.used_by = Some(String::new());
        Ok(Change::put(&entry.key, serde_json::to_vec(&record).unwrap_or_default(), Expect::Any))
    })
}

fn all(store: &dyn Kv, prefix: &str, change: impl Fn(&Entry) -> Result<Change, KvError>) -> Result<u64, KvError> {
    let (mut after, mut count): (Option<String>, u64) = (None, 0);
    loop {
        let entries = store.scan(prefix, after.as_deref(), MAX_BATCH)?;
        let Some(last) = entries.last() else { return Ok(count) };
        after = Some(last.key.clone());
        store.batch(&entries.iter().map(&change).collect::<Result<Vec<_>, _>>()?)?;
        count += entries.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::access_tokens::{AccessTokens, Whose};
    use super::super::one_time::{LOGIN_LINK, OneTime, Purpose, RedeemError};
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn keys(store: &dyn Kv, prefix: &str) -> usize {
        store.scan(prefix, None, 1000).expect("a store").len()
    }

    fn filled(many: u64) -> (Arc<dyn Kv>, OneTime, Vec<String>) {
        let store: Arc<dyn Kv> = Arc::new(store::kv::memory());
        let once = OneTime::new(store.clone());
        let tokens = AccessTokens::new(store.clone());
        let whose = Whose { name: "alice".parse().expect("a name"), sign_in: 1, serial: None };
        tokens.make(&whose, NOW.plus(HOUR * 48), None, NOW).expect("a token");
        let link = |n: u64| {
            let expires = NOW.plus(HOUR * (n % 2) as u32 * 48);
            let sign_in = serde_json::json!({"user": "alice", "principal": "p", "method": "link", "started": NOW, "expires": expires});
            store.put(&format!("{SIGN_INS}{n:016x}"), sign_in.to_string().as_bytes(), Expect::Absent).expect("stored");
            let until = serde_json::to_vec(&NOW.plus(HOUR * 24)).expect("a time");
            store.put(&format!("{USED}{n:016x}"), &until, Expect::Absent).expect("stored");
            let purpose = Purpose::login_link("alice".parse().expect("a name"));
            once.make(purpose, HOUR * (n % 2) as u32 * 48, None, NOW).expect("a link").secret
        };
        let secrets = (0..many).map(link).collect();
        (store, once, secrets)
    }

    #[test]
    fn what_ended_a_day_ago_goes_and_the_rest_stays() {
        let (store, once, secrets) = filled(600);
        let mut sweeper = Sweeper::default();
        let mut rounds = |hours: u32| (0..12).map(|_| sweeper.round(store.as_ref(), NOW.plus(HOUR * hours)).expect("swept")).max();
        assert_eq!(rounds(24), Some(0), "not before");
        assert!(rounds(25) <= Some(4 * MAX_BATCH), "a bounded part at a time");
        assert_eq!((keys(store.as_ref(), SIGN_INS), keys(store.as_ref(), SECRETS)), (300, 300));
        assert!(once.redeem(LOGIN_LINK, &secrets[1], "k", NOW.plus(HOUR * 25)).is_ok());
        assert_eq!(keys(store.as_ref(), USED), 0, "used logout tokens");
        assert!(keys(store.as_ref(), "access-token") > 0);
        rounds(1000);
        assert_eq!(keys(store.as_ref(), "access-token"), 0, "access tokens, and whose they were");
        assert_eq!((keys(store.as_ref(), SIGN_INS), keys(store.as_ref(), SECRETS)), (0, 0));
    }

    #[test]
    fn of_a_store_that_was_set_back_nothing_lets_anybody_in() {
        let (store, once, secrets) = filled(300);
        once.redeem(LOGIN_LINK, &secrets[1], "k", NOW).expect("used");
        assert_eq!(end_all_sign_ins(store.as_ref()).expect("ended"), 300);
        assert_eq!(use_up_all_secrets(store.as_ref()).expect("used up"), 300);
        for secret in &secrets[1..4] {
            assert!(matches!(once.redeem(LOGIN_LINK, secret, "k", NOW), Err(RedeemError::Used)));
        }
    }
}
