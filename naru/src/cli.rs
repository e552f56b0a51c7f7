//! The words of the command line, and nothing of what they do. DESIGN's table as far as it is built; scripts lean on it.

use std::path::PathBuf;

use access::amount::Period;
use access::words::{ConnectorName, NodeName, RoleName, SessionId, UserName};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Naru: a zero-trust access proxy with session recording.
#[derive(Debug, Parser)]
#[command(name = "naru", version, propagate_version = false, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Try it: naru demo\nThen:   naru login --link 'LINK'   naru ls   naru ssh demo   naru sessions ls   naru play ID")]
pub(crate) struct Cli {
    /// Which sign-in to use; without it the current one: that of the last `naru login` without this.
    #[arg(long, global = true, env = "NARU_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// JSON instead of words: one document, of what goes on one document a line; errors as one object on stderr.
    #[arg(long, global = true)]
    pub json: bool,
    /// Lists without the names of their columns.
    #[arg(long, global = true)]
    pub no_headers: bool,
    /// Where sign-ins are kept, in place of $NARU_HOME.
    #[arg(long, global = true, hide = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in through your company's identity provider, with a one-time link, or as a machine.
    #[command(
        after_help = "Without words it signs in again where you were. A server that this computer does not know needs the pin of its authority, from\nthe line that your administrator gives you; at a terminal you may compare it instead.\n\nThe first sign-in is kept as profile `default`. Signing in again as the same person at the same server renews it; as somebody\nelse or at another server makes a new profile, named after the person, which becomes the current one.\n\nExamples:\n  naru login https://naru.example --ca-pin sha256:…\n  naru login                                   again, in the browser\n  naru login --device                          on a host without a browser\n  naru login --link 'https://naru.example:443/sign-in#…'\n  naru login --profile olga --link 'LINK'\n  naru login --bot ci https://naru.example --ca-pin sha256:… --token-file /run/token\n\nEnvironment:\n  NARU_URL, NARU_CA_PIN   the server and its pin, where the words do not name them\n  NARU_BOT_TOKEN          the token of --bot, where there is no --token-file\n  BROWSER                 the program that opens a page"
    )]
    Login(Login),
    /// Show who is signed in, where, as what and why, and for how long.
    Status {
        /// Every sign-in of this computer; asks no server.
        #[arg(long)]
        all: bool,
    },
    /// Sign out: the login ends at the server and at the identity provider, and its keys leave this computer.
    #[command(
        after_help = "Examples:\n  naru logout\n  naru logout --all              a laptop was lost: end your logins everywhere\n  naru logout --every-profile    leave nothing on this computer"
    )]
    Logout {
        /// Every login of yours at this server, on every computer.
        #[arg(long)]
        all: bool,
        /// Every profile of this computer, not only the current one.
        #[arg(long)]
        every_profile: bool,
    },
    /// Look for what is wrong, from the outside in. Exit 1 when something is.
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "It changes nothing. Examples:\n  naru doctor\n  naru doctor --state /var/lib/naru --operations 127.0.0.1:9443     on the server itself\n  naru doctor oidc"
    )]
    Doctor {
        #[command(subcommand)]
        what: Option<Doctor>,
        /// The server's state directory, on its own machine.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
        /// The server's port for metrics and health, as `operations` in its settings.
        #[arg(long, value_name = "HOST:PORT")]
        operations: Option<std::net::SocketAddr>,
        /// The ssh_config to look at, in place of ~/.ssh/config.
        #[arg(long, value_name = "FILE")]
        ssh_config: Option<PathBuf>,
    },
    /// List the nodes that you may reach, and as whom.
    Ls,
    /// Ask whether something is allowed, and which rule decides. Exit 4 when it is not.
    #[command(after_help = "Example:\n  naru can ssh root@db-1")]
    Can {
        #[command(subcommand)]
        what: Can,
    },
    /// Open a session on a node, or run a command there.
    #[command(
        after_help = "At the beginning of a line ~. leaves, ~? lists the escapes, and ~~ types a ~.\n\nExamples:\n  naru ssh demo\n  naru ssh ubuntu@db-1 -- uptime\n  naru ssh db-1 'tar c /etc' > etc.tar"
    )]
    Ssh(Ssh),
    /// Write the configuration that other programs need.
    Config {
        #[command(subcommand)]
        what: Config,
    },
    /// Live and past sessions.
    Sessions {
        #[command(subcommand)]
        what: Sessions,
    },
    /// Play a recording: space pauses, . steps, + and - change the speed, arrows go 5 s, ? shows the keys, q leaves.
    #[command(
        after_help = "Examples:\n  naru play ID\n  naru play ID --at 1:30 --speed 2 --idle-limit 2s\n  naru play ID --text | grep ERROR"
    )]
    Play(Play),
    /// Take recordings away, and check them.
    Recording {
        #[command(subcommand)]
        what: Recording,
    },
    /// The audit log.
    Events {
        #[command(subcommand)]
        what: Events,
    },
    /// Offline proof of log and recordings.
    Audit {
        #[command(subcommand)]
        what: Audit,
    },
    /// Write resources from YAML: all of them or, when one has a fault, none.
    #[command(after_help = "Example:\n  naru apply -f roles.yaml")]
    Apply {
        /// The file; `-` is stdin. May be given again.
        #[arg(short, long = "file", required = true, value_name = "FILE")]
        file: Vec<PathBuf>,
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// Show resources of a kind, or one as `naru apply` takes it.
    #[command(after_help = "Examples:\n  naru get role\n  naru get role engineer > engineer.yaml")]
    Get {
        /// `role`, `user` or `node`.
        kind: String,
        /// Its name.
        name: Option<String>,
        /// Show it so; of one resource YAML when absent.
        #[arg(short, long, value_enum, value_name = "FORM")]
        output: Option<Form>,
    },
    /// Delete a resource. A node's host is cut off at once.
    Delete {
        /// `role`, `user` or `node`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Join tokens.
    Token {
        #[command(subcommand)]
        what: Token,
    },
    /// One-time sign-in links.
    LoginLink {
        #[command(subcommand)]
        what: LoginLink,
    },
    /// Print a completion script: `naru completion bash > ~/.local/share/bash-completion/completions/naru`.
    Completion {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Run by OpenSSH.
    #[command(hide = true)]
    ProxyConnect {
        /// Hand the connection over instead of copying.
        #[arg(long)]
        fdpass: bool,
        /// The host as typed: `NODE.naru`.
        host: String,
    },
    #[command(flatten)]
    Server(Server),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// As people write it.
    Yaml,
    /// Indented.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The server, https://HOST:PORT, its pin perhaps behind a #; without it that of the current sign-in.
    pub url: Option<String>,
    /// The pin of the server's authority: `sha256:…`.
    #[arg(long, value_name = "PIN")]
    pub ca_pin: Option<String>,
    /// Which identity provider, where the server has several.
    #[arg(long, value_name = "NAME")]
    pub connector: Option<ConnectorName>,
    /// Sign in on another device with a code that the provider gives.
    #[arg(long, conflicts_with = "no_browser")]
    pub device: bool,
    /// Print the address to open in a browser anywhere, and a code to compare.
    #[arg(long)]
    pub no_browser: bool,
    /// Show the provider anew who you are, though it remembers you.
    #[arg(long)]
    pub again: bool,
    /// A one-time sign-in link, as an administrator made it.
    #[arg(long, value_name = "LINK", conflicts_with_all = ["ca_pin", "connector", "device", "no_browser", "again"])]
    pub link: Option<String>,
    /// Sign in as this bot, with a token of its provider.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["connector", "device", "no_browser", "again", "link"])]
    pub bot: Option<UserName>,
    /// The file that holds the bot's token; `-` is stdin.
    #[arg(long, value_name = "FILE", requires = "bot")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Doctor {
    /// Whether people can sign in through an identity provider. Exit 1 when they cannot.
    #[command(after_help = "Examples:\n  naru doctor oidc\n  naru doctor oidc keycloak")]
    Oidc {
        /// The connector; all of them when absent.
        name: Option<ConnectorName>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Can {
    /// Whether a session may be opened.
    Ssh {
        /// LOGIN@NODE
        place: String,
        /// Ask for this person, as somebody who may administer users.
        #[arg(long = "as", value_name = "USER")]
        as_user: Option<UserName>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Ssh {
    /// Ask for a terminal even with a command.
    #[arg(short = 't', overrides_with = "no_terminal")]
    pub terminal: bool,
    /// Ask for no terminal.
    #[arg(short = 'T')]
    pub no_terminal: bool,
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
fn session(text: &str) -> Result<String, String> {
    let fits = (8..=36).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if fits { Ok(text.to_owned()) } else { Err("give the whole id, or its first 8 characters or more".to_owned()) }
}

fn reason(text: &str) -> Result<String, String> {
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

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a join token for a host.
    #[command(after_help = "Example:\n  naru token create --kind node --node db-1 --label env=prod --ttl 1h")]
    Create {
        /// What may join.
        #[arg(long, value_enum, default_value_t = Kind::Node)]
        kind: Kind,
        /// The node's name, or a pattern such as `web-*`.
        #[arg(long, default_value = "*")]
        node: String,
        /// A label that the token fixes. May be given again.
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
        /// How long it lives.
        #[arg(long, default_value = "1h")]
        ttl: String,
        /// It may take a name that is taken.
        #[arg(long)]
        replace: bool,
    },
    /// Those that have not expired, without their secrets.
    Ls,
    /// Take one back. A host that joined with it stays: `naru delete node NAME` removes that.
    Rm {
        /// Its id, as `ls` shows it.
        id: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// An SSH target.
    Node,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum LoginLink {
    /// Make one for this person.
    Create {
        /// The handle.
        user: UserName,
        /// How long it can be used, at most 24h; as the server's settings say when absent.
        #[arg(long)]
        ttl: Option<String>,
    },
    /// Those that have not expired, without their secrets.
    Ls,
    /// Take one back. Whoever signed in with it stays signed in.
    Rm {
        /// Its id, as `ls` shows it.
        id: String,
    },
}

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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn ssh(args: &[&str]) -> Ssh {
        match Cli::try_parse_from(args).expect("parses").command {
            Command::Ssh(ssh) => ssh,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_words_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_needs_no_dashes_and_keeps_its_own() {
        for args in [&["naru", "ssh", "demo", "--", "echo", "hi"][..], &["naru", "ssh", "demo", "echo", "hi"]] {
            assert_eq!(ssh(args).command, ["echo", "hi"], "{args:?}");
        }
        assert_eq!(ssh(&["naru", "ssh", "demo", "ls", "-la", "--json", "--", "x"]).command, ["ls", "-la", "--json", "--", "x"]);
        assert_eq!(ssh(&["naru", "ssh", "demo", "--", "-x"]).command, ["-x"]);
        let with = ssh(&["naru", "ssh", "-t", "root@demo", "top"]);
        assert!(with.terminal && !with.no_terminal && with.place == "root@demo" && with.command == ["top"]);
        assert!(ssh(&["naru", "ssh", "demo"]).command.is_empty());
    }

    #[test]
    fn global_words_stand_anywhere_before_a_remote_command() {
        for args in
            [&["naru", "--profile", "olga", "--json", "sessions", "ls"][..], &["naru", "sessions", "ls", "--profile", "olga", "--json"]]
        {
            let cli = Cli::try_parse_from(args).expect("parses");
            assert_eq!((cli.profile.as_deref(), cli.json), (Some("olga"), true));
        }
    }

    #[test]
    fn server_words_are_those_of_the_table() {
        for line in [
            "naru up --config f --state d",
            "naru proxy run --accept-restored-store",
            "naru demo --state d --json",
            "naru proxy run",
            "naru agent run --state d",
            "naru agent join https://h:1 --token T --ca-pin sha256:x --label a=b",
            "naru agent join https://h:1 --token -f_x --ca-pin sha256:x",
            "naru zygote --dir /x -y",
            "naru login https://h --device --again",
            "naru login https://h#sha256:x --connector corp",
            "naru login --no-browser --ca-pin sha256:x",
            "naru login --bot ci --token-file -",
            "naru logout --all --every-profile",
            "naru doctor",
            "naru doctor --state d --operations 127.0.0.1:9443 --json",
            "naru doctor oidc",
            "naru doctor oidc keycloak",
            "naru audit key",
            "naru audit verify --key k --checkpoint c d",
            "naru events tail -f",
            "naru token create --kind node --ttl 1h",
            "naru login-link create alice",
            "naru completion bash",
            "naru config ssh --known-hosts",
            "naru proxy-connect --fdpass -- demo.naru",
            "naru apply -f a.yaml -f b.yaml",
            "naru sessions show 01933b6c",
            "naru --no-headers status --all",
            "naru get role x -o yaml",
            "naru ssh -L 80:x:80 demo",
            "naru backup -o f --recipient age1x --recipient age1y --state d",
            "naru backup -o - --passphrase-file p",
            "naru restore f --identity k --key K --dry-run --state d",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "naru",
            "naru nonsense",
            "naru play x --speed 0",
            "naru sessions show ../x",
            "naru sessions show 01933b6",
            "naru sessions kill 01933b6c --reason ",
            "naru token create --label x",
            "naru login --link x --device",
            "naru login --device --no-browser",
            "naru login --bot ci --link x",
            "naru login --token-file f",
            "naru doctor --state d oidc",
            "naru backup --plain",
            "naru backup -o f --plain --recipient age1x",
            "naru restore --dry-run",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
