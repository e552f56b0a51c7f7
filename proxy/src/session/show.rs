//! What is on its way to the person: recorded output and ends of streams, in order; and the last words.

use recorder::Recorded;
use tokio::sync::mpsc;
use wire::frames::{Exit, Stream};

use super::ended::Ended;
use super::near::{NearGone, NearWrite};

/// On its way to the person.
pub(super) enum Show {
    Note(String),
    Output(Recorded),
    Eof(Stream, u64),
}

/// Shows all until the queue ends or the person is gone; gives the near end back.
pub(super) async fn show_all<W: NearWrite>(mut show: W, mut queue: mpsc::Receiver<Show>) -> W {
    loop {
        let shown = tokio::select! {
            item = queue.recv() => match item {
                Some(Show::Note(text)) => show.note(&text).await,
                Some(Show::Output(output)) => show.output(output).await,
                Some(Show::Eof(stream, offset)) => show.eof(stream, offset).await,
                None => return show,
            },
            said = show.idle() => said,
        };
        if shown.is_err() {
            return show;
        }
    }
}

/// The end, as the person sees it.
pub(super) async fn say_end<W: NearWrite>(show: &mut W, ended: &Ended, offset: u64) -> Result<(), NearGone> {
    if let Some(exit) = &ended.exit {
        return show.exit(exit, offset).await;
    }
    let Some((code, message)) = &ended.sentence else { return Ok(()) };
    show.exit(&Exit::Failed { code: code.clone(), message: message.clone() }, offset).await
}
