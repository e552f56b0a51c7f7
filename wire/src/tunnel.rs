//! What proxy and agent say on a tunnel beside sessions: names of routes and headers, and the bodies of their requests.
//! Each yamux stream is one HTTP/1.1 connection on which the agent is the server; it writes [`STREAM_OPEN`] at once.

use std::collections::BTreeMap;

use access::event::SessionKind;
use access::words::{AgentId, Login, NodeName, SessionId};
use serde::{Deserialize, Serialize};

use crate::frames::{self, Size};

/// ALPN of a tunnel.
pub const ALPN: &[u8] = b"naru-agent/1";
/// The byte that an acceptor writes before HTTP, so that an opened stream is acknowledged at once.
pub const STREAM_OPEN: u8 = b'N';
/// First request on a tunnel.
pub const HELLO: &str = "/hello";
/// Heartbeat.
pub const BEAT: &str = "/beat";
/// A session: an upgrade to [`FRAMES`].
pub const SESSION: &str = "/session";
/// The protocol of `wire::frames` in an `Upgrade` header.
pub const FRAMES: &str = "naru-frames/1";
/// Carries the grant.
pub const GRANT_HEADER: &str = "naru-grant";
/// Most bytes of a body on a tunnel. A command may be as long as a kernel lets an argument be.
pub const MAX_BODY: usize = 256 * 1024;
/// Seconds between heartbeats.
pub const BEAT_EVERY_S: u64 = 10;
/// Seconds without a heartbeat after which either side gives the tunnel up.
pub const BEAT_LOST_S: u64 = 25;

/// What a tunnel is for; either takes all when the other is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Terminals: small and quick.
    Terminals,
    /// Everything else.
    Bulk,
}

/// The proxy's first words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// `wire::grant::GrantKeys`, signed by the CA.
    pub grant_keys: String,
}

/// The agent's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelloBack {
    /// Must be what its certificate says.
    pub agent: AgentId,
    /// What this tunnel is for.
    pub purpose: Purpose,
    /// Random, chosen for this tunnel; every grant names it.
    pub epoch: String,
    /// What it runs.
    pub version: String,
    /// Labels of the agent's own word.
    pub labels: BTreeMap<String, String>,
    /// The only login that it can serve, where it does not run as root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_login: Option<Login>,
}

/// The terminal that a client asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// `TERM`.
    pub term: String,
    /// Its size.
    pub size: Size,
    /// Encoded modes of RFC 4254 section 8, as opcode and value.
    #[serde(default)]
    pub modes: Vec<(u8, u32)>,
}

/// The body of a session request; the grant holds its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// The session.
    pub session: SessionId,
    /// The target, as the grant says.
    pub node: NodeName,
    /// The account, as the grant says.
    pub login: Login,
    /// Begin, or take up again.
    pub how: How,
}

/// Begin, or take up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum How {
    /// Begin.
    Open {
        /// What kind.
        kind: SessionKind,
        /// The command of an exec; what the client said, run by the login's shell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<String>,
        /// The terminal, where one was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terminal: Option<Terminal>,
        /// Environment that the client sent, as far as it is on the allow-list.
        #[serde(default)]
        env: Vec<(String, String)>,
        /// Seconds for which the session waits without a proxy.
        grace_s: u64,
        /// Of sftp: nothing may be written.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        read_only: bool,
    },
    /// Take up the session that a holder keeps.
    Resume {},
}

/// Why an agent refuses: the body of an answer that is not 101.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// A stable code.
    pub code: String,
    /// One sentence.
    pub message: String,
}

impl Refusal {
    /// Reads what an agent answered: its code is one of ours, and its message is short and plain text. None when it is no refusal.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let Self { code, message } = serde_json::from_slice(body).ok()?;
        Some(Self { code: frames::tame_code(code), message: frames::tame_message(&message) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hostile_agent_answers_is_tamed() {
        let refusal = Refusal { code: "NARU-P201\r\n".into(), message: format!("\x1b]0;title\x07{}", "x".repeat(600)) };
        let read = Refusal::parse(&serde_json::to_vec(&refusal).expect("json")).expect("a refusal");
        assert_eq!((read.code.as_str(), read.message.len()), ("NARU-N324", 500));
        assert!(read.message.starts_with("]0;titlex"), "{}", read.message);
        assert_eq!(Refusal::parse(b"{}"), None);
    }
}
