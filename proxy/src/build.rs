//! Building and running a proxy. Nothing is served before everything that can fail has been read, and of a new install nothing is made
//! before its port is taken.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use access::event::{Actor, Event, What};
use access::words::InstallId;
use recorder::commit::Commits;
use recorder::log::{Log, LogError, LogSettings};
use recorder::{RecorderSettings, Recordings};
use rustls_pki_types::PrivateKeyDer;
use store::kv::{Expect, Kv, KvError};
use store::state::{StateDir, StateError};
use tokio::net::{TcpListener, UnixListener};

use crate::agents::Agents;
use crate::agents::dial::Dialler;
use crate::agents::nodes::Nodes;
use crate::agents::serve::Tunnels;
use crate::api::{App, HttpFront, Parts};
use crate::authority::ask::{Keys, SignError, SignServer};
use crate::authority::keyring::{KeyError, Keyring};
use crate::authority::old;
use crate::authority::one_time::OneTime;
use crate::authority::people::People;
use crate::authority::tls::Subject;
use crate::clock;
use crate::listen::tls::{Tls, TlsError};
use crate::listen::{Arrived, Connections, Fronts, Port, Seat, Ticket};
use crate::live::{Live, LiveError};
use crate::notify::{NotifyError, Sinks};
use crate::oidc::Oidc;
use crate::refusals::{Refusals, SUMMARY_EVERY};
use crate::requests::Requests;
use crate::session::lost::{LostError, finish_lost};
use crate::session::open::Sessions;
use crate::session::table::{Stop, Table};
use crate::ssh::SshFront;

/// The only stream of a proxy that has its state directory to itself.
const STREAM: &str = "proxy-1";
/// How long live sessions get to end when the proxy stops.
const DRAIN: Duration = Duration::from_secs(10);

/// What a proxy is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Everything that it keeps.
    pub state: PathBuf,
    /// Where it listens; port 0 takes any.
    pub listen: SocketAddr,
    /// Names by which people and agents reach it, without a port; the first is used in links.
    pub public: Vec<String>,
    /// Peers that say who their client is; none where everybody comes directly.
    pub balancers: Option<config::proxy::Balancers>,
    /// Sessions at once.
    pub max_sessions: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// How long a sign-in lasts, and the certificates of it; at most 12 hours.
    pub certificate_life: Duration,
    /// How long a sign-in link can be used.
    pub link_life: Duration,
    /// Receivers of events.
    pub webhooks: Vec<config::proxy::Webhook>,
    /// The administrator knows that the store is older than the log, and wants it all the same.
    pub accept_restored_store: bool,
}

