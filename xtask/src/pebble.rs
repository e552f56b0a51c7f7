//! `cargo xtask pebble`: gets Pebble, the ACME server that Let's Encrypt tests clients with, through Go, and keeps it in the user's cache
//! folder. The tests start it (`tests/src/certificates/pebble.rs`); nothing here knows how.

use crate::{needs, run};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// As in `tests/src/certificates/pebble.rs`. Go checks what it gets against its public list of sums.
const VERSION: &str = "2.10.1";

/// `NARU_PEBBLE`, else a place in the user's cache: the folder with the program. The tests look at the same place.
fn folder() -> Result<PathBuf, String> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(given) = var("NARU_PEBBLE") {
        return Ok(given);
    }
    let cache = var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")));
    let cache = cache.ok_or("there is no cache folder for Pebble: neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("naru").join(format!("pebble-{VERSION}")))
}

/// The verb: gets it and says where it is.
pub(crate) fn pebble(args: &[String]) -> Result<ExitCode, String> {
    if !args.is_empty() {
        return Err("pebble takes no argument".into());
    }
    println!("{}", prepare(&mut |line| println!("{line}"))?.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that it is there, building it the first time; the error says in one sentence why it cannot be had.
pub(crate) fn prepare(say: &mut dyn FnMut(&str)) -> Result<PathBuf, String> {
    let folder = folder()?;
    if folder.join("pebble").is_file() {
        return Ok(folder);
    }
    needs::pebble(say)?;
    std::fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be used for Pebble: {error}", folder.display()))?;
    say(&format!("getting Pebble {VERSION} through Go, once"));
    let module = format!("github.com/letsencrypt/pebble/v2/cmd/pebble@v{VERSION}");
    // Go puts the finished program in its place at once, so that nobody finds half of it.
    let built = run::capture(Command::new("go").args(["install", &module]).env("GOBIN", &folder).env("GOFLAGS", "-mod=mod"))?;
    if built.status.success() && folder.join("pebble").is_file() {
        return Ok(folder);
    }
    Err(format!("`go install {module}` failed: {}", built.text.lines().last().unwrap_or("it said nothing")))
}
