//! From a request of a signed-in person to a running session: decide, open the recording, log, dial, attach; and after it the end in
//! the log. Each step takes what the one before left behind.

use access::decide::{Denial, Note, Offer, OpenSession, Permit, decide, unknown_node};
use access::event::{Actor, Client, Event, Lost, Outcome, SessionKind, SessionRef, Target, TargetKind, Text, What};
use access::identity::{Context, Identity};
use access::policy::StepUp;
use access::time::Timestamp;
use access::words::{AgentId, Login, NodeName, SessionId};
use recorder::{Circumstances, ClosedRecording, Log, LogError, OpenRecording, Recordings};
use wire::api::SessionRow;
use wire::frames::Exit;
use wire::tunnel::{How, SessionRequest, Terminal};

use super::budget::Budget;
use super::ended::Ended;
use super::near::{NearRead, NearWrite};
use super::run::{Over, Session, Start};
use super::table::{self, Place, Table};
use crate::agents::dial::{DialError, Dialler};
use crate::agents::nodes::Nodes;
use crate::authority::people::{NobodyError, People};
use crate::clock;
use crate::freshness::{Fresh, Freshness, Stale};
use crate::listen::Seats;
use crate::live::Live;
use crate::oidc::Oidc;
use crate::ops::Meters;
use crate::requests::{By, Requests};

/// Seconds for which a session waits for its agent, or its holder for a proxy.
pub(crate) const GRACE_S: u64 = 300;

/// What sessions need of this proxy; made once, shared by the fronts.
#[derive(Clone)]
pub(crate) struct Sessions {
    pub(crate) live: Live,
    pub(crate) requests: Requests,
    pub(crate) people: People,
    pub(crate) oidc: Oidc,
    /// What is counted.
    pub(crate) meters: Meters,
    /// How old the view is.
    pub(crate) freshness: Freshness,
    pub(crate) nodes: Nodes,
    pub(crate) dialler: Dialler,
    pub(crate) recordings: Recordings,
    pub(crate) log: Log,
    /// Where refusals are told.
    pub(crate) refusals: crate::refusals::Refusals,
    pub(crate) table: Table,
    pub(crate) budget: Budget,
    /// Connections of those who have signed in.
    pub(crate) seats: Seats,
    /// Sessions at once.
    pub(crate) max_sessions: usize,
}

/// Who asks, from where, on which connection.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) identity: Identity,
    pub(crate) sign_in: u64,
    pub(crate) client: Client,
    pub(crate) connection: String,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) node: NodeName,
    pub(crate) login: Login,
    pub(crate) kind: SessionKind,
    pub(crate) command: Option<String>,
    pub(crate) terminal: Option<Terminal>,
    pub(crate) env: Vec<(String, String)>,
    /// Why, in the person's own words.
    pub(crate) reason: Option<String>,
}

/// A session did not begin: the sentence for the person and its code.
#[derive(Debug)]
pub(crate) struct NotOpened {
    pub(crate) code: String,
    pub(crate) sentence: String,
    pub(crate) hint: Option<String>,
    /// What showing anew who one is would lift.
    pub(crate) step_up: Option<Box<StepUp>>,
    /// The access request that would.
    pub(crate) offer: Option<Box<Offer>>,
}

impl NotOpened {
    pub(super) fn new(code: &str, sentence: impl Into<String>) -> Self {
        Self { code: code.to_owned(), sentence: sentence.into(), hint: None, step_up: None, offer: None }
    }

    pub(super) fn denied(denial: &Denial) -> Self {
        let (step_up, offer) = (denial.step_up.clone(), denial.offer.clone());
        Self { code: denial.code.to_owned(), sentence: denial.sentence.clone(), hint: Some(denial.hint.clone()), step_up, offer }
    }

    /// The sign-in has ended.
    pub(crate) fn signed_out(error: &NobodyError) -> Self {
        Self { hint: Some("Sign in again with `naru login`.".into()), ..Self::new("NARU-A104", format!("you are not signed in: {error}")) }
    }

    /// As a terminal shows it.
    pub(crate) fn text(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("\r\nhint:  {hint}")).unwrap_or_default();
        format!("error[{}]: {}{hint}\r\n", self.code, self.sentence)
    }
}

impl From<Stale> for NotOpened {
    fn from(stale: Stale) -> Self {
        Self { hint: Some(Stale::HINT.into()), ..Self::new(Stale::CODE, stale.to_string()) }
    }
}

impl From<LogError> for NotOpened {
    fn from(error: LogError) -> Self {
        Self::new("NARU-R102", format!("the session was refused, because the audit log cannot be written: {error}"))
    }
}