/// A proxy does not start. Nothing was served.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BuildError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the install id in VERSION is not one of Naru's: {0}")]
    Install(String),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] store::kv::StartError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(
        "the store is older than the audit log knows it: it holds {found} writes of {expected}, so what was revoked since then would be in force again"
    )]
    OldStore { found: u64, expected: u64 },
    #[error(transparent)]
    Log(#[from] recorder::log::StartError),
    #[error(transparent)]
    Append(#[from] LogError),
    #[error("the sessions of the run before cannot be ended in the audit log: {0}")]
    Lost(#[from] LostError),
    #[error(transparent)]
    Recorder(#[from] recorder::StartError),
    #[error(transparent)]
    Live(#[from] LiveError),
    #[error("the port {address} cannot be taken: {source}")]
    Port { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error("the control socket in the state directory cannot be made: {0}")]
    Control(io::Error),
    #[error("the commit thread cannot start: {0}")]
    Commit(io::Error),
}

/// A proxy that is ready to serve: port and keys held, nothing served yet.
pub struct Proxy {
    pub(crate) app: App,
    port: Port,
    control: UnixListener,
    fronts: AllFronts,
    commits: Commits,
    log: Log,
    sinks: Sinks,
    table: Table,
    connections: Connections,
    /// Last, so that it is held until everything else is closed.
    _state: StateDir,
}

impl Proxy {
    /// Reads or makes everything, finishes what an earlier run left, and takes the port.
    pub async fn build(settings: Settings) -> Result<Self, BuildError> {
        let early = early(&settings).await?;
        let state = StateDir::open(&settings.state, &format!("n{}", uuid::Uuid::new_v4().simple()), None)?;
        let install: InstallId = state.install().parse().map_err(|e| BuildError::Install(format!("{e}")))?;
        let keys = Keys::new(Keyring::open(&state.folder("keys")?, &install)?);
        let store: Arc<dyn Kv> = Arc::new(store::kv::open(&state.folder("store")?)?);
        let Kept { log, recordings, table, sinks, commits } = kept(&state, &install, &keys, &store, &settings)?;
        let live = Live::start(store.clone(), install.clone())?;

        let (listener, address) = if let Some(bound) = early { bound } else { bind(settings.listen).await? };
        let control = crate::listen::control::bind(state.path()).map_err(BuildError::Control)?;
        let names = names(&settings.public, address);
        let server_name = names.first().cloned().unwrap_or_default();
        let tls = Arc::new(server_tls(&keys, &names)?);

        let agents = Agents::new();
        let nodes = Nodes { store: store.clone(), agents: agents.clone(), live: live.clone() };
        let dialler = Dialler { agents: agents.clone(), keys: keys.clone(), install, own_pin: tls.own_pin.clone() };
        let people = People::new(store.clone(), live.clone(), settings.certificate_life);
        let refusals = Refusals::new(log.clone());
        let url = format!("https://{}", authority(&server_name, address.port()));
        let oidc = Oidc::new(&live, &people, &keys, &log, &refusals, &table, &url);
        let requests = Requests::new(store.clone(), log.clone(), live.clone());
        let sessions = Sessions {
            requests,
            live,
            people,
            oidc: oidc.clone(),
            nodes: nodes.clone(),
            dialler,
            recordings,
            log: log.clone(),
            refusals,
            table: table.clone(),
            budget: Default::default(),
            seats: Default::default(),
            max_sessions: settings.max_sessions,
        };
        let balancers = settings.balancers.map(Arc::new);
        let app = Arc::new(Parts {
            sessions: sessions.clone(),
            keys: keys.clone(),
            once: OneTime::new(store.clone()),
            store,
            oidc,
            url,
            ssh: authority(&server_name, address.port()),
            server_name,
            names: names.clone(),
            link_life: settings.link_life,
            writing: tokio::sync::Mutex::new(()),
        });
        let fronts = AllFronts {
            ssh: SshFront::new(keys.clone(), names, sessions),
            http: HttpFront::new(app.clone(), balancers.clone()),
            tunnels: Tunnels { agents, nodes, keys, log: log.clone() },
        };
        Ok(Self {
            app,
            port: Port { listener, tls, balancers, most: settings.max_connections },
            control,
            fronts,
            commits,
            log,
            sinks,
            table,
            connections: Connections::default(),
            _state: state,
        })
    }

    /// `https://HOST:PORT`.
    pub fn url(&self) -> &str {
        &self.app.url
    }

    /// `HOST:PORT` for SSH.
    pub fn ssh(&self) -> &str {
        &self.app.ssh
    }

    /// The CA's certificate, PEM.
    pub fn ca_pem(&self) -> String {
        self.app.keys.public().ca_pem
    }

    /// The public half of the key that signs HEAD and manifests.
    pub fn checkpoint_key(&self) -> wire::proof::PublicKey {
        self.app.keys.checkpoint().public()
    }

    /// Serves until `stop`, then drains: no new connections, live sessions are told, then recordings and log are closed,
    /// and receivers take what is left.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { app, port, control, fronts, commits, log, sinks, table, connections, _state } = self;
        let leases = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if let Err(error) = app.store.sweep() {
                    tracing::error!(%error, "leases could not be swept");
                }
            }
        };
        let sweeping = sweep_old(app.store.clone());
        let refusals = app.sessions.refusals.clone();
        let summaries = async {
            loop {
                tokio::time::sleep(SUMMARY_EVERY).await;
                summarise(&refusals);
            }
        };
        let kept = tokio::spawn(app.sessions.live.clone().keep());
        let notifying = sinks.start();
        tokio::select! {
            () = crate::listen::run(port, fronts.clone(), connections.clone()) => {}
            never = crate::listen::control::run(control, |ask, uid| crate::break_glass::answer(&app, ask, uid)) => match never {},
            () = leases => {}
            never = sweeping => match never {},
            () = summaries => {}
            never = crate::heap::keep_small() => match never {},
            never = app.oidc.clone().keep_asking() => match never {},
            never = app.sessions.requests.clone().sweep() => match never {},
            () = stop => {}
        }
        table.stop_all(&Stop { reason: "proxy_stopped", sentence: "the proxy is being stopped".to_owned() });
        let drained = async {
            while table.count() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!(sessions = table.count(), "sessions did not end in time; the next start finishes their recordings");
        }
        // What connections say at their end is still committed.
        if tokio::time::timeout(DRAIN, connections.end()).await.is_err() {
            tracing::warn!("connections did not end in time");
        }
        kept.abort();
        summarise(&refusals);
        if let Err(error) = log.append(&Event::new(clock::now(), Actor::system(), What::ServerStopped {})) {
            tracing::error!(%error, "the stop could not be logged");
        }
        let stopped = tokio::task::spawn_blocking(move || commits.stop()).await;
        if let Ok(Err(error)) = stopped {
            tracing::error!(%error, "the last commit failed");
        }
        // After the last checkpoint has left, so that it is carried away too.
        notifying.stop().await;
    }
}

/// What a run keeps, taken up where the run before left it.
struct Kept {
    log: Log,
    recordings: Recordings,
    table: Table,
    sinks: Sinks,
    commits: Commits,
}

/// Opens log and recordings against what HEAD says of them and of the store, and finishes what an earlier run left.
fn kept(state: &StateDir, install: &InstallId, keys: &Keys, store: &Arc<dyn Kv>, settings: &Settings) -> Result<Kept, BuildError> {
    // A line that a kill cut off was told by the log itself.
    let (log, found) = Log::start(LogSettings::new(state.folder("log")?, install.clone(), STREAM), keys.checkpoint())?;
    let restored = set_back(store.as_ref(), found.store, settings.accept_restored_store)?;
    let recorder = RecorderSettings { covered: found.journal, ..RecorderSettings::new(state.path(), install.clone()) };
    let (recordings, recovered) = Recordings::start(recorder, keys.checkpoint())?;
    let table = Table::new(store.clone());
    // Before the first event of this run, so that a new receiver hears of it.
    let sinks = Sinks::open(&settings.webhooks, &log, store)?;
    if let Some(restored) = restored {
        log.append(&Event::new(clock::now(), Actor::system(), restored)).map(drop)?;
    }
    finish_lost(&found, &recovered, &recordings, &log, &table)?;
    let commits = {
        let (journal, store) = (recordings.clone(), store.clone());
        let journal = Box::new(move || journal.journal().sync().map(Some));
        Commits::with_store(log.clone(), journal, Box::new(move || Some(store.durable()))).map_err(BuildError::Commit)?
    };
    began(&log, boot(store.as_ref())?)?;
    Ok(Kept { log, recordings, table, sinks, commits })
}

/// Refuses a store that is behind what HEAD names, unless it is accepted; then nothing that it would let in is in force, and the event
/// to log is answered. Doing that twice does no harm: until HEAD is signed anew, a start asks again.
fn set_back(store: &dyn Kv, expected: Option<u64>, accepted: bool) -> Result<Option<What>, BuildError> {
    let (found, expected) = (store.revision()?, expected.unwrap_or(0));
    if found >= expected {
        return Ok(None);
    }
    if !accepted {
        return Err(BuildError::OldStore { found, expected });
    }
    let (sign_ins, secrets) = (old::end_all_sign_ins(store)?, old::use_up_all_secrets(store)?);
    Ok(Some(What::StoreRestored { found, expected, sign_ins, secrets }))
}

/// Removes what ended long ago, a bounded part of it each minute.
async fn sweep_old(store: Arc<dyn Kv>) -> Infallible {
    let mut sweeper = old::Sweeper::default();
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let store = store.clone();
        let round = tokio::task::spawn_blocking(move || {
            let swept = sweeper.round(store.as_ref(), clock::now());
            (sweeper, swept)
        });
        match round.await {
            Ok((again, swept)) => {
                sweeper = again;
                if let Err(error) = swept {
                    tracing::warn!(%error, "what ended long ago could not be removed from the store");
                }
            }
            Err(error) => {
                tracing::error!(%error, "what ended long ago could not be looked at");
                sweeper = old::Sweeper::default();
            }
        }
    }
}

