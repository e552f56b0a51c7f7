//! `cargo xtask demo`: builds `naru` and becomes `naru demo`.

use crate::run;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Everything but `--release` goes to `naru demo` as it is.
pub(crate) fn demo(args: &[String]) -> Result<ExitCode, String> {
    let (ours, theirs): (Vec<_>, Vec<_>) = args.iter().partition(|arg| *arg == "--release");
    let naru = run::build_naru(!ours.is_empty())?;
    let error = Command::new(&naru).arg("demo").args(theirs).exec();
    Err(format!("{} could not be started: {error}", naru.display()))
}
