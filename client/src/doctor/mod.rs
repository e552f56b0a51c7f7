//! `naru doctor`: checks an install from the outside in, as far as whoever asks can see, and says of each thing what to do. It changes
//! nothing, and goes on where one thing fails.

mod checks;
mod here;
mod oidc;
mod reach;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use oidc::oidc;

use self::checks::Checks;
use crate::out::Answer;
use crate::profile::{Home, Profile};

/// Where to look.
#[derive(Debug)]
pub struct Look<'a> {
    /// Where sign-ins are kept.
    pub home: &'a Home,
    /// Whose sign-in.
    pub profile: &'a Profile,
    /// The `naru` that OpenSSH is to run.
    pub naru: PathBuf,
    /// The person's ssh_config, where there is one to look at.
    pub ssh_config: Option<PathBuf>,
    /// The server's state directory, on its own machine.
    pub state: Option<PathBuf>,
    /// The server's port for metrics and health.
    pub operations: Option<SocketAddr>,
}

/// Looks at everything. Exit 1 when something is wrong.
pub async fn install(look: &Look<'_>) -> Answer {
    let mut checks = Checks::default();
    let facts = here::sign_in(&mut checks, look.profile);
    match &facts {
        Some(facts) => {
            here::ssh_config(&mut checks, look);
            reach::server(&mut checks, look.profile, facts).await;
        }
        None => checks.skip("server", "nobody is signed in here, so it is not known where the server is"),
    }
    match &look.state {
        Some(state) => server::state(&mut checks, state),
        None => checks.skip("state", "say --state DIR on the server's own machine"),
    }
    match look.operations {
        Some(address) => server::ready(&mut checks, address).await,
        None => checks.skip("ready", "say --operations HOST:PORT, as `operations` in proxy.yaml"),
    }
    checks.answer()
}
