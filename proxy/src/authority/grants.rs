//! Grants from permits: the only maker of a [`SignGrant`].

use std::time::Duration;

use access::decide::{OpenSession, Permit};
use access::time::Timestamp;
use access::words::{AgentId, InstallId};
use wire::grant::{Allowed, Claims, MAX_LIFE};
use wire::proof::Hash;
use wire::tunnel::{How, SessionRequest};

use super::ask::SignGrant;

/// Clocks of agents run behind; `iat` is set back a little so that a fresh grant is never from the future.
const BACKDATE: Duration = Duration::from_secs(5);

/// Which tunnel a grant is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) install: &'a InstallId,
    pub(crate) agent: &'a AgentId,
    /// The pin of this proxy's certificate.
    pub(crate) proxy: &'a str,
    /// The epoch of the tunnel.
    pub(crate) epoch: &'a str,
}

/// The grant for this request: it says what the permit allows and nothing else.
pub(crate) fn grant(
    permit: &Permit<OpenSession>,
    place: Place<'_>,
    request: &SessionRequest,
    body: &[u8],
    fence: u64,
    now: Timestamp,
) -> SignGrant {
    let question = permit.question();
    let allow = match &request.how {
        How::Open { terminal, .. } => Allowed::Open { kind: question.kind, terminal: terminal.is_some() },
        How::Resume {} => Allowed::Resume { fence },
    };
    let issued = now.minus(BACKDATE);
    SignGrant {
        claims: Claims {
            iss: place.install.clone(),
            aud: place.agent.clone(),
            jti: uuid::Uuid::new_v4().simple().to_string(),
            iat: issued.as_secs(),
            exp: issued.plus(MAX_LIFE).as_secs(),
            cnf: place.proxy.to_owned(),
            epoch: place.epoch.to_owned(),
            user: question.identity.user.to_string(),
            user_name: question.identity.name.to_string(),
            node: question.node.name.clone(),
            login: question.login.clone(),
            session: request.session,
            allow,
            body: Hash::of(body),
        },
    }
}
