//! What a session waits for and may not be there: each of these futures is safe to cancel, and never ends where there is nothing to wait
//! for.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use wire::frames::Frame;

use super::far::Writer;
use super::open::NotOpened;
use super::resume::Back;

/// A session's end waits this long for a recorder in trouble.
const TROUBLE: Duration = Duration::from_millis(500);

/// The way back to a target whose agent went away.
pub(super) type Redial = Option<Pin<Box<dyn Future<Output = Result<Back, NotOpened>> + Send>>>;

/// Until the recorder's trouble has lasted; what it is.
pub(super) async fn stuck(trouble: &mut watch::Receiver<Option<Arc<str>>>) -> String {
    loop {
        // A recorder that is gone has no trouble any more, and the recording's own answer comes.
        let Ok(cause) = trouble.wait_for(Option::is_some).await.map(|cause| cause.as_deref().map(str::to_owned)) else {
            return std::future::pending().await;
        };
        if tokio::time::timeout(TROUBLE, trouble.wait_for(Option::is_none)).await.is_err() {
            return cause.unwrap_or_default();
        }
    }
}

/// Until there is room on the way to the holder.
pub(super) async fn room(frames: Option<&mpsc::Sender<Frame>>) {
    match frames {
        // A queue whose writer has failed wakes nobody: the reader tells.
        Some(frames) if frames.reserve().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// Writes what waits for the holder.
pub(super) async fn drive(writer: Option<&mut Writer>) {
    match writer {
        Some(writer) => writer.await,
        None => std::future::pending().await,
    }
}

/// Until the target's agent is back, or will not come.
pub(super) async fn redialled(redial: &mut Redial) -> Result<Back, NotOpened> {
    match redial {
        Some(redial) => redial.await,
        None => std::future::pending().await,
    }
}
