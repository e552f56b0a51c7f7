//! Secrets that work once, or once for each of so many machines: sign-in links and join tokens. Stored hashed with their purpose in the
//! key, used by compare-and-swap. Whoever used one may use it again with the same key, so that a lost answer locks nobody out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access::identity::UserId;
use access::time::Timestamp;
use access::words::{ResourceName, RoleName, UserName};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use store::kv::{Change, Expect, Kv, KvError};

use crate::live::scan;

/// Life of a sign-in link where no other is set.
#[cfg(test)]
pub(crate) const LINK_LIFE: Duration = Duration::from_secs(15 * 60);

/// What a secret is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Purpose {
    /// Signs this person in.
    LoginLink {
        user: UserName,
        /// What it was allowed for; none where the server made it itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<Box<Allowed>>,
    },
    /// Signs this person in although the provider cannot be asked; made on the server itself, for a reason.
    BreakGlass {
        user: UserName,
        reason: String,
        /// Roles on top of those that are known of the person.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        roles: Vec<RoleName>,
    },
    /// Lets an agent join.
    Node {
        /// A name, or a pattern with `*`.
        node: String,
        /// Labels that it fixes.
        labels: BTreeMap<String, String>,
        /// Whether a taken name may be taken over.
        replace: bool,
    },
    /// Lets so many agents join, as a declared join token says at that time.
    Nodes {
        /// The resource.
        of: Origin,
        /// By how many machines it can be used; the resource may have become stricter.
        uses: u32,
        /// When it was made.
        made: Timestamp,
    },
}

/// As whom and for what somebody was allowed to make a sign-in link: it is good for no more, and for nobody who has the name later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allowed {
    /// Whom it signs in.
    pub(crate) user: UserId,
    /// The roles that they had.
    pub(crate) roles: Vec<RoleName>,
    /// The handle of who made it, and who that was.
    pub(crate) by: (UserName, UserId),
}

/// The declared join token that something comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    pub(crate) name: ResourceName,
    /// Given once: one of the same name that is made later is another.
    pub(crate) id: String,
}

impl Purpose {
    /// A sign-in link that the server makes itself.
    pub(crate) fn login_link(user: UserName) -> Self {
        Self::LoginLink { user, of: None }
    }
    /// As events name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::LoginLink { .. } => LOGIN_LINK,
            Self::BreakGlass { .. } => BREAK_GLASS,
            Self::Node { .. } | Self::Nodes { .. } => NODE,
        }
    }
}

/// Kind of sign-in links.
pub(crate) const LOGIN_LINK: &str = "login_link";
/// Kind of break-glass links.
pub(crate) const BREAK_GLASS: &str = "break_glass";
/// Kind of join tokens.
pub(crate) const NODE: &str = "node";

/// Where secrets are.
pub(super) const SECRETS: &str = "once/";
/// Where it is noted which machines used a secret that several may use: below the secret's own place, by the hash of the machine's key.
pub(super) const MACHINES: &str = "machine/";
/// How often counting a use is tried where others count too. Each time another one was counted.
const TRIES: usize = 1000;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) id: String,
    purpose: Purpose,
    pub(super) expires: Timestamp,
    /// Hash of the key that used it.
    pub(super) used_by: Option<String>,
    /// The node that joined with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chosen: Option<String>,
    /// The handle of who made it; none for what the proxy made itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_by: Option<UserName>,
    /// How many machines used it, where several may.
    #[serde(default, skip_serializing_if = "is_zero")]
    count: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One machine's use of a secret that several may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Machine {
    /// The node that it joined as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chosen: Option<String>,
    /// When the secret ends.
    pub(super) expires: Timestamp,
}

/// A secret that has not expired, without the secret.
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) purpose: Purpose,
    pub(crate) made_by: Option<UserName>,
    pub(crate) expires: Timestamp,
    pub(crate) used: bool,
    /// How many machines used it, where several may.
    pub(crate) count: u32,
    pub(crate) chosen: Option<String>,
    /// Takes it out of the store as it was listed.
    pub(crate) remove: Change,
}

