//! Counting what happened by reading the audit log behind everybody else, as a receiver of events does: no room of the proxy has to
//! remember to count, and what is counted is what can be proved.

use std::convert::Infallible;
use std::time::Duration;

use recorder::log::{Log, LogReader, ReadError};
use serde::Deserialize;

use super::labels::Type;
use super::meters::Meters;

/// Most events that are read in one go.
const BATCH: usize = 256;
/// After a read that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// Counts from the event `next` on, for as long as it is polled.
pub(super) async fn follow(log: Log, meters: Meters, mut next: u64) -> Infallible {
    let mut last = log.last();
    let mut reader = None;
    loop {
        if last.wait_for(|last| *last >= next).await.is_err() {
            std::future::pending::<()>().await;
        }
        let (from, taken, log, meters) = (next, reader.take(), log.clone(), meters.clone());
        match tokio::task::spawn_blocking(move || read(&log, taken, from, &meters)).await {
            Ok(Ok(read)) => {
                next = read.position();
                reader = Some(read);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the audit log could not be read for the counters");
                tokio::time::sleep(AGAIN).await;
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// What is needed of a line besides the event.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
}

pub(super) fn read(log: &Log, reader: Option<LogReader>, from: u64, meters: &Meters) -> Result<LogReader, ReadError> {
    let mut reader = match reader {
        Some(reader) => reader,
        None => log.reader(from)?,
    };
    for _ in 0..BATCH {
        let Some(entry) = reader.next()? else { break };
        let head: Head = serde_json::from_slice(&entry.line).map_err(|source| ReadError::Line { seq: entry.seq, source })?;
        meters.logged(&entry.event()?.event, Type::of(&head.kind));
    }
    Ok(reader)
}
