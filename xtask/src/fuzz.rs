//! `cargo xtask fuzz`: builds the program in `tests/fuzz` with libFuzzer's instrumentation, on the stable compiler, and runs it.
//!
//! The targets themselves are plain functions in `tests/src/fuzz_targets.rs`; the ordinary tests feed them every corpus file.

use crate::run;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// What `cargo fuzz` says to the compiler, without its demand for nightly.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Why there is no good answer.
pub(crate) enum Fault {
    /// The fuzzer cannot be built or run on this machine.
    NotHere(String),
    /// An input was found that breaks a target.
    Found(String),
}

fn folder() -> PathBuf {
    run::root().join("tests").join("fuzz")
}

/// The targets are the folders of the corpus.
fn targets() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder().join("corpus"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// `fuzz` lists, `fuzz TARGET [--seconds N]` runs, for ever when no time is given.
pub(crate) fn fuzz(args: &[String]) -> Result<ExitCode, String> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (target, seconds) = match words.as_slice() {
        [] => {
            targets().iter().for_each(|name| println!("{name}"));
            return Ok(ExitCode::SUCCESS);
        }
        [target] => (*target, 0),
        [target, "--seconds", n] | ["--seconds", n, target] => (*target, n.parse().map_err(|_| format!("{n} is no number of seconds"))?),
        _ => return Err("fuzz takes a target and --seconds N".into()),
    };
    if !targets().iter().any(|name| name == target) {
        return Err(format!("there is no target {target}; there are {}", targets().join(", ")));
    }
    let program = build()?;
    let status = fuzzer(&program, target, seconds)?.status().map_err(|e| format!("the fuzzer could not be started: {e}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each target for some seconds, quietly.
pub(crate) fn briefly(seconds: u32) -> Result<(), Fault> {
    let program = build().map_err(Fault::NotHere)?;
    for target in targets() {
        let said = fuzzer(&program, &target, seconds).and_then(|mut command| run::capture(&mut command)).map_err(Fault::NotHere)?;
        if !said.status.success() {
            return Err(Fault::Found(format!("fuzz target {target}\n{}", said.text)));
        }
    }
    Ok(())
}

/// With the versions of the product's own lock file, which is copied so that there is only one to keep.
fn build() -> Result<PathBuf, String> {
    let target_dir = run::target_dir().join("fuzz");
    let triple = host()?;
    let lock = folder().join("Cargo.lock");
    std::fs::copy(run::root().join("Cargo.lock"), &lock).map_err(|e| format!("{} could not be written: {e}", lock.display()))?;
    let said = run::capture(
        // The triple is named so that build scripts and procedural macros are built without the flags.
        run::cargo()
            .current_dir(folder())
            .args(["build", "--release", "--target", &triple])
            .env("RUSTFLAGS", FLAGS)
            .env("CARGO_TARGET_DIR", &target_dir),
    )?;
    if !said.status.success() {
        let tail: Vec<&str> = said.text.lines().rev().take(20).collect();
        return Err(format!("the fuzzer does not build here:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n")));
    }
    Ok(target_dir.join(triple).join("release").join("fuzz"))
}

fn host() -> Result<String, String> {
    let said = run::capture(Command::new("rustc").arg("-vV"))?;
    let triple = said.text.lines().find_map(|line| line.strip_prefix("host: "));
    triple.map(str::to_owned).ok_or_else(|| "rustc does not say which machine it is for".into())
}

/// What is found beyond the corpus in the tree goes to the target folder; an input that breaks something to `tests/fuzz/found`.
fn fuzzer(program: &std::path::Path, target: &str, seconds: u32) -> Result<Command, String> {
    let grown = run::target_dir().join("fuzz").join("corpus").join(target);
    let found = folder().join("found").join(target);
    for dir in [&grown, &found] {
        std::fs::create_dir_all(dir).map_err(|e| format!("{} could not be made: {e}", dir.display()))?;
    }
    let mut command = Command::new(program);
    command
        .env("NARU_FUZZ_TARGET", target)
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=5", "-rss_limit_mb=1024", "-max_len=131072", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(&grown)
        .arg(folder().join("corpus").join(target));
    Ok(command)
}
