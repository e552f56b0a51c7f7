//! How long `naru ls` takes where there are very many nodes, all of which the person reaches.

use crate::report::{Goal, Report};
use crate::route::ms;
use crate::series::Series;
use crate::setup::{Naru, Setup};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Enough to keep both processors busy while hosts join.
const JOINING: usize = 4;

/// Many hosts join, then one person lists them.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let Some(naru) = &setup.naru else { return Ok(()) };
    let many = setup.size(20_000, 50);
    naru.join(setup, many)?;
    let mut series = Series::default();
    for round in 0..=setup.size(20, 2) {
        let begun = Instant::now();
        let out = naru.alice.naru(&["ls"]);
        let took = begun.elapsed();
        let rows = out.stdout.iter().filter(|byte| **byte == b'\n').count();
        if rows < many {
            return Err(format!("only {rows} of {many} nodes: {}", String::from_utf8_lossy(&out.stderr)));
        }
        if round > 0 {
            series.push("naru", ms(took));
        }
    }
    report.row(&format!("naru ls of {many} nodes, p50"), "ms", Goal::Figure(150.0), &series, 50);
    Ok(())
}

impl Naru {
    /// Nodes that joined and are away, as after a night without their scaling group.
    fn join(&self, setup: &Setup, many: usize) -> Result<(), String> {
        self.apply(&format!(
            "kind: join_token\nname: many\nspec: {{kinds: [ssh], names: [host-*], labels: {{env: demo}}, uses: {many}, ttl: 12h}}\n"
        ))?;
        let token = self.shown(&["token", "create", "--from", "many", "--uses", &many.to_string()])?;
        let token = token["token"].as_str().ok_or("no token")?.to_owned();
        let (pin, url, next) = (self.pin()?, self.demo.ready("url").to_owned(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let one = || {
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < many) {
                    let state = setup.folder.path().join(format!("host-{number}"));
                    join(&state, &url, &pin, &token, number)?;
                    // Its files are needed no more.
                    std::fs::remove_dir_all(&state).map_err(|e| e.to_string())?;
                }
                Ok::<(), String>(())
            };
            let all: Vec<_> = (0..JOINING).map(|_| scope.spawn(one)).collect();
            all.into_iter().try_for_each(|one| one.join().map_err(|_| "a thread that panicked".to_owned())?)
        })
    }
}

fn join(state: &std::path::Path, url: &str, pin: &str, token: &str, number: usize) -> Result<(), String> {
    let mut command = Command::new(std::env::var_os("NARU_BIN").unwrap_or_else(|| "naru".into()));
    command.args(["agent", "join", url, "--token", "-", "--ca-pin", pin, "--no-run", "--node", &format!("host-{number}")]);
    command.arg("--state").arg(state).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    child.stdin.take().ok_or("no stdin")?.write_all(token.as_bytes()).map_err(|e| e.to_string())?;
    let out = child.wait_with_output().map_err(|e| e.to_string())?;
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}