/// A session that is ready to run.
pub(crate) struct Opened {
    session: Session,
    /// What the role wants people to read first: the front shows it, since only that knows how.
    pub(crate) notice: Option<String>,
    row: SessionRow,
    asker: Asker,
    target: Target,
    kind: SessionKind,
}

impl Opened {
    /// Something that the person reads before all output.
    pub(crate) fn note(&mut self, text: String) {
        self.session.note(text);
    }

    /// Its id.
    pub(crate) fn id(&self) -> SessionId {
        self.row.id
    }
}

impl Sessions {
    /// Opens a session, or says why not. Every refusal is an event.
    pub(crate) async fn open(&self, mut asker: Asker, wanted: Wanted) -> Result<Opened, NotOpened> {
        let now = clock::now();
        // First of all: a store that hangs is not asked for anything.
        let fresh = self.freshness.proof().map_err(|stale| self.tell(&asker, &wanted, stale.into()))?;
        // From before the decision, so that the session hears of every later change.
        let mut policy = self.live.watch();
        policy.mark_unchanged();
        // Who asks is asked anew: a front may have known the person for a while.
        let context = asker.identity.context.clone();
        asker.identity = match self.people.identity(&asker.identity.name, asker.sign_in, now) {
            Ok(identity) => Identity { context: Context { reason: wanted.reason.clone(), ..context }, ..identity },
            Err(error) => return Err(self.tell(&asker, &wanted, NotOpened::signed_out(&error))),
        };
        let (permit, agent) = match self.decide(&asker.identity, &wanted, now, &fresh) {
            Ok(decided) => decided,
            Err(denial) => return Err(self.deny(&asker, &wanted, &denial, now)),
        };
        self.note(&asker, permit.notes())?;
        let reserved = match self.table.reserve(&asker.identity.name, self.max_sessions, permit.obligations().max_sessions) {
            Ok(reserved) => reserved,
            Err(full) => return Err(self.tell(&asker, &wanted, NotOpened::new(full.code(), full.to_string()))),
        };
        if let Some(request) = permit.request() {
            let by = By { actor: Actor::user(&asker.identity), client: Some(&asker.client) };
            let used = self.requests.used(request, by).await;
            used.map_err(|error| self.tell(&asker, &wanted, NotOpened::new("NARU-P226", error.to_string())))?;
        }
        let id = table::new_id(now);
        let target = target(&permit, Some(agent.clone()));
        let recorded = self.record(id, &permit, &asker, &wanted, now);
        let recording = recorded.map_err(|not_opened| self.tell(&asker, &wanted, not_opened))?;
        let mode = permit.obligations().recording.as_str();
        let mut start = self.event(&asker, id, wanted.kind, start_of(&permit, &wanted));
        start.target = Some(target.clone());
        start.access = Some(permit.access());
        let logged = self.log.append(&start)?;
        let row = row(id, &permit, &asker, &wanted, mode, now);
        let kind = wanted.kind;
        // Only a person at a terminal reads it; in a pipe it would be in the way.
        let on_terminal = kind == SessionKind::Shell && wanted.terminal.is_some();
        let notice = permit.obligations().notice.clone().filter(|_| on_terminal);
        // What the target is told to open, at most what was decided.
        let request = SessionRequest {
            session: id,
            node: wanted.node,
            login: wanted.login,
            how: How::Open {
                kind: wanted.kind,
                command: wanted.command,
                terminal: wanted.terminal,
                env: wanted.env,
                grace_s: GRACE_S,
                read_only: kind == SessionKind::Sftp && !permit.obligations().sftp_write,
            },
        };
        let far = match self.dialler.dial(&permit, &agent, &logged, &request, 1).await {
            Ok(far) => far,
            Err(error) => {
                let not_opened = unreachable(&error);
                let ended = Ended::before_it_began(&not_opened);
                let closed = recording.close(ended.ending()).await;
                self.finish(closed, ended, row, &asker, &target, kind, None, None);
                return Err(not_opened);
            }
        };
        let place = self.table.enter(row.clone(), asker.sign_in, reserved);
        let start = Start { host: self.clone(), permit, recording, request, far, place, asker: asker.clone(), policy };
        Ok(Opened { session: Session::new(start), notice, row, asker, target, kind })
    }

    fn decide(&self, who: &Identity, wanted: &Wanted, now: Timestamp, _: &Fresh) -> Result<(Permit<OpenSession>, AgentId), Denial> {
        let facts = self.nodes.facts(&wanted.node).unwrap_or_else(|error| {
            tracing::error!(%error, "the store could not be read");
            None
        });
        let Some((node, agent)) = facts else { return Err(unknown_node(who, &wanted.login, &wanted.node, &self.live.now().policy, now)) };
        let question = OpenSession {
            identity: who.clone(),
            node,
            login: wanted.login.clone(),
            kind: wanted.kind,
            begun: None,
            command: wanted.command.clone(),
        };
        let decided = decide(question, &self.live.now().policy, now);
        self.meters.decided(&decided);
        decided.map(|permit| (permit, agent))
    }

