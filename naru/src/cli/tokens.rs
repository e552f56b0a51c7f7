//! Words of join tokens. What they do is in `client::token`.

use clap::{Subcommand, ValueEnum};

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

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}
