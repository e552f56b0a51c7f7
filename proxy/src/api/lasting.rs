//! Answers that go on for long. The right to read is asked again for as long as they do: when policy or people change, and each
//! second, since a sign-in may end any time.

use std::sync::Arc;
use std::time::Duration;

use access::decide::{Question, decide, locked};
use access::identity::Identity;
use axum::body::{Body, Bytes};
use futures::{Stream, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::App;
use super::person::Person;
use super::problem::No;
use crate::clock;
use crate::live::View;

/// How long what has ended may go on at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a piece waits for a reader who is to be cut off for being slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// A piece, or why there are no more: the last one then.
pub(super) type Piece<T> = Result<T, No>;

struct Lasting<F, T> {
    app: App,
    person: Person,
    allowed: F,
    pieces: mpsc::Receiver<Piece<T>>,
    changes: watch::Receiver<Arc<View>>,
    looks: Interval,
}

/// The pieces, for as long as the person is signed in, not locked, and `allowed` says yes of them as they are now. A no is the last.
pub(super) fn while_allowed<T: Send + 'static>(
    app: &App,
    person: Person,
    allowed: impl Fn(&View, Identity) -> Result<(), No> + Send + 'static,
    pieces: mpsc::Receiver<Piece<T>>,
) -> impl Stream<Item = Piece<T>> + Send + 'static {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let changes = app.sessions.live.watch();
    let lasting = Lasting { app: app.clone(), person, allowed, pieces, changes, looks };
    futures::stream::unfold(Some(lasting), async |lasting| {
        let mut lasting = lasting?;
        let piece = lasting.next().await?;
        let goes_on = piece.is_ok();
        Some((piece, goes_on.then_some(lasting)))
    })
}

/// Pieces as a body. One that ends with a no breaks off, so that nobody takes it for the whole.
pub(super) fn body(pieces: impl Stream<Item = Piece<Bytes>> + Send + 'static) -> Body {
    let broken = |_: No| std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    Body::from_stream(pieces.map(move |piece| piece.map_err(broken)))
}

/// Hands a piece over. False where nobody reads any more, or where the one who does has taken none for too long: what is to be sent is
/// never piled up for them.
pub(super) async fn hand<T>(pieces: &mpsc::Sender<Piece<T>>, piece: Piece<T>) -> bool {
    within(PATIENCE, pieces, piece).await
}

async fn within<T>(patience: Duration, pieces: &mpsc::Sender<Piece<T>>, piece: Piece<T>) -> bool {
    pieces.send_timeout(piece, patience).await.is_ok()
}

impl<F: Fn(&View, Identity) -> Result<(), No>, T> Lasting<F, T> {
    async fn next(&mut self) -> Option<Piece<T>> {
        loop {
            // Whether it may go on comes before what is there to be sent.
            tokio::select! {
                biased;
                Ok(()) = self.changes.changed() => {}
                _ = self.looks.tick() => {}
                piece = self.pieces.recv() => return piece,
            }
            if let Err(no) = self.is_allowed() {
                return Some(Err(no));
            }
        }
    }

    fn is_allowed(&self) -> Result<(), No> {
        let identity = self.person.again(&self.app)?.identity;
        let view = self.app.sessions.live.now();
        locked(&identity, &view.policy, clock::now())?;
        (self.allowed)(&view, identity)
    }
}

/// The answer to a question of the policy, of which nothing is told.
pub(super) fn decided(question: impl Question, view: &View) -> Result<(), No> {
    decide(question, &view.policy, clock::now()).map(drop).map_err(No::from)
}

/// Whether the answer is yes.
pub(super) fn is_yes(question: impl Question, view: &View) -> bool {
    decide(question, &view.policy, clock::now()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_takes_nothing_is_cut_off_and_whoever_is_slow_is_not() {
        let (send, mut pieces) = mpsc::channel(2);
        assert!(hand(&send, Ok(1)).await && hand(&send, Ok(2)).await);
        let third = tokio::spawn({
            let send = send.clone();
            async move { hand(&send, Ok(3)).await }
        });
        tokio::task::yield_now().await;
        assert!(pieces.recv().await.is_some_and(|piece| piece.is_ok()));
        assert!(third.await.expect("ended"), "there was room in time");
        assert!(!within(Duration::from_millis(5), &send, Ok(4)).await, "there was none");
        drop(pieces);
        assert!(!hand(&send, Ok(5)).await, "nobody is there");
    }
}
