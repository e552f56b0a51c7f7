//! Words of join tokens and access tokens. What they do is in `client::token`.

use access::words::ResourceName;
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a join token for a host, or for as many as a join_token resource allows.
    #[command(
        after_help = "Examples:\n  naru token create --kind node --node db-1 --label env=prod --ttl 1h\n  naru token create --from web-servers --uses 20"
    )]
    Create(Create),
    /// Print an access token of one's own login, for a program that speaks to the API and can show no certificate.
    #[command(
        after_help = "Examples:\n  curl -H \"Authorization: Bearer $(naru token access)\" https://naru.example.com/v1/status\n  naru token access --ttl 1h --json\n\nIt ends with the login, and after its time: 10m when nothing is said, 1h at most."
    )]
    Access {
        /// How long it lives, at most 1h.
        #[arg(long, value_name = "TIME")]
        ttl: Option<String>,
    },
    /// Join tokens that have not expired, without their secrets.
    Ls,
    /// Take one back. A host that joined with it stays: `naru delete node NAME` removes that.
    Rm {
        /// Its id, as `ls` shows it.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The join_token resource that says what may join.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["kind", "node", "labels", "replace"])]
    pub from: Option<ResourceName>,
    /// How many hosts may join with it; as the resource says when absent.
    #[arg(long, value_name = "N", requires = "from", value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: Option<u32>,
    /// What may join.
    #[arg(long, value_enum, default_value_t = Kind::Node)]
    pub kind: Kind,
    /// The node's name, or a pattern such as `web-*`.
    #[arg(long, default_value = "*")]
    pub node: String,
    /// A label that the token fixes. May be given again.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// How long it lives; 1h when absent, or as the resource says.
    #[arg(long, value_name = "TIME")]
    pub ttl: Option<String>,
    /// It may take a name that is taken.
    #[arg(long)]
    pub replace: bool,
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
