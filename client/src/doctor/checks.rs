//! The list of what was looked at, and how it is shown. No look is made here.

use serde::Serialize;
use wire::api::exit;

use crate::failure::Failure;
use crate::out::{Answer, Table};

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    Fail,
    Skip,
}

/// One thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) state: State,
    /// What was found.
    pub(super) found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

/// All of them, in the order of looking.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    fn push(&mut self, name: &str, state: State, found: impl Into<String>, remedy: Option<String>) {
        self.0.push(Check { name: name.to_owned(), state, found: found.into(), remedy });
    }

    pub(super) fn ok(&mut self, name: &str, found: impl Into<String>) {
        self.push(name, State::Ok, found, None);
    }

    pub(super) fn fail(&mut self, name: &str, found: impl Into<String>, remedy: impl Into<String>) {
        self.push(name, State::Fail, found, Some(remedy.into()));
    }

    /// Not looked at, and why.
    pub(super) fn skip(&mut self, name: &str, why: impl Into<String>) {
        self.push(name, State::Skip, why, None);
    }

    /// As a command would have told it.
    pub(super) fn failed(&mut self, name: &str, failure: &Failure) {
        let cause = failure.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        self.push(name, State::Fail, format!("{}{cause} ({})", failure.title, failure.code), failure.hint.clone());
    }

    /// Of one thing with perhaps several faults.
    pub(super) fn of(&mut self, name: &str, good: impl Into<String>, faults: &[String], remedy: &str) {
        if faults.is_empty() { self.ok(name, good) } else { self.fail(name, faults.join("; "), remedy) }
    }

    #[cfg(test)]
    pub(super) fn states(&self) -> Vec<(&str, State)> {
        self.0.iter().map(|check| (check.name.as_str(), check.state)).collect()
    }

    #[cfg(test)]
    pub(super) fn found(&self, name: &str) -> String {
        self.0.iter().filter(|check| check.name == name).map(|check| format!("{:?}: {}", check.state, check.found)).collect()
    }

    /// For people, scripts and the exit code.
    pub(super) fn answer(self) -> Answer {
        let word = |state| match state {
            State::Ok => "ok",
            State::Fail => "FAIL",
            State::Skip => "skip",
        };
        let rows = self.0.iter().map(|check| [check.name.clone(), word(check.state).to_owned(), check.found.clone()]);
        let table = Table::of(["check", "state", "found"], rows);
        let below = self.0.iter().filter_map(|check| Some(format!("{}: {}", check.name, check.remedy.as_ref()?))).collect();
        let ok = self.0.iter().all(|check| check.state != State::Fail);
        let answer = Answer::new(&serde_json::json!({ "ok": ok, "checks": self.0 }), table).below(below);
        Answer { exit: if ok { exit::OK } else { exit::FAILED }, ..answer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Out;

    #[test]
    fn one_fault_is_exit_1_and_its_remedy_stands_below() {
        let mut checks = Checks::default();
        checks.ok("dns", "good");
        checks.skip("state", "not here");
        assert_eq!(checks.answer().exit, exit::OK);
        let mut checks = Checks::default();
        checks.fail("tcp", "gone\x1b[2J", "start it");
        let answer = checks.answer();
        assert_eq!((answer.exit, &answer.json["ok"], &answer.json["checks"][0]["state"]), (exit::FAILED, &false.into(), &"fail".into()));
        let text = Out::PLAIN.render(&answer);
        assert!(text.contains("tcp\tFAIL\tgone") && text.ends_with("\ntcp: start it\n") && !text.contains('\x1b'), "{text}");
    }
}
