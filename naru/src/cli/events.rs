//! Words of the audit log. What they do is in `client`.

use std::path::PathBuf;

use access::words::SessionId;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// The last events, and with -f what comes.
    Tail {
        /// Go on as they happen.
        #[arg(short, long)]
        follow: bool,
        /// How many of the past.
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: u32,
        #[command(flatten)]
        filter: Filter,
    },
    /// All events that fit.
    #[command(after_help = "Example:\n  naru events search --type 'session.*' --user alice --since 1d")]
    Search {
        /// Only those that contain this text.
        text: Option<String>,
        /// Most events: the last that fit.
        #[arg(long)]
        limit: Option<u32>,
        #[command(flatten)]
        filter: Filter,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// `session.start`, or `session.*`; a wrong one is answered with the list.
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Only of this person.
    #[arg(long)]
    pub user: Option<String>,
    /// Only to this node.
    #[arg(long)]
    pub node: Option<String>,
    /// Only of this session.
    #[arg(long, value_name = "ID")]
    pub session: Option<SessionId>,
    /// Only after: `1h` ago, or a time.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only before.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only those after this number (`seq`).
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Print the public key of the server's audit log, for `audit verify --key`.
    #[command(after_help = "Example, on the first day:\n  naru audit key > audit.pub")]
    Key,
    /// Check log and recordings with the public key only, without a server. Exit 10 when something is missing or changed.
    #[command(
        after_help = "Example:\n  naru audit verify --key audit.pub /backup/naru\n\nWithout --key it uses the key that lies beside the data, which proves only that the data agree with themselves.\nTake the key on the first day, and keep it elsewhere: naru audit key > audit.pub"
    )]
    Verify {
        /// The public key that you trust, as text or the file that holds it.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// A checkpoint that left earlier: finds a log that was rolled back.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// A state directory, or a copy of one.
        dir: Option<PathBuf>,
    },
}
