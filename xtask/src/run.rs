//! Running programs: where the workspace and its target folder are, and one call that captures what a program says.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), std::path::Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if PathBuf::from(&dir).is_absolute() => dir.into(),
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs us, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds `naru` and says where it is.
pub(crate) fn build_naru(release: bool) -> Result<PathBuf, String> {
    let mut command = cargo();
    command.args(["build", "--package", "naru", "--bin", "naru"]);
    if release {
        command.arg("--release");
    }
    let status = command.status().map_err(|e| format!("cargo could not be started: {e}"))?;
    if !status.success() {
        return Err("naru does not build; the compiler's words are above".into());
    }
    Ok(target_dir().join(if release { "release" } else { "debug" }).join("naru"))
}

/// How a program ended and everything it said, stdout before stderr.
pub(crate) struct Said {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it said.
    pub(crate) text: String,
}

/// Runs to the end with no input.
pub(crate) fn capture(command: &mut Command) -> Result<Said, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("{name} could not be started: {e}"))?;
    let mut text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&out.stderr));
    Ok(Said { status: out.status, text })
}

/// Whether a program of this name is in `PATH` or where Debian keeps servers.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]).any(|dir| dir.join(program).is_file())
}
