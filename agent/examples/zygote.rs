//! The zygote alone, as tests and measurements run it; `naru zygote` is the same. With a first argument it carries a table of
//! addresses like the ones that a large binary has to relocate, so that a holder's memory can be measured against it.

use std::process::ExitCode;

/// Two MiB of relocations.
static TABLE: [&str; 131_072] = ["relocated"; 131_072];

fn main() -> ExitCode {
    if std::env::args().len() > 1 && std::hint::black_box(&TABLE).iter().any(|text| text.is_empty()) {
        return ExitCode::FAILURE;
    }
    agent::holder::zygote::main()
}
