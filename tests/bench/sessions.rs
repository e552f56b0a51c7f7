//! Many sessions at once, over shared connections. What is measured of them is elsewhere.

use crate::connect::Master;
use crate::route::Route;
use crate::setup::Setup;
use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for all of them to come, or to go.
const PATIENCE: Duration = Duration::from_secs(60);

/// Idle terminals over shared connections; all end when dropped.
pub(crate) struct Sessions {
    clients: Vec<Child>,
    _masters: Vec<Master>,
}

impl Sessions {
    /// So many on each of so many connections, all of them ready.
    pub(crate) fn open(setup: &Setup, route: &Route, connections: usize, each: usize) -> Result<Self, String> {
        let masters = (0..connections).map(|n| Master::open(setup, route, n + 1)).collect::<Result<Vec<_>, _>>()?;
        // All write to one file, so that a thousand of them need no thousand pipes.
        let file = setup.folder.path().join(format!("ready-{}", route.name));
        let out = File::options().create(true).append(true).open(&file).map_err(|e| e.to_string())?;
        let mut sessions = Self { clients: Vec::new(), _masters: masters };
        for n in 0..connections * each {
            let socket = &sessions._masters[n % connections].socket;
            let mut command = route.ssh(&["-tt", "-S", socket], "echo READY; exec sleep 100000");
            // What ends them is told to each of them.
            command.stdout(out.try_clone().map_err(|e| e.to_string())?).stderr(Stdio::null());
            let child = command.spawn().map_err(|e| e.to_string())?;
            sessions.clients.push(child);
            // At most so many at once are on their way, as a host has a limit on that too.
            sessions.wait(&file, (n + 1).saturating_sub(8))?;
        }
        sessions.wait(&file, connections * each)?;
        Ok(sessions)
    }

    fn wait(&self, file: &std::path::Path, wanted: usize) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let ready = std::fs::read_to_string(file).map_err(|e| e.to_string())?.matches("READY").count();
            if ready >= wanted {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("only {ready} of {} sessions came up", self.clients.len()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the last of them has ended.
    pub(crate) fn gone(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            // From the last that is left: those before it have mostly ended by then.
            while let Some(last) = self.clients.last_mut() {
                if last.try_wait().map_err(|e| e.to_string())?.is_none() {
                    break;
                }
                self.clients.pop();
            }
            if self.clients.is_empty() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(format!("{} sessions went on", self.clients.len()))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> f64 {
        self.clients.len() as f64
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        for client in &mut self.clients {
            // Nothing to do about it if it has gone already.
            let _ = client.kill();
            let _ = client.wait();
        }
    }
}
