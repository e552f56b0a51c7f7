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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::login::fake::Fake;

    async fn followed(text: &str) -> (Vec<String>, Option<Failure>) {
        let text = text.to_owned();
        let fake = Fake::start(Box::new(move |_, _| Some((200, Value::from(text.clone()))))).await;
        let mut live = Live::follow(&fake.api(), "/v1/x").await.expect("a stream");
        let mut events = Vec::new();
        loop {
            match live.next().await {
                Ok(Some(message)) => events.push(message.event),
                Ok(None) => return (events, None),
                Err(failure) => return (events, Some(failure)),
            }
        }
    }

    #[tokio::test]
    async fn messages_come_in_order_and_a_problem_is_the_failure_that_it_names() {
        let (events, end) = followed("event: present\ndata: 1\n\n: alive\n\nevent: ready\ndata: 2\n\ndata: half").await;
        assert_eq!((events, end), (vec!["present".to_owned(), "ready".to_owned()], None));
        let problem = json!({"code": "NARU-A104", "title": "you are not signed in", "exit": 3});
        let (events, end) = followed(&format!("event: present\ndata: 1\n\nevent: problem\ndata: {problem}\n\n")).await;
        let end = end.expect("a failure");
        assert_eq!((events.len(), end.code.as_str(), end.exit), (1, "NARU-A104", 3));
        for bad in ["event: problem\ndata: x\n\n", &format!("data: {}\n\n", "x".repeat(wire::sse::MOST))] {
            let (_, end) = followed(bad).await;
            assert_eq!(end.map(|end| end.code), Some("NARU-N105".to_owned()));
        }
    }
}
