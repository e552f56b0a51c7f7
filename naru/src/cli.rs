//! The words of the command line, and nothing of what they do. DESIGN's table as far as it is built; scripts lean on it.

use std::path::PathBuf;

use ::access::amount::Period;
use clap::{Parser, Subcommand};

mod access;
mod events;
mod resources;
mod server;
mod sessions;
mod sign_in;
mod tokens;

pub(crate) use self::access::{Access, Around, Can, Lock, Look, Request, There};
pub(crate) use events::{Audit, Events};
pub(crate) use resources::{Apply, Delete, Diff, Form, Get, Policy};
pub(crate) use server::{Agent, Backup, Proxied, Proxy, Restore, Server};
pub(crate) use sessions::{Config, Format, Play, Recording, Sessions, Ssh};
pub(crate) use sign_in::{Doctor, Login, LoginLink};
pub(crate) use tokens::{Create, Kind, Token};

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
    /// Ask whether something is allowed, which rule decides, and what would help. Exit 4 when it is not, 6 when a request would help, 9 when locked.
    #[command(after_help = "Examples:\n  naru can ssh root@db-1\n  naru can kube get pods -n shop --cluster seoul")]
    Can {
        #[command(subcommand)]
        what: Can,
    },
    /// Access requests: ask for a role for a time, and decide what others ask for.
    Request {
        #[command(subcommand)]
        what: Request,
    },
    /// Who reaches what, and what a plan would change of it.
    Access {
        #[command(subcommand)]
        what: Access,
    },
    /// Keep somebody or something out, at once.
    Lock {
        #[command(subcommand)]
        what: Lock,
    },
    /// Give a live session of yours more time, as far as its role allows.
    #[command(after_help = "Example:\n  naru extend --for 30m")]
    Extend {
        /// The session, or the beginning of its id; without it your only live one.
        #[arg(value_parser = sessions::session)]
        session: Option<String>,
        /// How much longer.
        #[arg(long = "for", value_name = "TIME")]
        by: Period,
    },
    /// Open a session on a node, or run a command there.
    #[command(
        after_help = "At the beginning of a line ~. leaves, ~? lists the escapes, and ~~ types a ~.\n\nExamples:\n  naru ssh demo\n  naru ssh ubuntu@db-1 -- uptime\n  naru ssh db-1 'tar c /etc' > etc.tar\n  naru ssh --reason INC-123 --wait root@db-1    asks for access where it is needed, and goes on"
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
    #[command(
        after_help = "Examples:\n  naru apply -f roles.yaml\n  naru apply -f policy.yaml --managed-by https://git.example/ops/policy"
    )]
    Apply(Apply),
    /// Show what files of resources would change, and who would gain and lose what.
    #[command(
        after_help = "Examples:\n  naru diff -f roles.yaml\n  naru diff -f roles.yaml --exit-code    in CI: 2 when somebody gains, 3 when a guardrail would break"
    )]
    Diff(Diff),
    /// Policies that are not in force yet.
    Policy {
        #[command(subcommand)]
        what: Policy,
    },
    /// Show resources of a kind, or one as `naru apply` takes it.
    #[command(
        after_help = "Examples:\n  naru get role\n  naru get role engineer > engineer.yaml\n  naru get all > everything.yaml    as an empty install takes it; no secrets"
    )]
    Get(Get),
    /// Delete a resource. A node's host is cut off at once.
    Delete(Delete),
    /// Join tokens for hosts, and access tokens for programs.
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

    #[test]
    fn words_of_who_may_do_what_are_those_of_the_table() {
        for line in [
            "naru ssh --reason INC-1 --wait --request-for 1h demo uptime",
            "naru can ssh root@db-1 --exec uptime --as bob --at 2026-11-28T22:00:00Z --from 10.1.2.3 --reason x",
            "naru can ssh root@db-1 --sftp",
            "naru can exec -n shop pod/x --cluster seoul",
            "naru can kube deletecollection pods -n shop --cluster seoul --api-group x",
            "naru can forward db:5432 --via root@db-1",
            "naru request create production --on cluster/seoul --for 1h --reason x --uses 2 --wait",
            "naru request create root@db-1",
            "naru request ls --state used_up --mine",
            "naru request ls --watch",
            "naru request show abcd2345",
            "naru request approve abcd2345 --comment ok --for 30m --yes",
            "naru request deny abcd2345",
            "naru request revoke abcd2345",
            "naru lock add user/kim --reason x --for 1h --name n --allow-self-lockout",
            "naru lock ls",
            "naru lock rm user/kim",
            "naru access list --user kim",
            "naru access list --target node/db-1",
            "naru access diff --plan - --markdown --exit-code",
            "naru diff -f a -f b --lines 5 --exit-code",
            "naru extend --for 30m",
            "naru policy test -f tests.yaml -f more.yaml --policy roles.yaml --policy users.yaml",
            "naru extend 01933b6c --for 30m",
            "naru apply -f a --allow-self-lockout --managed-by ops",
            "naru get all -o yaml",
            "naru delete role x --if-revision 7",
            "naru token create --from web --uses 5 --ttl 30m",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "naru can ssh root@db-1 --sftp --exec ls",
            "naru can kube eat pods --cluster seoul",
            "naru can exec pod/x",
            "naru request show x",
            "naru request create r --uses 0",
            "naru lock add user/kim",
            "naru access list",
            "naru access list --user kim --target node/x",
            "naru extend",
            "naru policy test",
            "naru diff",
            "naru token create --from web --node x",
            "naru token create --uses 5",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
