//! What was measured on: said in words, since a figure without its machine means nothing.

use serde_json::{Value, json};
use std::process::Command;

fn words(program: &str, args: &[&str]) -> String {
    let Ok(out) = Command::new(program).args(args).output() else { return String::new() };
    let all = if out.stdout.is_empty() { out.stderr } else { out.stdout };
    String::from_utf8_lossy(&all).lines().next().unwrap_or_default().trim().to_owned()
}

fn field(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
    line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// Processor, cores, memory, kernel and the peers' versions.
pub(crate) fn describe() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({
        "cpu": cpu(),
        "cores": cores,
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": words("uname", &["-srm"]),
        "openssh": words("ssh", &["-V"]),
    })
}

/// The processor's name.
pub(crate) fn cpu() -> String {
    field("/proc/cpuinfo", "model name")
}

/// Today, `2026-11-21`.
pub(crate) fn today() -> String {
    words("date", &["-u", "+%Y-%m-%d"])
}
