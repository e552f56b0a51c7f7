//! `naru demo`: a proxy on loopback, an agent for this machine in a process of its own, two people with sign-in links. Nothing outside
//! its state folder is touched; without `--state` the folder goes when the demo ends.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use access::words::{NodeName, UserName};
use client::failure::Failure;
use tokio::process::Command;

use super::failure::{of_join, of_proxy, of_seed};
use super::{Talk, agent, roles, say, stopped};

const NODE: &str = "demo";
/// Sessions and connections at once: a laptop's playground, with room for measuring.
const MAX_SESSIONS: usize = 5000;
const CERTIFICATE_LIFE: Duration = Duration::from_secs(12 * 3600);
const LINK_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long the agent may take to be there.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the agent may take to end its sessions.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

fn failed(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new("NARU-C120", 1, format!("the demo could not {what}: {error}"))
}

/// The folder of a demo.
struct Place {
    state: PathBuf,
    temporary: bool,
}

impl Place {
    fn make(given: Option<PathBuf>) -> Result<Self, Failure> {
        let temporary = given.is_none();
        let state = given.unwrap_or_else(|| std::env::temp_dir().join(format!("naru-demo-{}", std::process::id())));
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).recursive(!temporary);
        builder.create(&state).map_err(|error| failed("make its folder", format!("{}: {error}", state.display())))?;
        let state = state.canonicalize().map_err(|error| failed("find its folder", error))?;
        Ok(Self { state, temporary })
    }

    /// What is not the proxy's lies in a folder of its own, so that the rest is a state directory like any other.
    fn own(&self, name: &str) -> PathBuf {
        self.state.join("demo").join(name)
    }

    fn agent(&self) -> PathBuf {
        self.own("agent")
    }

    /// The port of an earlier run, so that profiles and the agent find the demo again.
    fn port(&self) -> u16 {
        std::fs::read_to_string(self.own("port")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.state);
        }
    }
}

/// Runs the demo until it is stopped.
pub(crate) async fn run(state: Option<PathBuf>, talk: Talk) -> Result<(), Failure> {
    let place = Place::make(state)?;
    let settings = proxy::Settings {
        state: place.state.clone(),
        listen: (std::net::Ipv4Addr::LOCALHOST, place.port()).into(),
        public: vec!["127.0.0.1".to_owned()],
        balancers: None,
        max_sessions: MAX_SESSIONS,
        max_connections: MAX_SESSIONS,
        certificate_life: CERTIFICATE_LIFE,
        link_life: LINK_LIFE,
        webhooks: Vec::new(),
        accept_restored_store: false,
    };
    let proxy = proxy::Proxy::build(settings).await.map_err(|error| of_proxy(&error))?;
    let login = agent::own_login()?;
    proxy.seed(roles::parse("base.yaml", roles::BASE)?).await.map_err(|error| of_seed(&error))?;
    proxy.seed(roles::parse("demo.yaml", &roles::demo(login.as_str()))?).await.map_err(|error| of_seed(&error))?;
    let begun = Begun::write(&place, &proxy, login.to_string()).await?;
    let node: NodeName = NODE.parse().map_err(|error| failed("name its node", error))?;
    let (connected, url) = (proxy.connected(node), proxy.url().to_owned());
    let (stop, mut stopping) = tokio::sync::watch::channel(false);
    let mut serving = tokio::spawn(proxy.run(async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    }));
    // The agent ends last, so that sessions hear why they end.
    let over = async {
        stopped().await;
        stop.send_replace(true);
        let _ = (&mut serving).await;
    };
    let attended = attend(&place, &begun, &url, connected, talk, over).await;
    stop.send_replace(true);
    if !serving.is_finished() {
        let _ = serving.await;
    }
    attended
}

/// What is written and made before anything is served.
struct Begun {
    words: String,
    line: String,
    token: Option<String>,
    pin: String,
}

