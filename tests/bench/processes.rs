//! Memory of processes as Linux tells it: proportional set size, in which shared pages count once over all who share them.

use std::fs::read_to_string;

/// What a process of Naru's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Proxy,
    Agent,
    Holder,
}

/// By its name and arguments. A demo may run proxy and agent in one process, which then counts as the proxy.
pub(crate) fn part(pid: u32) -> Option<Part> {
    let name = read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let line = read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<&str> = line.split('\0').collect();
    let verb = words.get(1).copied().unwrap_or_default();
    match name.trim() {
        "naru-holder" => Some(Part::Holder),
        name if name.starts_with("naru") && (verb == "agent" || verb.contains("zygote")) => Some(Part::Agent),
        name if name.starts_with("naru") && ["demo", "up", "proxy"].contains(&verb) => Some(Part::Proxy),
        _ => None,
    }
}

/// In KiB; nothing when the process has gone or may not be looked at.
pub(crate) fn pss(pid: u32) -> Option<f64> {
    let text = read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// A process and all that came from it and are still its children's children.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let parents: Vec<(u32, u32)> = pids.into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![root];
    let mut at = 0;
    while let Some(one) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == one).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}
