//! What parts weigh: at rest, with many idle sessions, and after much data.

use crate::processes::{Part, family, part, pss};
use crate::report::{Goal, Report};
use crate::series::Series;
use crate::sessions::Sessions;
use crate::setup::{Naru, Setup};
use crate::transfer::drain;
use std::time::Duration;
use tests::harness::Demo;

/// PSS of a part's processes in KiB, and how many there are.
fn weigh(demo: &Demo, wanted: Part) -> (f64, usize) {
    let mine: Vec<f64> = demo.processes().into_iter().filter(|pid| part(*pid) == Some(wanted)).filter_map(pss).collect();
    (mine.iter().sum(), mine.len())
}

/// As [`weigh`] where there must be some: nothing found would read as nothing needed.
fn proxy(demo: &Demo) -> Result<f64, String> {
    let (sum, found) = weigh(demo, Part::Proxy);
    if found == 0 { Err("no process looks like the proxy".into()) } else { Ok(sum) }
}

/// Idle, then many sessions, then 3 GiB.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    // A hundred of sshd's say as much as a thousand.
    let direct = setup.routes.iter().find(|route| route.name == "direct").ok_or("no direct route")?;
    let before = family(setup.target.pid()).into_iter().filter_map(pss).sum::<f64>();
    let many = Sessions::open(setup, direct, 2, setup.size(50, 5))?;
    let after = family(setup.target.pid()).into_iter().filter(|pid| is_sshd(*pid)).filter_map(pss).sum::<f64>();
    one(report, "memory per idle session on shared connections", "KiB", "direct", (after - before) / many.count(), None);
    drop(many);
    let (Some(Naru { demo, .. }), Some(route)) = (&setup.naru, setup.routes.iter().find(|route| route.name == "naru")) else {
        return Ok(());
    };
    // After everything else was measured a proxy is warm; one at rest is seen with one just started.
    let fresh = Demo::start(&[])?;
    std::thread::sleep(Duration::from_secs(2));
    let idle = proxy(&fresh)?;
    one(report, "memory, proxy idle", "MiB", "naru", idle / 1024.0, Some(40.0));
    let (agent, found) = weigh(&fresh, Part::Agent);
    if found > 0 {
        one(report, "memory, agent idle", "MiB", "naru", agent / 1024.0, Some(15.0));
    }
    drop(fresh);
    let (warm, held) = (proxy(demo)?, weigh(demo, Part::Holder));
    let many = Sessions::open(setup, route, setup.size(20, 2), setup.size(50, 5))?;
    std::thread::sleep(Duration::from_secs(3));
    let (full, holders) = (proxy(demo)?, weigh(demo, Part::Holder));
    one(report, "memory, proxy per idle session", "KiB", "naru", (full - warm) / many.count(), Some(64.0));
    let more = holders.1.saturating_sub(held.1);
    if more == 0 {
        report.note("memory: no process looks like a holder".into());
    } else {
        one(report, "memory, holder", "MiB", "naru", (holders.0 - held.0) / 1024.0 / more as f64, Some(1.5));
    }
    drop(many);
    let part = setup.size(512_u64 << 20, 32 << 20);
    for _ in 0..6 {
        drain(&mut route.ssh(&[], &format!("head -c {part} /dev/zero")))?;
    }
    std::thread::sleep(Duration::from_secs(5));
    one(report, "memory, proxy after 3 GiB above idle", "MiB", "naru", (proxy(demo)? - idle) / 1024.0, Some(32.0));
    Ok(())
}

fn one(report: &mut Report, name: &str, unit: &'static str, route: &'static str, value: f64, most: Option<f64>) {
    let mut series = Series::default();
    series.push(route, value);
    report.row(name, unit, most.map_or(Goal::None, Goal::Figure), &series, 50);
}

fn is_sshd(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("sshd"))
}