impl Begun {
    async fn write(place: &Place, proxy: &proxy::Proxy, login: String) -> Result<Self, Failure> {
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(place.own("")).map_err(|error| failed("make its folder", error))?;
        let ca = place.own("ca.pem");
        let put = |path: &Path, text: &str| std::fs::write(path, text).map_err(|error| failed("write its files", error));
        put(&ca, &proxy.ca_pem())?;
        let port = proxy.ssh().rsplit(':').next().unwrap_or_default().to_owned();
        put(&place.own("port"), &port)?;
        put(&place.own("agent.yaml"), &format!("allow_logins: [{login}]\n"))?;
        let mut links = Vec::new();
        for name in ["alice", "olga", "admin"] {
            let user: UserName = name.parse().map_err(|error| failed("name its people", error))?;
            links.push(proxy.sign_in_link(&user).await.map_err(|error| of_seed(&error))?.0);
        }
        let life = Duration::from_secs(3600);
        let (own, pin) = proxy.join_token(NODE, &[("env", "demo")], life).await.map_err(|error| of_seed(&error))?;
        let (other, _) = proxy.join_token("*", &[("env", "demo")], life).await.map_err(|error| of_seed(&error))?;
        let join = format!("naru agent join {} --token {} --ca-pin {pin} --node NAME", proxy.url(), other.0);
        let [alice, olga, admin] = links.try_into().map_err(|_| failed("make its links", "one is missing"))?;
        let line = serde_json::json!({
            "ready": true, "url": proxy.url(), "api": format!("{}/v1", proxy.url()), "ca": ca,
            "sign_in": { "alice": alice, "olga": olga, "admin": admin },
            "node": NODE, "ssh": proxy.ssh(), "login": login, "state": place.state, "join": join,
        });
        let program = std::env::current_exe().map_err(|error| failed("find its program", error))?;
        let words = words(proxy.url(), &login, [&alice, &olga, &admin], place, &program);
        let token = (!::agent::identity::is_joined(&place.agent())).then_some(own.0);
        Ok(Self { words, line: format!("{line}\n"), token, pin })
    }
}

fn words(url: &str, login: &str, [alice, olga, admin]: [&String; 3], place: &Place, program: &Path) -> String {
    let goes = if place.temporary { ", and goes when the demo ends" } else { "" };
    format!(
        "Naru's demo is up at {url}. This machine is node demo, as {login}.

In another terminal, as the engineer alice:
  naru --profile alice login --link '{alice}'
  naru --profile alice ssh demo

As the auditor olga:
  naru --profile olga login --link '{olga}'
  naru --profile olga sessions ls
  naru --profile olga play ID

As the administrator:
  naru --profile admin login --link '{admin}'

The links work once, for 15 minutes. Ctrl-C ends the demo with its sessions.
naru is {}; the demo's state is in {}{goes}.
",
        program.display(),
        place.state.display(),
    )
}

async fn attend(
    place: &Place,
    begun: &Begun,
    url: &str,
    connected: impl Future<Output = ()>,
    talk: Talk,
    over: impl Future<Output = ()>,
) -> Result<(), Failure> {
    if let Some(token) = &begun.token {
        let usage = |error: wire::link::BadLink| failed("join its agent", error);
        let request = ::agent::join::JoinRequest {
            proxy: url.parse().map_err(usage)?,
            token: token.clone(),
            pin: begun.pin.parse().map_err(usage)?,
            node: None,
            labels: Default::default(),
        };
        ::agent::join::join(&place.agent(), &request).await.map_err(|error| of_join(&error, url))?;
    }
    let ready = async {
        if tokio::time::timeout(READY_TIMEOUT, connected).await.is_err() {
            return Err(failed("start", "its agent did not connect in time"));
        }
        say(if talk.json { &begun.line } else { &begun.words });
        std::future::pending().await
    };
    tokio::select! {
        failed = ready => failed,
        failed = keep_agent(place) => failed,
        () = over => Ok(()),
    }
}

/// The agent as a process of its own, started again when it ends. It is told to end its sessions when the demo stops.
async fn keep_agent(place: &Place) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| failed("find its program", error))?;
    loop {
        let mut child = Command::new(&program)
            .args(["agent", "run", "--end-sessions"])
            .arg("--config")
            .arg(place.own("agent.yaml"))
            .arg("--state")
            .arg(place.agent())
            // Ctrl-C reaches the demo alone, which then ends the agent in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| failed("start its agent", error))?;
        let guard = Terminate(child.id());
        let ended = child.wait().await;
        guard.done();
        tracing::warn!(?ended, "the agent ended; it is started again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Ends the agent in order when the demo stops.
struct Terminate(Option<u32>);

impl Terminate {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Terminate {
    fn drop(&mut self) {
        let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()) else { return };
        let pid = nix::unistd::Pid::from_raw(pid);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let until = std::time::Instant::now() + STOP_TIMEOUT;
        while std::time::Instant::now() < until {
            match nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::WNOHANG)) {
                Ok(nix::sys::wait::WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
    }
}
