//! Where the laptop keeps who is signed in where: folders, files and their modes. No network, no key is made here.
//!
//! Under `$NARU_HOME`, or the XDG base directories: `config.json` names the current profile, `servers.json` the
//! authorities that were believed, `profiles/NAME/` holds one sign-in.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use access::time::Timestamp;
use access::words::{ConnectorName, InstallId, RoleName, UserName};
use serde::{Deserialize, Serialize};
use wire::link::{Address, Pin};

use crate::failure::Failure;

/// Most bytes of any file that we read back.
const MOST: u64 = 1024 * 1024;
/// Beside `config.json`: addresses and pins.
const SERVERS: &str = "servers.json";
/// Most servers that are remembered.
const MOST_SERVERS: usize = 64;

/// The two folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    config: PathBuf,
    state: PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Config {
    #[serde(default)]
    profile: Option<String>,
}

/// What `profile.json` says of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `https://HOST:PORT`.
    pub address: String,
    /// `issuer|subject`.
    pub user: String,
    /// The handle.
    pub name: UserName,
    /// Roles when the sign-in was made.
    pub roles: Vec<RoleName>,
    /// When the certificates end.
    pub expires: Timestamp,
    /// Which install.
    pub install: InstallId,
    /// The name of the server's certificate.
    pub server_name: String,
    /// Where SSH listens.
    pub ssh: Vec<String>,
    /// The provider through which it was made: the next sign-in takes the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<ConnectorName>,
}

impl Facts {
    /// The proxy's address.
    pub fn address(&self) -> Result<Address, Failure> {
        self.address.parse().map_err(|e| Failure::not_signed_in("the profile names no valid address").because(e))
    }
}

/// The folder of one sign-in; it may not be there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    dir: PathBuf,
}

/// The file names inside a profile.
pub mod file {
    #![allow(missing_docs, reason = "the words say it")]
    pub const FACTS: &str = "profile.json";
    pub const SSH_KEY: &str = "ssh_key";
    pub const SSH_PUBLIC: &str = "ssh_key.pub";
    pub const SSH_CERT: &str = "ssh_key-cert.pub";
    pub const TLS: &str = "tls.pem";
    pub const CA: &str = "ca.pem";
    pub const KNOWN_HOSTS: &str = "known_hosts";
    pub const ALL: [&str; 7] = [FACTS, SSH_KEY, SSH_PUBLIC, SSH_CERT, TLS, CA, KNOWN_HOSTS];
}

impl Home {
    /// Everything under one folder: `$NARU_HOME`.
    pub fn under(dir: &Path) -> Self {
        Self { config: dir.to_owned(), state: dir.to_owned() }
    }