    fn deny(&self, asker: &Asker, wanted: &Wanted, denial: &Denial, now: Timestamp) -> NotOpened {
        let asked = format!("{} session as {}@{}", word(wanted.kind), wanted.login, wanted.node);
        let mut event = Event::new(now, Actor::user(&asker.identity), What::AccessDenied { asked });
        event.outcome = Outcome::denied(denial.code, denial.sentence.clone());
        event.access = Some(denial.access(&self.live.now().policy));
        event.client = Some(asker.client.clone());
        event.target = Some(Target {
            kind: TargetKind::Ssh,
            name: wanted.node.to_string(),
            labels: Default::default(),
            agent_id: None,
            login: Some(wanted.login.clone()),
        });
        if let Err(error) = self.refusals.tell(event) {
            return error.into();
        }
        if let Err(error) = self.note(asker, &denial.notes) {
            return error;
        }
        NotOpened::denied(denial)
    }

    /// What is told beside an answer is in the log: roles that are tried out, conditions that fail.
    pub(super) fn note(&self, asker: &Asker, notes: &[Note]) -> Result<(), NotOpened> {
        for note in notes {
            let what = match note.clone() {
                Note::WouldDeny { rule, sentence } => What::AccessWouldDeny { rule, sentence },
                Note::ConditionFailed { rule, why } => What::ConditionFailed { rule, cause: why },
            };
            let mut event = Event::new(clock::now(), Actor::user(&asker.identity), what);
            event.client = Some(asker.client.clone());
            let _told = self.refusals.tell(event)?;
        }
        Ok(())
    }

    /// A refusal that is no decision is in the log too.
    fn tell(&self, asker: &Asker, wanted: &Wanted, not_opened: NotOpened) -> NotOpened {
        let asked = format!("{} session as {}@{}", word(wanted.kind), wanted.login, wanted.node);
        let mut event = Event::new(clock::now(), Actor::user(&asker.identity), What::AccessDenied { asked });
        event.outcome = Outcome::denied(&not_opened.code, not_opened.sentence.clone());
        event.client = Some(asker.client.clone());
        match self.refusals.tell(event) {
            Ok(_) => not_opened,
            Err(error) => error.into(),
        }
    }

    fn record(
        &self,
        id: SessionId,
        permit: &Permit<OpenSession>,
        asker: &Asker,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<OpenRecording, NotOpened> {
        let circumstances = Circumstances {
            session: id,
            connection: asker.connection.clone(),
            command: wanted.command.clone(),
            terminal: wanted.terminal.as_ref().map(|terminal| terminal.size),
            term: wanted.terminal.as_ref().map(|terminal| terminal.term.clone()),
            started: now,
        };
        let opened = self.recordings.open(permit, circumstances);
        let refused = |error| NotOpened {
            code: "NARU-R101".into(),
            sentence: format!("the session was refused, because its recording could not be opened: {error}"),
            hint: Some("Free space on the proxy, or let a role allow unrecorded sessions.".into()),
            step_up: None,
            offer: None,
        };
        opened.map_err(refused)
    }

    /// Runs a session to its end, and writes that end down.
    pub(crate) async fn run<R: NearRead, W: NearWrite>(&self, opened: Opened, near: R, show: W) {
        let Opened { session, row, asker, target, kind, .. } = opened;
        let Over { ended, mut closing, stuck, place } = session.run(near, show).await;
        let (id, waits) = (row.id, stuck.is_some());
        self.finish(closing.so_far().clone(), ended, row, &asker, &target, kind, Some(place), stuck);
        if waits {
            let closed = closing.stored().await;
            self.closed_at_last(closed, id, &asker, target, kind);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the ends of one session")]
    fn finish(
        &self,
        closed: ClosedRecording,
        ended: Ended,
        row: SessionRow,
        asker: &Asker,
        target: &Target,
        kind: SessionKind,
        place: Option<Place>,
        stuck: Option<String>,
    ) {
        if let Some(place) = &place {
            place.entry.ends();
        }
        let mut end = self.event(
            asker,
            row.id,
            kind,
            What::SessionEnd {
                reason: ended.reason.to_owned(),
                output_bytes: closed.output_bytes,
                input_bytes: closed.input_bytes,
                duration_ms: u64::try_from(closed.duration.as_millis()).unwrap_or(u64::MAX),
                manifest: closed.manifest.map(|hash| hash.to_string()),
                closing: stuck,
                lost: closed.lost.clone(),
            },
        );
        end.target = Some(target.clone());
        end.outcome = ended.outcome();
        if let Err(error) = self.log.append(&end) {
            tracing::error!(%error, session = %row.id, "the end of a session could not be logged");
        }
        let row = ended_row(row, &ended, &closed);
        let table = self.table.clone();
        // The store waits for the disk; sessions do not wait for the store.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = table.ended(&row) {
                tracing::error!(%error, session = %row.id, "an ended session could not be listed");
            }
            // Among the live ones until it is among the ended ones.
            drop(place);
        });
    }

