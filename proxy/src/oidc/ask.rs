//! A sign-in begins: a connector is chosen, the provider's address is made, and what must come back is remembered.

use access::connector::Flow;
use access::event::Client as From;
use access::words::ConnectorName;
use wire::api::{Begin, Begun};

use super::attempts::{Attempt, For, ForLogin, LIFE, Stage, new_code, new_id, times};
use super::client::{Asked, Extra};
use super::device::Waiting;
use super::{BAD_BEGIN, CONNECTOR, Oidc, Refusal};

/// Longest SSH key and certificate request that are taken.
const MAX_KEY: usize = 2 * 1024;
const MAX_CSR: usize = 4 * 1024;
/// Longest name that a computer may give itself, in characters.
const MAX_HOST: usize = 64;
/// Seconds between two questions of a client.
const INTERVAL_S: u64 = 1;

/// A sign-in in a browser that is not the client's own: where it is to come back to is ours.
pub(crate) struct Wanted {
    pub(crate) connector: ConnectorName,
    pub(crate) purpose: For,
    pub(crate) client: From,
    pub(crate) acr_values: Vec<String>,
    pub(crate) max_age: Option<u64>,
}

impl Oidc {
    /// Begins a client's login.
    pub(crate) async fn begin(&self, asked: Begin, client: From) -> Result<Begun, Refusal> {
        let connector = self.chosen(asked.connector)?;
        let stored = self.connector(&connector)?;
        let Begin { flow, redirect, challenge, ssh_public_key, csr_pem, host, again, .. } = asked;
        if !stored.spec.allows(flow) {
            let sentence = format!("connector {connector} does not allow to sign in by {}", flow.as_str());
            return Err(Refusal::new(CONNECTOR, "flow", sentence).hint("Choose another way: `naru login --help` lists them."));
        }
        let bad = |what: &str| Refusal::new(BAD_BEGIN, "begin", format!("the sign-in cannot begin: {what}"));
        if challenge.len() != 43 || !challenge.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Err(bad("its challenge is no SHA-256 in base64url"));
        }
        if ssh_public_key.len() > MAX_KEY || csr_pem.len() > MAX_CSR {
            return Err(bad("its keys are too long"));
        }
        let redirect = match (flow, redirect) {
            (Flow::Browser, Some(redirect)) if is_loopback_callback(&redirect, &connector) => redirect,
            (Flow::Browser, _) => return Err(bad(&format!("it must come back to http://127.0.0.1:PORT/callback/{connector}"))),
            _ => self.callback(&connector),
        };
        let host: String = host.chars().filter(|c| !c.is_control()).take(MAX_HOST).collect();
        let login = ForLogin { flow, challenge, ssh_public_key, csr_pem, host };
        let library = self.client(&connector, &stored).await?;
        let extra = Extra { login: again, max_age: again.then_some(0), ..Extra::default() };
        let made = library.authorize(&redirect, &extra)?;
        let provider_url = made.url.clone();
        let attempt = attempt(connector.clone(), For::Login(Box::new(login)), made, redirect, client);
        // Its place is taken before the provider is asked: no flood passes through to it.
        self.attempts.begin(attempt.clone())?;
        let Attempt { id, code, begun, .. } = attempt;
        let (browse, code, interval_s) = match flow {
            Flow::Browser => (provider_url, None, INTERVAL_S),
            Flow::Headless => (format!("{}/sign-in/{id}", self.url), Some(code), INTERVAL_S),
            Flow::Device => match library.device().await {
                Ok(device) => {
                    let said = device.told();
                    self.attempts.wait_for(&id, Waiting { library, device, stored });
                    said
                }
                Err(error) => {
                    drop(self.attempts.take(&id));
                    return Err(error.into());
                }
            },
        };
        Ok(Begun { id, connector, browse, code, expires: begun.plus(LIFE), interval_s })
    }

    /// Begins one that ends in a page of ours; answers it and the address to open.
    pub(crate) async fn begin_here(&self, wanted: Wanted) -> Result<(Attempt, String), Refusal> {
        let Wanted { connector, purpose, client, acr_values, max_age } = wanted;
        let stored = self.connector(&connector)?;
        let redirect = self.callback(&connector);
        let library = self.client(&connector, &stored).await?;
        let made = library.authorize(&redirect, &Extra { acr_values, max_age, login: false })?;
        let attempt = attempt(connector, purpose, made, redirect, client);
        self.attempts.begin(attempt.clone())?;
        let browse = format!("{}/sign-in/{}", self.url, attempt.id);
        Ok((attempt, browse))
    }

    fn chosen(&self, asked: Option<ConnectorName>) -> Result<ConnectorName, Refusal> {
        let view = self.live.now();
        match asked {
            Some(name) => self.connector(&name).map(|_| name),
            None => {
                let mut all = view.connectors.keys();
                match (all.next(), all.next()) {
                    (Some(only), None) => Ok(only.clone()),
                    (None, _) => Err(Refusal::new(CONNECTOR, "connector", "no identity provider is connected to this server")
                        .hint("Sign in with a link of an administrator: naru login --link 'LINK'.")),
                    _ => Err(Refusal::new(CONNECTOR, "connector", "more than one identity provider is connected to this server")
                        .hint("Say which: naru login --connector NAME.")),
                }
            }
        }
    }
}

fn attempt(connector: ConnectorName, purpose: For, made: Asked, redirect: String, client: From) -> Attempt {
    let Asked { url, state, nonce, verifier } = made;
    let (begun, until) = times();
    Attempt {
        id: new_id(),
        connector,
        purpose,
        code: new_code(),
        state,
        nonce,
        verifier,
        redirect,
        url,
        browser: None,
        device: None,
        client,
        begun,
        until,
        stage: Stage::Begun,
    }
}

/// Only the client's own listener (RFC 8252 section 7.3): the address as digits, any port, one path. It differs by connector: a provider
/// that sends a browser on to another one does not get that one's code by it (RFC 9700 section 4.4.2.2).
fn is_loopback_callback(redirect: &str, connector: &ConnectorName) -> bool {
    let rest = redirect.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix(connector.as_str()));
    let port = rest.and_then(|rest| rest.strip_suffix("/callback/"));
    port.is_some_and(|port| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_comes_back_to_its_own_computer_only() {
        let idp = "idp".parse().expect("a name");
        assert!(is_loopback_callback("http://127.0.0.1:41234/callback/idp", &idp));
        for bad in [
            "http://127.0.0.1:41234/callback",
            "http://127.0.0.1:41234/callback/other",
            "http://127.0.0.1:41234/callback/x/idp",
            "https://127.0.0.1:41234/callback/idp",
            "http://localhost:41234/callback/idp",
            "http://127.0.0.1/callback/idp",
            "http://127.0.0.1:0/callback/idp",
            "http://127.0.0.1:+80/callback/idp",
            "http://127.0.0.1:080/callback/idp",
            "http://127.0.0.1:80@evil.example/callback/idp",
            "http://127.0.0.1:80/other/callback/idp",
            "http://127.0.0.1:80/callback/idp?x",
            "http://127.0.0.1.evil.example:80/callback/idp",
        ] {
            assert!(!is_loopback_callback(bad, &idp), "{bad}");
        }
    }
}
