//! `cargo xtask demo`: builds `naru` and becomes `naru demo`; with `--keycloak` it is joined by a real Keycloak.

mod keycloak;

use crate::run;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Everything but `--release` and `--keycloak` goes to `naru demo` as it is.
pub(crate) fn demo(args: &[String]) -> Result<ExitCode, String> {
    let (ours, theirs): (Vec<_>, Vec<_>) = args.iter().partition(|arg| ["--release", "--keycloak"].contains(&arg.as_str()));
    let has = |name: &str| ours.iter().any(|arg| *arg == name);
    let naru = run::build_naru(has("--release"))?;
    if has("--keycloak") {
        return keycloak::demo(&naru, &theirs);
    }
    let error = Command::new(&naru).arg("demo").args(theirs).exec();
    Err(format!("{} could not be started: {error}", naru.display()))
}
