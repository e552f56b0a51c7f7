//! Much data out of an exec and into one: zeros, and a tar of text.

use crate::report::{Goal, Report};
use crate::route::{Route, mib_s};
use crate::series::alternate;
use crate::setup::Setup;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What is to be reached.
const GOAL: Goal = Goal::BothAtLeast(0.7, 1.2);

/// MiB a second over the whole command, connection included, as a user waits for it.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let (rounds, bytes) = (setup.size(5, 1), setup.size(512_u64 << 20, 32 << 20));
    let zeros = setup.folder.path().join("zeros");
    File::create(&zeros).and_then(|file| file.set_len(bytes)).map_err(|e| e.to_string())?;
    let files = [("zeros", zeros), ("tar of text", text(setup, bytes)?)];
    for (what, file) in &files {
        let line = if *what == "zeros" { format!("head -c {bytes} /dev/zero") } else { format!("cat {}", file.display()) };
        row(setup, report, &format!("exec out, {what}"), rounds, |route| send_out(route, &line, bytes));
        row(setup, report, &format!("exec in, hashed, {what}"), rounds, |route| send_in(route, file, bytes));
    }
    let Some(naru) = &setup.naru else { return Ok(()) };
    naru.keep_input()?;
    for (what, file) in &files {
        row(setup, report, &format!("exec in, kept, {what}"), rounds, |route| send_in(route, file, bytes));
    }
    Ok(())
}

/// One row. What is still to do for a recording is waited for, outside of what is measured, and told.
fn row(setup: &Setup, report: &mut Report, name: &str, rounds: usize, mut once: impl FnMut(&Route) -> Result<f64, String>) {
    let mut behind = Vec::new();
    let series = alternate(&setup.routes, rounds, &mut report.notes, |route| {
        let value = once(route)?;
        if let Some(naru) = setup.naru.as_ref().filter(|_| route.name == "naru") {
            behind.push(naru.settle()?);
        }
        Ok(value)
    });
    report.row(name, "MiB/s", GOAL, &series, 50);
    behind.sort();
    if let Some(median) = behind.get(behind.len() / 2) {
        report.note(format!("{name}: the recording was closed {:.1} s later", median.as_secs_f64()));
    }
}

fn send_out(route: &Route, line: &str, bytes: u64) -> Result<f64, String> {
    let start = Instant::now();
    let got = drain(&mut route.ssh(&[], line))?;
    if got == bytes { Ok(mib_s(bytes, start.elapsed())) } else { Err(format!("{got} bytes came instead of {bytes}")) }
}

fn send_in(route: &Route, file: &Path, bytes: u64) -> Result<f64, String> {
    let start = Instant::now();
    let input = File::open(file).map_err(|e| e.to_string())?;
    let out = route.ssh(&[], "wc -c").stdin(input).output().map_err(|e| e.to_string())?;
    let got = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if got == bytes.to_string() { Ok(mib_s(bytes, start.elapsed())) } else { Err(format!("{got:?} bytes arrived instead of {bytes}")) }
}

/// Runs a command and counts what it says.
pub(crate) fn drain(command: &mut Command) -> Result<u64, String> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
    let mut out = child.stdout.take().ok_or("no stdout")?;
    let (mut buf, mut total) = (vec![0; 256 * 1024], 0);
    loop {
        match out.read(&mut buf).map_err(|e| e.to_string())? {
            0 => break,
            n => total += n as u64,
        }
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    if status.success() { Ok(total) } else { Err(format!("ssh ended with {status}")) }
}

/// A tar of the sources that cargo has fetched to build us, of exactly this size.
pub(crate) fn text(setup: &Setup, bytes: u64) -> Result<PathBuf, String> {
    let file = setup.folder.path().join(format!("text-{bytes}.tar"));
    if file.exists() {
        return Ok(file);
    }
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let sources = home.map_err(|e| e.to_string())? + "/registry/src";
    // Repeated when there is less than that; only text, since a crate's pictures and archives would be no terminal's.
    let line = format!(
        "find {sources} -name '*.rs' -o -name '*.md' -o -name '*.toml' > {0}.names; \
         while :; do tar cf - -T {0}.names 2>/dev/null || exit 0; done | head -c {bytes} > {0}",
        file.display()
    );
    let status = Command::new("sh").args(["-c", &line]).status().map_err(|e| e.to_string())?;
    let size = std::fs::metadata(&file).map_or(0, |data| data.len());
    if status.success() && size == bytes { Ok(file) } else { Err(format!("the tar of text has {size} bytes")) }
}
