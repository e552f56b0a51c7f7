//! `naru config ssh`: the block that makes stock OpenSSH reach `NODE.naru`, and the line that makes it believe the proxy's hosts.
//!
//! Every value goes through [`argument`] or [`shell_word`], which refuse what those formats cannot hold, so that no name, path or
//! answer can add a directive (ssh_config(5)).

use std::path::Path;

use wire::link::Address;

use crate::failure::Failure;
use crate::profile::{Facts, Profile, file, make_dir, read_if_there};

const BEGIN: &str = "# >>> naru: written by `naru config ssh --write`; changes inside are lost >>>";
const END: &str = "# <<< naru <<<";

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be written into an ssh_config: it has a line break, a quote, a backslash, a control character or `${{`")]
pub struct CannotWrite(String);

impl From<CannotWrite> for Failure {
    fn from(e: CannotWrite) -> Self {
        Self::new("NARU-C015", wire::api::exit::FAILED, e.to_string()).hint("choose another folder with NARU_HOME")
    }
}

/// A quoted argument: `%` is doubled because OpenSSH expands it, and what no quoting saves is refused.
fn argument(text: &str) -> Result<String, CannotWrite> {
    if text.is_empty() || text.chars().any(|c| c.is_control() || matches!(c, '"' | '\'' | '\\')) || text.contains("${") {
        return Err(CannotWrite(text.to_owned()));
    }
    Ok(format!("\"{}\"", text.replace('%', "%%")))
}

/// A word of a command that OpenSSH expands and hands to a shell.
fn shell_word(text: &str) -> Result<String, CannotWrite> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(CannotWrite(text.to_owned()));
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''").replace('%', "%%")))
}

/// OpenSSH before 9.6 hands the name as it was typed to the shell that runs the ProxyCommand, and a name may come from somebody else's
/// URL (CVE-2023-51385): names with what a shell acts on are not ours.
const NOT_FOR_SHELLS: &str = "!*$* !*`* !*;* !*|* !*&* !*<* !*>* !*(*";

/// What a proxy offers, fastest first: OpenSSH by itself would begin with a cipher and a separate MAC, which cost both ends three times
/// as much. ChaCha20 comes second, so that it is taken where the proxy's processor has no AES.
const CIPHERS: &str = "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes256-ctr";

/// What the block is made of.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// The `naru` that OpenSSH is to run.
    pub naru: &'a Path,
    /// `$NARU_HOME`, where it is set.
    pub home: Option<&'a Path>,
    /// Who is signed in.
    pub profile: &'a Profile,
}

/// The block of an ssh_config.
pub fn block(of: &Block<'_>) -> Result<String, Failure> {
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| CannotWrite(path.to_string_lossy().into_owned()));
    let mut command = shell_word(&text(of.naru)?)?;
    if let Some(home) = of.home {
        command.push_str(&format!(" --home {}", shell_word(&text(home)?)?));
    }
    command.push_str(&format!(" --profile {}", shell_word(&of.profile.name)?));
    let path = |name: &str| -> Result<String, Failure> { Ok(argument(&text(&of.profile.path(name))?)?) };
    // `Match all` closes the block, so that what follows in the same file applies to every host again.
    Ok(format!(
        "{BEGIN}\nHost *.naru {NOT_FOR_SHELLS}\n  ProxyCommand {command} proxy-connect --fdpass -- %h\n  ProxyUseFdpass yes\n  IdentityFile {}\n  \
         CertificateFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  StrictHostKeyChecking yes\n  UpdateHostKeys no\n\
         \x20 Ciphers {CIPHERS}\n\
         Match all\n{END}\n",
        path(file::SSH_KEY)?,
        path(file::SSH_CERT)?,
        path(file::KNOWN_HOSTS)?,
    ))
}

/// Lines of a known_hosts file: the key may certify every `*.naru` and the proxy itself. `host_ca` is `TYPE BASE64`, already parsed.
pub fn known_hosts(host_ca: &str, facts: &Facts) -> String {
    let mut patterns = vec!["*.naru".to_owned()];
    for place in facts.ssh.iter().chain([&facts.address]) {
        let Ok(address) = place.parse::<Address>() else { continue };
        // As OpenSSH writes it: brackets and port unless it is 22.
        let name = if address.port() == 22 { address.host().to_owned() } else { format!("[{}]:{}", address.host(), address.port()) };
        if !patterns.contains(&name) {
            patterns.push(name);
        }
    }
    format!("@cert-authority {} {host_ca}\n", patterns.join(","))
}

