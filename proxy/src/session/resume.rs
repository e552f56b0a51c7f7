//! Taking a session up again after its agent was away: a new decision, a new grant, a higher fencing number. The session's own secret
//! stays with the proxy and the holder.

use std::time::Duration;

use access::decide::{Denial, OpenSession, Permit, decide, unknown_node};
use access::event::What;
use access::identity::Identity;
use access::words::AgentId;
use tokio::time::Instant;
use wire::tunnel::SessionRequest;

use super::open::{Asker, NotOpened, Sessions, unreachable};
use crate::agents::dial::{DialError, Far};
use crate::clock;

/// A tunnel that came back may need a moment, or another try.
const RETRY: Duration = Duration::from_secs(1);

/// What it takes to take a session up.
pub(super) struct Resuming {
    pub(super) host: Sessions,
    pub(super) question: OpenSession,
    pub(super) request: SessionRequest,
    pub(super) asker: Asker,
    pub(super) fence: u64,
}

/// The session is reachable again.
pub(super) struct Back {
    pub(super) far: Far,
    pub(super) permit: Permit<OpenSession>,
    pub(super) fence: u64,
}

/// The same question with the person and the node of now.
pub(super) fn again(host: &Sessions, permit: &Permit<OpenSession>, sign_in: u64) -> Result<Permit<OpenSession>, Denial> {
    decide_now(host, &begun(permit), sign_in).map(|(permit, _)| permit)
}

/// The question of a session that has begun: how fresh its login was then is what counts.
pub(super) fn begun(permit: &Permit<OpenSession>) -> OpenSession {
    let question = permit.question().clone();
    OpenSession { begun: question.begun.or(Some(permit.decided_at())), ..question }
}

fn decide_now(host: &Sessions, question: &OpenSession, sign_in: u64) -> Result<(Permit<OpenSession>, AgentId), Denial> {
    let now = clock::now();
    let view = host.live.now();
    let OpenSession { identity, node, login, kind, begun, command } = question;
    let unknown = || unknown_node(identity, login, &node.name, &view.policy, now);
    let current = host.people.identity(&identity.name, sign_in, now).ok().filter(|current| current.user == identity.user);
    let identity = Identity { context: identity.context.clone(), ..current.ok_or_else(unknown)? };
    let (node, agent) = host.nodes.facts(&node.name).ok().flatten().ok_or_else(unknown)?;
    let question = OpenSession { identity, node, login: login.clone(), kind: *kind, begun: *begun, command: command.clone() };
    let decided = decide(question, &view.policy, now);
    host.meters.decided(&decided);
    decided.map(|permit| (permit, agent))
}

/// Waits for the agent and dials again, until it works or cannot work any more. The session bounds how long.
pub(super) async fn redial(resuming: Resuming, since: Instant) -> Result<Back, NotOpened> {
    let Resuming { host, question, request, asker, mut fence } = resuming;
    let mut tunnels = host.dialler.agents.watch();
    loop {
        tunnels.mark_unchanged();
        if let Ok(None) = host.nodes.get(&request.node) {
            return Err(NotOpened::new("NARU-N325", format!("the node {} was removed", request.node)));
        }
        if host.nodes.said(&request.node).is_some() {
            let (permit, agent) = decide_now(&host, &question, asker.sign_in).map_err(|denial| NotOpened::denied(&denial))?;
            fence += 1;
            let away_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            let event = host.event(&asker, request.session, question.kind, What::SessionResumed { away_ms, fence });
            let logged = host.log.append(&event)?;
            match host.dialler.dial(&permit, &agent, &logged, &request, fence).await {
                Ok(far) => return Ok(Back { far, permit, fence }),
                Err(error @ DialError::Refused(_)) => return Err(unreachable(&error)),
                Err(error) => tracing::debug!(%error, "not yet"),
            }
        }
        // A change wakes at once; the pause keeps a tunnel that flaps from being dialled in a loop.
        let _ = tokio::time::timeout(RETRY, tunnels.changed()).await;
    }
}
