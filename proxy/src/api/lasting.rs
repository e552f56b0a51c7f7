//! Answers that go on for long. The right to read is asked again for as long as they do: when policy or people change, and each
//! second, since a sign-in may end any time.

use std::sync::Arc;
use std::time::Duration;

use access::decide::{Question, decide};
use access::identity::Identity;
use axum::body::{Body, Bytes};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::App;
use super::person::Person;
use crate::clock;
use crate::live::View;

/// How long what has ended may go on at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

struct Lasting<F> {
    app: App,
    person: Person,
    allowed: F,
    pieces: mpsc::Receiver<std::io::Result<Bytes>>,
    changes: watch::Receiver<Arc<View>>,
    looks: Interval,
}

/// The pieces as a body, for as long as the person is signed in and `allowed` says so of them as they are now. A body that is ended
/// by this breaks off, so that nobody takes it for the whole.
pub(super) fn while_allowed(
    app: &App,
    person: Person,
    allowed: impl Fn(&View, Identity) -> bool + Send + 'static,
    pieces: mpsc::Receiver<std::io::Result<Bytes>>,
) -> Body {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let changes = app.sessions.live.watch();
    let lasting = Lasting { app: app.clone(), person, allowed, pieces, changes, looks };
    Body::from_stream(futures::stream::unfold(Some(lasting), async |lasting| {
        let mut lasting = lasting?;
        match lasting.next().await {
            Next::Piece(piece) => Some((piece, Some(lasting))),
            Next::NotAllowed => Some((Err(std::io::ErrorKind::PermissionDenied.into()), None)),
            Next::End => None,
        }
    }))
}

enum Next {
    Piece(std::io::Result<Bytes>),
    NotAllowed,
    End,
}

impl<F: Fn(&View, Identity) -> bool> Lasting<F> {
    async fn next(&mut self) -> Next {
        loop {
            // Whether it may go on comes before what is there to be sent.
            tokio::select! {
                biased;
                Ok(()) = self.changes.changed() => {}
                _ = self.looks.tick() => {}
                piece = self.pieces.recv() => return piece.map_or(Next::End, Next::Piece),
            }
            if !self.is_allowed() {
                return Next::NotAllowed;
            }
        }
    }

    fn is_allowed(&self) -> bool {
        let sessions = &self.app.sessions;
        let identity = sessions.people.identity(&self.person.identity.name, self.person.sign_in, clock::now());
        let context = self.person.identity.context.clone();
        identity.is_ok_and(|identity| (self.allowed)(&sessions.live.now(), Identity { context, ..identity }))
    }
}

/// Whether the answer is yes.
pub(super) fn is_yes(question: impl Question, view: &View) -> bool {
    decide(question, &view.policy, clock::now()).is_ok()
}
