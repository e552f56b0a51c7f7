//! Building and running a proxy. Nothing is served before everything that can fail has been read, and of a new install nothing is made
//! before its port is taken.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use access::event::{Actor, Event, What};
use access::words::InstallId;
use recorder::commit::Commits;
use recorder::log::{Log, LogError, LogSettings, Logged};
use recorder::{RecorderSettings, Recordings};
use rustls_pki_types::PrivateKeyDer;
use store::kv::{Expect, Kv, KvError};
use store::state::{StateDir, StateError};
use tokio::net::{TcpListener, UnixListener};

use crate::agents::Agents;
use crate::agents::dial::Dialler;
use crate::agents::gone::Gone;
use crate::agents::nodes::Nodes;
use crate::agents::serve::Tunnels;
use crate::api::bearer::Bearer;
use crate::api::repeat::Repeats;
use crate::api::{App, HttpFront, Parts};
use crate::authority::ask::{Keys, SignError, SignServer};
use crate::authority::keyring::{KeyError, Keyring};
use crate::authority::one_time::OneTime;
use crate::authority::people::People;
use crate::authority::tls::Subject;
use crate::authority::{again, old};
use crate::clock;
use crate::freshness::{Freshness, Keeper};
use crate::listen::certificate::{CertificateError, Certificates, Keeping, Pair, Source};
use crate::listen::control::{Ask, Reply};
use crate::listen::tls::{Tls, TlsError, clients_of};
use crate::listen::{Arrived, Connections, Fronts, Port, Seat, Ticket};
use crate::live::{Live, LiveError};
use crate::notify::{DeclaredSinks, NotifyError, Sinks};
use crate::oidc::Oidc;
use crate::ops::{Meters, Operating, Operations};
use crate::refusals::{Refusals, SUMMARY_EVERY};
use crate::requests::Requests;
use crate::session::lost::{LostError, finish_lost};
use crate::session::open::Sessions;
use crate::session::table::{Stop, Table};
use crate::ssh::SshFront;

