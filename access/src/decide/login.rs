//! Whether somebody may have one more login, and which of the others end for it. Who the person is has been shown before.

use std::collections::BTreeSet;

use super::denial::Denial;
use super::who::standing;
use super::{locks, signed_in};
use crate::identity::{Identity, Method};
use crate::policy::{PolicySet, WhenFull};
use crate::time::Timestamp;

/// May this person begin one more login?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogIn {
    /// The person, as the new login will know them.
    pub identity: Identity,
    /// The person's logins that go on: the id of each and when it began.
    pub live: Vec<(u64, Timestamp)>,
}

/// The proof that a login may begin. Made by [`log_in`] only.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "the logins that it names have to end"]
pub struct Admit {
    /// Ids of the logins that end for it, the oldest first.
    pub ends: Vec<u64>,
}

/// Answers a [`LogIn`]. The smallest `max_logins` of the person's roles counts, and a role that refuses the newest wins over one that ends the oldest.
/// A break-glass login is never refused: it ends the oldest.
///
/// # Errors
/// [`Denial::LOGINS`] where there are as many logins as may be, [`Denial::ENDED`] for a sign-in that is over before it
/// begins, [`Denial::LOCKED`] for somebody who is locked.
pub fn log_in(question: &LogIn, policy: &PolicySet, now: Timestamp) -> Result<Admit, Denial> {
    let LogIn { identity, live } = question;
    signed_in(identity, now)?;
    locks::person(identity, policy, now)?;
    let roles = standing(identity, policy);
    let limits = || roles.iter().filter_map(|one| Some((one.spec.options.max_logins?, one.role, one.spec.options.when_full)));
    let Some((limit, role, _)) = limits().min_by_key(|(limit, ..)| *limit) else { return Ok(Admit { ends: Vec::new() }) };
    let too_many = (live.len() + 1).saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    let refuses = limits().any(|(.., when_full)| when_full == WhenFull::NewestRefused) && identity.auth.method != Method::BreakGlass;
    if too_many > 0 && refuses {
        let s = if limit == 1 { "" } else { "s" };
        return Err(Denial {
            code: Denial::LOGINS,
            rule: format!("{role}/options.max_logins"),
            sentence: format!("{} is signed in {} already: role {role} allows {limit} login{s} at once", identity.name, times(live.len())),
            hint: "Sign out where you need it no more; `naru logout --all` there ends every login of yours.".to_owned(),
            ..Denial::bare()
        });
    }
    let oldest: BTreeSet<(Timestamp, u64)> = live.iter().map(|(id, started)| (*started, *id)).collect();
    Ok(Admit { ends: oldest.into_iter().take(too_many).map(|(_, id)| id).collect() })
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}
