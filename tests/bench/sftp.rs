//! A large file each way over the sftp subsystem.

use crate::report::{Goal, Report};
use crate::route::{Route, mib_s};
use crate::series::alternate;
use crate::setup::Setup;
use crate::transfer::text;
use std::io::Write;
use std::process::Stdio;
use std::time::Instant;

/// To and from `/dev/null`, so that no disk is measured.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let (rounds, bytes) = (setup.size(3, 1), setup.size(512_u64 << 20, 32 << 20));
    let file = text(setup, bytes)?;
    for verb in ["get", "put"] {
        let line = format!("{verb} {} /dev/null\n", file.display());
        let series = alternate(&setup.routes, rounds, &mut report.notes, |route| once(route, &line, bytes));
        report.row(&format!("sftp {verb}"), "MiB/s", Goal::AtLeast(0.8), &series, 50);
    }
    Ok(())
}

fn once(route: &Route, line: &str, bytes: u64) -> Result<f64, String> {
    let start = Instant::now();
    let mut child = route.sftp().stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    child.stdin.take().ok_or("no stdin")?.write_all(line.as_bytes()).map_err(|e| e.to_string())?;
    let status = child.wait().map_err(|e| e.to_string())?;
    if status.success() { Ok(mib_s(bytes, start.elapsed())) } else { Err(format!("sftp ended with {status}")) }
}
