//! Faults of a file that a person wrote, as the failure of a command: one look for `apply`, `up`, `proxy` and `agent`.

use client::failure::Failure;
use config::faults::{Fault, count, text};
use wire::api::exit;

/// Every fault with its line and caret, below a sentence that counts them and ends in `so`.
pub(crate) fn failure(faults: &[Fault], so: &str) -> Failure {
    Failure::new("NARU-C041", exit::USAGE, format!("{}, so {so}", count(faults))).shown(text(faults))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_stands_once_on_lines_of_its_own() {
        let faults = config::agent::agent("a.yaml", "allow_login: [x]\nmax_sessions: 0\n").expect_err("faults");
        let failure = failure(&faults, "the agent does not start");
        let shown = client::out::Out::PLAIN.error(&failure);
        assert!(shown.starts_with("error[NARU-C041]: 2 faults in a.yaml, so the agent does not start\n\nerror: "), "{shown}");
        assert!(shown.contains("\n1 | allow_login: [x]\n  | ^^^^^^^^^^^\n") && !shown.contains("\\n"), "{shown}");
        assert_eq!(shown.matches("has no field").count(), 1, "{shown}");
        assert!(failure.to_problem().detail.is_some_and(|detail| detail.contains("a.yaml:1:1")));
    }
}
