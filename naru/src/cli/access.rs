//! Words of who may do what: dry runs, access requests, locks, comparing. What they do is in `client`.

use std::net::IpAddr;
use std::path::PathBuf;

use access::amount::Period;
use access::policy::KubeVerb;
use access::words::{RequestId, ResourceName, UserName};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use wire::api::RequestState;

use super::sessions::reason;

#[derive(Debug, Subcommand)]
pub(crate) enum Can {
    /// Whether a session may be opened.
    #[command(
        after_help = "Examples:\n  naru can ssh root@db-1\n  naru can ssh root@db-1 --exec 'systemctl restart nginx'\n  naru can ssh root@db-1 --as bob --at 2026-11-28T22:00:00Z --from 10.1.2.3"
    )]
    Ssh {
        /// LOGIN@NODE
        place: String,
        /// Ask for this command instead of a shell.
        #[arg(long, value_name = "CMD", conflicts_with = "sftp")]
        exec: Option<String>,
        /// Ask for sftp instead of a shell.
        #[arg(long)]
        sftp: bool,
        #[command(flatten)]
        around: Around,
    },
    /// Whether a command may be run in a pod.
    #[command(after_help = "Example:\n  naru can exec -n shop pod/web-0 --cluster seoul")]
    Exec {
        /// pod/NAME
        what: String,
        #[command(flatten)]
        there: There,
        #[command(flatten)]
        around: Around,
    },
    /// Whether a request to a cluster may be made.
    #[command(
        after_help = "Examples:\n  naru can kube get pods -n shop --cluster seoul\n  naru can kube delete deploy/web -n shop --cluster seoul\n  naru can kube get pods/web-0 --subresource log -n shop --cluster seoul"
    )]
    Kube {
        /// What is done: `get`, `list`, `delete`, `portforward` …
        #[arg(value_parser = verb)]
        verb: KubeVerb,
        /// RESOURCE or RESOURCE/NAME, as kubectl takes it.
        what: String,
        /// A part of it: `log`, `scale`.
        #[arg(long, value_name = "NAME")]
        subresource: Option<String>,
        /// The resource's API group, where it is not the usual one.
        #[arg(long, value_name = "GROUP")]
        api_group: Option<String>,
        #[command(flatten)]
        there: There,
        #[command(flatten)]
        around: Around,
    },
    /// Whether a connection may be made from a node to somewhere else.
    #[command(after_help = "Example:\n  naru can forward db.internal:5432 --via deploy@web-1")]
    Forward {
        /// HOST:PORT
        to: String,
        /// LOGIN@NODE that it goes out of.
        #[arg(long, value_name = "LOGIN@NODE")]
        via: String,
        #[command(flatten)]
        around: Around,
    },
}

/// Where in Kubernetes.
#[derive(Debug, Args)]
pub(crate) struct There {
    /// The cluster.
    #[arg(long, value_name = "NAME")]
    pub cluster: ResourceName,
    /// The namespace; none for what belongs to none.
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
}

