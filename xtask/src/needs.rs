//! What the tests need beyond Rust: installed where that can be done without asking, named in one sentence where not.

use crate::run;
use std::process::Command;

/// (a program that shows it is there, the Debian package that brings it)
const PROGRAMS: [(&str, &str); 6] =
    [("sshd", "openssh-server"), ("ssh", "openssh-client"), ("rsync", "rsync"), ("zstd", "zstd"), ("tmux", "tmux"), ("haproxy", "haproxy")];

/// The same for a real Keycloak.
const KEYCLOAK: [(&str, &str); 4] = [("mvn", "maven"), ("java", "default-jre-headless"), ("curl", "curl"), ("unzip", "unzip")];

/// Makes sure that the system's programs are there. Installs Debian packages as root; otherwise the error names what is missing.
pub(crate) fn system(say: &mut dyn FnMut(&str)) -> Result<(), String> {
    programs(&PROGRAMS, "the tests drive real OpenSSH and a few common programs", say)
}

/// Makes sure that a Keycloak can be got and run, in the same way.
pub(crate) fn keycloak(say: &mut dyn FnMut(&str)) -> Result<(), String> {
    programs(&KEYCLOAK, "a real Keycloak takes Maven, Java 17 or later, curl and unzip", say)
}

fn programs(wanted: &[(&str, &'static str)], why: &str, say: &mut dyn FnMut(&str)) -> Result<(), String> {
    let missing =
        || -> Vec<&'static str> { wanted.iter().filter(|(program, _)| !run::has(program)).map(|(_, package)| *package).collect() };
    let missing_now = missing();
    if missing_now.is_empty() {
        return Ok(());
    }
    if run::has("apt-get") && is_root() {
        say(&format!("installing {}", missing_now.join(" ")));
        // The package lists of a fresh container are empty, so they are fetched first; a failure shows in the next step.
        let quiet = |args: &[&str]| run::capture(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args));
        quiet(&["update", "-qq"])?;
        let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
        args.extend(&missing_now);
        quiet(&args)?;
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let how = if run::has("apt-get") { "sudo apt-get install " } else { "install these with your system's package manager: " };
    Err(format!("{why}, and something is missing here; {how}{}", missing.join(" ")))
}

fn is_root() -> bool {
    run::capture(Command::new("id").arg("-u")).is_ok_and(|said| said.text.trim() == "0")
}

/// Makes sure that a cargo subcommand is there, installing it once into the user's cargo folder; the error says why it is not.
pub(crate) fn cargo_tool(name: &str) -> Result<(), String> {
    let there = |name: &str| run::capture(run::cargo().args([name, "--version"])).is_ok_and(|said| said.status.success());
    if there(name) {
        return Ok(());
    }
    let package = format!("cargo-{name}");
    // Not into our target folder: what a tool needs to build would be mixed with what the product needs.
    let built = run::capture(run::cargo().args(["install", "--locked", &package]).env_remove("CARGO_TARGET_DIR"))?;
    if built.status.success() && there(name) {
        return Ok(());
    }
    let why = built.text.lines().rev().find(|line| line.starts_with("error")).unwrap_or("it could not be installed").to_owned();
    Err(format!("{package} is not here and `cargo install --locked {package}` failed: {why}"))
}
