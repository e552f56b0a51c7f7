//! How much smaller a recording is than what was on the screen: 1 GiB of the terminal output in `corpus/`.

use crate::report::{Goal, Report};
use crate::series::Series;
use crate::setup::{Naru, Setup};
use crate::transfer::drain;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Bytes on disk of a folder.
fn stored(folder: &Path) -> u64 {
    let size = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => stored(&entry.path()),
        _ => entry.metadata().map_or(0, |data| data.len()),
    };
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(size).sum()
}

/// Waits until nothing is added any more; how long that took is how far the compression was behind.
fn settle(folder: &Path) -> (u64, Duration) {
    let start = Instant::now();
    let (mut last, mut since) = (stored(folder), Instant::now());
    while since.elapsed() < Duration::from_secs(8) {
        std::thread::sleep(Duration::from_millis(100));
        let now = stored(folder);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    (last, since.duration_since(start))
}

/// One terminal session that shows the corpus over and over, a stretch of `seq` between.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let (Some(Naru { demo, .. }), Some(route)) = (&setup.naru, setup.routes.iter().find(|route| route.name == "naru")) else {
        return Ok(());
    };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench").join("corpus");
    let whole = setup.folder.path().join("screen");
    let line = format!("cat {}/*.zst | zstd -dc > {1} && seq 1 100000 >> {1}", corpus.display(), whole.display());
    if !Command::new("sh").args(["-c", &line]).status().map_err(|e| e.to_string())?.success() {
        return Err("the corpus could not be unpacked".into());
    }
    let once = std::fs::metadata(&whole).map_err(|e| e.to_string())?.len().max(1);
    let times = setup.size(1_u64 << 30, 16 << 20).div_ceil(once);
    let folder = demo.state().join("recordings");
    let (before, _) = settle(&folder);
    let start = Instant::now();
    // The bytes are what a terminal was sent already, so the one in between must not add its own.
    let shown = drain(&mut route.ssh(&["-tt"], &format!("stty raw; for i in $(seq {times}); do cat {}; done", whole.display())))?;
    let live = start.elapsed();
    let (after, behind) = settle(&folder);
    if after <= before {
        return Err("nothing was recorded".into());
    }
    let mut series = Series::default();
    series.push("naru", (after - before) as f64 / shown as f64);
    report.row("recording / terminal output", "", Goal::Figure(0.125), &series, 50);
    report.note(format!(
        "size: {shown} bytes in {:.1} s live; compression was done {:.1} s later",
        live.as_secs_f64(),
        behind.as_secs_f64()
    ));
    Ok(())
}
