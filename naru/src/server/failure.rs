//! Errors of the parts as failures of a command: the sentence is the part's, code and exit are chosen here.

use client::failure::Failure;
use wire::api::exit;

/// What a host that has not joined needs.
const JOIN: &str = "naru agent join URL --token T --ca-pin P, as naru token create prints it; with the same --state DIR if it has one";

/// A proxy did not start.
pub(crate) fn of_proxy(error: &proxy::BuildError) -> Failure {
    use proxy::BuildError as E;
    let (code, hint) = match error {
        E::State(_) => ("NARU-C101", "naru up --state DIR with another directory, or mend this one"),
        E::Install(_) => ("NARU-C102", "restore the state directory from a backup"),
        E::Keys(_) => ("NARU-C103", "restore the keys from a backup, or set their owner and mode right"),
        E::Store(_) | E::Kv(_) => ("NARU-C104", "restore the state directory from a backup"),
        E::OldStore { .. } => (
            "NARU-C114",
            "restore the state directory as a whole, or start once with --accept-restored-store: all sign-ins and links then end",
        ),
        E::Log(_) | E::Append(_) | E::Lost(_) | E::Again(_) => ("NARU-C105", "naru audit verify DIR says what is wrong"),
        E::Recorder(_) => ("NARU-C106", "free space, or mend the folder"),
        E::Live(_) => ("NARU-C107", "restore the state directory from a backup"),
        E::Port { .. } => ("NARU-C108", "end what listens there, or set another `listen` in the settings"),
        E::Notify(_) => ("NARU-C113", "mend the webhook in the settings, or its secret file"),
        E::Certificate(_) => ("NARU-C118", "mend the files that `certificate` in the settings names, or what it says of the ACME server"),
        E::Sign(_) | E::Tls(_) | E::Commit(_) | E::Control(_) => ("NARU-C109", "see the log"),
    };
    Failure::new(code, exit::FAILED, error.to_string()).hint(hint)
}

/// A new install could not be seeded.
pub(crate) fn of_seed(error: &proxy::SeedError) -> Failure {
    Failure::new("NARU-C110", exit::FAILED, error.to_string())
}

/// An agent did not start.
pub(crate) fn of_agent(error: &agent::StartError) -> Failure {
    let hint = match error {
        agent::StartError::Identity(agent::identity::IdentityError::File { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            return Failure::new("NARU-J201", exit::FAILED, "this host has not joined yet").because(error).hint(JOIN);
        }
        agent::StartError::Identity(_) => JOIN,
        agent::StartError::Lock(_) | agent::StartError::Holders(_) => "naru agent run --state DIR with a folder of its own",
    };
    Failure::new("NARU-J201", exit::FAILED, error.to_string()).hint(hint)
}

/// An agent did not join.
pub(crate) fn of_join(error: &agent::join::JoinError, address: &str) -> Failure {
    use agent::join::{CallError, JoinError as E};
    match error {
        E::Call(CallError::Refused(problem)) => {
            let failure = Failure::new(&problem.code, problem.exit, problem.title.clone());
            match &problem.hint {
                Some(hint) => failure.hint(hint.clone()),
                None => failure.hint("naru token create --kind node makes a new token"),
            }
        }
        // The agent gives what the TLS library said as a text; only what it means is told.
        E::OtherCa => client::http::not_the_pinned(address),
        E::Call(CallError::Reach { why, .. }) if why.contains("UnknownIssuer") => {
            client::http::not_the_pinned(address).because("its certificate is of another authority than the one that was pinned")
        }
        E::Call(CallError::Reach { why, .. }) if why.contains("NotValidForName") || why.contains("certificate not valid for name") => {
            client::http::not_the_pinned(address).because("its certificate is for another name")
        }
        E::Call(CallError::Reach { why, .. }) if why.contains("https://docs.rs") || why.contains("TLS") => {
            Failure::new("NARU-J202", exit::CANNOT_REACH, format!("{address} cannot be reached"))
                .because("the other side closed the connection, or does not speak TLS")
                .hint("check address, pin and clock; the token can still be used")
        }
        E::Call(CallError::Reach { .. }) => Failure::new("NARU-J202", exit::CANNOT_REACH, error.to_string())
            .hint("check address, pin and clock; the token can still be used"),
        other => Failure::new("NARU-J203", exit::FAILED, other.to_string()),
    }
}
