//! DPoP proofs that were used: each counts once while it could be believed. INVARIANT: none is forgotten before its time; where there is
//! no room, new ones are refused. Whether a proof is good is not asked here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use access::time::Timestamp;
use wire::dpop::{Proof, WINDOW};

/// Most that are remembered: some megabytes.
const MOST: usize = 65_536;
/// Most of one login, so that no person takes the room of all.
const MOST_EACH: usize = MOST / 8;
/// A proof from ahead of our clock can be believed for this long.
const KEPT: Duration = WINDOW.saturating_mul(2);

type Hash = [u8; 16];

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Used {
    /// It is used up now.
    Now,
    /// It was used before.
    Before,
    /// It may have been, by an earlier run of this server.
    Unknown,
    /// There is no room to remember it.
    Full,
}

/// All that were used lately.
pub(super) struct Proofs {
    /// In whole seconds, as proofs have it.
    started: i64,
    used: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    all: HashSet<Hash>,
    /// The oldest first.
    order: VecDeque<(Instant, Hash, u64)>,
    each: HashMap<u64, usize>,
}

impl Proofs {
    /// None was used since this moment.
    pub(super) fn new(started: Timestamp) -> Self {
        Self { started: started.as_secs(), used: Mutex::default() }
    }

    /// Uses a proof up, for this login.
    pub(super) fn use_up(&self, proof: &Proof, sign_in: u64) -> Used {
        if proof.made().as_secs() < self.started {
            return Used::Unknown;
        }
        let hash = hash_of(proof.thumbprint(), proof.id());
        self.used.lock().unwrap_or_else(PoisonError::into_inner).use_up(hash, sign_in, Instant::now())
    }
}

fn hash_of(thumbprint: &str, id: &str) -> Hash {
    let mut hash = blake3::Hasher::new_derive_key("naru used DPoP proof v1");
    hash.update(thumbprint.as_bytes()).update(&[0]).update(id.as_bytes());
    let mut out = Hash::default();
    hash.finalize_xof().fill(&mut out);
    out
}

impl Recent {
    fn use_up(&mut self, hash: Hash, sign_in: u64, now: Instant) -> Used {
        while self.order.front().is_some_and(|(at, ..)| now.duration_since(*at) > KEPT) {
            if let Some((_, old, of)) = self.order.pop_front() {
                self.all.remove(&old);
                if let Some(count) = self.each.get_mut(&of) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.each.remove(&of);
                    }
                }
            }
        }
        if self.all.contains(&hash) {
            return Used::Before;
        }
        if self.order.len() >= MOST || self.each.get(&sign_in).is_some_and(|count| *count >= MOST_EACH) {
            return Used::Full;
        }
        self.all.insert(hash);
        self.order.push_back((now, hash, sign_in));
        *self.each.entry(sign_in).or_default() += 1;
        Used::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_counts_once_for_as_long_as_it_could_be_believed() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let (one, other) = (hash_of("key", "id"), hash_of("other key", "id"));
        assert_eq!((recent.use_up(one, 1, now), recent.use_up(one, 1, now)), (Used::Now, Used::Before));
        assert_eq!((recent.use_up(one, 2, now + KEPT), recent.use_up(other, 1, now + KEPT)), (Used::Before, Used::Now));
        assert_eq!(recent.use_up(hash_of("k", "later"), 1, now + KEPT * 2), Used::Now);
        assert_eq!(
            (recent.order.len(), recent.all.len(), recent.each.get(&1)),
            (2, 2, Some(&2)),
            "what is too old to be believed is let go"
        );
    }

    #[test]
    fn who_uses_very_many_is_refused_and_takes_no_room_of_others_and_nothing_is_forgotten() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let hash = |sign_in: u64, at: usize| hash_of(&sign_in.to_string(), &at.to_string());
        let mut used = |sign_in| (0..=MOST_EACH).filter(|at| recent.use_up(hash(sign_in, *at), sign_in, now) == Used::Now).count();
        assert_eq!(used(1), MOST_EACH);
        assert_eq!((2..=8).map(&mut used).sum::<usize>(), MOST - MOST_EACH);
        assert_eq!(used(9), 0, "there is no room for anybody");
        assert_eq!(recent.use_up(hash(1, 0), 1, now), Used::Before, "the first one is known still");
        assert_eq!(recent.use_up(hash(9, 0), 9, now + KEPT * 2), Used::Now);
        assert_eq!((recent.order.len(), recent.each.len()), (1, 1));
    }
}
