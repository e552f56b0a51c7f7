//! From a key pressed to its echo: a terminal here, a program there that sends each byte back.

use crate::report::{Goal, Report};
use crate::route::{Route, ms};
use crate::series::Series;
use crate::setup::Setup;
use std::time::{Duration, Instant};
use tests::pty::Terminal;

const PATIENCE: Duration = Duration::from_secs(20);

/// The terminals stay open and take turns, so that all see the same machine.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let mut open = Vec::new();
    for route in &setup.routes {
        match start(route) {
            Ok(terminal) => open.push((route.name, terminal)),
            Err(why) => report.note(format!("echo, {}: {why}", route.name)),
        }
    }
    let (rounds, mut series) = (setup.size(2_000, 50), Series::default());
    for round in 0..rounds + 20 {
        for (name, terminal) in &mut open {
            // A pause as between two keys, so that each finds everything asleep.
            std::thread::sleep(Duration::from_millis(2));
            let took = key(terminal, b'a' + (round % 26) as u8)?;
            if round >= 20 {
                series.push(name, ms(took));
            }
        }
    }
    report.row("keystroke echo, p50", "ms", Goal::AtMost(2.2), &series, 50);
    report.row("keystroke echo, p99", "ms", Goal::Plus(1.0), &series, 99);
    Ok(())
}

fn start(route: &Route) -> Result<Terminal, String> {
    let command = route.ssh(&["-tt", "-e", "none"], "stty raw -echo; echo READY; exec cat");
    let mut terminal = Terminal::start(&command, 80, 24).map_err(|e| e.to_string())?;
    terminal.wait_for("READY\n", PATIENCE)?;
    Ok(terminal)
}

fn key(terminal: &mut Terminal, key: u8) -> Result<Duration, String> {
    let (start, mut buf) = (Instant::now(), [0; 64]);
    terminal.send(&[key]).map_err(|e| e.to_string())?;
    loop {
        let n = terminal.read(&mut buf, PATIENCE).map_err(|e| format!("no echo: {e}"))?;
        if n == 0 {
            return Err("the terminal closed".into());
        }
        if buf[..n].contains(&key) {
            return Ok(start.elapsed());
        }
    }
}
