//! Words of who may do what: dry runs. What they do is in `client`.

use access::words::UserName;
use clap::Subcommand;

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
