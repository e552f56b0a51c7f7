//! The near end of a session: who sits in front of it. Two fronts speak it: SSH channels and the native protocol's WebSocket.

use recorder::Recorded;
use wire::frames::{Exit, Stream};

use super::input::Item;

/// From the person.
#[derive(Debug)]
pub(crate) enum NearEvent {
    /// Input of some kind.
    Item(Item),
    /// The person hung up in order.
    HangUp,
    /// The connection is gone.
    Gone,
}

/// Reads from the person. `next` is safe to cancel.
pub(crate) trait NearRead: Send {
    /// The next event. After [`NearEvent::Gone`] it is not called again.
    fn next(&mut self) -> impl Future<Output = NearEvent> + Send;
    /// The target took this many bytes of input: that much more may come.
    fn took(&mut self, bytes: usize);
    /// After the last words: lets the person hear them where closing with input unread would cut them off. Bounded.
    fn linger(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// The connection to the person is gone.
#[derive(Debug)]
pub(crate) struct NearGone;

/// Shows things to the person.
pub(crate) trait NearWrite: Send {
    /// Output: only what the recorder has accepted can be shown.
    fn output(&mut self, output: Recorded) -> impl Future<Output = Result<(), NearGone>> + Send;
    /// While there is nothing to show: what the front has to say by itself. Safe to cancel.
    fn idle(&mut self) -> impl Future<Output = Result<(), NearGone>> + Send {
        std::future::pending()
    }
    /// A stream of output ended at this offset.
    fn eof(&mut self, stream: Stream, offset: u64) -> impl Future<Output = Result<(), NearGone>> + Send;
    /// A sentence of Naru's own, beside the output.
    fn note(&mut self, text: &str) -> impl Future<Output = Result<(), NearGone>> + Send;
    /// The end of the program, at this offset.
    fn exit(&mut self, exit: &Exit, offset: u64) -> impl Future<Output = Result<(), NearGone>> + Send;
}
