//! Which tunnels count, how many there may be, and what is told of those that do not. Also the least that speaks like an agent.

use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::DuplexStream;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::*;

fn agent(name: &str) -> AgentId {
    name.parse().expect("an id")
}

fn says(agent: &AgentId, purpose: Purpose) -> HelloBack {
    let labels = [("of".to_owned(), agent.to_string())].into();
    HelloBack { agent: agent.clone(), purpose, epoch: "0".repeat(32), version: "1".to_owned(), labels, only_login: None }
}

/// Answers every stream of a tunnel as an agent answers hello, until the tunnel ends.
pub(crate) async fn speak(socket: DuplexStream, agent: AgentId) {
    let mut connection = yamux::Connection::new(socket.compat(), yamux::Config::default(), yamux::Mode::Client);
    let body = serde_json::to_string(&says(&agent, Purpose::Terminals)).expect("json");
    while let Some(Ok(mut stream)) = std::future::poll_fn(|cx| connection.poll_next_inbound(cx)).await {
        let answer = format!("NHTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        tokio::spawn(async move {
            let mut asked = [0; 16 * 1024];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.flush().await;
            while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {}
        });
    }
}

/// Whether a tunnel was told to end.
pub(crate) fn is_cut(tunnel: &Tunnel) -> bool {
    tunnel.cut.is_cancelled()
}

/// The pin that grants for a tunnel are bound to.
pub(crate) fn pin_of(tunnel: &Tunnel) -> &str {
    &tunnel.pin
}

fn tunnel(agent: &AgentId, purpose: Purpose) -> Arc<Tunnel> {
    let (mux, _) = mux::start(tokio::io::duplex(64).0);
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    Arc::new(Tunnel { agent: agent.clone(), hello: says(agent, purpose), pin: String::new(), mux, connections, cut })
}

#[test]
fn only_the_tunnels_of_the_nodes_agent_count() {
    let (agents, node, one, two) = (Agents::new(), "demo".parse().expect("a name"), agent("demo-1"), agent("demo-2"));
    let (old, new) = (tunnel(&one, Purpose::Terminals), tunnel(&two, Purpose::Bulk));
    assert!(agents.add(&node, old.clone()) && agents.add(&node, new.clone()), "each is the first of its agent");
    // Of the one that is asked for, even where only the other has a tunnel for the purpose.
    let of = |agent: &AgentId, purpose| agents.tunnel(&node, agent, purpose).map(|tunnel| tunnel.agent.clone());
    assert_eq!((of(&one, Purpose::Bulk), of(&two, Purpose::Terminals)), (Some(one.clone()), Some(two.clone())));
    assert_eq!(agents.with_own_labels(&node, &two, Labels::new())["of"].value, "demo-2");
    assert_eq!(agents.said(&node, &one).map(|hello| hello.agent), Some(one.clone()));
    agents.cut_others(&node, &two);
    assert!(old.cut.is_cancelled() && !new.cut.is_cancelled());
    assert!(agents.remove(&node, &old), "the last of its agent");
    assert_eq!((of(&one, Purpose::Bulk), of(&two, Purpose::Bulk)), (None, Some(two)));
}

#[test]
fn one_connection_too_many_of_an_agent_cuts_its_oldest() {
    let (agents, one) = (Agents::new(), agent("demo-1"));
    let other = agents.arrive(&agent("demo-2"));
    let mut there: VecDeque<Arrival<'_>> = (0..MAX_TUNNELS).map(|_| agents.arrive(&one)).collect();
    assert!(there.iter().all(|arrival| !arrival.cut.is_cancelled()));
    there.push_back(agents.arrive(&one));
    let cut: Vec<bool> = there.iter().map(|arrival| arrival.cut.is_cancelled()).collect();
    assert_eq!(cut, [true, false, false, false, false]);
    // The one that was cut goes, and another: there is room for one.
    there.drain(..2);
    there.push_back(agents.arrive(&one));
    assert!(there.iter().all(|arrival| !arrival.cut.is_cancelled()) && !other.cut.is_cancelled());
    drop(there);
    assert_eq!(locked(&agents.arrived).len(), 1);
}

#[test]
fn a_refused_agent_is_told_of_once_a_minute() {
    let (agents, one, now) = (Agents::new(), agent("demo-1"), Instant::now());
    assert!(agents.tells_refusal(&one, now) && !agents.tells_refusal(&one, now + REFUSED_EVERY / 2));
    assert!(agents.tells_refusal(&agent("demo-2"), now));
    assert!(agents.tells_refusal(&one, now + REFUSED_EVERY));
    assert_eq!(locked(&agents.refused).len(), 1, "what is over is forgotten");
}
