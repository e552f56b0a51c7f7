//! The way to the server, from the outside in: name, port, certificate, clock, API, SSH, agents. What fails ends what depends on it.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::api::{NodeRow, Status};
use wire::link::{Address, Pin};

use super::checks::Checks;
use crate::failure::Failure;
use crate::http::{Api, CONNECT};
use crate::profile::{Facts, Profile, file};
use crate::{tls, when};

/// An agent forgives its proxy this much.
const CLOCK: Duration = Duration::from_secs(30);
/// Names of agents that are shown at most.
const NAMED: usize = 5;

/// Looks at the server of a sign-in.
pub(super) async fn server(checks: &mut Checks, profile: &Profile, facts: &Facts) {
    let address = match facts.address() {
        Ok(address) => address,
        Err(failure) => return checks.failed("address", &failure),
    };
    if !dns(checks, &address).await || !tcp(checks, &address).await || !certificate(checks, profile, &address).await {
        return;
    }
    ssh(checks, facts, &address).await;
    let api = match Api::of(profile) {
        Ok(api) => api,
        Err(_) => return checks.skip("api", "the sign-in has ended"),
    };
    // Both ends are read around one request: it cannot have taken longer than the request did.
    let before = when::now();
    match api.get::<Status>("/v1/status").await {
        Ok(status) => {
            let (ours, theirs) = (env!("CARGO_PKG_VERSION"), &status.version);
            let same = if ours == theirs { "like this naru" } else { "this naru has another" };
            checks.ok("api", format!("it answers {}; version {theirs}, {same} ({ours})", status.name));
            clock(checks, before, status.time, when::now());
            agents(checks, &api).await;
        }
        Err(failure) => checks.failed("api", &failure),
    }
}

async fn dns(checks: &mut Checks, address: &Address) -> bool {
    let found = timeout(CONNECT, tokio::net::lookup_host((address.host(), address.port()))).await;
    let remedy = "is the name right, and does this computer's resolver know it? Some names are known inside a company only";
    match found {
        Ok(Ok(found)) => {
            let mut all: Vec<String> = found.map(|at| at.ip().to_string()).collect();
            all.dedup();
            if all.is_empty() {
                checks.fail("dns", format!("{} has no address", address.host()), remedy);
                return false;
            }
            checks.ok("dns", format!("{} is {}", address.host(), all.join(", ")));
            true
        }
        Ok(Err(error)) => {
            checks.fail("dns", format!("{} cannot be resolved: {error}", address.host()), remedy);
            false
        }
        Err(_) => {
            checks.fail("dns", format!("nobody answers what {} is", address.host()), remedy);
            false
        }
    }
}

async fn tcp(checks: &mut Checks, address: &Address) -> bool {
    let remedy = "is the server running, and does a firewall let this port through?";
    match timeout(CONNECT, TcpStream::connect((address.host(), address.port()))).await {
        Ok(Ok(_)) => checks.ok("tcp", format!("port {} takes connections", address.port())),
        Ok(Err(error)) => {
            checks.fail("tcp", format!("{} cannot be reached: {error}", address.authority()), remedy);
            return false;
        }
        Err(_) => {
            checks.fail("tcp", format!("{} does not answer within {} s", address.authority(), CONNECT.as_secs()), remedy);
            return false;
        }
    }
    true
}

/// Whether the server shows the authority that this sign-in pinned.
async fn certificate(checks: &mut Checks, profile: &Profile, address: &Address) -> bool {
    let pinned = match profile.read(file::CA).and_then(|pem| pin(&pem)) {
        Ok(pinned) => pinned,
        Err(failure) => {
            checks.failed("certificate", &failure);
            return false;
        }
    };
    match Api::introduce(address.clone()).await {
        Ok(shown) if shown == pinned => checks.ok("certificate", format!("it is of the authority that you pinned, {pinned}")),
        Ok(shown) => {
            let found = format!("the server shows the authority {shown}, and you pinned {pinned}");
            let remedy = "go no further before an administrator confirms the new pin: it may be somebody in between";
            checks.fail("certificate", found, remedy);
            return false;
        }
        Err(failure) => {
            checks.failed("certificate", &failure);
            return false;
        }
    }
    true
}

fn pin(pem: &str) -> Result<Pin, Failure> {
    let damaged = |e: &dyn std::fmt::Display| Failure::not_signed_in("the files of this sign-in are damaged").because(e);
    let chain = tls::certificates(pem).map_err(|e| damaged(&e))?;
    chain.first().map(|der| Pin::of_der(der)).ok_or_else(|| damaged(&"no certificate"))
}

