//! Starts the real `naru demo` in a folder of its own, signs people in, and leaves nothing running.
//!
//! No expectation lives here: that is for stories and measurements.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// How long a start and an orderly end may take before we give up. No test measures with it.
const PATIENCE: Duration = Duration::from_secs(60);
/// In the environment of everything we start, so that all of it can be found again.
const MARK: &str = "NARU_HARNESS";

/// The binary under test: `NARU_BIN`, else the one that cargo built beside us.
pub fn naru_binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("NARU_BIN") {
        return Some(path.into());
    }
    let here = std::env::current_exe().ok()?;
    here.ancestors().skip(1).take(2).map(|dir| dir.join("naru")).find(|path| path.is_file())
}

/// Whether only quick tests are wanted (`cargo xtask test --fast`).
pub fn fast() -> bool {
    std::env::var_os("NARU_FAST").is_some()
}

/// A running `naru demo` or `naru up`. Dropping it ends everything that it started.
pub struct Demo {
    child: Child,
    folder: tempfile::TempDir,
    binary: PathBuf,
    words: Vec<OsString>,
    ready: Value,
}

impl Demo {
    /// Starts `naru demo` and waits for the ready line; the error holds what the program said on stderr.
    pub fn start(args: &[&str]) -> Result<Self, String> {
        Self::launch("demo", args, "", |_| Ok(()))
    }

    /// Starts `naru demo` in a state directory that `prepare` has made for it.
    pub fn start_in(prepare: impl FnOnce(&Path) -> Result<(), String>) -> Result<Self, String> {
        Self::launch("demo", &[], "", prepare)
    }

    /// Starts `naru up` on a free port of loopback.
    pub fn up() -> Result<Self, String> {
        Self::up_with(Ipv4Addr::LOCALHOST, "")
    }

    /// The same at another address of loopback, by which nobody is told to come, and with more lines in the server's file.
    pub fn up_with(listen: Ipv4Addr, more: &str) -> Result<Self, String> {
        let settings = format!("listen: {listen}:{}\npublic: [127.0.0.1]\n{more}", free_port());
        Self::launch("up", &["--config", "up.yaml"], &settings, |_| Ok(()))
    }

    fn launch(verb: &str, args: &[&str], settings: &str, prepare: impl FnOnce(&Path) -> Result<(), String>) -> Result<Self, String> {
        let binary = naru_binary().ok_or("there is no naru binary; NARU_BIN names one")?;
        let folder = tempfile::Builder::new().prefix("naru-").tempdir().map_err(|e| e.to_string())?;
        std::fs::write(folder.path().join("up.yaml"), settings).map_err(|e| e.to_string())?;
        let mut words: Vec<OsString> = vec![verb.into(), "--json".into(), "--state".into(), folder.path().join("state").into()];
        words.extend(args.iter().map(OsString::from));
        prepare(&folder.path().join("state"))?;
        let (child, ready) = begin(&binary, folder.path(), &words)?;
        Ok(Self { child, folder, binary, words, ready })
    }

    /// Starts it again on the state that it left, after it ended or was killed. Profiles go on working: the port is the same.
    pub fn start_again(&mut self) -> Result<(), String> {
        (self.child, self.ready) = begin(&self.binary, self.folder.path(), &self.words)?;
        Ok(())
    }

    /// Ends it in order and says how it ended.
    pub fn end(&mut self) -> Option<std::process::ExitStatus> {
        signal(self.child.id(), Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// `kill -9` of everything that is naru: the server, its agent, every holder. The order is the system's.
    pub fn kill_all(&mut self) {
        for _ in 0..3 {
            self.naru_processes().into_iter().for_each(|pid| signal(pid, Signal::KILL));
        }
        // It may have gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Every live process of ours that runs the program under test.
    pub fn naru_processes(&self) -> Vec<u32> {
        let same = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.binary);
        self.processes().into_iter().filter(same).collect()
    }

    /// The agent that the demo started, once it is there.
    pub fn agent(&self) -> Option<u32> {
        self.naru_processes().into_iter().find(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|b| *b == 0).skip(1).take(2).eq([&b"agent"[..], b"run"])
        })
    }

    /// A command with the program, marked as ours, with no person's files.
    pub fn naru(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).env(MARK, self.folder.path()).env("NARU_HOME", self.folder.path().join("home-of-nobody"));
        command.env("NO_COLOR", "1").stdin(Stdio::null()).current_dir(self.folder.path());
        command
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the server keeps recordings, log and journal.
    pub fn server(&self) -> PathBuf {
        self.state()
    }

    /// A field of the ready line; objects by `a.b`.
    pub fn ready(&self, field: &str) -> &str {
        let value = field.split('.').fold(&self.ready, |value, key| &value[key]);
        value.as_str().unwrap_or_else(|| panic!("the ready line has no {field}: {}", self.ready))
    }

