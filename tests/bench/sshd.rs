//! A stock `sshd` on a loopback port with keys and configuration of its own, without PAM. Knows nothing of Naru.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Killed when dropped.
pub(crate) struct Sshd {
    child: Child,
    /// On 127.0.0.1.
    pub(crate) port: u16,
}

impl Sshd {
    /// In `folder`, which holds `user_key.pub` already; leaves its host key's line for `known_hosts` there too.
    pub(crate) fn start(folder: &Path, name: &str) -> Result<Self, String> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).map_err(|e| e.to_string())?.port();
        let key = folder.join(format!("{name}_host_key"));
        keygen(&key)?;
        let sftp = "/usr/lib/openssh/sftp-server";
        let sftp = if Path::new(sftp).exists() { sftp } else { "internal-sftp" };
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {key}\nAuthorizedKeysFile {keys}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nUseDNS no\n\
             MaxSessions 100\nMaxStartups 200\nPrintMotd no\nPrintLastLog no\nLogLevel ERROR\nSubsystem sftp {sftp}\n",
            key = key.display(),
            keys = folder.join("user_key.pub").display(),
        );
        let file = folder.join(format!("{name}_config"));
        std::fs::write(&file, config).map_err(|e| e.to_string())?;
        // sshd as root insists on this folder; as somebody else neither it nor the folder matters.
        let _ = std::fs::create_dir_all("/run/sshd");
        let program = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(program.ok_or("there is no sshd")?);
        command.args(["-D", "-f"]).arg(&file).arg("-E").arg(folder.join(format!("{name}.log")));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(|e| format!("sshd could not be started: {e}"))?;
        let sshd = Self { child, port };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(sshd);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("sshd does not listen".into())
    }

    /// The listener's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Nothing to do about it if it has gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An ed25519 key without a passphrase.
pub(crate) fn keygen(file: &Path) -> Result<(), String> {
    let mut command = Command::new("ssh-keygen");
    let status = command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file).stdin(Stdio::null()).status();
    if status.map_err(|e| e.to_string())?.success() { Ok(()) } else { Err("ssh-keygen failed".into()) }
}
