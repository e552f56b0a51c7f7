//! The commands that run on servers: runtime, log and signals around the parts, which live in their own crates.

mod agent;
mod backup;
mod break_glass;
mod demo;
mod failure;
mod roles;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use client::failure::Failure;

use crate::cli::{Agent, Proxy, Server};

/// What a server command needs besides its own words.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    /// One JSON line on stdout instead of words.
    pub(crate) json: bool,
}

/// Runs a server command to its end.
pub(crate) fn run(command: &Server, json: bool) -> ExitCode {
    // Before any thread or allocation of ours: holders are forks of this process.
    if let Server::Zygote { .. } = command {
        return ::agent::holder::zygote::main();
    }
    // The demo's agent shares its terminal, where people read the welcome.
    let quiet = matches!(command, Server::Demo { .. } | Server::Agent { what: Agent::Run { end_sessions: true, .. } });
    let out = client::out::Out::detect(json, true);
    match log(quiet).and_then(|()| start(command, Talk { json })) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => crate::report(out, &failure),
    }
}

fn start(command: &Server, talk: Talk) -> Result<(), Failure> {
    // An agent passes bytes on and waits: one thread does that with the fewest wakes on the way of a keystroke.
    let mut threads = match command {
        Server::Agent { .. } => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime =
        threads.enable_all().build().map_err(|error| Failure::new("NARU-C021", 1, format!("the runtime could not be started: {error}")))?;
    let mut next = None;
    let done = runtime.block_on(async {
        match command {
            Server::Up(given) => up::run(given, talk, true).await,
            Server::BreakGlass { user, reason, roles, ttl, state } => {
                let state = state_dir(state.clone(), "/var/lib/naru", "server")?;
                break_glass::run(&state, user, reason, roles, ttl.duration().as_secs(), talk).await
            }
            // Files only: they may wait for them.
            Server::Backup(given) => backup::backup(given, &backup::state_of(given.state.as_ref())?, talk),
            Server::Restore(given) => backup::back(given, &backup::state_of(given.state.as_ref())?, talk),
            Server::Proxy { what: Proxy::Run(given) } => up::run(given, talk, false).await,
            Server::Demo { state } => demo::run(state.clone(), talk).await,
            Server::Agent { what: Agent::Run { config, state, end_sessions } } => {
                agent::run(config.as_deref(), state.clone(), *end_sessions).await
            }
            Server::Agent { what: Agent::Join { url, token, ca_pin, node, labels, config, state, no_run } } => {
                let asked = agent::Asked { url, token, ca_pin, node: node.clone(), labels };
                let words = agent::run_words(config.as_deref(), state.as_deref());
                agent::join(asked, state.clone(), talk, no_run.then(|| agent::run_line(&words))).await?;
                if !*no_run {
                    next = Some(words);
                }
                Ok(())
            }
            Server::Zygote { .. } => Ok(()),
        }
    });
    // Blocking reads of abandoned streams are not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match next {
        Some(words) => done.and_then(|()| agent::become_this(&words)),
        None => done,
    }
}

/// How the log looks: by the environment, so that the processes that a command starts write the same.
const FORMAT: &str = "NARU_LOG_FORMAT";

/// Logs go to stderr, for people or as one JSON object a line; audit events never go this way.
fn log(quiet: bool) -> Result<(), Failure> {
    use std::io::IsTerminal as _;
    let default = if quiet { "warn" } else { "info" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("NARU_LOG").unwrap_or_else(|_| default.into());
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match std::env::var_os(FORMAT).unwrap_or_default().to_str() {
        Some("" | "text") => log.with_ansi(colour).init(),
        Some("json") => log.json().flatten_event(true).with_ansi(false).init(),
        _ => return Err(Failure::usage(format!("{FORMAT} is neither `text` nor `json`"))),
    }
    Ok(())
}

/// SIGTERM or Ctrl-C.
pub(crate) async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// The folder for state that was not named: the system's for root, the person's own otherwise.
pub(crate) fn state_dir(given: Option<PathBuf>, system: &str, own: &str) -> Result<PathBuf, Failure> {
    if let Some(given) = given {
        return Ok(given);
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from(system));
    }
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_STATE_HOME").or_else(|| from("HOME").map(|home| home.join(".local/state")));
    base.map(|base| base.join("naru").join(own)).ok_or_else(|| {
        Failure::new("NARU-C022", 1, "there is no folder for state: neither HOME nor XDG_STATE_HOME is set").hint("--state DIR")
    })
}

/// A settings file, whole.
pub(crate) fn read(path: &std::path::Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::new("NARU-C023", 1, format!("{} cannot be read: {error}", path.display())))
}

/// Writes words for people to stdout.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
