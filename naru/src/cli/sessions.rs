//! Words of sessions: opening, listing and playing them. What they do is in `client`.

use std::path::PathBuf;

use access::amount::Period;
use access::words::{NodeName, SessionId, UserName};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Ssh {
    /// Ask for a terminal even with a command.
    #[arg(short = 't', overrides_with = "no_terminal")]
    pub terminal: bool,
    /// Ask for no terminal.
    #[arg(short = 'T')]
    pub no_terminal: bool,
    /// Why, where a role wants to know; for the session and for an access request.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// Where an access request would open it, make it and go on when it is approved, without a question.
    #[arg(long)]
    pub wait: bool,
    /// For how long to ask; as long as may be when absent.
    #[arg(long, value_name = "TIME")]
    pub request_for: Option<Period>,
    // Known so that who types them reads that they are not there, not that a word is odd.
    #[arg(short = 'L', hide = true, value_name = "FORWARD")]
    pub local: Vec<String>,
    #[arg(short = 'R', hide = true, value_name = "FORWARD")]
    pub remote: Vec<String>,
    #[arg(short = 'D', hide = true, value_name = "FORWARD")]
    pub dynamic: Vec<String>,
    /// [LOGIN@]NODE
    pub place: String,
    /// A command for the login's shell; the words are joined by spaces.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// What OpenSSH needs, so that `ssh NODE.naru` works.
    #[command(
        after_help = "Examples:\n  naru config ssh --write ~/.ssh/config\n  naru config ssh > naru.conf && ssh -F naru.conf demo.naru"
    )]
    Ssh {
        /// Write the block into this file instead of printing it.
        #[arg(long, value_name = "FILE")]
        write: Option<PathBuf>,
        /// Print the known_hosts line instead, for plain `ssh -p PORT login%node@proxy`.
        #[arg(long, conflicts_with = "write")]
        known_hosts: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List sessions, newest first.
    Ls {
        /// Only those that go on.
        #[arg(long)]
        live: bool,
        /// Only of this person.
        #[arg(long)]
        user: Option<UserName>,
        /// Only on this node.
        #[arg(long)]
        node: Option<NodeName>,
        /// Only those that began after: `1h` ago, or a time.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Most rows.
        #[arg(long)]
        limit: Option<u32>,
        /// Only those older than this one: for the next page.
        #[arg(long, value_name = "ID")]
        after: Option<SessionId>,
    },
    /// Show one session.
    Show {
        /// Its id, or the beginning of it.
        #[arg(value_parser = session)]
        id: String,
    },
    /// Watch a live session.
    Watch {
        /// Its id, or the beginning of it.
        #[arg(value_parser = session)]
        id: String,
        /// Let recorded escapes through.
        #[arg(long)]
        raw: bool,
    },
    /// End a live session.
    Kill {
        /// Its id, or the beginning of it.
        #[arg(value_parser = session)]
        id: String,
        /// Said to the user and in the log.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

/// What may be a session's id or the beginning of one; which it is, the list of sessions says.
pub(super) fn session(text: &str) -> Result<String, String> {
    let fits = (8..=36).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if fits { Ok(text.to_owned()) } else { Err("give the whole id, or its first 8 characters or more".to_owned()) }
}

pub(super) fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("give a reason: it is said to the user and in the log".to_owned()) } else { Ok(text.to_owned()) }
}

#[derive(Debug, Args)]
pub(crate) struct Play {
    /// The session's id, the beginning of it, or a `.cast` file.
    pub what: String,
    /// Print it as text, without waiting.
    #[arg(long)]
    pub text: bool,
    /// Where to begin: `90`, `1:30`, `5m`.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// How fast.
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// The longest pause.
    #[arg(long, value_name = "TIME")]
    pub idle_limit: Option<String>,
    /// Check it first; exit 10 when something was changed.
    #[arg(long)]
    pub verify: bool,
    /// Let recorded escapes through: a recording may then steer this terminal.
    #[arg(long)]
    pub raw: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.01..=1000.0).contains(&speed) { Ok(speed) } else { Err("between 0.01 and 1000".to_owned()) }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Recording {
    /// Write a recording as a file that other programs read.
    #[command(after_help = "Example:\n  naru recording export ID --format txt -o session.txt")]
    Export {
        /// The session, or the beginning of its id.
        #[arg(value_parser = session)]
        id: String,
        /// Which format.
        #[arg(long, value_enum, default_value_t = Format::Cast)]
        format: Format,
        /// The file; stdout when absent.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Keep recorded escapes that steer a terminal.
        #[arg(long)]
        raw: bool,
    },
    /// Check a recording as it is stored. Exit 10 when something was changed.
    Verify {
        /// The session, or the beginning of its id.
        #[arg(value_parser = session)]
        id: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// asciicast v3.
    Cast,
    /// Plain text.
    Txt,
}
