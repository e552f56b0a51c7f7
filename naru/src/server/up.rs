//! `naru up` and `naru proxy run`: the proxy with its settings. `up` also seeds a new install and says how to begin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use client::failure::Failure;

use super::failure::{of_proxy, of_seed};
use crate::cli::Proxied;

use super::{Talk, read, roles, say, state_dir, stopped};

/// Life of the join token in the printed line.
const JOIN_LIFE: Duration = Duration::from_secs(3600);

/// Runs the proxy until it is stopped.
pub(crate) async fn run(given: &Proxied, talk: Talk, begins: bool) -> Result<(), Failure> {
    let state = state_dir(given.state.clone(), "/var/lib/naru", "server")?;
    let settings =
        proxy::Settings { accept_restored_store: given.accept_restored_store, ..settings(given.config.as_deref(), state.clone())? };
    let proxy = proxy::Proxy::build(settings).await.map_err(|error| of_proxy(&error))?;
    if begins {
        proxy.seed(roles::parse("base.yaml", roles::BASE)?).await.map_err(|error| of_seed(&error))?;
        say(&beginning(&proxy, &state, talk).await?);
    } else {
        tracing::info!(url = proxy.url(), "serving");
    }
    proxy.run(stopped()).await;
    Ok(())
}

fn settings(config: Option<&Path>, state: PathBuf) -> Result<proxy::Settings, Failure> {
    let (file, text) = match config {
        Some(path) => (path.display().to_string(), read(path)?),
        None => ("defaults".to_owned(), String::new()),
    };
    let meant = config::proxy::proxy(&file, &text).map_err(|faults| crate::faults::failure(&faults, "the server does not start"))?;
    let mut listen = meant.listen;
    if config.is_none() && nix::unistd::geteuid().is_root() {
        listen.set_port(443);
    }
    let public = if meant.public.is_empty() { host_name() } else { meant.public };
    let (max_sessions, max_connections) = (meant.max_sessions as usize, meant.max_connections as usize);
    Ok(proxy::Settings {
        state,
        listen,
        public,
        balancers: meant.balancers,
        webhooks: meant.webhook,
        certificate_life: meant.certificate_life.duration(),
        link_life: meant.link_life.duration(),
        max_sessions,
        max_connections,
        accept_restored_store: false,
    })
}

fn host_name() -> Vec<String> {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let plain = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) && !name.is_empty();
    name.filter(plain).into_iter().collect()
}

async fn beginning(proxy: &proxy::Proxy, state: &Path, talk: Talk) -> Result<String, Failure> {
    let link = match proxy.locked_out().map_err(|error| of_seed(&error))? {
        Some(admin) => Some((proxy.sign_in_link(&admin).await.map_err(|error| of_seed(&error))?.0, admin)),
        None => None,
    };
    let (token, pin) = proxy.join_token("*", &[], JOIN_LIFE).await.map_err(|error| of_seed(&error))?;
    let join = format!("naru agent join {} --token {} --ca-pin {pin} --node NAME", proxy.url(), token.0);
    if talk.json {
        let sign_in: serde_json::Map<_, _> = link.into_iter().map(|(link, admin)| (admin.to_string(), link.into())).collect();
        let line = serde_json::json!({
            "ready": true, "url": proxy.url(), "ssh": proxy.ssh(), "sign_in": sign_in, "join": join, "state": state,
        });
        return Ok(format!("{line}\n"));
    }
    let sign_in = match link {
        Some((link, admin)) => format!("  sign in as {admin} (15 minutes)   naru login --link '{link}'\n"),
        None => String::new(),
    };
    Ok(format!(
        "Naru is up at {}\n\n{sign_in}  add a host (1 hour, once)       {join}\n\nCtrl-C ends it. State is in {}.\n",
        proxy.url(),
        state.display()
    ))
}
