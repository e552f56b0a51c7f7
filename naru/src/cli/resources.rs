//! Words of declared resources: writing, reading, comparing and deleting them. What they do is in `client::resources` and `client::diff`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::access::Look;

/// The files of resources.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The file; `-` is stdin. May be given again.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub files: Files,
    /// Only say what would change.
    #[arg(long)]
    pub dry_run: bool,
    /// The change may take away your own right to undo it.
    #[arg(long)]
    pub allow_self_lockout: bool,
    /// Who keeps these resources, such as the address of a repository.
    #[arg(long, value_name = "TEXT")]
    pub managed_by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub look: Look,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Hold tables of who may do what against a policy. Exit 1 when one does not hold.
    #[command(
        after_help = "tests.yaml:\n  tests:\n    - name: developers reach staging\n      as: {user: alice}\n      can: ssh alice@web-1\n      target: {labels: {env: staging}}\n      expect: allow            # allow, deny, or request: a no that an access request would lift\n\nExample, in CI:\n  naru policy test -f tests.yaml --policy policy.yaml"
    )]
    Test {
        #[command(flatten)]
        files: Files,
        /// The policy: files of resources, and no server is asked. May be given again. Without it what is in force.
        #[arg(long, value_name = "FILE")]
        policy: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// `role`, `user`, `oidc_connector`, `bot`, `join_token`, `node`, `cluster`, `guardrail`, `access_rule`, `messenger`, `audit_sink`, `lock`, `settings`; `all` for every one.
    pub kind: String,
    /// Its name.
    pub name: Option<String>,
    /// Show it so; of one resource, and of all, YAML when absent.
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub output: Option<Form>,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// As in `naru get`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Only if it is still at this revision, as `naru get` shows it.
    #[arg(long, value_name = "N")]
    pub if_revision: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// As people write it.
    Yaml,
    /// Indented.
    Json,
}
