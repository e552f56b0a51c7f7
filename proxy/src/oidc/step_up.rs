//! Sessions that wait until their person has shown anew who they are. Those that demand the same of the same login wait for one answer:
//! a batch of two hundred asks once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use access::event::{Actor, Client, Event, What};
use access::identity::Auth;
use access::policy::StepUp;
use tokio::sync::watch;

use super::attempts::{Attempt, For, LIFE};
use super::settle::Proven;
use super::{OTHER_ATTEMPT, Oidc, Refusal, SAID_NO, Wanted};
use crate::authority::people::NobodyError;
use crate::clock;

/// Most that wait for an answer, over all logins.
const MAX: usize = 4096;

/// What came of it: nothing yet, done, or why not.
pub(crate) type Outcome = Option<Result<(), String>>;

#[derive(Debug)]
struct Waiting {
    attempt: String,
    browse: String,
    code: String,
    until: Instant,
    done: watch::Sender<Outcome>,
}

/// Those that wait. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct StepUps(Arc<Mutex<HashMap<(u64, String), Waiting>>>);

/// What a person is told while a session waits, and where its answer comes.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) browse: String,
    pub(crate) code: String,
    pub(crate) done: watch::Receiver<Outcome>,
}

impl StepUps {
    fn waiting<T>(&self, look: impl FnOnce(&mut HashMap<(u64, String), Waiting>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn shared(&self, key: &(u64, String)) -> Option<Ask> {
        self.waiting(|all| joined(all, key))
    }

    /// Lets others join this one, unless there is one already: then that one counts, and this one's attempt is the caller's to drop. Looked
    /// at and put there in one step: a second one would take the first one's place, and those that wait for it would wait in vain.
    fn offer(&self, key: (u64, String), attempt: &Attempt, browse: String) -> Result<Offered, Refusal> {
        self.waiting(|all| {
            if let Some(ask) = joined(all, &key) {
                return Ok(Offered::Joined(ask));
            }
            if all.len() >= MAX {
                return Err(Refusal::new(super::CROWDED, "crowded", "too many sessions wait for somebody to show who they are"));
            }
            let (done, receiver) = watch::channel(None);
            let ask = Ask { browse: browse.clone(), code: attempt.code.clone(), done: receiver };
            let (id, code) = (attempt.id.clone(), attempt.code.clone());
            all.insert(key, Waiting { attempt: id, browse, code, until: Instant::now() + LIFE, done });
            Ok(Offered::First(ask))
        })
    }

    /// Tells those that wait for this attempt.
    pub(crate) fn answer(&self, attempt: &str, outcome: Result<(), String>) {
        self.waiting(|all| {
            for one in all.values().filter(|one| one.attempt == attempt) {
                one.done.send_replace(Some(outcome.clone()));
            }
            all.retain(|_, one| one.attempt != attempt);
        });
    }
}

/// Whose attempt it is that a session waits for.
enum Offered {
    First(Ask),
    Joined(Ask),
}

/// The one that waits for the same, if any does.
fn joined(all: &mut HashMap<(u64, String), Waiting>, key: &(u64, String)) -> Option<Ask> {
    // One that nobody waits for any more may have been opened in a wrong browser: whoever asks next begins anew.
    all.retain(|_, one| one.until > Instant::now() && one.done.borrow().is_none() && one.done.receiver_count() > 0);
    all.get(key).map(|one| Ask { browse: one.browse.clone(), code: one.code.clone(), done: one.done.subscribe() })
}

impl Oidc {
    /// Asks a person to show anew who they are, or joins those that wait for the same already.
    pub(crate) async fn step_up(&self, sign_in: u64, needs: &StepUp, client: &Client, asked: &str) -> Result<Ask, Refusal> {
        let key = (sign_in, serde_json::to_string(needs).unwrap_or_default());
        if let Some(ask) = self.step_ups.shared(&key) {
            return Ok(ask);
        }
        let login = self.people.login(sign_in).map_err(NobodyError::Store)?.ok_or(NobodyError::Ended)?;
        let connector = login.provider.and_then(|provided| provided.connector);
        let none = || Refusal::new(SAID_NO, "step_up", "this login is of no identity provider that could be asked again");
        let wanted = Wanted {
            connector: connector.ok_or_else(none)?,
            purpose: For::StepUp { sign_in, asked: asked.to_owned() },
            client: client.clone(),
            acr_values: needs.acr.clone(),
            // A little less than what is allowed, so that what comes back is not too old already.
            max_age: needs.max_age.map(|age| age.duration().as_secs() / 2),
        };
        let (attempt, browse) = self.begin_here(wanted).await?;
        // Another session may have asked while the provider was looked up.
        match self.step_ups.offer(key, &attempt, browse) {
            Ok(Offered::First(ask)) => Ok(ask),
            other => {
                drop(self.attempts.take(&attempt.id));
                other.map(|(Offered::First(ask) | Offered::Joined(ask))| ask)
            }
        }
    }

    /// Somebody has shown who they are and meant it: if it is the login's own person, the login is as fresh and strong as that.
    pub(crate) fn stepped_up(&self, sign_in: u64, proven: Proven) -> Result<(), Refusal> {
        let login = self.people.login(sign_in).map_err(NobodyError::Store)?.ok_or(NobodyError::Ended)?;
        let provided = login.provider.clone().ok_or(NobodyError::Ended)?;
        if (&provided.issuer, &provided.subject) != (&proven.provided.issuer, &proven.provided.subject) {
            return Err(Refusal::new(OTHER_ATTEMPT, "subject", format!("{} signed in, and the session is of {}", proven.name, login.user)));
        }
        let auth = Auth { method: login.auth.method, ..proven.auth };
        let event = Event::new(
            clock::now(),
            Actor::user(&self.people.identity(&login.user, sign_in, clock::now())?),
            What::SteppedUp { acr: auth.acr.clone() },
        );
        if let Err(error) = self.log.append(&event) {
            return Err(Refusal::new(super::AWAY, "log", format!("the audit log cannot be written: {error}")));
        }
        self.people.renewed(sign_in, Some(&proven.provided.kept), Some(&auth), None)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::attempts::tests::attempt;
    use super::*;

    #[test]
    fn a_second_one_joins_the_first_and_takes_no_place_of_those_that_wait() {
        let step_ups = StepUps::default();
        let offer = |n| step_ups.offer((1, "{}".to_owned()), &attempt(n, 1), format!("https://h/{n}"));
        let Ok(Offered::First(first)) = offer(1) else { panic!("nobody waits yet") };
        let Ok(Offered::Joined(second)) = offer(2) else { panic!("one waits") };
        assert_eq!(second.browse, "https://h/1");
        assert!(first.done.has_changed().is_ok_and(|changed| !changed), "still waited for");
        step_ups.answer("i1", Ok(()));
        assert_eq!([&first, &second].map(|ask| ask.done.borrow().clone()), [Some(Ok(())), Some(Ok(()))]);
        drop((first, second));
        assert!(matches!(offer(3), Ok(Offered::First(_))), "that one is over");
        assert!(matches!(offer(4), Ok(Offered::First(_))), "and of the last one nobody waits");
    }
}
