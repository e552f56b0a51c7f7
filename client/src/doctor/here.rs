//! This computer: the files of a sign-in and what OpenSSH goes by. Reads only.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Look;
use super::checks::Checks;
use crate::profile::{Facts, Profile, file, read_if_there};
use crate::ssh_config::{Block, block, in_text};
use crate::when;

/// The sign-in, whether it lasts, and whether others can read it. Where it has ended, where the server is is known still.
pub(super) fn sign_in(checks: &mut Checks, profile: &Profile) -> Option<Facts> {
    let facts = match profile.facts() {
        Ok(facts) => facts,
        Err(failure) => {
            checks.failed("profile", &failure);
            return None;
        }
    };
    match profile.signed_in(when::now()) {
        Ok(_) => checks.ok("profile", format!("{} is {} until {}", profile.name, facts.name, when::shown(facts.expires))),
        Err(failure) => checks.failed("profile", &failure),
    }
    let paths = file::ALL.iter().map(|name| profile.path(name)).chain([profile.path("")]);
    let faults: Vec<String> = paths.filter_map(|path| open_to_others(&path)).collect();
    checks.of("files", "only you can read the keys", &faults, "chmod go= FILE, and sign in again: somebody may have read them");
    Some(facts)
}

/// Says of a file that others may read or write it, or that it is another's. What is not there is open to nobody.
pub(super) fn open_to_others(path: &Path) -> Option<String> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    let shown = path.display();
    if meta.uid() != rustix::process::geteuid().as_raw() && !rustix::process::geteuid().is_root() {
        return Some(format!("{shown} is another account's"));
    }
    (meta.mode() & 0o077 != 0).then(|| format!("{shown} has mode {:04o}", meta.mode() & 0o7777))
}

/// Whether OpenSSH would use this sign-in.
pub(super) fn ssh_config(checks: &mut Checks, look: &Look<'_>) {
    const NAME: &str = "ssh_config";
    let Some(path) = &look.ssh_config else { return checks.skip(NAME, "there is no home folder to look in") };
    let shown = path.display();
    let wanted = match block(&Block { naru: &look.naru, home: look.home.single(), profile: look.profile }) {
        Ok(wanted) => wanted,
        Err(failure) => return checks.failed(NAME, &failure),
    };
    let remedy = format!("naru --profile {} config ssh --write {shown}", look.profile.name);
    match read_if_there(path) {
        Err(failure) => checks.failed(NAME, &failure),
        Ok(text) => match text.as_deref().and_then(in_text) {
            None => checks.skip(NAME, format!("{shown} has no block of ours; `{remedy}` writes it")),
            Some(found) if found == wanted => checks.ok(NAME, format!("{shown} is as this naru writes it")),
            Some(_) => checks.fail(NAME, format!("the block in {shown} is of another profile or another naru"), remedy),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::checks::State;
    use super::*;
    use crate::profile::Home;

    #[test]
    fn a_key_that_others_can_read_and_a_block_of_another_naru_are_told() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        let profile = home.profile(Some("kim")).expect("profile");
        let mut checks = Checks::default();
        assert!(sign_in(&mut checks, &profile).is_none());
        assert_eq!(checks.states(), [("profile", State::Fail)]);
        let facts = serde_json::json!({
            "address": "https://a:1", "user": "i|s", "name": "kim", "roles": [], "expires": when::now(), "install": "i", "server_name": "a",
            "ssh": [],
        });
        profile.write(file::FACTS, facts.to_string().as_bytes()).expect("written");
        let config = dir.path().join("config");
        let look = Look {
            home: &home,
            profile: &profile,
            naru: "/opt/naru".into(),
            ssh_config: Some(config.clone()),
            state: None,
            operations: None,
        };
        let states = || {
            let mut checks = Checks::default();
            let facts = sign_in(&mut checks, &profile);
            assert!(facts.is_some());
            ssh_config(&mut checks, &look);
            checks.states().into_iter().skip(1).map(|(_, state)| state).collect::<Vec<_>>()
        };
        assert_eq!(states(), [State::Ok, State::Skip]);
        let ours = block(&Block { naru: &look.naru, home: home.single(), profile: &profile }).expect("block");
        std::fs::write(&config, format!("Host a\n{ours}Host b\n")).expect("written");
        assert_eq!(states(), [State::Ok, State::Ok]);
        std::fs::write(&config, ours.replace("/opt/naru", "/old/naru")).expect("written");
        std::fs::set_permissions(profile.path(file::FACTS), std::fs::Permissions::from_mode(0o640)).expect("mode");
        assert_eq!(states(), [State::Fail, State::Fail]);
    }
}
