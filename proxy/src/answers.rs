//! Answers to requests that made something, kept so that who asks again with the same key gets the same one (draft-ietf-httpapi-
//! idempotency-key-header). Answers carry secrets, so they are sealed. So many of each person, and for a day. Who may have one again is
//! not decided here.

use std::sync::Arc;
use std::time::Duration;

use access::time::Timestamp;
use serde::{Deserialize, Serialize};
use store::kv::{Change, Expect, Kv, KvError, MAX_BATCH};
use zeroize::Zeroizing;

use crate::authority::ask::Keys;
use crate::authority::sealed::{Seal, Sealed, Unseal};
use crate::live::scan;

/// Where answers are: below the person, by the key.
const ANSWERS: &str = "repeat/";
/// Where they stand in the order in which they were given: below the person, by the time and the key. The value is the size.
pub(crate) const ORDER: &str = "repeat-order/";

/// How long an answer is kept.
pub(crate) const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Most answers of one person.
const MOST: usize = 1000;
/// Most bytes of the answers of one person.
const MOST_BYTES: u64 = 32 * 1024 * 1024;
/// Most bytes of one answer. Sealed and in base64 it is well below what a value of the store may have.
pub(crate) const MOST_OF_ONE: u64 = 256 * 1024;

/// Which request: whose, by what key. Hashes, so that nothing of either is in a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) person: String,
    key: String,
}

impl Place {
    pub(crate) fn new(principal: &str, key: &str) -> Self {
        let hash = |context, text: &str| blake3::derive_key(context, text.as_bytes());
        let (person, key) = (hash("naru person of a repeated request v1", principal), hash("naru key of a repeated request v1", key));
        Self { person: hex::encode(person.first_chunk::<16>().unwrap_or(&[0; 16])), key: hex::encode(key) }
    }

    fn answer(&self) -> String {
        format!("{ANSWERS}{}/{}", self.person, self.key)
    }

    fn order(&self, given: Timestamp) -> String {
        format!("{ORDER}{}/{:020}.{}", self.person, given.as_nanos().max(0), self.key)
    }
}

/// When an answer was given, and where it is, by its place in the order.
pub(crate) fn ordered(order: &str) -> Option<(Timestamp, String)> {
    let (person, rest) = order.strip_prefix(ORDER)?.split_once('/')?;
    let (nanos, key) = rest.split_once('.')?;
    Some((Timestamp::from_nanos(nanos.parse().ok()?), format!("{ANSWERS}{person}/{key}")))
}

/// An answer, with the hash of the request that it was given to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) request: String,
    pub(crate) status: u16,
    pub(crate) kind: Option<String>,
    pub(crate) body: String,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    v: u8,
    given: Timestamp,
    answer: Sealed,
}

/// What stands at a place.
pub(crate) struct Found {
    pub(crate) answer: Option<Answer>,
    /// What is to be there when another is kept, and what goes then.
    expect: Expect,
    old: Option<String>,
}

/// An answer cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error(transparent)]
    Store(#[from] KvError),
    #[error("a kept answer could not be sealed or opened: {0}")]
    Seal(String),
}

/// All that is kept.
#[derive(Clone)]
pub(crate) struct Answers {
    store: Arc<dyn Kv>,
    keys: Keys,
}

impl Answers {
    pub(crate) fn new(store: Arc<dyn Kv>, keys: Keys) -> Self {
        Self { store, keys }
    }

    /// What was answered before, unless that is too long ago.
    pub(crate) fn find(&self, place: &Place, now: Timestamp) -> Result<Found, AnswerError> {
        let key = place.answer();
        let Some(at) = self.store.get(&key)? else {
            return Ok(Found { answer: None, expect: Expect::Absent, old: None });
        };
        let expect = Expect::Revision(at.revision);
        let stored: Stored = serde_json::from_slice(&at.value).map_err(|_| KvError::Damaged(key.clone()))?;
        if now.since(stored.given) >= LIFE {
            return Ok(Found { answer: None, expect, old: Some(place.order(stored.given)) });
        }
        let text = self.keys.ask(Unseal { place: &key, sealed: &stored.answer }).map_err(|error| AnswerError::Seal(error.to_string()))?;
        let answer = serde_json::from_str(&text).map_err(|_| KvError::Damaged(key))?;
        Ok(Found { answer: Some(answer), expect, old: None })
    }

    /// Keeps an answer where there is none. What was found there before it was given is not there any more. Blocks on the disk.
    pub(crate) fn keep(&self, place: &Place, found: &Found, answer: &Answer, now: Timestamp) -> Result<(), AnswerError> {
        let key = place.answer();
        let text = Zeroizing::new(serde_json::to_vec(answer).unwrap_or_default());
        let answer = self.keys.ask(Seal { place: &key, secret: &text }).map_err(|error| AnswerError::Seal(error.to_string()))?;
        let stored = serde_json::to_vec(&Stored { v: 1, given: now, answer }).unwrap_or_default();
        let size = stored.len().to_string().into_bytes();
        let mut changes = vec![Change::put(key, stored, found.expect), Change::put(place.order(now), size, Expect::Any)];
        changes.extend(found.old.clone().map(|old| Change::delete(old, Expect::Any)));
        self.store.batch(&changes)?;
        self.sweep(&place.person, now)
    }