    /// The recording that could not be closed when its session ended; without a manifest the next start looks again.
    fn closed_at_last(&self, closed: &ClosedRecording, id: SessionId, asker: &Asker, target: Target, kind: SessionKind) {
        let Some(manifest) = closed.manifest.map(|hash| hash.to_string()) else { return };
        let what = What::RecordingClosed { output_bytes: closed.output_bytes, manifest, lost: closed.lost.clone() };
        let mut event = self.event(asker, id, kind, what);
        event.target = Some(target);
        if let Err(error) = self.log.append(&event) {
            tracing::error!(%error, session = %id, "the close of a recording could not be logged");
        }
    }

    /// An event of a session.
    pub(super) fn event(&self, asker: &Asker, id: SessionId, kind: SessionKind, what: What) -> Event {
        let mut event = Event::new(clock::now(), Actor::user(&asker.identity), what);
        event.client = Some(asker.client.clone());
        event.session = Some(SessionRef { id, kind, connection: Some(asker.connection.clone()), offset_ms: None });
        event
    }
}

fn word(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Shell => "shell",
        SessionKind::Exec => "exec",
        SessionKind::Sftp => "sftp",
    }
}

fn target(permit: &Permit<OpenSession>, agent_id: Option<AgentId>) -> Target {
    let question = permit.question();
    Target {
        kind: TargetKind::Ssh,
        name: question.node.name.to_string(),
        labels: question.node.labels.clone(),
        agent_id,
        login: Some(question.login.clone()),
    }
}

fn row(id: SessionId, permit: &Permit<OpenSession>, asker: &Asker, wanted: &Wanted, recording: &str, now: Timestamp) -> SessionRow {
    SessionRow {
        id,
        user: asker.identity.name.clone(),
        node: wanted.node.clone(),
        login: permit.question().login.clone(),
        kind: wanted.kind,
        command: wanted.command.as_ref().map(|command| Text::of(command.as_bytes()).text),
        connection: Some(asker.connection.clone()),
        started: now,
        ended: None,
        reason: None,
        exit: None,
        signal: None,
        output_bytes: 0,
        lost: Lost::default(),
        recording: recording.to_owned(),
        live: true,
    }
}

fn ended_row(row: SessionRow, ended: &Ended, closed: &ClosedRecording) -> SessionRow {
    let (exit, signal) = match &ended.exit {
        Some(Exit::Code(code)) => (Some(*code), None),
        Some(Exit::Signal { name, .. }) => (None, Some(name.clone())),
        _ => (None, None),
    };
    SessionRow {
        ended: Some(clock::now()),
        reason: Some(ended.reason.to_owned()),
        exit,
        signal,
        output_bytes: closed.output_bytes,
        lost: closed.lost.clone(),
        live: false,
        ..row
    }
}

pub(super) fn unreachable(error: &DialError) -> NotOpened {
    match error {
        DialError::NotConnected(node) => NotOpened {
            code: "NARU-N321".into(),
            sentence: format!("{node} is known but not connected"),
            hint: Some("Its agent has no tunnel to this proxy at the moment; see `naru ls`.".into()),
            step_up: None,
            offer: None,
        },
        DialError::Refused(refusal) => {
            NotOpened { code: refusal.code.clone(), sentence: refusal.message.clone(), hint: None, step_up: None, offer: None }
        }
        DialError::Io(error) => NotOpened::new("NARU-N322", format!("the target's agent did not answer: {error}")),
    }
}

/// What the event of a session's beginning says.
fn start_of(permit: &Permit<OpenSession>, wanted: &Wanted) -> What {
    What::SessionStart {
        command: wanted.command.as_ref().map(|command| Text::of(command.as_bytes())),
        terminal: wanted.terminal.as_ref().map(|terminal| (terminal.size.cols, terminal.size.rows)),
        recording: permit.obligations().recording.as_str().to_owned(),
        reason: wanted.reason.as_ref().map(|reason| Text::of(reason.as_bytes())),
        request: permit.request().cloned(),
    }
}
