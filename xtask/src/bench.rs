//! `cargo xtask bench`: builds `naru` and the measuring program of the `tests` crate for release and runs the latter.

use crate::{needs, run};
use std::process::{Command, ExitCode};

/// Where the measures stand, in one table.
const MEASURES: &str = "tests/bench/main.rs";

/// The names in that table, read from the source: naming them is no reason to build for release.
fn names(source: &str) -> Vec<&str> {
    let table = source.split_once("const MEASURES").and_then(|(_, rest)| rest.split_once('=')).map(|(_, rest)| rest);
    let table = table.and_then(|rest| rest.split_once("];")).map(|(table, _)| table).unwrap_or_default();
    table.split("(\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name).collect()
}

/// Arguments go to the measuring program; without a `naru` that builds, sshd is measured alone.
pub(crate) fn bench(args: &[String]) -> Result<ExitCode, String> {
    if args.iter().any(|arg| arg == "--list") {
        let path = run::root().join(MEASURES);
        let source = std::fs::read_to_string(&path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
        names(&source).iter().for_each(|name| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measures_are_found_where_they_stand() {
        let source = std::fs::read_to_string(run::root().join(MEASURES)).expect("the measuring program");
        let names = names(&source);
        assert!(names.len() > 5 && names.iter().all(|name| !name.is_empty() && !name.contains(' ')), "{names:?}");
        assert_eq!(super::names("const MEASURES: [(&str, M); 2] = [\n (\"a\", x),\n (\"b-c\", y),\n];\n(\"d\")"), ["a", "b-c"]);
    }
}
