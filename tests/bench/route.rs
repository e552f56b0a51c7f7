//! A way to reach a shell: an OpenSSH configuration and a host in it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Direct, through a jump host, or through Naru.
pub(crate) struct Route {
    /// `direct`, `jump` or `naru`.
    pub(crate) name: &'static str,
    /// For `ssh -F`.
    pub(crate) config: PathBuf,
    /// As `ssh` is told.
    pub(crate) host: String,
    /// What the configuration's programs need in their environment.
    pub(crate) env: Vec<(String, PathBuf)>,
}

impl Route {
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.arg("-F").arg(&self.config);
        // Newer clients send chaff around keystrokes, which would hide what is measured; older ones do not know the option.
        command.args(["-o", "BatchMode=yes", "-o", "IgnoreUnknown=ObscureKeystrokeTiming", "-o", "ObscureKeystrokeTiming=no"]);
        command.args(["-o", "LogLevel=ERROR"]).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env_remove("SSH_AUTH_SOCK").stdin(Stdio::null()).stderr(Stdio::inherit());
        command
    }

    /// `ssh OPTIONS… HOST COMMAND`.
    pub(crate) fn ssh(&self, options: &[&str], line: &str) -> Command {
        let mut command = self.program("ssh");
        command.args(options).arg(&self.host).arg(line);
        command
    }

    /// `sftp -b -`, which reads what to do from stdin.
    pub(crate) fn sftp(&self) -> Command {
        let mut command = self.program("sftp");
        command.args(["-q", "-b", "-"]).arg(&self.host);
        command
    }
}

/// Runs to the end with its words thrown away; how long it took.
pub(crate) fn time(command: &mut Command) -> Result<Duration, String> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).status().map_err(|e| e.to_string())?;
    let took = start.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{} ended with {status}", command.get_program().to_string_lossy())) }
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// MiB a second.
pub(crate) fn mib_s(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / time.as_secs_f64()
}
