//! What people run while developing: `cargo xtask demo | keycloak | pebble | test | bench | fuzz | openapi`. Continuous integration runs the same commands.
//!
//! Only argument handling lives here. Nothing in this crate is shipped, and it depends on no other crate of ours, so that it
//! compiles in seconds on a fresh machine.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a developer's tool talks on the terminal")]

mod bench;
mod count;
mod demo;
mod fuzz;
mod keycloak;
mod needs;
mod openapi;
mod pebble;
mod run;
mod test;

use std::process::ExitCode;

const USAGE: &str = "usage:
  cargo xtask demo [--release] [ARGS…]          build naru and run `naru demo ARGS…`
  cargo xtask demo --keycloak [--release]       the same with a real Keycloak and people who sign in there
  cargo xtask keycloak                          get that Keycloak through Maven, and say where it is
  cargo xtask pebble                            get the ACME server of the tests through Go, and say where it is
  cargo xtask test [--fast]                     every test; --fast is the inner loop
  cargo xtask bench [--quick] [--list] [NAMES…] measure against sshd and ProxyJump, side by side
  cargo xtask fuzz [TARGET] [--seconds N]       fuzz one target, or list them
  cargo xtask openapi                           write docs/openapi.json anew from the types";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let verb = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match verb.as_str() {
        "demo" => demo::demo(&rest),
        "keycloak" => keycloak::keycloak(&rest),
        "pebble" => pebble::pebble(&rest),
        "test" => test::test(&rest),
        "bench" => bench::bench(&rest),
        "fuzz" => fuzz::fuzz(&rest),
        "openapi" => openapi::openapi(&rest),
        "" | "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("error: there is no command `{verb}`\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|sentence| {
        eprintln!("error: {sentence}");
        ExitCode::FAILURE
    })
}
