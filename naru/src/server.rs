//! The commands that run on servers: which part starts with what.

use std::process::ExitCode;

use crate::cli::Server;

/// Runs a server command to its end.
pub(crate) fn run(command: &Server, json: bool) -> ExitCode {
    let out = client::out::Out::detect(json);
    let name = match command {
        Server::Up { .. } => "up",
        Server::Demo { .. } => "demo",
        Server::Proxy { .. } => "proxy run",
        Server::Agent { .. } => "agent",
        Server::Zygote { .. } => "zygote",
    };
    let failure = client::failure::Failure::new("NARU-C020", 1, format!("this naru has no server in it, so `naru {name}` cannot run"));
    crate::report(out, &failure)
}
