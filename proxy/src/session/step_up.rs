//! A session that demands more of its person's login than there is: they are asked to show anew who they are, and it opens when they
//! have. What they type meanwhile waits.

use std::collections::VecDeque;
use std::time::Duration;

use access::policy::StepUp;

use super::input::Item;
use super::near::{NearEvent, NearRead, NearWrite};
use super::open::{Asker, NotOpened, Opened, Sessions, Wanted};
use crate::oidc::step_up::{Ask, Outcome};

/// How long a session waits for its person.
const PATIENCE: Duration = Duration::from_secs(300);

/// Why it does not go on.
pub(crate) enum Waited {
    /// There is nobody in front of it any more.
    Gone,
    /// It is not to be.
    No(NotOpened),
}

impl Sessions {
    /// Opens a session; where its person must first show anew who they are, says so and waits. What comes meanwhile is in `early`.
    pub(crate) async fn open_after<R: NearRead, W: NearWrite>(
        &self,
        asker: Asker,
        wanted: Wanted,
        near: &mut R,
        early: &mut VecDeque<Item>,
        show: &mut W,
    ) -> Result<Opened, Waited> {
        let not_opened = match self.open(asker.clone(), wanted.clone()).await {
            Ok(opened) => return Ok(opened),
            Err(not_opened) => not_opened,
        };
        let Some(needs) = &not_opened.step_up else { return Err(Waited::No(not_opened)) };
        let Ok(ask) = self.ask_for(&asker, &wanted, needs).await else { return Err(Waited::No(not_opened)) };
        let text = format!("{}\nopen {} and compare the code {}; this goes on by itself", not_opened.sentence, ask.browse, ask.code);
        if show.note(&text).await.is_err() {
            return Err(Waited::Gone);
        }
        let mut done = ask.done;
        tokio::select! {
            outcome = answered(&mut done) => outcome.map_err(Waited::No)?,
            () = gone(near, early) => return Err(Waited::Gone),
        }
        // Once: whoever showed who they are and is still not enough reads why.
        self.open(asker, wanted).await.map_err(Waited::No)
    }

    /// Asks the person of a login, for this session and all others that demand the same.
    pub(crate) async fn ask_for(&self, asker: &Asker, wanted: &Wanted, needs: &StepUp) -> Result<Ask, NotOpened> {
        let asked = format!("{} as {}@{}", wanted.kind.as_str(), wanted.login, wanted.node);
        let ask = self.oidc.step_up(asker.sign_in, needs, &asker.client, &asked).await;
        ask.map_err(|refusal| NotOpened { hint: refusal.hint.map(str::to_owned), ..NotOpened::new(refusal.code, refusal.sentence) })
    }
}

/// Waits for the answer.
pub(crate) async fn answered(done: &mut tokio::sync::watch::Receiver<Outcome>) -> Result<(), NotOpened> {
    let late = || NotOpened::new("NARU-P208", "nobody showed who they are in time");
    match tokio::time::timeout(PATIENCE, done.wait_for(Option::is_some)).await {
        Ok(Ok(outcome)) => match outcome.as_ref() {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(NotOpened::new("NARU-P208", why.clone())),
            None => Err(late()),
        },
        _ => Err(late()),
    }
}

/// Completes when nobody is there any more. What else comes is kept: no window opens for it, so that it is bounded.
async fn gone<R: NearRead>(near: &mut R, early: &mut VecDeque<Item>) {
    loop {
        match near.next().await {
            NearEvent::Gone | NearEvent::HangUp => return,
            NearEvent::Item(item) => early.push_back(item),
        }
    }
}
