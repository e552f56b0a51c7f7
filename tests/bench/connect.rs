//! How long `true` takes: over a new connection, and over one that is shared.

use crate::report::{Goal, Report};
use crate::route::{Route, ms, time};
use crate::series::alternate;
use crate::setup::Setup;
use std::process::{Child, Stdio};

/// From nothing to an exit code.
pub(crate) fn new_connection(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let rounds = setup.size(100, 5);
    let series = alternate(&setup.routes, rounds, &mut report.notes, |route| Ok(ms(time(&mut route.ssh(&[], "true"))?)));
    report.row("new connection + true, p50", "ms", Goal::AtMost(0.75), &series, 50);
    report.row("new connection + true, p99", "ms", Goal::AtMost(0.75), &series, 99);
    Ok(())
}

/// A session on a connection that is there already.
pub(crate) fn shared_connection(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let rounds = setup.size(100, 5);
    let masters: Vec<Master> = setup.routes.iter().filter_map(|route| Master::open(setup, route, 0).ok()).collect();
    let series = alternate(&setup.routes, rounds, &mut report.notes, |route| {
        let master = masters.iter().find(|master| master.route == route.name).ok_or("no shared connection")?;
        Ok(ms(time(&mut route.ssh(&["-S", &master.socket], "true"))?))
    });
    report.row("true on a shared connection, p50", "ms", Goal::Plus(3.0), &series, 50);
    report.row("true on a shared connection, p99", "ms", Goal::None, &series, 99);
    Ok(())
}

/// An OpenSSH master that others share; ended when dropped.
pub(crate) struct Master {
    /// The name of its route.
    pub(crate) route: &'static str,
    /// For `ssh -S`.
    pub(crate) socket: String,
    child: Child,
}

impl Master {
    /// The `number`th of a route.
    pub(crate) fn open(setup: &Setup, route: &Route, number: usize) -> Result<Self, String> {
        let socket = setup.folder.path().join(format!("{}{number}", route.name)).to_string_lossy().into_owned();
        // It would complain for each terminal whose client has none itself.
        let child =
            route.ssh(&["-M", "-N", "-S", &socket], "").stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|e| e.to_string())?;
        let master = Self { route: route.name, socket, child };
        for _ in 0..1_000 {
            if std::path::Path::new(&master.socket).exists() && time(&mut route.ssh(&["-S", &master.socket], "true")).is_ok() {
                return Ok(master);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Err(format!("{}: no shared connection came up", route.name))
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // Nothing to do about it if it has gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}