    /// Removes of one person's what is too old, and the oldest beyond what one may have.
    fn sweep(&self, person: &str, now: Timestamp) -> Result<(), AnswerError> {
        let (mut count, mut bytes, mut gone) = (0, 0, Vec::new());
        // The newest first.
        for entry in scan(self.store.as_ref(), &format!("{ORDER}{person}/"))?.into_iter().rev() {
            let Some((given, answer)) = ordered(&entry.key) else { continue };
            count += 1;
            bytes += String::from_utf8_lossy(&entry.at.value).parse().unwrap_or(0_u64);
            if count > MOST || bytes > MOST_BYTES || now.since(given) >= LIFE {
                gone.extend([Change::delete(entry.key, Expect::Any), Change::delete(answer, Expect::Any)]);
            }
        }
        for some in gone.chunks(MAX_BATCH) {
            self.store.batch(some)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::keyring::Keyring;
    use crate::authority::old::Sweeper;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn answers(folder: &tempfile::TempDir) -> Answers {
        let install = "i-1".parse().expect("an id");
        let keys = Keys::new(Keyring::open(folder.path(), &install).expect("keys"));
        Answers::new(Arc::new(store::kv::memory()), keys)
    }

    fn said(body: String) -> Answer {
        Answer { request: "h".to_owned(), status: 200, kind: None, body }
    }

    fn keep(answers: &Answers, person: &str, key: &str, body: String, now: Timestamp) {
        let place = Place::new(person, key);
        let found = answers.find(&place, now).expect("read");
        answers.keep(&place, &found, &said(body), now).expect("kept");
    }

    fn has(answers: &Answers, person: &str, key: &str, now: Timestamp) -> bool {
        answers.find(&Place::new(person, key), now).expect("read").answer.is_some()
    }

    fn entries(answers: &Answers) -> usize {
        scan(answers.store.as_ref(), "repeat").expect("a store").len()
    }

    #[test]
    fn the_oldest_go_beyond_what_one_person_may_have() {
        let folder = tempfile::tempdir().expect("a folder");
        let answers = answers(&folder);
        let second = |n: usize| NOW.plus(Duration::from_secs(n as u64));
        keep(&answers, "ann", "0", "x".into(), NOW);
        (0..MOST + 2).for_each(|n| keep(&answers, "eve", &n.to_string(), "x".into(), second(n)));
        let now = second(MOST + 2);
        assert_eq!(entries(&answers), 2 * (MOST + 1), "each with its place in the order");
        assert!(!has(&answers, "eve", "0", now) && !has(&answers, "eve", "1", now) && has(&answers, "eve", "2", now));
        assert!(has(&answers, "ann", "0", now), "another's");
        // Large ones are fewer.
        let large = || "x".repeat(200 * 1024);
        (0..200).for_each(|n| keep(&answers, "bob", &n.to_string(), large(), second(n)));
        assert!(!has(&answers, "bob", "0", now) && has(&answers, "bob", "199", now));
    }

    #[test]
    fn after_a_day_an_answer_is_none_and_can_be_given_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let answers = answers(&folder);
        let later = |secs: u64| NOW.plus(LIFE).plus(Duration::from_secs(secs));
        keep(&answers, "eve", "a", "one".into(), NOW);
        keep(&answers, "eve", "b", "one".into(), NOW);
        assert!(has(&answers, "eve", "a", NOW.plus(LIFE - Duration::from_secs(1))) && !has(&answers, "eve", "a", later(0)));
        keep(&answers, "eve", "a", "two".into(), later(1));
        assert_eq!(answers.find(&Place::new("eve", "a"), later(2)).expect("read").answer, Some(said("two".into())));
        assert_eq!(entries(&answers), 2, "the old one of b went too");
        // Of somebody who never comes again nothing stays.
        let mut sweeper = Sweeper::default();
        let mut swept = |now| (0..2).map(|_| sweeper.round(answers.store.as_ref(), now).expect("swept")).sum::<usize>();
        assert_eq!(swept(later(1)), 0, "not before");
        assert_eq!(entries(&answers), 2);
        assert_eq!(swept(later(LIFE.as_secs() + 2)), 2);
        assert_eq!(entries(&answers), 0);
    }

    #[test]
    fn a_kept_answer_opens_only_at_its_own_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let answers = answers(&folder);
        keep(&answers, "eve", "a", "secret".into(), NOW);
        let (from, to) = (Place::new("eve", "a"), Place::new("ann", "a"));
        let bytes = answers.store.get(&from.answer()).expect("a store").expect("kept").value;
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
        answers.store.put(&to.answer(), &bytes, Expect::Absent).expect("moved");
        assert!(matches!(answers.find(&to, NOW), Err(AnswerError::Seal(_))));
    }
}