/// The circumstances that are asked about.
#[derive(Debug, Args)]
pub(crate) struct Around {
    /// Ask for this person, as somebody who may read users.
    #[arg(long = "as", value_name = "USER")]
    pub as_user: Option<UserName>,
    /// Ask for another time: 2026-01-31T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Ask for another address than one's own.
    #[arg(long, value_name = "ADDR")]
    pub from: Option<IpAddr>,
    /// With this reason.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

fn verb(text: &str) -> Result<KubeVerb, String> {
    let known = || KubeVerb::ALL.map(KubeVerb::as_str).join(", ");
    KubeVerb::ALL.into_iter().find(|verb| verb.as_str() == text).ok_or_else(|| format!("one of {}", known()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Request {
    /// Ask for a role, or for what opens LOGIN@NODE.
    #[command(
        after_help = "With --wait: exit 0 when it is approved, 4 when it is denied, 6 when nobody decides in time. Ctrl-C leaves it open.\n\nExamples:\n  naru request create root@db-1 --for 1h --reason INC-123 --wait\n  naru request create production --on cluster/seoul"
    )]
    Create {
        /// A role, or LOGIN@NODE.
        what: String,
        /// Only for this target; without it for all that the role reaches.
        #[arg(long, value_name = "[LOGIN@]NODE|cluster/NAME")]
        on: Option<String>,
        /// How long, from its approval; as long as may be when absent.
        #[arg(long = "for", value_name = "TIME")]
        length: Option<Period>,
        /// Why.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<String>,
        /// For how many sessions.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        uses: Option<u32>,
        /// Go on until it is decided.
        #[arg(long)]
        wait: bool,
    },
    /// Your requests and those that you may decide, newest first.
    Ls {
        /// Only in this state.
        #[arg(long, value_parser = PossibleValuesParser::new(RequestState::ALL.map(RequestState::as_str)).try_map(state))]
        state: Option<RequestState>,
        /// Only yours.
        #[arg(long)]
        mine: bool,
        /// Most rows.
        #[arg(long)]
        limit: Option<u32>,
        /// Go on: one line for each change.
        #[arg(long, conflicts_with = "limit")]
        watch: bool,
    },
    /// Show one.
    Show {
        /// Its id.
        id: RequestId,
    },
    /// Say yes. At a terminal it shows first what that gives, and asks.
    #[command(after_help = "Example:\n  naru request approve abcd2345 --for 30m --comment 'as we said'")]
    Approve {
        /// Its id.
        id: RequestId,
        /// For whoever asked, and for the log.
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
        /// For a shorter time than was asked for.
        #[arg(long = "for", value_name = "TIME")]
        length: Option<Period>,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Say no.
    Deny {
        /// Its id.
        id: RequestId,
        /// For whoever asked, and for the log.
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
    },
    /// Take it back, or take back what it gave: its sessions end.
    Revoke {
        /// Its id.
        id: RequestId,
        /// For the log.
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
    },
}

fn state(word: String) -> Result<RequestState, &'static str> {
    RequestState::ALL.into_iter().find(|state| state.as_str() == word).ok_or("no such state")
}

#[derive(Debug, Subcommand)]
pub(crate) enum Lock {
    /// Keep somebody or something out at once; live sessions end.
    #[command(
        after_help = "What can be locked: user/NAME, bot/NAME, role/NAME, node/NAME, cluster/NAME, agent/ID, login/NAME, certificate/SERIAL, all.\n\nExamples:\n  naru lock add user/kim --reason 'laptop lost'\n  naru lock add login/root --reason INC-123 --for 1h"
    )]
    Add {
        /// Who or what: `user/kim`.
        target: String,
        /// Why; whoever is kept out reads it.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// How long; until it is removed when absent.
        #[arg(long = "for", value_name = "TIME")]
        length: Option<Period>,
        /// What it is called; after its target when absent.
        #[arg(long, value_name = "NAME")]
        name: Option<ResourceName>,
        /// It may lock out yourself.
        #[arg(long)]
        allow_self_lockout: bool,
    },
    /// The locks that there are.
    Ls,
    /// Remove a lock, or every lock of a target.
    #[command(after_help = "Examples:\n  naru lock rm user-kim\n  naru lock rm user/kim")]
    Rm {
        /// Its name, or what it locks: `user/kim`.
        which: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Access {
    /// Who reaches what.
    #[command(after_help = "Examples:\n  naru access list --user kim\n  naru access list --target node/db-1")]
    List {
        /// What this person reaches.
        #[arg(long, required_unless_present = "target", conflicts_with = "target")]
        user: Option<UserName>,
        /// Who reaches this: `node/NAME`, `cluster/NAME`.
        #[arg(long)]
        target: Option<String>,
    },
    /// Who would gain and who would lose what by a Terraform plan.
    #[command(
        after_help = "Example, in CI:\n  terraform plan -out plan.tfplan && terraform show -json plan.tfplan | naru access diff --plan - --markdown --exit-code"
    )]
    Diff {
        /// What `terraform show -json` printed; `-` is stdin.
        #[arg(long, value_name = "PLAN.json")]
        plan: PathBuf,
        /// For a comment of a merge request.
        #[arg(long)]
        markdown: bool,
        #[command(flatten)]
        look: Look,
    },
}

/// How a comparison is wanted.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// Most lines each way; what is left out is counted.
    #[arg(long, value_name = "N")]
    pub lines: Option<u32>,
    /// Exit 2 when somebody gains, 3 when a guardrail would break.
    #[arg(long)]
    pub exit_code: bool,
}
