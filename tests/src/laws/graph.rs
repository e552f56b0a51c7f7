//! Laws about who depends on whom: our crates by their manifests, and the libraries by the lock file.

use super::{Breach, breach, keep, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Every arrow that there may be between our crates.
const ARROWS: [(&str, &[&str]); 13] = [
    ("naru", &["proxy", "agent", "client", "config"]),
    ("proxy", &["recorder", "store", "web", "config", "wire", "access", "sys"]),
    ("recorder", &["store", "wire", "access"]),
    ("agent", &["config", "wire", "access", "sys"]),
    ("client", &["config", "wire", "access"]),
    ("wire", &["access"]),
    ("config", &["access"]),
    ("access", &[]),
    ("store", &[]),
    ("web", &[]),
    ("sys", &[]),
    ("tests", &["access", "wire"]),
    ("xtask", &[]),
];

/// What the laptop's part must not be able to reach: the authority, its store, and the writer of recordings.
const NOT_ON_A_LAPTOP: [&str; 5] = ["proxy", "recorder", "store", "agent", "sled"];

/// Libraries that would be a second copy of what aws-lc-rs and rustls do.
const BANNED: [&str; 5] = ["ring", "openssl", "openssl-sys", "native-tls", "openssl-src"];

/// Versions below which a known hole is open; russh exactly, because we lean on its internals' behaviour.
const FLOORS: [(&str, &str); 4] = [("yamux", "0.13.10"), ("jsonwebtoken", "10.3.0"), ("rustls-webpki", "0.103.13"), ("h2", "0.4.16")];
const EXACT: (&str, &str) = ("russh", "0.65.1");

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

fn metadata() -> Value {
    let args = ["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let out = cargo().args(args).output().expect("cargo");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Our crates and which of ours each names, for tests too.
fn ours(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let copied = |package: &Value| text(&package["manifest_path"]).contains("/vendor/");
    let local = |package: &&Value| package["source"].is_null() && !copied(package);
    let named = |package: &Value| {
        let paths = list(&package["dependencies"]).filter(|dependency| dependency["path"].is_string());
        (text(&package["name"]).to_owned(), paths.map(|dependency| text(&dependency["name"]).to_owned()).collect())
    };
    list(&metadata["packages"]).filter(local).map(named).collect()
}

fn arrows(ours: &BTreeMap<String, BTreeSet<String>>) -> Vec<Breach> {
    let mut out = Vec::new();
    for (from, to) in ours {
        let Some((_, may)) = ARROWS.iter().find(|(name, _)| name == from) else {
            out.push(breach("arrow", from, "a crate that the laws do not know"));
            continue;
        };
        for name in to.iter().filter(|name| !may.contains(&name.as_str())) {
            out.push(breach("arrow", format!("{from} -> {name}"), "an arrow that the layout does not have"));
        }
    }
    out
}

/// Everything that is built for one of our crates on Linux, tests aside. `cargo metadata` would also name what is only optional.
fn reach(name: &str) -> BTreeSet<String> {
    let args = ["tree", "--locked", "--package", name, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let out = cargo().args(args).args(["--target", "x86_64-unknown-linux-gnu"]).output().expect("cargo");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let lines = String::from_utf8(out.stdout).unwrap();
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn features(metadata: &Value, name: &str) -> BTreeSet<String> {
    let ids: BTreeSet<&str> = list(&metadata["packages"]).filter(|one| text(&one["name"]) == name).map(|one| text(&one["id"])).collect();
    let nodes = list(&metadata["resolve"]["nodes"]).filter(|node| ids.contains(text(&node["id"])));
    nodes.flat_map(|node| list(&node["features"])).map(|feature| text(feature).to_owned()).collect()
}

/// `1.2.3` as numbers; what stands behind `-` or `+` does not count.
fn number(version: &str) -> Vec<u64> {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    plain.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

fn floors(lock: &[(String, String)]) -> Vec<Breach> {
    let mut out = Vec::new();
    for (name, version) in lock {
        for (_, floor) in FLOORS.iter().filter(|(known, _)| known == name) {
            if number(version) < number(floor) {
                out.push(breach("floor", name, format!("{version} is below {floor}, where a known hole was closed")));
            }
        }
        if name == EXACT.0 && version != EXACT.1 {
            out.push(breach("floor", name, format!("{version} is not {}, which was tried", EXACT.1)));
        }
    }
    out
}

/// Names and versions of a lock file.
fn locked(text: &str) -> Vec<(String, String)> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'));
        line.unwrap_or_default().to_owned()
    };
    text.split("[[package]]").skip(1).map(|block| (field(block, "name"), field(block, "version"))).collect()
}

#[test]
fn arrows_point_as_the_layout_says() {
    keep("arrow", &arrows(&ours(&metadata())));
}

#[test]
fn the_laptop_cannot_reach_the_authority() {
    let reached = reach("client");
    assert!(reached.contains("wire"), "the graph was not read");
    let wrong: Vec<&str> = NOT_ON_A_LAPTOP.into_iter().filter(|name| reached.contains(*name)).collect();
    assert!(wrong.is_empty(), "client reaches {wrong:?}");
}

#[test]
fn one_library_does_the_cryptography() {
    let reached = reach("naru");
    assert!(reached.contains("aws-lc-rs"), "the graph was not read");
    let wrong: Vec<&str> = BANNED.into_iter().filter(|name| reached.contains(*name)).collect();
    assert!(wrong.is_empty(), "naru is built with {wrong:?}");
}

/// Hashes and signatures over JSON count on one order of keys.
#[test]
fn json_keys_stay_sorted() {
    let on = features(&metadata(), "serde_json");
    assert!(on.contains("std"), "the graph was not read");
    assert!(!on.contains("preserve_order"), "something switches serde_json's preserve_order on");
}

#[test]
fn libraries_are_above_their_known_holes() {
    let lock = locked(&std::fs::read_to_string(root().join("Cargo.lock")).unwrap());
    assert!(lock.iter().any(|(name, _)| name == EXACT.0), "the lock file was not read");
    keep("floor", &floors(&lock));
}

#[test]
fn the_laws_bite() {
    let one = |from: &str, to: &str| BTreeMap::from([(from.to_owned(), BTreeSet::from([to.to_owned()]))]);
    assert_eq!(arrows(&one("access", "wire")).len(), 1);
    assert_eq!(arrows(&one("wire", "access")).len(), 0);
    assert_eq!(arrows(&one("common", "access")).len(), 1);
    let lock = locked("[[package]]\nname = \"yamux\"\nversion = \"0.13.9\"\n\n[[package]]\nname = \"russh\"\nversion = \"0.66.0\"\n");
    assert_eq!(floors(&lock).len(), 2);
    assert!(number("0.103.9") < number("0.103.13"));
}
