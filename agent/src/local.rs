//! The second lock: what this host itself allows, on top of every grant. Checking leaves an [`Admitted`], which alone opens a holder.

use access::words::Login;
use config::agent::AgentFile;
use wire::grant::{Allowed, VerifiedGrant};
use wire::tunnel::{How, Refusal, SessionRequest};

/// Limits of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// The agent's own file.
    pub file: AgentFile,
    /// The only login there can be: that of the process, when it is not root.
    pub only_login: Option<Login>,
}

/// A request that grant and host both allow.
#[derive(Debug)]
pub(crate) struct Admitted {
    request: SessionRequest,
}

impl Admitted {
    /// Compares the request with its grant and with this host's limits.
    pub(crate) fn check(grant: &VerifiedGrant, request: SessionRequest, limits: &Limits) -> Result<Self, Refusal> {
        let claims = grant.claims();
        let same = claims.session == request.session && claims.login == request.login && claims.node == request.node;
        let fits = match (&claims.allow, &request.how) {
            (Allowed::Open { kind, terminal }, How::Open { kind: wanted, terminal: asked, .. }) => {
                kind == wanted && *terminal == asked.is_some()
            }
            (Allowed::Resume { .. }, How::Resume {}) => true,
            _ => false,
        };
        if !same || !fits {
            return Err(refusal("NARU-G201", "the request is not what the grant allows"));
        }
        limits.login(&request.login)?;
        Ok(Self { request })
    }

    /// What may be done.
    pub(crate) fn request(&self) -> &SessionRequest {
        &self.request
    }
}

impl Limits {
    fn login(&self, login: &Login) -> Result<(), Refusal> {
        if let Some(only) = &self.only_login
            && only != login
        {
            return Err(refusal("NARU-G202", format!("the agent runs as {only}, not as root, so it can open sessions for {only} only")));
        }
        if !self.file.allows(login) {
            return Err(refusal("NARU-G204", format!("this host does not list {login} among the logins that its agent may open")));
        }
        Ok(())
    }
}

fn refusal(code: &str, message: impl Into<String>) -> Refusal {
    Refusal { code: code.to_owned(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_needs_to_be_listed_and_a_list_excludes_the_rest() {
        let login = |text: &str| text.parse::<Login>().expect("login");
        let code = |limits: &Limits, text: &str| limits.login(&login(text)).err().map(|refusal| refusal.code);
        let open = Limits::default();
        assert_eq!(code(&open, "ubuntu"), None);
        assert_eq!(code(&open, "root").as_deref(), Some("NARU-G204"));
        let file = config::agent::agent("agent.yaml", "allow_logins: [root]").expect("a sound file");
        let listed = Limits { file, only_login: None };
        assert_eq!(code(&listed, "root"), None);
        assert_eq!(code(&listed, "ubuntu").as_deref(), Some("NARU-G204"));
        let own = Limits { only_login: Some(login("kim")), ..Limits::default() };
        assert_eq!(code(&own, "kim"), None);
        assert_eq!(code(&own, "lee").as_deref(), Some("NARU-G202"));
    }
}