/// The only stream of a proxy that has its state directory to itself.
pub(crate) const STREAM: &str = "proxy-1";
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
    /// Where the certificate comes from that browsers are shown.
    pub certificate: config::proxy::Certificate,
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
    /// Where metrics and health are served, as plain HTTP for whoever reaches it; nowhere when none.
    pub operations: Option<SocketAddr>,
    /// Live sessions go on however old the view of the store is.
    pub keep_sessions_when_stale: bool,
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
    #[error("what happened since the backup that was restored cannot be read from the audit log: {0}")]
    Again(#[from] again::AgainError),
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
    Certificate(#[from] CertificateError),
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
    keeping: Keeping,
    fronts: AllFronts,
    keep_sessions: bool,
    operations: Option<Operations>,
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
        // Before anything is made: who mends a file starts with nothing half done.
        let source = Source::read(&settings.certificate, &settings.public, clock::now())?;
        let early = early(&settings).await?;
        let Opened { mut state, install, key_folder, keys, store } = opened(&settings)?;
        let Kept { log, recordings, table, sinks, commits, began } = kept(&state, &install, &keys, &store, &settings)?;
        settled(store.as_ref(), &log, began).await?;
        moved(&mut state, store.as_ref())?;
        let live = Live::start(store.clone(), install.clone())?;

        let (listener, address) = if let Some(bound) = early { bound } else { bind(settings.listen).await? };
        let (operations, control) = beside(&settings, &state)?;
        let names = names(&settings.public, address);
        let server_name = names.first().cloned().unwrap_or_default();
        let (tls, keeping) = server_tls(source, &keys, &names, &key_folder, &log)?;

        let nodes = Nodes { store: store.clone(), agents: Agents::new(), live: live.clone() };
        let dialler = Dialler { agents: nodes.agents.clone(), keys: keys.clone(), install };
        let people = People::new(store.clone(), live.clone(), settings.certificate_life);
        let refusals = Refusals::new(log.clone(), Meters::new());
        let url = format!("https://{}", authority(&server_name, address.port()));
        let oidc = Oidc::new(&live, &people, &keys, &log, &refusals, &table, &url);
        let sessions = Sessions {
            requests: Requests::new(store.clone(), log.clone(), live.clone()),
            live,
            people,
            oidc: oidc.clone(),
            freshness: Freshness::new(),
            meters: refusals.meters.clone(),
            nodes,
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
            bearer: Bearer::new(&store, origins(&names, address.port())),
            repeats: Repeats::new(&store, &keys),
            sessions,
            keys,
            once: OneTime::new(store.clone()),
            store,
            oidc,
            url,
            ssh: authority(&server_name, address.port()),
            server_name,
            names: names.clone(),
            link_life: settings.link_life,
            writing: tokio::sync::Mutex::new(()),
            looking: tokio::sync::Semaphore::new(2),
            watchers: Default::default(),
        });
        Ok(Self {
            fronts: fronts(&app, names, balancers.clone()),
            app,
            port: Port { listener, tls, balancers, most: settings.max_connections },
            control,
            keeping,
            keep_sessions: settings.keep_sessions_when_stale,
            operations,
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

    /// Where metrics and health are served, where they are.
    pub fn operations(&self) -> Option<SocketAddr> {
        self.operations.as_ref()?.address().ok()
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
        let Self { app, port, control, keeping, fronts, keep_sessions, operations, commits, log, sinks, table, connections, _state } = self;
        let keeper = Keeper::of(&app.sessions, app.store.clone(), keep_sessions);
        let state = _state.path().to_owned();
        let sweeping = sweep_old(app.store.clone());
        let gone = Gone::new(&app.sessions);
        let refusals = app.sessions.refusals.clone();
        let operating = Operating::begin(operations, &app.sessions, app.store.clone(), sinks.lags(), _state.path());
        let kept = tokio::spawn(app.sessions.live.clone().keep());
        let declared = DeclaredSinks::new(app.sessions.live.clone(), app.keys.clone(), log.clone(), app.store.clone());
        let notifying = sinks.start(declared);
        tokio::select! {
            () = crate::listen::run(port, fronts.clone(), connections.clone()) => {}
            never = crate::listen::control::run(control, |ask, uid| answer(&app, &state, ask, uid)) => match never {},
            never = keeping.run() => match never {},
            never = sweep_leases(app.store.clone()) => match never {},
            never = sweeping => match never {},
            never = summarise_each_minute(&refusals) => match never {},
            never = crate::heap::keep_small() => match never {},
            never = app.oidc.clone().keep_asking() => match never {},
            never = app.sessions.requests.clone().sweep() => match never {},
            never = cut_locked(&app.sessions) => match never {},
            never = gone.run() => match never {},
            never = keeper.run() => match never {},
            () = stop => {}
        }
        operating.drains();
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

/// Answers what is asked on the control socket.
async fn answer(app: &App, state: &std::path::Path, ask: Ask, uid: u32) -> Reply {
    match ask {
        Ask::BreakGlass { user, reason, roles, ttl_s } => {
            let asked = crate::break_glass::Asked { user, reason, roles, life: Duration::from_secs(ttl_s) };
            crate::break_glass::answer(app, asked, uid).await.into()
        }
        Ask::Backup {} => crate::backup::answer(app, state, uid).await,
    }
}

/// What lies on the disk, held by this process.
struct Opened {
    state: StateDir,
    install: InstallId,
    key_folder: PathBuf,
    keys: Keys,
    store: Arc<dyn Kv>,
}

fn opened(settings: &Settings) -> Result<Opened, BuildError> {
    let state = StateDir::open(&settings.state, &format!("n{}", uuid::Uuid::new_v4().simple()), None)?;
    let install: InstallId = state.install().parse().map_err(|e| BuildError::Install(format!("{e}")))?;
    let key_folder = state.folder("keys")?;
    let keys = Keys::new(Keyring::open(&key_folder, &install)?);
    if state.format() < store::state::FORMAT {
        state.keep_aside("store")?;
    }
    let store: Arc<dyn Kv> = Arc::new(store::kv::open(&state.folder("store")?)?);
    Ok(Opened { state, install, key_folder, keys, store })
}

/// Brings the store to the format of this version.
fn moved(state: &mut StateDir, store: &dyn Kv) -> Result<(), BuildError> {
    // A backup of an older version may hold such entries under any format.
    let moved = crate::migrate::to_second(store, clock::now())?;
    if state.format() < store::state::FORMAT {
        tracing::info!(moved, "the store was moved to the second format; what it was lies beside it");
        state.migrated()?;
    }
    Ok(())
}

/// What a run keeps, taken up where the run before left it.
struct Kept {
    log: Log,
    recordings: Recordings,
    table: Table,
    sinks: Sinks,
    commits: Commits,
    /// That this run has begun, behind everything that the start itself had to say.
    began: Logged,
}

/// Opens log and recordings against what HEAD says of them and of the store, and finishes what an earlier run left.
fn kept(state: &StateDir, install: &InstallId, keys: &Keys, store: &Arc<dyn Kv>, settings: &Settings) -> Result<Kept, BuildError> {
    // A line that a kill cut off was told by the log itself.
    let (log, found) = Log::start(LogSettings::new(state.folder("log")?, install.clone(), STREAM), keys.checkpoint())?;
    let restored = match crate::backup::restored_from(store.as_ref())? {
        Some(head) => Some(again::restored(store.as_ref(), &log, &head, found.store.unwrap_or(0))?),
        None => set_back(store.as_ref(), found.store, settings.accept_restored_store)?,
    };
    let recorder = RecorderSettings { covered: found.journal, ..RecorderSettings::new(state.path(), install.clone()) };
    let (recordings, recovered) = Recordings::start(recorder, keys.checkpoint())?;
    let table = Table::new(store.clone());
    // Before the first event of this run, so that a new receiver hears of it.
    let sinks = Sinks::open(&settings.webhooks, &log, store)?;
    if let Some(restored) = restored {
        let message = again::message(&restored);
        let mut event = Event::new(clock::now(), Actor::system(), restored);
        event.outcome.message = message;
        log.append(&event).map(drop)?;
    }
    finish_lost(&found, &recovered, &recordings, &log, &table)?;
    let commits = {
        let (journal, store) = (recordings.clone(), store.clone());
        let journal = Box::new(move || journal.journal().sync().map(Some));
        Commits::with_store(log.clone(), journal, Box::new(move || Some(store.durable()))).map_err(BuildError::Commit)?
    };
    let began = began(&log, boot(store.as_ref())?)?;
    Ok(Kept { log, recordings, table, sinks, commits, began })
}

/// What a restore left to do is done once the log durably says so: until then a start does it again.
async fn settled(store: &dyn Kv, log: &Log, began: Logged) -> Result<(), BuildError> {
    if crate::backup::restored_from(store)?.is_some() {
        let _durable = log.durable(began).await?;
        crate::backup::dealt_with(store)?;
    }
    Ok(())
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
    Ok(Some(What::StoreRestored { found, expected, sign_ins, secrets, backup: None, by_log: false, nodes: 0, changes: 0 }))
}

/// Cuts the tunnels of agents that are locked, as soon as they are. Their sessions see it by themselves.
async fn cut_locked(sessions: &Sessions) -> Infallible {
    let mut changes = sessions.live.watch();
    loop {
        let view = changes.borrow_and_update().clone();
        let now = clock::now();
        for lock in view.policy.others().locks.iter().filter(|lock| lock.holds(now)) {
            if let Some(agent) = &lock.spec.target.agent {
                sessions.nodes.agents.cut(agent);
            }
        }
        drop(view);
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Removes the keys of leases that ran out.
async fn sweep_leases(store: Arc<dyn Kv>) -> Infallible {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(error) = store.sweep() {
            tracing::error!(%error, "leases could not be swept");
        }
    }
}

async fn summarise_each_minute(refusals: &Refusals) -> Infallible {
    loop {
        tokio::time::sleep(SUMMARY_EVERY).await;
        summarise(refusals);
    }
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

/// What listens beside the one port: for monitoring, and for the machine's own administrator.
fn beside(settings: &Settings, state: &StateDir) -> Result<(Option<Operations>, UnixListener), BuildError> {
    let operations = |address| Operations::bind(address).map_err(|source| BuildError::Port { address, source });
    let control = crate::listen::control::bind(state.path()).map_err(BuildError::Control)?;
    Ok((settings.operations.map(operations).transpose()?, control))
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
fn began(log: &Log, boot: u64) -> Result<Logged, LogError> {
    let started = What::ServerStarted { version: env!("CARGO_PKG_VERSION").to_owned(), boot };
    log.append(&Event::new(clock::now(), Actor::system(), started))
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

/// The origin by each name; where the port is the usual one it may be left out (RFC 6454 section 6.2).
fn origins(names: &[String], port: u16) -> Vec<String> {
    let whole = names.iter().map(|name| format!("https://{}", authority(name, port)));
    whole.flat_map(|origin| origin.strip_suffix(":443").map(str::to_owned).into_iter().chain([origin.clone()])).collect()
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// What connections are shown at first, and what keeps that good.
fn server_tls(source: Source, keys: &Keys, names: &[String], folder: &Path, log: &Log) -> Result<(Arc<Tls>, Keeping), BuildError> {
    let public = keys.public();
    let certificates = Arc::new(Certificates::new(own_certificate(keys, names)?, clients_of(&public.ca_pem)?));
    let sign = {
        let (keys, names) = (keys.clone(), names.to_vec());
        Box::new(move || own_certificate(&keys, &names).map_err(|error| error.to_string()))
    };
    let keeping = Keeping::begin(source, certificates.clone(), sign, folder, log.clone())?;
    Ok((Arc::new(Tls { certificates, install: public.install }), keeping))
}

/// A certificate of our own CA with a new key.
fn own_certificate(keys: &Keys, names: &[String]) -> Result<Pair, SignError> {
    let key = rcgen::KeyPair::generate().map_err(SignError::of)?;
    let chain = keys.ask(SignServer { names, key: &key, now: clock::now() })?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(SignError::of)?;
    Pair::new(chain, key).map_err(SignError::of)
}

#[derive(Clone)]
struct AllFronts {
    ssh: SshFront,
    http: HttpFront,
    tunnels: Tunnels,
}

fn fronts(app: &App, names: Vec<String>, balancers: Option<Arc<config::proxy::Balancers>>) -> AllFronts {
    let (keys, nodes, log) = (app.keys.clone(), app.sessions.nodes.clone(), app.sessions.log.clone());
    AllFronts {
        ssh: SshFront::new(keys.clone(), names, app.sessions.clone()),
        http: HttpFront::new(app.clone(), balancers),
        tunnels: Tunnels { agents: nodes.agents.clone(), nodes, keys, log },
    }
}

impl Fronts for AllFronts {
    fn seat(&self, subject: &Subject) -> Option<Seat> {
        let sessions = &self.ssh.sessions;
        // A store that hangs is not asked: whoever comes is a stranger until it answers.
        let _fresh = sessions.freshness.proof().ok()?;
        let known = match subject {
            Subject::User { name, sign_in, .. } => sessions.people.identity(name, *sign_in, clock::now()).is_ok(),
            Subject::Agent { id } => {
                let locked = access::decide::locked_agent(&sessions.live.now().policy, id, clock::now()).is_some();
                !locked && self.tunnels.node_of(id).is_ok_and(|node| node.is_some())
            }
        };
        known.then(|| sessions.seats.take(subject)).flatten()
    }

    async fn serve(&self, arrived: Arrived, from: SocketAddr, ticket: Option<Ticket>) {
        self.ssh.sessions.meters.connected(arrived.speaks());
        match arrived {
            Arrived::Ssh { stream, node } => self.ssh.serve(stream, node, from, ticket).await,
            Arrived::Http { stream, subject } => self.http.serve(stream, subject, from, ticket).await,
            Arrived::Tunnel { stream, agent, pin } => self.tunnels.serve(stream, agent, pin, from).await,
        }
    }
}

#[cfg(test)]
impl Settings {
    /// A small proxy on any port of loopback.
    pub(crate) fn of_test(state: &std::path::Path) -> Self {
        Self {
            certificate: config::proxy::Certificate::Own,
            balancers: None,
            state: state.to_owned(),
            listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
            public: vec!["127.0.0.1".to_owned()],
            webhooks: Vec::new(),
            operations: None,
            keep_sessions_when_stale: false,
            accept_restored_store: false,
            max_sessions: 10,
            max_connections: 10,
            certificate_life: Duration::from_secs(3600),
            link_life: Duration::from_secs(60),
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
            listen: taken.local_addr().expect("an address"),
            max_sessions: 10,
            certificate_life: Duration::from_secs(60),
            ..Settings::of_test(&dir.path().join("state"))
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