/// A secret, shown once.
pub(crate) struct Made {
    pub(crate) secret: String,
    pub(crate) id: String,
    pub(crate) expires: Timestamp,
}

/// The proof that a secret was shown and is used up.
#[derive(Debug)]
pub(crate) struct Redeemed {
    purpose: Purpose,
    id: String,
    sign_in: u64,
    binds: Binds,
    key: String,
    revision: u64,
}

/// What is stored where a use is bound to the node that joins.
#[derive(Debug)]
enum Binds {
    Secret(Record),
    Machine(Machine),
}

impl Redeemed {
    /// The node that has joined with it, if any has.
    pub(crate) fn chosen(&self) -> Option<&str> {
        match &self.binds {
            Binds::Secret(record) => record.chosen.as_deref(),
            Binds::Machine(machine) => machine.chosen.as_deref(),
        }
    }
    /// The change that binds it to this node, for the batch in which that joins.
    pub(crate) fn choose(&self, node: &str) -> Change {
        let chosen = Some(node.to_owned());
        let value = match &self.binds {
            Binds::Secret(record) => json(&Record { chosen, ..record.clone() }),
            Binds::Machine(machine) => json(&Machine { chosen, ..machine.clone() }),
        };
        Change::put(self.key.clone(), value, Expect::Revision(self.revision))
    }
    /// What it was good for.
    pub(crate) fn purpose(&self) -> &Purpose {
        &self.purpose
    }
    /// Its public id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
    /// The sign-in that it begins: always the same one, however often it is used by its holder.
    pub(crate) fn sign_in(&self) -> u64 {
        self.sign_in
    }
}

/// Why a secret is refused.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum RedeemError {
    #[error("it is not known: it may be mistyped, cut, or of another install")]
    Unknown,
    #[error("it expired at {0}")]
    Expired(Timestamp),
    #[error("it was used before")]
    Used,
    #[error("it was used by {0} machines, and by no more it can be used")]
    UsedUp(u32),
    #[error(transparent)]
    Store(#[from] KvError),
}

/// All one-time secrets of an install.
#[derive(Clone)]
pub(crate) struct OneTime(Arc<dyn Kv>);

impl OneTime {
    pub(crate) fn new(store: Arc<dyn Kv>) -> Self {
        Self(store)
    }

    /// Those of a kind that have not expired.
    pub(crate) fn list(&self, kind: &str, now: Timestamp) -> Result<Vec<Listed>, KvError> {
        let mut all = Vec::new();
        for entry in scan(self.0.as_ref(), &format!("{SECRETS}{kind}/"))? {
            let record: Record = serde_json::from_slice(&entry.at.value).map_err(|_| KvError::Damaged(entry.key.clone()))?;
            let Record { id, purpose, expires, used_by, chosen, made_by, count } = record;
            let remove = Change::delete(entry.key, Expect::Revision(entry.at.revision));
            all.push(Listed { id, purpose, made_by, expires, used: used_by.is_some(), count, chosen, remove });
        }
        all.retain(|listed| now < listed.expires);
        Ok(all)
    }

