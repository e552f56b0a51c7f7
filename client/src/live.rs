//! What goes on at the proxy, message by message (server-sent events). Knows no route and no meaning of a message but the last one's.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::timeout;
use wire::api::watch::PROBLEM;
use wire::api::{Problem, exit};
use wire::sse::{Message, Reader};

use crate::failure::Failure;
use crate::http::{Api, Streamed};

/// Longest silence: the server fills it with comments, so that beyond this it is gone.
const SILENCE: Duration = Duration::from_secs(60);

/// A stream of messages.
pub struct Live {
    from: Streamed,
    reader: Reader,
    /// Of the last piece that came.
    ready: VecDeque<Message>,
}

impl Live {
    /// Follows what this path says.
    ///
    /// # Errors
    /// A refusal, or a server that cannot be reached.
    pub async fn follow(api: &Api, path: &str) -> Result<Self, Failure> {
        Ok(Self { from: api.messages(path).await?, reader: Reader::default(), ready: VecDeque::new() })
    }

    /// The next message; none where the stream has ended.
    ///
    /// # Errors
    /// What the server says ends the stream; a connection that broke, or on which nothing comes any more; what is no such stream.
    pub async fn next(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return if message.event == PROBLEM { Err(said(&message.data)) } else { Ok(Some(message)) };
            }
            let silent = || Failure::new("NARU-N103", exit::CANNOT_REACH, "nothing comes from the server any more");
            let Some(bytes) = timeout(SILENCE, self.from.chunk()).await.map_err(|_| silent())?? else { return Ok(None) };
            self.ready.extend(self.reader.feed(&bytes).map_err(|fault| nonsense(&fault))?);
        }
    }
}

fn said(problem: &str) -> Failure {
    match serde_json::from_str::<Problem>(problem) {
        // The exit code that it names is the one that counts: there is no status any more.
        Ok(problem) => Failure::from_problem(problem, 500),
        Err(error) => nonsense(&error),
    }
}

fn nonsense(cause: &dyn std::fmt::Display) -> Failure {
    Failure::new("NARU-N105", exit::FAILED, "the server gave an answer that this naru does not understand")
        .because(cause)
        .hint("compare `naru --version` on both sides")
}
