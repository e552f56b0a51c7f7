//! The state directory and its secrets, against everything that is wrong with them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test fails by them")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use store::state::{StateDir, StateError, read_secret, write_secret};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_state_directory_is_made_held_and_found_again() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state");
    let state = StateDir::open(&path, "one", None).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(path.join("VERSION")).unwrap(), "{\"format\":2,\"install\":\"one\"}\n");
    assert!(matches!(StateDir::open(&path, "two", None), Err(StateError::InUse(_))));
    drop(state);
    let state = StateDir::open(&path, "two", None).unwrap();
    assert_eq!(state.install(), "one", "the id stays");
    assert_eq!(fs::metadata(state.folder("log").unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    drop(state);
    assert!(matches!(StateDir::open(&path, "two", Some("two")), Err(StateError::OtherInstall { .. })));
    // A first start that was cut before VERSION was there.
    fs::rename(path.join("VERSION"), path.join("VERSION.new")).unwrap();
    fs::remove_dir(path.join("log")).unwrap();
    assert_eq!(StateDir::open(&path, "two", None).unwrap().install(), "two");
}

#[test]
fn a_wrong_state_directory_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state");
    drop(StateDir::open(&path, "one", None).unwrap());
    let version = path.join("VERSION");
    let refused = |text: &str| {
        fs::write(&version, text).unwrap();
        let error = StateDir::open(&path, "one", None).unwrap_err();
        assert_eq!(fs::read_to_string(&version).unwrap(), text);
        error
    };
    assert!(matches!(refused("{\"format\":3,\"install\":\"one\"}"), StateError::Newer { found: 3, .. }));
    for bad in ["", "{\"format\":1", "{\"format\":1}", "{\"format\":1,\"install\":\"\"}", "{\"format\":0,\"install\":\"one\"}"] {
        assert!(matches!(refused(bad), StateError::Damaged(_)), "{bad}");
    }
    fs::remove_file(&version).unwrap();
    fs::write(path.join("photo"), "").unwrap();
    for bits in [0o755, 0o700] {
        mode(&path, bits);
        // Nobody is told to change a folder that is not ours.
        assert!(matches!(StateDir::open(&path, "one", None), Err(StateError::NotOurs(_))), "{bits:o}");
    }
    fs::remove_file(path.join("photo")).unwrap();
    for bits in [0o750, 0o702, 0o755] {
        mode(&path, bits);
        assert!(matches!(StateDir::open(&path, "one", None), Err(StateError::Unsafe { .. })), "{bits:o}");
    }
    symlink(&path, temp.path().join("link")).unwrap();
    assert!(matches!(StateDir::open(&temp.path().join("link"), "one", None), Err(StateError::Unsafe { .. })));
}

#[test]
fn a_secret_is_read_only_when_nobody_else_could_have() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("key");
    write_secret(&path, b"old").unwrap();
    write_secret(&path, b"secret").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read_secret(&path).unwrap(), b"secret");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "nothing else is left");
    for bits in [0o640, 0o604, 0o620] {
        mode(&path, bits);
        let error = read_secret(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
    mode(&path, 0o600);
    symlink(&path, temp.path().join("link")).unwrap();
    assert!(read_secret(&temp.path().join("link")).unwrap_err().to_string().contains("link"));
    fs::write(&path, b"").unwrap();
    assert!(read_secret(&path).unwrap_err().to_string().contains("empty"));
    fs::write(&path, vec![1; 65537]).unwrap();
    assert!(read_secret(&path).unwrap_err().to_string().contains("64 KiB"));
    assert!(read_secret(&temp.path().join("none")).is_err());
}

#[test]
fn an_older_format_is_opened_kept_aside_once_and_raised() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    drop(StateDir::open(&path, "one", None).unwrap());
    fs::write(path.join("VERSION"), "{\"format\":1,\"install\":\"one\"}\n").unwrap();
    let mut state = StateDir::open(&path, "two", None).unwrap();
    assert_eq!((state.format(), state.install()), (1, "one"));
    let store = state.folder("store").unwrap();
    fs::create_dir(store.join("db")).unwrap();
    fs::write(store.join("db/a"), "before").unwrap();
    state.keep_aside("store").unwrap();
    fs::write(store.join("db/a"), "after").unwrap();
    // A start that is cut off and goes on later does not take what it half did for what was there.
    state.keep_aside("store").unwrap();
    assert_eq!(fs::read_to_string(path.join("store.format-1/db/a")).unwrap(), "before");
    state.migrated().unwrap();
    drop(state);
    assert_eq!(StateDir::open(&path, "two", None).unwrap().format(), 2);
}
