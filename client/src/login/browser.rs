//! Opening a browser: whether there is one, and what it may be given. No shell ever sees an address.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use wire::api::exit;
use wire::link::Address;

use crate::failure::Failure;

/// Longest address that is opened or shown.
const LONGEST: usize = 4096;

/// An address for a browser: http or https, at most 4 KiB of printable ASCII without spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page(String);

impl Page {
    /// Of what the server gave; anything else than such an address is refused.
    pub(super) fn of(text: &str, server: &Address) -> Result<Self, Failure> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let fits = text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic());
        if fits && rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')) {
            return Ok(Self(text.to_owned()));
        }
        let title = format!("{server} gave something else than a web address to open, so nothing was opened");
        Err(Failure::new("NARU-A110", exit::FAILED, title).hint("tell an administrator"))
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The programs that may open a page, the first that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opener(Vec<Vec<OsString>>);

impl Opener {
    /// `$BROWSER` (programs between colons, each with arguments and perhaps `%s`), which counts without a terminal too; else what the
    /// desktop has, for a person at a `terminal`.
    pub(super) fn find(var: impl Fn(&str) -> Option<OsString>, terminal: bool) -> Option<Self> {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        if let Some(browser) = set("BROWSER") {
            return Some(Self(programs(&browser)));
        }
        if !terminal {
            return None;
        }
        if cfg!(target_os = "macos") {
            return Some(Self(vec![vec!["open".into()]]));
        }
        set("DISPLAY").or_else(|| set("WAYLAND_DISPLAY")).map(|_| Self(vec![vec!["xdg-open".into()]]))
    }

    /// Starts the first program that can be started, with the address as one argument. It is not waited for: many stay.
    pub(super) fn open(&self, page: &Page) -> bool {
        self.0.iter().any(|words| {
            let Some((program, args)) = words.split_first() else { return false };
            let mut command = Command::new(program);
            let mut placed = false;
            for arg in args {
                placed |= arg == "%s";
                command.arg(if arg == "%s" { OsStr::new(&page.0) } else { arg });
            }
            if !placed {
                command.arg(&page.0);
            }
            // Ctrl-C in this terminal is not for the browser, and its chatter not for us.
            command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().is_ok()
        })
    }
}

fn programs(browser: &OsStr) -> Vec<Vec<OsString>> {
    // A path may have spaces and colons.
    if Path::new(browser).is_file() {
        return vec![vec![browser.to_owned()]];
    }
    let text = browser.to_string_lossy();
    text.split(':').map(|entry| entry.split_whitespace().map(OsString::from).collect()).filter(|words: &Vec<_>| !words.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_web_address_is_opened() {
        let server: Address = "https://h:1".parse().expect("address");
        for good in ["https://id.example/auth?a=b&c=%20#x", "http://127.0.0.1:8080/x", "https://[::1]/"] {
            assert_eq!(Page::of(good, &server).map(|page| page.to_string()), Ok(good.to_owned()));
        }
        let long = format!("https://h/{}", "x".repeat(LONGEST));
        for bad in
            ["", "https://", "https:///x", "https://-x", "file:///etc/passwd", "javascript:x", "-x", "https://h/ x", "https://h/\n", &long]
                .into_iter()
                .chain(["https://h/\x1b]52;", "https://h/한", "HTTPS://h"])
        {
            assert_eq!(Page::of(bad, &server).map_err(|e| e.code), Err("NARU-A110".to_owned()), "{bad:?}");
        }
    }

    #[test]
    fn a_browser_without_a_terminal_is_one_that_was_named() {
        let find = |vars: &'static [(&str, &str)], terminal| {
            Opener::find(move |name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()), terminal)
        };
        assert_eq!(find(&[("DISPLAY", ":0")], false), None);
        assert_eq!(find(&[("BROWSER", "")], true), None);
        assert_eq!(find(&[("WAYLAND_DISPLAY", "w")], true), Some(Opener(vec![vec!["xdg-open".into()]])));
        let named = find(&[("BROWSER", "/x/y --new %s:w3m")], false);
        assert_eq!(named, Some(Opener(vec![vec!["/x/y".into(), "--new".into(), "%s".into()], vec!["w3m".into()]])));
    }

    #[test]
    fn the_address_is_one_argument_and_no_shell_reads_it() {
        let dir = tempfile::tempdir().expect("dir");
        let (program, out) = (dir.path().join("browser"), dir.path().join("out"));
        let script = format!("#!/bin/sh\nprintf '%s\\n' $# \"$1\" > {0}.new && mv {0}.new {0}\n", out.display());
        std::fs::write(&program, script).expect("written");
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("mode");
        let url = "https://h/?a=$(touch%20x)&b=`id`;'\"";
        let page = Page::of(url, &"https://h:1".parse().expect("address")).expect("page");
        assert!(!Opener(vec![vec!["/no/such".into()]]).open(&page));
        assert!(Opener(vec![vec!["/no/such".into()], vec![program.into()]]).open(&page));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !out.exists() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(std::fs::read_to_string(&out).expect("it ran"), format!("1\n{url}\n"));
    }
}