    /// From `$NARU_HOME` or the XDG base directories. `var` reads the environment.
    pub fn find(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<Self, Failure> {
        let absolute = |name: &str| var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(home) = var("NARU_HOME").filter(|home| !home.is_empty()) {
            let home = std::path::absolute(&home).map_err(|e| Failure::file("found", Path::new(&home), &e))?;
            return Ok(Self::under(&home));
        }
        let user = absolute("HOME");
        let folder =
            |xdg: &str, below: &str| absolute(xdg).or_else(|| user.as_ref().map(|user| user.join(below))).map(|dir| dir.join("naru"));
        match (folder("XDG_CONFIG_HOME", ".config"), folder("XDG_STATE_HOME", ".local/state")) {
            (Some(config), Some(state)) => Ok(Self { config, state }),
            _ => Err(Failure::usage("there is no folder to keep a sign-in in").hint("set HOME or NARU_HOME")),
        }
    }

    /// The folder that `$NARU_HOME` would have to name for the same state, where there is one.
    pub fn single(&self) -> Option<&Path> {
        (self.config == self.state).then_some(self.state.as_path())
    }

    /// The profile that is meant: the one asked for, else the current one, else `default`.
    pub fn profile(&self, asked: Option<&str>) -> Result<Profile, Failure> {
        let name = match asked {
            Some(name) => name.to_owned(),
            None => self.current()?.unwrap_or_else(|| "default".to_owned()),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
        if !(1..=64).contains(&name.len()) || name.starts_with(['.', '-', '@']) || !name.bytes().all(plain) {
            return Err(Failure::usage(
                "a profile's name is 1 to 64 letters, digits, `.`, `_`, `-` or `@`, beginning with a letter or digit",
            ));
        }
        let dir = self.state.join("profiles").join(&name);
        Ok(Profile { name, dir })
    }

    fn current(&self) -> Result<Option<String>, Failure> {
        let path = self.config.join("config.json");
        let Some(text) = read_if_there(&path)? else { return Ok(None) };
        let config: Config = serde_json::from_str(&text)
            .map_err(|e| Failure::new("NARU-C012", 1, format!("{} is not what naru wrote", path.display())).because(e).hint("remove it"))?;
        Ok(config.profile)
    }

    /// Makes this profile the current one; with `keep` only where there is none yet.
    pub fn set_current(&self, profile: &Profile, keep: bool) -> Result<(), Failure> {
        if keep && self.current()?.is_some() {
            return Ok(());
        }
        make_dir(&self.config)?;
        let text = serde_json::to_string(&Config { profile: Some(profile.name.clone()) }).unwrap_or_default();
        write(&self.config.join("config.json"), text.as_bytes())
    }

    /// Servers that somebody has signed in to, and the authority of each: they are known still when nobody is signed in.
    pub fn servers(&self) -> Vec<(Address, Pin)> {
        let known = read_if_there(&self.config.join(SERVERS)).ok().flatten();
        let known: BTreeMap<String, String> = known.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        known.iter().filter_map(|(address, pin)| Some((address.parse().ok()?, pin.parse().ok()?))).take(MOST_SERVERS).collect()
    }

    /// Remembers the authority of a server, in place of the one that it had.
    pub fn remember(&self, server: &Address, pin: Pin) -> Result<(), Failure> {
        let mut all = self.servers();
        if all.contains(&(server.clone(), pin)) {
            return Ok(());
        }
        all.retain(|(address, _)| address != server);
        all.truncate(MOST_SERVERS - 1);
        all.push((server.clone(), pin));
        let all: BTreeMap<String, String> = all.iter().map(|(address, pin)| (address.to_string(), pin.to_string())).collect();
        make_dir(&self.config)?;
        write(&self.config.join(SERVERS), serde_json::to_string(&all).unwrap_or_default().as_bytes())
    }

    /// Profiles that have a sign-in, by name.
    pub fn profiles(&self) -> Vec<Profile> {
        let Ok(entries) = fs::read_dir(self.state.join("profiles")) else { return Vec::new() };
        let mut found: Vec<_> = entries
            .filter_map(|entry| self.profile(Some(entry.ok()?.file_name().to_str()?)).ok())
            .filter(|profile| profile.path(file::FACTS).exists())
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }
}

impl Profile {
    /// The path of one of its files.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Writes one of its files: 0600 from the first byte, whole or not at all.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Failure> {
        make_dir(&self.dir)?;
        write(&self.path(file), bytes)
    }

    /// Reads one of its files; that it is missing means that nobody is signed in.
    pub fn read(&self, file: &str) -> Result<String, Failure> {
        read_if_there(&self.path(file))?.ok_or_else(|| Failure::not_signed_in(format!("profile {} is not signed in", self.name)))
    }

    /// Who is signed in, whether or not it has ended.
    pub fn facts(&self) -> Result<Facts, Failure> {
        serde_json::from_str(&self.read(file::FACTS)?)
            .map_err(|e| Failure::not_signed_in(format!("the files of profile {} are damaged", self.name)).because(e))
    }

    /// Who is signed in now.
    pub fn signed_in(&self, now: Timestamp) -> Result<Facts, Failure> {
        let facts = self.facts()?;
        if facts.expires <= now {
            let ago = crate::when::length(now.since(facts.expires));
            return Err(Failure::not_signed_in(format!("you are not signed in to {} any more", facts.address))
                .because(format!("the certificate of {} ended {ago} ago", facts.name)));
        }
        Ok(facts)
    }

    /// Removes every file of it; says whether there was a sign-in.
    pub fn remove(&self) -> Result<bool, Failure> {
        let there = self.path(file::FACTS).exists();
        for name in file::ALL {
            match fs::remove_file(self.path(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Failure::file("removed", &self.path(name), &e)),
                _ => {}
            }
        }
        // Only when nothing of somebody else's lies in it.
        let _ = fs::remove_dir(&self.dir);
        Ok(there)
    }
}

/// Makes a folder and its parents, 0700.
pub fn make_dir(dir: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| Failure::file("made", dir, &e))
}

/// Writes a file beside its place, 0600, and renames it there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::file("written", path, &e);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temp = path.with_file_name(name);
    let _ = fs::remove_file(&temp);
    let done = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temp, path)
    })();
    if done.is_err() {
        let _ = fs::remove_file(&temp);
    }
    done.map_err(failed)
}