/// The text of a file with the block in it: an earlier one is replaced, a new one goes to the front, because the first value wins.
pub fn insert(before: &str, block: &str) -> String {
    let (head, tail) = match before.split_once(BEGIN) {
        Some((head, rest)) => match rest.split_once(END) {
            Some((_, tail)) => (head, tail.strip_prefix('\n').unwrap_or(tail)),
            // Cut off by hand: nothing after the beginning is ours for certain.
            None => ("", before),
        },
        None => ("", before),
    };
    format!("{head}{block}{tail}")
}

/// The block that stands in a text, where one does from its beginning to its end.
pub fn in_text(text: &str) -> Option<&str> {
    let from = text.find(BEGIN)?;
    let rest = text.get(from..)?;
    let end = rest.find(END)? + END.len();
    // With its line feed, as it was written.
    rest.get(..end + usize::from(rest.get(end..)?.starts_with('\n')))
}

/// Writes the block into a file, through a symbolic link where the file is one; everything else in it stays.
pub fn write(path: &Path, block: &str) -> Result<(), Failure> {
    let path = match std::fs::canonicalize(path) {
        Ok(real) => real,
        Err(_) => std::path::absolute(path).map_err(|e| Failure::file("found", path, &e))?,
    };
    let before = read_if_there(&path)?.unwrap_or_default();
    if let Some(dir) = path.parent() {
        make_dir(dir)?;
    }
    crate::profile::write(&path, insert(&before, block).as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::Home;

    fn lines_of(home: &str) -> Result<Vec<String>, Failure> {
        let profile = Home::under(Path::new(home)).profile(Some("alice"))?;
        let text = block(&Block { naru: Path::new("/opt/it's 100%/naru"), home: Some(Path::new(home)), profile: &profile })?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    #[test]
    fn the_block_names_the_files_of_the_profile() {
        let lines = lines_of("/home/a b").expect("block");
        assert_eq!(lines[1], format!("Host *.naru {NOT_FOR_SHELLS}"));
        let command = r"  ProxyCommand '/opt/it'\''s 100%%/naru' --home '/home/a b' --profile 'alice' proxy-connect --fdpass -- %h";
        assert_eq!(lines[2], command);
        assert!(lines.contains(&"  IdentityFile \"/home/a b/profiles/alice/ssh_key\"".to_owned()), "{lines:#?}");
    }

    #[test]
    fn hostile_paths_are_refused() {
        for bad in ["/a\nProxyCommand sh", "/a\"b", "/a\\b", "/${HOME}", "/a\rb", "/a\tb", "/a'b"] {
            assert!(lines_of(bad).is_err(), "{bad:?}");
        }
        assert!(lines_of("/a%hb").expect("doubled").iter().any(|line| line.contains("/a%%hb/profiles")));
    }

    #[test]
    fn a_block_is_replaced_where_it_stands() {
        let old = "# mine\nHost a\n";
        let one = insert(old, &format!("{BEGIN}\nx\n{END}\n"));
        assert_eq!(one, format!("{BEGIN}\nx\n{END}\n{old}"));
        assert_eq!(insert(&one, &format!("{BEGIN}\ny\n{END}\n")), one.replace("\nx\n", "\ny\n"));
    }

    #[test]
    fn known_hosts_covers_nodes_and_proxy() {
        let facts = Facts {
            address: "https://127.0.0.1:7443".into(),
            user: String::new(),
            name: "alice".parse().expect("name"),
            roles: vec![],
            expires: access::time::Timestamp::from_secs(0),
            install: "i".parse().expect("id"),
            server_name: String::new(),
            ssh: vec!["127.0.0.1:7443".into(), "naru.example:22".into()],
            connector: None,
        };
        let line = known_hosts("ssh-ed25519 AAAA", &facts);
        assert_eq!(line, "@cert-authority *.naru,[127.0.0.1]:7443,naru.example ssh-ed25519 AAAA\n");
    }

    proptest! {
        #[test]
        fn no_path_adds_a_line_or_leaves_its_quotes(path in "/\\PC*|/[\\n\\r\"'\\\\%$ {}a]*") {
            if let Ok(text) = argument(&path) {
                prop_assert!(text.lines().count() == 1 && text[1..text.len() - 1].find(['"', '\\', '\'']).is_none());
                prop_assert_eq!(text[1..text.len() - 1].replace("%%", ""), path.replace('%', ""), "no lone percent sign");
            }
            if let Ok(text) = shell_word(&path) {
                prop_assert_eq!(text.replace(r"'\''", "").matches('\'').count(), 2);
                prop_assert!(!text.contains('\n'));
            }
        }
    }
}
