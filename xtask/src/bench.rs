//! `cargo xtask bench`: builds `naru` and the measuring program of the `tests` crate for release and runs the latter.

use crate::{needs, run};
use std::process::{Command, ExitCode};

/// Arguments go to the measuring program; without a `naru` that builds, sshd is measured alone.
pub(crate) fn bench(args: &[String]) -> Result<ExitCode, String> {
    needs::system(&mut |line| eprintln!("{line}"))?;
    let status = run::cargo()
        .args(["build", "--release", "--package", "tests", "--bin", "bench"])
        .status()
        .map_err(|e| format!("cargo could not be started: {e}"))?;
    if !status.success() {
        return Err("the measuring program does not build".into());
    }
    let mut command = Command::new(run::target_dir().join("release").join("bench"));
    command.args(args).current_dir(run::root());
    match run::build_naru(true) {
        Ok(naru) => command.env("NARU_BIN", naru),
        Err(sentence) => {
            eprintln!("warning: {sentence}; measuring sshd alone");
            command.env_remove("NARU_BIN")
        }
    };
    let status = command.status().map_err(|e| format!("the measuring program could not be started: {e}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
