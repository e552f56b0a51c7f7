//! Words of what runs on servers. What they do is in `crate::server`.

use std::path::PathBuf;

use access::amount::Period;
use access::words::{NodeName, RoleName, UserName};
use clap::{Args, Subcommand};

use super::tokens::label;

/// What runs on servers.
#[derive(Debug, Subcommand)]
pub(crate) enum Server {
    /// Start a server with sane defaults; prints its URL, a sign-in link and the join line for a host.
    #[command(
        after_help = "Examples:\n  naru up\n  naru up --config proxy.yaml --state /var/lib/naru\n\nproxy.yaml:\n  listen: 0.0.0.0:8443\n  public: [naru.example.com]"
    )]
    Up(Proxied),
    /// Start a playground on this machine: server, agent, two people. Needs no root, no network.
    #[command(
        after_help = "It prints three sign-in links and goes on until Ctrl-C. Try in another terminal:\n  naru --profile alice login --link 'LINK'\n  naru --profile alice ssh demo"
    )]
    Demo {
        /// Where it keeps everything; a temporary folder when absent.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
    },
    /// Make one single-use sign-in link on the server itself, when the identity provider cannot be asked.
    #[command(
        after_help = "Run it on the server's machine, as root or as the proxy's own account. Making and using the link are critical events, and\nwhat is done with it is always recorded.\n\nExample:\n  naru break-glass alice --reason 'Keycloak is down, INC-123'"
    )]
    BreakGlass {
        /// For whom: a declared user, or somebody who has signed in before.
        user: UserName,
        /// Why; stands in the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// A role on top of those that are known of the person. May be given again.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<RoleName>,
        /// How long the link can be used; at most an hour.
        #[arg(long, value_name = "TIME", default_value = "15m")]
        ttl: Period,
        /// The server's state directory.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
    },
    /// The proxy on its own.
    Proxy {
        #[command(subcommand)]
        what: Proxy,
    },
    /// The agent on its own.
    Agent {
        #[command(subcommand)]
        what: Agent,
    },
    /// Started by the agent.
    #[command(hide = true)]
    Zygote {
        /// What the agent says.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Write one file with the keys and the store of a server, whether it runs or is stopped.
    #[command(
        after_help = "The running server copies itself at one moment; nobody waits. Recordings and the audit log are files to copy as files.\n\nExamples:\n  naru backup -o naru.backup --recipient age1…\n  naru backup -o - --passphrase-file /root/pass | ssh vault 'cat > naru.backup'"
    )]
    Backup(Backup),
    /// Put a backup in the place of a stopped server's keys and store, or into an empty state directory.
    #[command(
        after_help = "What was revoked and used since the backup stays so: the next start reads it from the audit log, or ends everything.\n\nExamples:\n  naru restore naru.backup --identity key.txt --dry-run\n  naru restore naru.backup --identity key.txt --state /var/lib/naru"
    )]
    Restore(Restore),
}

/// How a proxy is started.
#[derive(Debug, Args)]
pub(crate) struct Proxied {
    /// Its settings; without a file port 8443, for root 443.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where it keeps everything; without it /var/lib/naru, not as root ~/.local/state/naru/server.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Start although the store is older than the audit log knows it. Ends all sign-ins, links and join tokens; say it once.
    #[arg(long)]
    pub accept_restored_store: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Proxy {
    /// Run it.
    Run(Proxied),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Run an agent that has joined.
    #[command(
        after_help = "As root it opens sessions for any login that its settings allow, else for its own account only.\n\nagent.yaml:\n  allow_logins: [lee, deploy]"
    )]
    Run {
        /// Its settings: which logins it allows. Without a file every login but root.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where it keeps its identity; without it /var/lib/naru-agent, not as root ~/.local/state/naru/agent.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
        /// End the sessions when it stops, instead of keeping them for an agent that comes back.
        #[arg(long)]
        end_sessions: bool,
    },
    /// Join this host with a token, and go on as its agent.
    #[command(after_help = "Example:\n  echo TOKEN | naru agent join https://naru.example.com:8443 --token - --ca-pin sha256:… --no-run")]
    Join {
        /// The proxy.
        url: String,
        /// The join token; `-` reads it from stdin, so that it stands in no process list.
        // A token is base64url, so one in 64 begins with a dash.
        #[arg(long, allow_hyphen_values = true)]
        token: String,
        /// The pin of the proxy's authority: `sha256:…`.
        #[arg(long)]
        ca_pin: String,
        /// The name that this host wants, where the token has a pattern.
        #[arg(long)]
        node: Option<NodeName>,
        /// A label of the agent's own. May be given again.
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
        /// Its settings: which logins it allows.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where it keeps its identity; without it /var/lib/naru-agent, not as root ~/.local/state/naru/agent.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
        /// Only join; `naru agent run` runs it.
        #[arg(long)]
        no_run: bool,
    },
}

/// What a backup is to be.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The server's state directory.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The file; `-` is stdout.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Who may open it: an age recipient. May be given again.
    #[arg(long, value_name = "age1…", conflicts_with_all = ["passphrase_file", "plain"])]
    pub recipient: Vec<String>,
    /// The file with the passphrase that opens it.
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    pub passphrase_file: Option<PathBuf>,
    /// Not encrypted: whoever reads the file has every key of the install.
    #[arg(long)]
    pub plain: bool,
}

/// What is restored, and where.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup.
    pub file: PathBuf,
    /// The server's state directory.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The file with the age identity that opens it.
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub identity: Option<PathBuf>,
    /// The file with the passphrase that opens it.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// The audit key that must have sealed it, or the file that holds it, as `naru audit key` prints it.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Only prove it and say what it holds.
    #[arg(long)]
    pub dry_run: bool,
}
