//! A session that demands more of its person's login than there is: they are asked to show anew who they are, and it opens when they
//! have. What they type meanwhile waits.

use std::collections::VecDeque;
use std::time::Duration;

use access::policy::StepUp;

use super::input::Item;
use super::near::{NearEvent, NearRead, NearWrite};
use super::open::{Asker, NotOpened, Opened, Sessions, Wanted};
use crate::oidc::step_up::{Ask, Outcome};

/// Small pieces of data are put together up to this size.
const SMALL: usize = 4 * 1024;
/// Signals and sizes that are kept.
const CONTROLS: usize = 64;

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
    let late = || NotOpened {
        hint: Some("Show it beforehand, and begin again: naru login --again".to_owned()),
        ..NotOpened::new("NARU-P208", "nobody showed who they are in time")
    };
    match tokio::time::timeout(PATIENCE, done.wait_for(Option::is_some)).await {
        Ok(Ok(outcome)) => match outcome.as_ref() {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(NotOpened::new("NARU-P208", why.clone())),
            None => Err(late()),
        },
        _ => Err(late()),
    }
}

/// Completes when nobody is there any more. What else comes is kept: no window opens for data, and of the rest little is kept.
async fn gone<R: NearRead>(near: &mut R, early: &mut VecDeque<Item>) {
    loop {
        match near.next().await {
            NearEvent::Gone | NearEvent::HangUp => return,
            NearEvent::Item(item) => keep(early, item),
        }
    }
}

/// Keeps what came early. A size replaces one that nobody has seen, and a flood of signals stands for its first ones.
fn keep(early: &mut VecDeque<Item>, item: Item) {
    let crowded = early.iter().filter(|item| !matches!(item, Item::Data(_))).count() >= CONTROLS;
    let last_size = |early: &VecDeque<Item>| early.iter().rposition(|item| matches!(item, Item::Resize(_)));
    match &item {
        Item::Data(data) => {
            if let Some(Item::Data(last)) = early.back_mut()
                && last.len() + data.len() <= SMALL
            {
                *last = [&last[..], &data[..]].concat().into();
                return;
            }
        }
        Item::Resize(_) => {
            let seen = last_size(early).filter(|at| crowded || at + 1 == early.len());
            if let Some(place) = seen.and_then(|at| early.get_mut(at)) {
                *place = item;
                return;
            }
        }
        Item::Signal(_) if crowded => return,
        Item::Eof if early.contains(&Item::Eof) => return,
        Item::Signal(_) | Item::Eof => {}
    }
    early.push_back(item);
}

#[cfg(test)]
mod tests {
    use wire::frames::Size;

    use super::*;

    #[test]
    fn what_comes_while_a_session_waits_takes_bounded_room() {
        let mut early = VecDeque::new();
        let size = |cols: u16| Item::Resize(Size { cols, rows: 24, width: 0, height: 0 });
        for n in 0..10_000 {
            keep(&mut early, Item::Signal("INT".into()));
            keep(&mut early, size(n));
            keep(&mut early, Item::Eof);
        }
        assert!(early.len() <= CONTROLS + 2, "{}", early.len());
        assert_eq!(early.iter().rev().find(|item| matches!(item, Item::Resize(_))), Some(&size(9_999)), "the last size counts");
        let mut early = VecDeque::new();
        (0..10_000).for_each(|_| keep(&mut early, Item::Data(bytes::Bytes::from_static(b"x"))));
        assert!(early.len() <= 3);
    }
}
