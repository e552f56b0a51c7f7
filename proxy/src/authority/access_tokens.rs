//! Access tokens: what a login's person shows in place of a certificate, for minutes. Kept hashed; each says of which login it is and of
//! no right, so that whatever ends the login or changes the person counts for its tokens at once. Who shows one is the API's to find out.

use std::sync::Arc;

use access::time::Timestamp;
use access::words::UserName;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use store::kv::{Change, Expect, Kv, KvError};
use wire::api::ACCESS_TOKEN;

/// Where tokens are, by their hash.
pub(super) const TOKENS: &str = "access-token/";
/// Where it is noted which tokens a login has, by its number.
pub(super) const HELD: &str = "access-tokens-of/";
/// Most tokens of one login at once: beyond that the oldest ends.
const MOST: usize = 50;
/// How often making one is tried where others are made of the same login.
const TRIES: usize = 100;
/// Bytes of chance in a token, and of its checksum.
const CHANCE: usize = 32;
const SUM: usize = 4;

/// Of whom a token is to be.
#[derive(Debug, Clone)]
pub(crate) struct Whose {
    pub(crate) name: UserName,
    pub(crate) sign_in: u64,
    /// Of the certificate that it is made with: a lock on that counts for the token.
    pub(crate) serial: Option<String>,
}

/// A token as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) user: UserName,
    pub(crate) sign_in: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<String>,
    pub(crate) expires: Timestamp,
    /// Of the key that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thumbprint: Option<String>,
}

/// The tokens of a login, the oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    tokens: Vec<One>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    place: Place,
    expires: Timestamp,
}

impl Held {
    /// Whether none of them lives.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.tokens.iter().all(|one| one.expires <= now)
    }
}

/// Where a token is kept, which tells nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Place(String);

impl Place {
    fn of(token: &str) -> Self {
        let hash = blake3::derive_key("naru access token v1", token.as_bytes());
        Self(format!("{TOKENS}{}", hex::encode(hash)))
    }
}

/// A token, shown once.
pub(crate) struct Made {
    pub(crate) token: String,
    pub(crate) id: String,
    pub(crate) expires: Timestamp,
}

/// Why a token opens nothing.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum NoToken {
    #[error("what was shown is no access token of Naru: it may be cut or mistyped")]
    Malformed,
    #[error("the access token is not known: it may have expired, made room for others, or be of another install")]
    Unknown,
    #[error("the access token expired at {0}")]
    Expired(Timestamp),
    #[error(transparent)]
    Store(#[from] KvError),
}

/// All access tokens of an install.
#[derive(Clone)]
pub(crate) struct AccessTokens(Arc<dyn Kv>);

impl AccessTokens {
    pub(crate) fn new(store: Arc<dyn Kv>) -> Self {
        Self(store)
    }

    /// Makes a token of a login, bound to the key of this thumbprint where there is one. Durable before it is answered.
    pub(crate) fn make(&self, whose: &Whose, expires: Timestamp, key: Option<&str>, now: Timestamp) -> Result<Made, KvError> {
        let token = random()?;
        let place = Place::of(&token);
        let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect();
        let Whose { name, sign_in, serial } = whose.clone();
        let record = Record { id: id.clone(), user: name, sign_in, serial, expires, thumbprint: key.map(str::to_owned) };
        let value = json(&record);
        let mut lost = None;
        for _ in 0..TRIES {
            let mut changes = self.held(sign_in, &place, expires, now)?;
            changes.push(Change::put(place.0.clone(), value.clone(), Expect::Absent));
            match self.0.batch(&changes) {
                Ok(_) => return Ok(Made { token, id, expires }),
                // Another one was made in between.
                Err(error @ KvError::Conflict { .. }) => lost = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(lost.unwrap_or_else(|| KvError::Damaged(held_by(sign_in))))
    }

    /// Notes one more token of a login; those that are over go, and the oldest where there are too many.
    fn held(&self, sign_in: u64, place: &Place, expires: Timestamp, now: Timestamp) -> Result<Vec<Change>, KvError> {
        let key = held_by(sign_in);
        let (mut held, expect) = match self.0.get(&key)? {
            None => (Held::default(), Expect::Absent),
            Some(stored) => {
                let held: Held = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key.clone()))?;
                (held, Expect::Revision(stored.revision))
            }
        };
        held.tokens.push(One { place: place.clone(), expires });
        let lives = |one: &One| now < one.expires;
        let mut too_many = held.tokens.iter().filter(|one| lives(one)).count().saturating_sub(MOST);
        let mut gone = Vec::new();
        held.tokens.retain(|one| {
            let stays = lives(one) && too_many == 0;
            if !stays {
                too_many = too_many.saturating_sub(usize::from(lives(one)));
                gone.push(Change::delete(one.place.0.clone(), Expect::Any));
            }
            stays
        });
        gone.push(Change::put(key, json(&held), expect));
        Ok(gone)
    }

