//! Stands where a person's browser would be started: a script for the variable `BROWSER` that hands the address to the test.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than any program takes to open a browser; no test measures with it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The script and what it was given.
pub struct Opener {
    folder: tempfile::TempDir,
}

impl Opener {
    /// Writes the script.
    pub fn new() -> Result<Self, String> {
        let io = |e: std::io::Error| e.to_string();
        let folder = tempfile::Builder::new().prefix("naru-browser-").tempdir().map_err(io)?;
        let script = folder.path().join("browser");
        // Renamed when it is whole, so that half an address is never read.
        let text = "#!/bin/sh\ncd \"${0%/*}\" && printf %s \"$1\" > address.new && mv address.new address\n";
        std::fs::write(&script, text).map_err(io)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).map_err(io)?;
        Ok(Self { folder })
    }

    /// For the variable `BROWSER`.
    pub fn program(&self) -> PathBuf {
        self.folder.path().join("browser")
    }

    /// Waits for the next address.
    pub fn address(&self) -> Result<String, String> {
        let file = self.folder.path().join("address");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(address) = take(&file) {
                return Ok(address);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err("nobody opened the browser".into())
    }
}

fn take(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    std::fs::remove_file(file).ok()?;
    Some(text)
}

#[test]
fn an_address_arrives_once() {
    let opener = Opener::new().unwrap();
    let address = "http://127.0.0.1:1/a?b=c d&e='f'";
    assert!(std::process::Command::new(opener.program()).arg(address).status().unwrap().success());
    assert_eq!(opener.address().unwrap(), address);
    assert_eq!(take(&opener.folder.path().join("address")), None);
}
