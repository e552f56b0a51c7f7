//! What is recorded of whom, and how: taken from the permit, so that a caller can neither name another person nor choose a weaker mode.

use access::decide::{OpenSession, Permit};
use access::policy::RecordingMode;
use access::time::Timestamp;
use access::words::SessionId;
use wire::frames::Size;
use wire::journal::{About, Mode, Opened, Recording};

/// What a permit does not know of a session, since nothing was decided about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// The session.
    pub session: SessionId,
    /// The client connection that carries it.
    pub connection: String,
    /// What is run, where it is not a shell.
    pub command: Option<String>,
    /// The terminal, where there is one.
    pub terminal: Option<Size>,
    /// `TERM`.
    pub term: Option<String>,
    /// When it began.
    pub started: Timestamp,
}

/// The permit's person, node, login, kind and duties, with the circumstances beside them.
pub(super) fn opened(permit: &Permit<OpenSession>, circumstances: Circumstances) -> Opened {
    let Circumstances { session, connection, command, terminal, term, started } = circumstances;
    let (question, duties) = (permit.question(), permit.obligations());
    let about = About {
        session,
        user: question.identity.user.clone(),
        user_name: question.identity.name.clone(),
        node: question.node.name.clone(),
        login: question.login.clone(),
        kind: question.kind,
        connection,
        command,
        terminal,
        term,
        started,
    };
    let recording = match duties.recording {
        RecordingMode::Strict => Recording::Strict,
        RecordingMode::BestEffort => Recording::BestEffort,
        RecordingMode::Off => Recording::Off,
    };
    // The bound is for bulk output. Whoever works at a terminal would be unseen beyond it, so of that everything is kept.
    let max_output = duties.max_output.filter(|_| about.terminal.is_none());
    Opened { about, mode: Mode { recording, record_input: duties.record_input, max_output } }
}
