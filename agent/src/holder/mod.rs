//! Sessions on this host: each belongs to a *holder*, a small single-threaded process that owns one terminal or one command.
//!
//! The agent starts a *zygote* ([`zygote::main`] in a process of its own) and asks it through [`Zygote`] for holders. The zygote
//! forks: a fork shares the binary's relocated pages, which an exec of a large binary would pay for in every holder. A holder binds
//! `DIR/<session>.sock`, drops to the login, and speaks `wire::frames` with whoever root (or the agent's own account) connects;
//! neither the agent's end nor the zygote's ends it.
//!
//! INVARIANT: only [`spawn`] knows tokio; everything else runs in processes with one thread. Grants are checked before this room.

mod account;
mod attachment;
mod child;
mod environment;
mod input;
mod keeper;
mod modes;
mod output;
mod place;
pub mod spawn;
mod speech;
mod terminal;
pub mod zygote;

use access::words::{Login, SessionId};
use serde::{Deserialize, Serialize};
use wire::frames::Size;

pub use spawn::Zygote;

/// What a holder is to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpawnSpec {
    /// Names the socket.
    pub session: SessionId,
    /// The account to become.
    pub login: Login,
    /// What to run as that account.
    pub kind: Kind,
    /// The terminal, when one is wanted.
    pub pty: Option<Pty>,
    /// Variables of the client and of the connection. What is not on the holder's own list is left out.
    pub env: Vec<(String, String)>,
    /// Seconds that the program outlives its last attachment.
    pub grace: u32,
    /// Whether the account may have uid 0: the host's own list names `root`.
    pub allow_root: bool,
    /// Whether a login shell on a terminal is preceded by `/etc/motd`.
    pub motd: bool,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// The account's login shell.
    Shell,
    /// A command line for the account's shell.
    Exec {
        /// As the client sent it.
        command: String,
    },
    /// The host's own sftp server.
    Sftp {
        /// Nothing may be written.
        #[serde(default)]
        read_only: bool,
    },
}

/// A terminal as RFC 4254 6.2 asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pty {
    /// `TERM`.
    pub term: String,
    /// Characters and pixels; clamped.
    pub size: Size,
    /// Opcode and argument, RFC 4254 section 8.
    pub modes: Vec<(u8, u32)>,
}

/// Why there is no holder: for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error("{message}")]
pub struct Refused {
    /// `NARU-N…`
    pub code: String,
    /// One sentence; `/etc/nologin` adds its own lines.
    pub message: String,
}

impl Refused {
    fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    /// A call of the host failed that should not: `what` is a verb phrase.
    fn host(what: &str, cause: impl std::fmt::Display) -> Self {
        Self::new(code::HOST, format!("The host could not {what}: {cause}."))
    }
}

/// The stable codes of this room.
pub mod code {
    /// No such account.
    pub const UNKNOWN_LOGIN: &str = "NARU-N301";
    /// The account's expiry date has passed.
    pub const EXPIRED: &str = "NARU-N302";
    /// The account's shell allows no login, or is not there.
    pub const NO_SHELL: &str = "NARU-N303";
    /// `/etc/nologin` exists.
    pub const NOLOGIN: &str = "NARU-N304";
    /// An agent that is not root opens only its own account.
    pub const OWN_ACCOUNT_ONLY: &str = "NARU-N305";
    /// The host has no sftp server.
    pub const NO_SFTP: &str = "NARU-N306";
    /// What was asked for cannot be run: a NUL, or too long.
    pub const BAD_REQUEST: &str = "NARU-N307";
    /// A call of the host failed.
    pub const HOST: &str = "NARU-N308";
    /// A holder for this session exists already.
    pub const EXISTS: &str = "NARU-N309";
    /// The zygote ended before it answered; asking again is sensible.
    pub const LOST: &str = "NARU-N310";
    /// An attachment without the session's secret, or older than the last.
    pub const NOT_YOURS: &str = "NARU-N311";
    /// Output before the offset asked for is gone.
    pub const GONE: &str = "NARU-N312";
    /// The account has uid 0, and the host does not list root.
    pub const ROOT: &str = "NARU-N313";
}
