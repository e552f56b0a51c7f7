//! Words of signing in and out, and of the links that it is done with. What they do is in `client::login`.

use std::path::PathBuf;

use access::words::{ConnectorName, UserName};
use clap::{Args, Subcommand};

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
