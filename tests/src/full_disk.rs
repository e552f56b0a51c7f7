//! A disk that fills while a session is recorded: it ends at once with the reason, nothing that was seen is lost, and with room again
//! all goes on.

use crate::harness::Demo;
use crate::recordings::{cast, ended, newest, verify, wait};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small disk of its own; it is gone when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(options: &str, place: &Path) -> bool {
        let words = ["-t", "tmpfs", "-o", options, "tmpfs"];
        Command::new("mount").args(words).arg(place).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_recorded_sessions_with_the_reason_and_loses_nothing() {
    let mut disk = None;
    let demo = Demo::start_in(|state| {
        std::fs::create_dir(state).map_err(|e| e.to_string())?;
        if !SmallDisk::mount("size=200m,mode=700", state) {
            return Err("no right to mount".into());
        }
        disk = Some(SmallDisk(state.to_owned()));
        Ok(())
    });
    let demo = match demo {
        // Not as root there is no small disk to be had.
        Err(why) if why == "no right to mount" => return,
        other => other.unwrap(),
    };
    let (alice, olga) = (demo.sign_in("alice").unwrap(), demo.sign_in("olga").unwrap());
    let out = alice.ssh(&["demo.naru", "head -c 2000000000 /dev/urandom"]);
    assert_eq!(out.status.code(), Some(255));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("NARU-R10"), "{said}");
    let row = ended(&olga, &newest(&olga));
    let id = row["id"].as_str().unwrap();
    let recorded = wire::asciicast::bytes(&cast(&olga, id), 'O').unwrap();
    assert!(recorded.starts_with(&out.stdout), "{} bytes came, {} are recorded", out.stdout.len(), recorded.len());
    assert!(recorded.len() > 1_000_000, "only {} bytes fitted", recorded.len());
    let log = olga.naru(&["events", "search", "--type", "session.end", "--session", id, "--json"]);
    let end = String::from_utf8_lossy(&log.stdout).into_owned();
    assert!(end.contains(id) && end.contains("\"closing\""), "the end is in the log before its recording can be closed: {end}");
    let full = alice.ssh(&["demo.naru", "echo on"]);
    assert!(!full.status.success() && String::from_utf8_lossy(&full.stderr).contains("NARU-"), "no session without a recording");
    assert!(SmallDisk::mount("remount,size=600m", &demo.state()));
    wait("sessions with room again", || (alice.ssh(&["demo.naru", "echo on"]).stdout == b"on\n").then_some(()));
    let closed = wait("the close of the recording", || {
        let out = olga.naru(&["events", "search", "--type", "recording.closed", "--session", id, "--json"]);
        Some(String::from_utf8_lossy(&out.stdout).into_owned()).filter(|text| text.contains(id))
    });
    assert!(closed.contains("\"manifest\""), "{closed}");
    let played = olga.naru(&["recording", "verify", id]);
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    let (report, code) = verify(&olga, &demo.server(), &[]);
    assert_eq!(code, 0, "{report}");
}