    /// Makes a secret. Durable before it is answered.
    pub(crate) fn make(&self, purpose: Purpose, life: Duration, by: Option<&UserName>, now: Timestamp) -> Result<Made, KvError> {
        let mut bytes = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| std::io::Error::other("no random numbers"))?;
        // Begins with a letter, so that no command line takes it for an option.
        let secret = format!("s{}", URL_SAFE_NO_PAD.encode(bytes));
        let id = uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect::<String>();
        let expires = now.plus(life);
        let key = key_of(purpose.kind(), &secret);
        let record = Record { id: id.clone(), purpose, expires, used_by: None, chosen: None, made_by: by.cloned(), count: 0 };
        self.0.put(&key, &json(&record), Expect::Absent)?;
        Ok(Made { secret, id, expires })
    }

    /// Of which of these kinds a secret is; the first where it is of none, which is then told when it is redeemed.
    pub(crate) fn kind<'a>(&self, kinds: &[&'a str], secret: &str) -> &'a str {
        let of = |kind: &&&str| matches!(self.0.get(&key_of(kind, secret)), Ok(Some(_)));
        kinds.iter().find(of).or(kinds.first()).copied().unwrap_or_default()
    }

    /// What a secret of this kind is good for, without using it up.
    pub(crate) fn purpose(&self, kind: &str, secret: &str, by: &str, now: Timestamp) -> Result<Purpose, RedeemError> {
        self.find(&key_of(kind, secret), by, now).map(|(record, _)| record.purpose)
    }

    /// The record of a secret that this holder may use now, and its revision.
    fn find(&self, key: &str, by: &str, now: Timestamp) -> Result<(Record, u64), RedeemError> {
        let stored = self.0.get(key)?.ok_or(RedeemError::Unknown)?;
        let record: Record = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key.to_owned()))?;
        if record.used_by.as_deref().is_some_and(|used_by| used_by != by) {
            return Err(RedeemError::Used);
        }
        if now >= record.expires {
            return Err(RedeemError::Expired(record.expires));
        }
        Ok((record, stored.revision))
    }

    /// Uses a secret of this kind up, for the holder of the key with this hash.
    pub(crate) fn redeem(&self, kind: &str, secret: &str, by: &str, now: Timestamp) -> Result<Redeemed, RedeemError> {
        // Looked up by hash: nothing is compared byte by byte, and the whole length counts.
        let key = key_of(kind, secret);
        let (mut record, mut revision) = self.find(&key, by, now)?;
        if record.used_by.is_none() {
            record.used_by = Some(by.to_owned());
            match self.0.put(&key, &json(&record), Expect::Revision(revision)) {
                Ok(written) => revision = written,
                Err(KvError::Conflict { .. }) => return Err(RedeemError::Used),
                Err(error) => return Err(error.into()),
            }
        }
        let sign_in = sign_in_of(&key);
        Ok(Redeemed { purpose: record.purpose.clone(), id: record.id.clone(), sign_in, binds: Binds::Secret(record), key, revision })
    }

    /// Counts the machine with this key among those that use a secret, of which there may be so many. One that was counted is not
    /// counted again.
    pub(crate) fn count(&self, kind: &str, secret: &str, by: &str, most: u32, now: Timestamp) -> Result<Redeemed, RedeemError> {
        let key = key_of(kind, secret);
        let mine = format!("{MACHINES}{}/{by}", key.trim_start_matches(SECRETS));
        let mut lost = None;
        for _ in 0..TRIES {
            let (mut record, revision) = self.find(&key, by, now)?;
            let redeemed = |record: &Record, machine, revision| Redeemed {
                purpose: record.purpose.clone(),
                id: record.id.clone(),
                sign_in: sign_in_of(&key),
                binds: Binds::Machine(machine),
                key: mine.clone(),
                revision,
            };
            if let Some(stored) = self.0.get(&mine)? {
                let machine = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(mine.clone()))?;
                return Ok(redeemed(&record, machine, stored.revision));
            }
            if record.count >= most {
                return Err(RedeemError::UsedUp(record.count));
            }
            record.count = record.count.saturating_add(1);
            let machine = Machine { chosen: None, expires: record.expires };
            let counted = Change::put(key.clone(), json(&record), Expect::Revision(revision));
            match self.0.batch(&[counted, Change::put(mine.clone(), json(&machine), Expect::Absent)]) {
                Ok(written) => return Ok(redeemed(&record, machine, written)),
                // Another machine was counted in between.
                Err(error @ KvError::Conflict { .. }) => lost = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(lost.map_or(RedeemError::Unknown, RedeemError::Store))
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Plain values with text keys cannot fail to become JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Derived, so that a crash between using a link up and noting the sign-in leaves nothing to find again.
fn sign_in_of(key: &str) -> u64 {
    let hash = blake3::derive_key("naru sign-in of a one-time secret v1", key.as_bytes());
    hash.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
}

fn key_of(kind: &str, secret: &str) -> String {
    let mut hash = blake3::Hasher::new_derive_key("naru one-time secret v1");
    hash.update(kind.as_bytes());
    hash.update(&[0]);
    hash.update(secret.as_bytes());
    format!("{SECRETS}{kind}/{}", hash.finalize().to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn link() -> Purpose {
        Purpose::login_link("alice".parse().expect("name"))
    }

    #[test]
    fn a_secret_works_once_in_time_for_its_kind_and_whole() {
        let once = OneTime::new(Arc::new(store::kv::memory()));
        let made = once.make(link(), LINK_LIFE, None, NOW).expect("made");
        let redeem = |kind: &str, secret: &str, by: &str, now| once.redeem(kind, secret, by, now).map(|_| ());
        assert!(matches!(redeem(NODE, &made.secret, "k1", NOW), Err(RedeemError::Unknown)), "another kind");
        let cut = &made.secret[..made.secret.len() - 1];
        assert!(matches!(redeem(LOGIN_LINK, cut, "k1", NOW), Err(RedeemError::Unknown)), "cut");
        assert!(matches!(redeem(LOGIN_LINK, &made.secret, "k1", NOW.plus(LINK_LIFE)), Err(RedeemError::Expired(_))));
        assert!(matches!(redeem(LOGIN_LINK, &made.secret, "k1", NOW), Ok(())));
        assert!(matches!(redeem(LOGIN_LINK, &made.secret, "k1", NOW), Ok(())), "the same key again");
        assert!(matches!(redeem(LOGIN_LINK, &made.secret, "k2", NOW), Err(RedeemError::Used)));
    }

    #[test]
    fn of_many_at_once_one_wins() {
        let once = OneTime::new(Arc::new(store::kv::memory()));
        let made = once.make(link(), LINK_LIFE, None, NOW).expect("made");
        let won = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..16)
                .map(|i| {
                    let (once, secret) = (&once, &made.secret);
                    scope.spawn(move || once.redeem(LOGIN_LINK, secret, &format!("k{i}"), NOW).is_ok())
                })
                .collect();
            tries.into_iter().filter(|_| true).map(|t| t.join().expect("thread")).filter(|won| *won).count()
        });
        assert_eq!(won, 1);
    }

    fn several() -> Purpose {
        let of = Origin { name: "web".parse().expect("name"), id: "1".to_owned() };
        Purpose::Nodes { of, uses: 50, made: NOW }
    }

    #[test]
    fn of_a_hundred_machines_at_once_as_many_win_as_there_are_uses() {
        let once = OneTime::new(Arc::new(store::kv::memory()));
        let made = once.make(several(), LINK_LIFE, None, NOW).expect("made");
        let count = |by: &str| once.count(NODE, &made.secret, by, 50, NOW);
        let won: Vec<bool> = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..100).map(|i| scope.spawn(move || count(&format!("k{i}")).is_ok())).collect();
            tries.into_iter().map(|t| t.join().expect("thread")).collect()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 50);
        for (i, won) in won.iter().enumerate() {
            assert_eq!(count(&format!("k{i}")).is_ok(), *won, "who was counted is not counted again, and nobody else gets in");
        }
        assert!(matches!(count("late"), Err(RedeemError::UsedUp(50))));
        let listed = once.list(NODE, NOW).expect("listed");
        assert_eq!(listed.iter().map(|listed| (listed.count, listed.used)).collect::<Vec<_>>(), [(50, false)]);
        once.0.batch(&[listed.into_iter().next().expect("one").remove]).expect("removed");
        assert!(matches!(count("k0"), Err(RedeemError::Unknown)), "taken back, for those who were counted too");
    }
}