    /// The process that serves.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The program.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Where it keeps its state.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Everything that it wrote to stderr.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("demo.log")).unwrap_or_default()
    }

    /// Somebody with a folder of this name who is not signed in.
    pub fn person(&self, name: &str) -> Result<Person, String> {
        let home = self.folder.path().join(name);
        let person = Person { home, binary: self.binary.clone(), mark: self.folder.path().into() };
        person.prepare().map_err(|e| format!("{}: {e}", person.home.display()))?;
        Ok(person)
    }

    /// Signs one of the seeded people in with their link, which works once.
    pub fn sign_in(&self, name: &str) -> Result<Person, String> {
        let person = self.person(name)?;
        person.must(&["login", "--link", self.ready(&format!("sign_in.{name}"))])?;
        let config = person.ssh_config();
        person.must(&["config", "ssh", "--write", &config.to_string_lossy()])?;
        Ok(person)
    }

    /// Every live process that came from us, with holders and their agents.
    pub fn processes(&self) -> Vec<u32> {
        marked(self.folder.path()).into_iter().filter(|pid| *pid != std::process::id()).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.end();
        // Fails when it has ended as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.processes() {
            signal(pid, Signal::KILL);
        }
    }
}

/// Somebody who is signed in, with a folder and a `PATH` in which `naru`, `ssh`, `scp` and `sftp` are theirs.
pub struct Person {
    home: PathBuf,
    binary: PathBuf,
    mark: OsString,
}

impl Person {
    fn prepare(&self) -> std::io::Result<()> {
        let bin = self.home.join("bin");
        std::fs::create_dir_all(&bin)?;
        let quote = |path: &Path| format!("'{}'", path.display());
        let mut scripts = vec![("naru", format!("exec {} \"$@\"", quote(&self.binary)))];
        for name in ["ssh", "scp", "sftp"] {
            scripts.push((name, format!("exec /usr/bin/{name} -F {} \"$@\"", quote(&self.ssh_config()))));
        }
        for (name, line) in scripts {
            let file = bin.join(name);
            std::fs::write(&file, format!("#!/bin/sh\n{line}\n"))?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// The OpenSSH configuration that `naru config ssh` wrote.
    pub fn ssh_config(&self) -> PathBuf {
        self.home.join("ssh_config")
    }

    /// Where the person's files are.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A command in the person's environment and folder.
    pub fn command(&self, program: &str) -> Command {
        let mut path = OsString::from(self.home.join("bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        // std looks a bare name up in our own PATH, not in the child's.
        let own = self.home.join("bin").join(program);
        let mut command = Command::new(if own.is_file() { own.into_os_string() } else { program.into() });
        command.env("PATH", path).env("NARU_HOME", self.home.join("naru")).env("HOME", &self.home).env(MARK, &self.mark);
        command.env_remove("SSH_AUTH_SOCK").env("NO_COLOR", "1").current_dir(&self.home);
        command
    }

    /// Runs `naru` with no terminal.
    pub fn naru(&self, args: &[&str]) -> Output {
        self.command("naru").args(args).stdin(Stdio::null()).output().expect("naru starts")
    }

    /// Runs stock `ssh` with the generated configuration.
    pub fn ssh(&self, args: &[&str]) -> Output {
        self.command("ssh").args(args).stdin(Stdio::null()).output().expect("ssh starts")
    }

    fn must(&self, args: &[&str]) -> Result<(), String> {
        let out = self.naru(args);
        if out.status.success() {
            return Ok(());
        }
        Err(format!("naru {} ended with {}: {}", args[0], out.status, String::from_utf8_lossy(&out.stderr)))
    }
}

fn begin(binary: &Path, folder: &Path, words: &[OsString]) -> Result<(Child, Value), String> {
    let log = folder.join("demo.log");
    let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).map_err(|e| e.to_string())?;
    let mut command = Command::new(binary);
    command.args(words).env(MARK, folder).env("NARU_HOME", folder.join("home-of-nobody")).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    let mut child = command.spawn().map_err(|e| format!("{} could not be started: {e}", binary.display()))?;
    let line = first_line(child.stdout.take().ok_or("no stdout")?);
    match serde_json::from_str::<Value>(&line) {
        Ok(ready) if ready["ready"] == true => Ok((child, ready)),
        _ => {
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("no ready line but {line:?}; it said: {}", std::fs::read_to_string(log).unwrap_or_default()))
        }
    }
}

/// A port of loopback that nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// The first line, or what came until the end or until patience ran out. A thread stays to read the rest, of which there is none.
fn first_line(out: std::process::ChildStdout) -> String {
    let (send, receive) = sync_channel(1);
    std::thread::spawn(move || {
        let mut line = String::new();
        let mut out = BufReader::new(out);
        let _ = out.read_line(&mut line);
        let _ = send.send(line);
        let _ = std::io::copy(&mut out, &mut std::io::sink());
    });
    receive.recv_timeout(PATIENCE).unwrap_or_default()
}

/// Sends a signal, if the process is still there.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have gone in the meantime.
        let _ = kill_process(pid, signal);
    }
}

fn marked(folder: &Path) -> Vec<u32> {
    let entry = format!("{MARK}={}", folder.display());
    let has =
        |pid: &u32| std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|all| all.split(|b| *b == 0).any(|e| e == entry.as_bytes()));
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(has).collect()
}