fn clock(checks: &mut Checks, before: access::time::Timestamp, theirs: access::time::Timestamp, after: access::time::Timestamp) {
    let (behind, ahead) = (before.since(theirs), theirs.since(after));
    let off = behind.max(ahead);
    if off <= CLOCK {
        return checks.ok("clock", "this computer and the server agree");
    }
    let which = if ahead > behind { "behind" } else { "ahead of" };
    let found = format!("this computer is {} {which} the server", when::length(off));
    checks.fail("clock", found, "set the time on whichever is wrong: certificates and orders to agents live by it");
}

/// What answers to silence on the SSH port: that is how clients which wait for a banner are told apart.
async fn ssh(checks: &mut Checks, facts: &Facts, address: &Address) {
    let place = facts.ssh.first().and_then(|place| place.parse::<Address>().ok()).unwrap_or_else(|| address.clone());
    let greeted = async {
        let mut socket = TcpStream::connect((place.host(), place.port())).await?;
        let mut first = [0; 8];
        socket.read_exact(&mut first).await.map(|_| first)
    };
    let remedy = "does something in between, such as a load balancer, speak TLS or HTTP itself? It has to pass bytes on";
    match timeout(CONNECT, greeted).await {
        Ok(Ok(first)) if first.starts_with(b"SSH-2.0-") => checks.ok("ssh", format!("{} speaks SSH", place.authority())),
        Ok(Ok(_)) => checks.fail("ssh", format!("{} answers with something that is not SSH", place.authority()), remedy),
        Ok(Err(error)) => checks.fail("ssh", format!("{} does not speak SSH: {error}", place.authority()), remedy),
        Err(_) => checks.fail("ssh", format!("{} says nothing within {} s", place.authority(), CONNECT.as_secs()), remedy),
    }
}

async fn agents(checks: &mut Checks, api: &Api) {
    match api.all::<NodeRow>("/v1/nodes", None).await {
        Ok(nodes) => of_nodes(checks, &nodes),
        Err(failure) => checks.failed("agents", &failure),
    }
}

fn of_nodes(checks: &mut Checks, nodes: &[NodeRow]) {
    let away: Vec<&str> = nodes.iter().filter(|node| !node.connected).map(|node| node.name.as_str()).collect();
    let remedy = "systemctl status naru-agent on the host; one that is gone for good: naru delete node NAME";
    match (nodes.len(), away.len()) {
        (0, _) => checks.skip("agents", "you may reach no node"),
        (all, 0) => checks.ok("agents", format!("all {all} nodes that you may reach are connected")),
        (all, gone) => {
            let named = away.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            let more = if gone > NAMED { ", …" } else { "" };
            checks.fail("agents", format!("{gone} of {all} nodes that you may reach are away: {named}{more}"), remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use access::time::Timestamp;
    use tokio::io::AsyncWriteExt as _;

    use super::super::checks::State;
    use super::*;

    #[test]
    fn a_clock_that_is_off_says_which_way() {
        let found = |before: i64, theirs: i64, after: i64| {
            let mut checks = Checks::default();
            clock(&mut checks, Timestamp::from_secs(before), Timestamp::from_secs(theirs), Timestamp::from_secs(after));
            checks.found("clock")
        };
        assert!(found(1_000, 1_000, 1_001).starts_with("Ok"));
        // A slow answer is no clock that is off.
        assert!(found(1_000, 1_050, 1_090).starts_with("Ok"));
        assert!(found(1_000, 1_100, 1_001).contains("behind the server"));
        assert!(found(1_100, 1_000, 1_101).contains("ahead of the server"));
    }

    #[tokio::test]
    async fn what_does_not_greet_as_ssh_is_told() {
        let facts = |port: u16| Facts {
            address: format!("https://127.0.0.1:{port}"),
            user: String::new(),
            name: "alice".parse().expect("name"),
            roles: vec![],
            expires: Timestamp::from_secs(0),
            install: "i".parse().expect("id"),
            server_name: String::new(),
            ssh: vec![format!("127.0.0.1:{port}")],
            connector: None,
        };
        let greet = async |greeting: &'static [u8]| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
            let port = listener.local_addr().expect("address").port();
            let served = tokio::spawn(async move {
                let (mut socket, _) = listener.accept().await.expect("accepted");
                socket.write_all(greeting).await.expect("written");
            });
            let (facts, mut checks) = (facts(port), Checks::default());
            ssh(&mut checks, &facts, &facts.address().expect("address")).await;
            served.await.expect("served");
            checks.states().first().map(|(_, state)| *state)
        };
        assert_eq!(greet(b"SSH-2.0-naru\r\n").await, Some(State::Ok));
        assert_eq!(greet(b"HTTP/1.1 400 Bad Request\r\n").await, Some(State::Fail));
        assert_eq!(greet(b"SSH").await, Some(State::Fail));
    }
}
