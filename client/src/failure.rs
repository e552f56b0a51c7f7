//! Why a command failed, as a person and as a script see it: one sentence, its cause, what to do next, a stable code, an exit code.

use access::decide::Offer;
use wire::api::{FieldFault, Problem, exit};

use crate::offer;

/// A failed command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{title}")]
pub struct Failure {
    /// Stable: `NARU-A104`.
    pub code: String,
    /// One sentence.
    pub title: String,
    /// The cause.
    pub cause: Option<Box<str>>,
    /// What to do next.
    pub hint: Option<String>,
    /// Lines that are shown as they are, such as faults with their carets.
    pub shown: Option<Box<str>>,
    /// What a server said beside it.
    pub more: Option<Box<More>>,
    /// The exit code.
    pub exit: u8,
}

/// What a server says of a refusal beside its sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct More {
    /// The access request that would help.
    pub offer: Option<Offer>,
    /// Fields that are wrong, each with its place.
    pub fields: Vec<FieldFault>,
}

impl Failure {
    /// With the code, the exit code and the sentence.
    pub fn new(code: &str, exit: u8, title: impl Into<String>) -> Self {
        Self { code: code.to_owned(), title: title.into(), cause: None, hint: None, shown: None, more: None, exit }
    }

    /// With the cause.
    #[must_use]
    pub fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string().into());
        self
    }

    /// With the remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With lines that are shown as they are.
    #[must_use]
    pub fn shown(mut self, lines: String) -> Self {
        self.shown = Some(lines.into_boxed_str());
        self
    }

    /// Wrong words on the command line.
    pub fn usage(title: impl Into<String>) -> Self {
        Self::new("NARU-C001", exit::USAGE, title)
    }

    /// A file of ours or of the user's cannot be read or written.
    pub fn file(doing: &str, path: &std::path::Path, cause: &std::io::Error) -> Self {
        Self::new("NARU-C010", exit::FAILED, format!("{} cannot be {doing}", path.display())).because(cause)
    }

    /// Nobody is signed in, or the sign-in has ended.
    pub fn not_signed_in(title: impl Into<String>) -> Self {
        Self::new("NARU-A104", exit::NOT_SIGNED_IN, title)
            .hint("naru login, or naru login --link LINK with a link that an administrator makes")
    }

    /// What the server said, with the exit code that its status means where it names none that we know.
    pub fn from_problem(problem: Problem, status: u16) -> Self {
        let said = matches!(problem.exit, exit::USAGE..=exit::VERIFY_FAILED);
        let exit = if said { problem.exit } else { exit_of_status(status) };
        let Problem { code, title, detail, hint, offer, fields, .. } = problem;
        let hint = offer.as_deref().map_or(hint.clone(), |offer| Some(offer::hint(hint.as_deref(), offer)));
        let more = (offer.is_some() || !fields.is_empty()).then(|| Box::new(More { offer: offer.map(|offer| *offer), fields }));
        Self { code, title, cause: detail.map(String::into_boxed_str), hint, shown: None, more, exit }
    }

    /// The access request that would help.
    pub fn offer(&self) -> Option<&Offer> {
        self.more.as_ref()?.offer.as_ref()
    }

    /// Fields that the server found wrong.
    pub fn fields(&self) -> &[FieldFault] {
        self.more.as_ref().map_or(&[], |more| &more.fields)
    }

    /// The same, as the one JSON object on stderr.
    pub fn to_problem(&self) -> Problem {
        let said: Vec<&str> = self.cause.as_deref().into_iter().chain(self.shown.as_deref()).collect();
        let detail = (!said.is_empty()).then(|| said.join("\n"));
        let offer = self.offer().cloned().map(Box::new);
        let (code, title) = (self.code.clone(), self.title.clone());
        Problem { code, title, detail, hint: self.hint.clone(), offer, fields: self.fields().to_vec(), exit: self.exit }
    }
}

/// What a bare HTTP status means for a script.
pub fn exit_of_status(status: u16) -> u8 {
    match status {
        401 => exit::NOT_SIGNED_IN,
        403 => exit::DENIED,
        404 | 410 => exit::NOT_FOUND,
        409 | 412 => exit::CONFLICT,
        423 => exit::LOCKED,
        502..=504 => exit::CANNOT_REACH,
        _ => exit::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_may_only_name_exit_codes_that_the_table_has() {
        let problem =
            |exit| Problem { code: "NARU-X1".into(), title: "No.".into(), detail: None, hint: None, offer: None, fields: Vec::new(), exit };
        for (said, status, exit) in
            [(4, 403, 4), (6, 403, 6), (9, 403, 9), (0, 403, 4), (77, 409, 8), (255, 401, 3), (1, 500, 1), (1, 404, 5)]
        {
            assert_eq!(Failure::from_problem(problem(said), status).exit, exit, "{said} {status}");
        }
    }
}
