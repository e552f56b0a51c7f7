//! Measures Naru beside stock `sshd`, direct and through `ProxyJump`, on loopback and with the stock client, in alternation.
//!
//! One file per measure; only the order of things and the arguments live here. Run by `cargo xtask bench`. Figures of one machine
//! mean little: the ratios between columns are what counts.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "prints a table and its progress")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a measurement may fail loudly")]

mod connect;
mod cut;
mod echo;
mod flood;
mod machine;
mod memory;
mod policy;
mod processes;
mod report;
mod route;
mod series;
mod sessions;
mod setup;
mod sftp;
mod sign_in;
mod size;
mod sshd;
mod transfer;
mod version;

use report::Report;
use setup::Setup;
use std::process::ExitCode;

/// A measure: its name on the command line, and what it does.
type Measure = (&'static str, fn(&Setup, &mut Report) -> Result<(), String>);

const MEASURES: [Measure; 12] = [
    ("version", version::measure),
    ("echo", echo::measure),
    ("connect", connect::new_connection),
    ("shared", connect::shared_connection),
    ("exec", transfer::measure),
    ("flood", flood::measure),
    ("sftp", sftp::measure),
    ("sign_in", sign_in::measure),
    ("cut", cut::measure),
    ("size", size::measure),
    ("memory", memory::measure),
    ("policy", policy::measure),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        MEASURES.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    let names: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with("--")).collect();
    if let Some(wrong) = names.iter().find(|name| MEASURES.iter().all(|(known, _)| known != *name)) {
        eprintln!("error: there is no measure {wrong}; --list names them");
        return ExitCode::from(2);
    }
    match run(quick, &names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(quick: bool, names: &[&str]) -> Result<(), String> {
    let setup = Setup::start(quick)?;
    let mut report = Report::new(&setup);
    for (name, measure) in MEASURES.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        eprintln!("measuring {name} …");
        if let Err(why) = measure(&setup, &mut report) {
            report.note(format!("{name}: {why}"));
        }
    }
    print!("{}", report.table());
    // A quick or partial run is no result to be kept.
    if !quick && names.is_empty() {
        println!("written to {}", report.write()?.display());
    }
    Ok(())
}
