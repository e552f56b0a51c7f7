//! `naru agent join` and `naru agent run`.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use access::words::{Login, NodeName};
use client::failure::Failure;
use nix::unistd::{User, geteuid};

use super::failure::{of_agent, of_join};
use super::{Talk, read, say, state_dir, stopped};

/// What the person typed to join.
pub(crate) struct Asked<'a> {
    pub(crate) url: &'a str,
    pub(crate) token: &'a str,
    pub(crate) ca_pin: &'a str,
    pub(crate) node: Option<NodeName>,
    pub(crate) labels: &'a [(String, String)],
}

/// Longest token that is read from stdin.
const MAX_TOKEN: u64 = 1024;

/// Joins this host. `next` is the command that the person has to run then, where it is not run at once.
pub(crate) async fn join(asked: Asked<'_>, state: Option<PathBuf>, talk: Talk, next: Option<String>) -> Result<(), Failure> {
    let state = state_dir(state, "/var/lib/naru-agent", "agent")?;
    let usage = |error: wire::link::BadLink| Failure::new("NARU-C024", 2, error.to_string());
    let request = agent::join::JoinRequest {
        proxy: asked.url.parse().map_err(usage)?,
        token: token(asked.token)?,
        pin: asked.ca_pin.parse().map_err(usage)?,
        node: asked.node,
        labels: asked.labels.iter().cloned().collect(),
    };
    let joined = agent::join::join(&state, &request).await.map_err(|error| of_join(&error, asked.url))?;
    if talk.json {
        say(&format!("{}\n", serde_json::json!({ "joined": joined.proxy, "node": joined.node, "state": state })));
    } else {
        say(&format!("joined {} as node {}\n", joined.proxy, joined.node));
        if let Some(run) = next {
            say(&format!("next: {run}\n"));
        }
    }
    Ok(())
}

/// `-` reads the token from stdin, so that it stands in no process list.
fn token(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_TOKEN)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new("NARU-C025", 1, format!("the token could not be read: {error}")))?;
    Ok(text.trim().to_owned())
}

/// The command line that runs what has joined.
pub(crate) fn run_words(config: Option<&Path>, state: Option<&Path>) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["agent".into(), "run".into()];
    for (flag, path) in [("--config", config), ("--state", state)] {
        words.extend(path.into_iter().map(|path| {
            // In one word: a path may begin with `-`.
            let mut word = OsString::from(flag);
            word.push("=");
            word.push(path);
            word
        }));
    }
    words
}

/// The same for a person to type.
pub(crate) fn run_line(words: &[OsString]) -> String {
    let quoted = words.iter().map(|word| {
        let text = word.to_string_lossy();
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-' | b'='));
        if plain { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
    });
    std::iter::once("naru".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

/// Goes on as this program with another command line: the join token leaves the process list. Comes back only when that fails.
pub(crate) fn become_this(words: &[OsString]) -> Result<(), Failure> {
    let failed =
        |error| Failure::new("NARU-C026", 1, format!("joined, but the agent could not be started: {error}")).hint("naru agent run");
    let program = std::env::current_exe().map_err(failed)?;
    Err(failed(std::process::Command::new(program).args(words).exec()))
}

/// Runs the agent until it is stopped.
pub(crate) async fn run(config: Option<&Path>, state: Option<PathBuf>, end_sessions: bool) -> Result<(), Failure> {
    let state = state_dir(state, "/var/lib/naru-agent", "agent")?;
    let file = match config {
        Some(path) => config::agent::agent(&path.display().to_string(), &read(path)?)
            .map_err(|faults| crate::faults::failure(&faults, "the agent does not start"))?,
        None => config::agent::AgentFile::default(),
    };
    let program = std::env::current_exe().map_err(|error| Failure::new("NARU-C026", 1, format!("where is this program? {error}")))?;
    let settings =
        agent::Settings { holders: state.join("holders"), state, program, limits: agent::Limits { file, only_login: only_login()? } };
    if end_sessions {
        // Of a demo that was killed nothing stays.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    }
    let holding = if end_sessions { agent::Holding::End } else { agent::Holding::On };
    agent::run(settings, holding, stopped()).await.map_err(|error| of_agent(&error))
}

/// Not as root there is one login: the process's own.
pub(crate) fn only_login() -> Result<Option<Login>, Failure> {
    if geteuid().is_root() { Ok(None) } else { own_login().map(Some) }
}

/// The account that runs this process.
pub(crate) fn own_login() -> Result<Login, Failure> {
    let user = User::from_uid(geteuid()).ok().flatten();
    let name = user.map(|user| user.name).unwrap_or_default();
    name.parse().map_err(|error| Failure::new("NARU-C027", 1, format!("the account that runs this cannot be a login: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Agent, Cli, Command, Server};

    #[test]
    fn what_runs_after_a_join_is_the_same_agent_without_the_token() {
        let words = run_words(Some(Path::new("a b.yaml")), Some(Path::new("-s")));
        let cli = Cli::try_parse_from(std::iter::once("naru".into()).chain(words)).expect("a command line");
        let Command::Server(Server::Agent { what: Agent::Run { config, state, end_sessions } }) = cli.command else {
            panic!("another command")
        };
        assert_eq!((config.as_deref(), state.as_deref(), end_sessions), (Some(Path::new("a b.yaml")), Some(Path::new("-s")), false));
        assert_eq!(run_words(None, None), ["agent", "run"]);
        assert_eq!(run_line(&run_words(Some(Path::new("a b.yaml")), None)), "naru agent run '--config=a b.yaml'");
    }
}