/// The port of a new install. One that is there is read before its port is taken, so that "in use" is what a second process hears.
async fn early(settings: &Settings) -> Result<Option<(TcpListener, SocketAddr)>, BuildError> {
    if settings.state.join("VERSION").exists() { Ok(None) } else { bind(settings.listen).await.map(Some) }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BuildError> {
    let failed = |source| BuildError::Port { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn summarise(refusals: &Refusals) {
    if let Err(error) = refusals.summarise() {
        tracing::error!(%error, "refusals could not be logged");
    }
}

/// Which boot of this install it is, from 1; durable before the first event names it.
fn boot(store: &dyn Kv) -> Result<u64, KvError> {
    const KEY: &str = "boot";
    let before = store.get(KEY)?.and_then(|stored| serde_json::from_slice::<u64>(&stored.value).ok()).unwrap_or(0);
    let boot = before + 1;
    store.put(KEY, boot.to_string().as_bytes(), Expect::Any)?;
    Ok(boot)
}

/// Every session of the run before is ended: nothing that came before this event is looked at again by a later start.
fn began(log: &Log, boot: u64) -> Result<(), LogError> {
    let started = What::ServerStarted { version: env!("CARGO_PKG_VERSION").to_owned(), boot };
    log.append(&Event::new(clock::now(), Actor::system(), started)).map(|_| ())
}

/// Every name that the certificate should have: what is public, and loopback when that is where it listens.
fn names(public: &[String], address: SocketAddr) -> Vec<String> {
    let mut names = public.to_vec();
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        names.extend(["127.0.0.1", "localhost", "::1"].map(str::to_owned));
    } else {
        names.push(address.ip().to_string());
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn server_tls(keys: &Keys, names: &[String]) -> Result<Tls, BuildError> {
    let key = rcgen::KeyPair::generate().map_err(SignError::of)?;
    let chain = keys.ask(SignServer { names, key: &key, now: clock::now() })?;
    let public = keys.public();
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(SignError::of)?;
    Ok(Tls::new(chain, key, &public.ca_pem, public.install)?)
}

#[derive(Clone)]
struct AllFronts {
    ssh: SshFront,
    http: HttpFront,
    tunnels: Tunnels,
}

impl Fronts for AllFronts {
    fn seat(&self, subject: &Subject) -> Option<Seat> {
        let sessions = &self.ssh.sessions;
        let known = match subject {
            Subject::User { name, sign_in, .. } => sessions.people.identity(name, *sign_in, clock::now()).is_ok(),
            Subject::Agent { id } => self.tunnels.node_of(id).is_ok_and(|node| node.is_some()),
        };
        known.then(|| sessions.seats.take(subject)).flatten()
    }

    async fn serve(&self, arrived: Arrived, from: SocketAddr, ticket: Option<Ticket>) {
        match arrived {
            Arrived::Ssh { stream, node } => self.ssh.serve(stream, node, from, ticket).await,
            Arrived::Http { stream, subject } => self.http.serve(stream, subject, from, ticket).await,
            Arrived::Tunnel { stream, agent } => self.tunnels.serve(stream, agent, from).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_a_new_install_nothing_is_made_when_its_port_is_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        let taken = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let settings = Settings {
            state: dir.path().join("state"),
            listen: taken.local_addr().expect("an address"),
            public: vec!["127.0.0.1".to_owned()],
            balancers: None,
            webhooks: Vec::new(),
            accept_restored_store: false,
            max_sessions: 10,
            max_connections: 10,
            certificate_life: Duration::from_secs(60),
            link_life: Duration::from_secs(60),
        };
        assert!(matches!(Proxy::build(settings.clone()).await.err(), Some(BuildError::Port { .. })));
        assert!(!settings.state.exists(), "no keys lie about");
        drop(taken);
        let first = Proxy::build(settings.clone()).await.expect("a proxy");
        assert!(
            matches!(Proxy::build(settings).await.err(), Some(BuildError::State(StateError::InUse(_)))),
            "and not that its port is taken"
        );
        drop(first);
    }
}