    /// What is known of a token that lives.
    pub(crate) fn find(&self, token: &str, now: Timestamp) -> Result<(Place, Record), NoToken> {
        if !is_whole(token) {
            return Err(NoToken::Malformed);
        }
        // Looked up by hash: nothing is compared byte by byte, and the whole length counts.
        let place = Place::of(token);
        let record = self.at(&place, now)?;
        Ok((place, record))
    }

    /// The same for one that was found before.
    pub(crate) fn at(&self, place: &Place, now: Timestamp) -> Result<Record, NoToken> {
        let stored = self.0.get(&place.0)?.ok_or(NoToken::Unknown)?;
        let record: Record = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(place.0.clone()))?;
        if now < record.expires { Ok(record) } else { Err(NoToken::Expired(record.expires)) }
    }
}

fn held_by(sign_in: u64) -> String {
    format!("{HELD}{sign_in:016x}")
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Plain values with text keys cannot fail to become JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

fn random() -> Result<String, KvError> {
    let mut bytes = [0_u8; CHANCE];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| std::io::Error::other("no random numbers"))?;
    let whole = [bytes.as_slice(), &sum(&bytes)].concat();
    Ok(format!("{ACCESS_TOKEN}{}", URL_SAFE_NO_PAD.encode(whole)))
}

fn sum(chance: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, chance).as_ref().iter().take(SUM).copied().collect()
}

/// Whether it is a token with its checksum: one that is cut or mistyped is told without a look into the store.
fn is_whole(token: &str) -> bool {
    let bytes =
        token.strip_prefix(ACCESS_TOKEN).filter(|rest| rest.len() == (CHANCE + SUM) / 3 * 4).map(|rest| URL_SAFE_NO_PAD.decode(rest));
    bytes.and_then(Result::ok).and_then(|bytes| bytes.split_last_chunk::<SUM>().map(|(chance, told)| sum(chance) == told)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const LIFE: Duration = Duration::from_secs(600);

    fn whose(sign_in: u64) -> Whose {
        Whose { name: "alice".parse().expect("a name"), sign_in, serial: None }
    }

    #[test]
    fn a_token_is_good_whole_and_in_time_only_and_the_store_does_not_know_it() {
        let store: Arc<dyn Kv> = Arc::new(store::kv::memory());
        let tokens = AccessTokens::new(store.clone());
        let made = tokens.make(&whose(7), NOW.plus(LIFE), None, NOW).expect("made");
        let token = made.token.as_str();
        assert!(token.starts_with("naru_at_") && token.len() == 56, "{}", token.len());
        let (place, record) = tokens.find(token, NOW).expect("found");
        assert_eq!((record.sign_in, record.id == made.id), (7, true));
        assert!(matches!(tokens.find(token, NOW.plus(LIFE)), Err(NoToken::Expired(_))));
        assert!(matches!(tokens.at(&place, NOW.plus(LIFE)), Err(NoToken::Expired(_))));
        for other in [&token[..55], &token[8..], &token.to_ascii_uppercase(), &format!("{token}A"), &format!(" {token}"), "", "naru_at_"] {
            assert!(matches!(tokens.find(other, NOW), Err(NoToken::Malformed)), "{other}");
        }
        let mut flipped = token.to_owned().into_bytes();
        flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
        assert!(matches!(tokens.find(&String::from_utf8(flipped).expect("text"), NOW), Err(NoToken::Malformed)), "its checksum");
        assert!(matches!(tokens.find(&random().expect("a token"), NOW), Err(NoToken::Unknown)), "of another install");
        for entry in store.scan("", None, 100).expect("a store") {
            assert!(!entry.key.contains(&token[8..40]) && !String::from_utf8_lossy(&entry.at.value).contains(&token[8..40]));
        }
    }

    #[test]
    fn of_a_login_with_too_many_the_oldest_ends_and_what_is_over_takes_no_place() {
        let tokens = AccessTokens::new(Arc::new(store::kv::memory()));
        let make = |sign_in, life| tokens.make(&whose(sign_in), NOW.plus(life), None, NOW).expect("made").token;
        let other = make(8, LIFE);
        let short = make(7, Duration::from_secs(1));
        let all: Vec<String> = (0..MOST).map(|_| make(7, LIFE)).collect();
        assert!(matches!(tokens.find(&short, NOW), Err(NoToken::Unknown)), "the oldest");
        assert!(all.iter().all(|token| tokens.find(token, NOW).is_ok()));
        make(7, LIFE);
        assert!(tokens.find(&all[0], NOW).is_err() && tokens.find(&all[1], NOW).is_ok() && tokens.find(&other, NOW).is_ok());
        let later = NOW.plus(LIFE);
        let last = tokens.make(&whose(7), later.plus(LIFE), None, later).expect("made").token;
        assert!(tokens.find(&last, later).is_ok() && matches!(tokens.find(&all[1], later), Err(NoToken::Unknown)));
    }
}
