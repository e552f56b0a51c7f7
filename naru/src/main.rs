//! argv to proxy, agent or client, and answers to exit codes; nothing else.
#![forbid(unsafe_code)]

mod apply;
mod cli;
mod faults;
mod policy_test;
mod run;
mod server;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use client::failure::Failure;
use client::out::Out;

fn main() -> ExitCode {
    // A panic must not leave the user's terminal in raw mode.
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        client::terminal::restore();
        before(panic);
    }));
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return words(&error),
    };
    let out = Out::detect(cli.json, !cli.no_headers);
    if let cli::Command::Server(command) = &cli.command {
        return server::run(command, cli.json);
    }
    match run::run(cli, out) {
        Ok(code) => leave(code),
        Err(failure) => report(out, &failure),
    }
}

/// Ends the process at once: a thread may still be blocked in reading stdin.
fn leave(code: u8) -> ! {
    client::terminal::restore();
    let _ = std::io::stdout().flush();
    std::process::exit(i32::from(code))
}

/// Prints a failure on stderr and gives its exit code.
pub(crate) fn report(out: Out, failure: &Failure) -> ExitCode {
    let _ = std::io::stderr().lock().write_all(out.error(failure).as_bytes());
    ExitCode::from(failure.exit)
}

/// Help and version go to stdout; wrong words are exit 2, with `--json` as an object like every other failure.
fn words(error: &clap::Error) -> ExitCode {
    // Nobody who types the bare name is wrong: they want to know what there is.
    if std::env::args_os().len() == 1 {
        let _ = cli::Cli::command().print_help();
        return ExitCode::SUCCESS;
    }
    let json = std::env::args_os().any(|arg| arg == "--json");
    if error.use_stderr() && json {
        let sentence = error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        return report(Out::detect(true, true), &Failure::usage(sentence).hint("naru --help"));
    }
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { wire::api::exit::USAGE } else { wire::api::exit::OK })
}
