//! How a session ended: the word for the log, the program's own end, and the sentence for the person when it is not that.

use access::decide::Denial;
use access::event::{Outcome, OutcomeResult};
use recorder::{Ending, RecordError};
use wire::frames::Exit;

use super::open::NotOpened;
use super::table::Stop;

/// The end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) reason: &'static str,
    pub(crate) exit: Option<Exit>,
    /// Code and sentence for the person.
    pub(super) sentence: Option<(String, String)>,
}

impl Ended {
    pub(super) fn because(reason: &'static str, code: &str, sentence: impl Into<String>) -> Self {
        Self { reason, exit: None, sentence: Some((code.to_owned(), sentence.into())) }
    }

    pub(super) fn before_it_began(not_opened: &NotOpened) -> Self {
        Self::because("target_unreachable", &not_opened.code, not_opened.sentence.clone())
    }

    pub(super) fn exited(exit: Exit) -> Self {
        let reason = match &exit {
            Exit::Code(_) => "exit",
            Exit::Signal { .. } => "signal",
            Exit::Failed { .. } => "failed",
        };
        Self { reason, exit: Some(exit), sentence: None }
    }

    pub(super) fn client_left() -> Self {
        Self { reason: "client_left", exit: None, sentence: None }
    }

    pub(super) fn stopped(stop: Stop) -> Self {
        Self::because(stop.reason, "NARU-S104", stop.sentence)
    }

    pub(super) fn denied(denial: Denial) -> Self {
        let reason = if denial.code == Denial::LOCKED { "locked" } else { "denied" };
        Self::because(reason, denial.code, denial.sentence)
    }

    pub(super) fn unrecorded(error: RecordError) -> Self {
        Self::because("recording_failed", "NARU-R103", format!("the session ended because it cannot be recorded any more: {error}"))
    }

    pub(super) fn out_of_range(_: super::input::OutOfRange) -> Self {
        Self::confused("acknowledged input that it never got")
    }

    pub(super) fn confused(what: &str) -> Self {
        Self::because("target_lost", "NARU-N324", format!("the target's holder {what}"))
    }

    pub(super) fn ending(&self) -> Ending {
        Ending { reason: self.reason.to_owned(), exit: self.exit.clone() }
    }

    /// As the log tells it.
    pub(super) fn outcome(&self) -> Outcome {
        let mut outcome = match &self.sentence {
            None => Outcome::success(),
            Some((code, sentence)) if matches!(self.reason, "denied" | "locked") => Outcome::denied(code, sentence.clone()),
            Some((code, sentence)) => Outcome::failed(code, sentence.clone()),
        };
        match &self.exit {
            Some(Exit::Code(code)) => outcome.exit = Some(i32::from(*code)),
            Some(Exit::Failed { code, message }) => {
                outcome.result = OutcomeResult::Failed;
                outcome.code = Some(code.clone());
                outcome.message = Some(message.clone());
            }
            _ => {}
        }
        outcome
    }
}