/// Reads a text of at most 1 MiB, or nothing where there is none.
pub fn read_if_there(path: &Path) -> Result<Option<String>, Failure> {
    let mut text = String::new();
    match fs::File::open(path).and_then(|file| file.take(MOST + 1).read_to_string(&mut text)) {
        Ok(n) if n as u64 > MOST => Err(Failure::file("read", path, &std::io::Error::other("it is larger than 1 MiB"))),
        Ok(_) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::file("read", path, &e)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn facts(expires: i64) -> Facts {
        Facts {
            address: "https://127.0.0.1:7443".into(),
            user: "i|s".into(),
            name: "alice".parse().expect("name"),
            roles: vec![],
            expires: Timestamp::from_secs(expires),
            install: "i-1".parse().expect("id"),
            server_name: "localhost".into(),
            ssh: vec![],
            connector: None,
        }
    }

    #[test]
    fn files_are_for_the_owner_alone_and_replaced_whole() {
        let dir = tempfile::tempdir().expect("dir");
        let profile = Home::under(&dir.path().join("home")).profile(None).expect("profile");
        profile.write(file::SSH_KEY, b"one").expect("written");
        profile.write(file::SSH_KEY, b"two").expect("replaced");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&profile.path(file::SSH_KEY)), 0o600);
        assert_eq!(mode(&profile.dir), 0o700);
        assert_eq!(profile.read(file::SSH_KEY).expect("read"), "two");
        assert_eq!(fs::read_dir(&profile.dir).expect("dir").count(), 1, "no temporary file is left");
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        let home = Home::under(Path::new("/nowhere"));
        for bad in ["", ".", "..", "../x", "a/b", "-a", "@a", "a b", "a\n", &"a".repeat(65)] {
            assert_eq!(home.profile(Some(bad)).map_err(|e| e.exit), Err(2), "{bad:?}");
        }
        assert_eq!(home.profile(None).expect("default").name, "default");
    }

    #[test]
    fn two_people_share_one_laptop_and_the_first_stays_current() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        let (alice, olga) = (home.profile(Some("alice")).expect("a"), home.profile(Some("olga")).expect("o"));
        home.set_current(&alice, true).expect("set");
        home.set_current(&olga, true).expect("kept");
        assert_eq!(home.profile(None).expect("current").name, "alice");
        home.set_current(&olga, false).expect("set");
        assert_eq!(home.profile(None).expect("current").name, "olga");
    }

    #[test]
    fn a_server_is_remembered_with_the_authority_that_it_had_last() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        assert!(home.servers().is_empty());
        let at = |port: u16| -> Address { format!("https://h:{port}").parse().expect("address") };
        for port in 1..200 {
            home.remember(&at(port), Pin::of_der(b"x")).expect("kept");
        }
        assert_eq!(home.servers().len(), MOST_SERVERS);
        home.remember(&at(199), Pin::of_der(b"y")).expect("kept");
        let pins: Vec<_> = home.servers().into_iter().filter(|(address, _)| *address == at(199)).collect();
        assert_eq!(pins, [(at(199), Pin::of_der(b"y"))]);
        fs::write(dir.path().join(SERVERS), "{").expect("damaged");
        assert!(home.servers().is_empty());
        home.remember(&at(1), Pin::of_der(b"x")).expect("written anew");
    }

    #[test]
    fn a_sign_in_that_is_missing_or_over_is_exit_3() {
        let dir = tempfile::tempdir().expect("dir");
        let profile = Home::under(dir.path()).profile(None).expect("profile");
        assert_eq!(profile.signed_in(Timestamp::from_secs(0)).expect_err("nobody").exit, 3);
        profile.write(file::FACTS, &serde_json::to_vec(&facts(100)).expect("json")).expect("written");
        assert!(profile.signed_in(Timestamp::from_secs(99)).is_ok());
        let over = profile.signed_in(Timestamp::from_secs(160)).expect_err("over");
        assert_eq!((over.exit, over.code.as_str()), (3, "NARU-A104"));
        assert!(over.cause.expect("cause").contains("1m ago"));
        profile.write(file::FACTS, b"{").expect("damaged");
        assert_eq!(profile.facts().expect_err("damaged").exit, 3);
        assert!(profile.remove().expect("removed") && !profile.remove().expect("again"));
    }

    #[test]
    fn folders_follow_naru_home_then_xdg_then_home() {
        let with = |vars: &'static [(&str, &str)]| {
            Home::find(move |name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())).expect("home")
        };
        assert_eq!(with(&[("NARU_HOME", "/n"), ("HOME", "/h")]), Home::under(Path::new("/n")));
        let xdg = with(&[("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "relative"), ("HOME", "/h")]);
        assert_eq!((xdg.state, xdg.config), ("/s/naru".into(), "/h/.config/naru".into()));
        assert!(Home::find(|_| None).is_err());
    }
}
