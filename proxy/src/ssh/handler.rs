//! russh's callbacks for one connection: authentication by certificate, answers to requests, refusals of what is not carried.
//! The identity comes from the certificate that finished the authentication and from nothing that was seen before it.

use access::event::{Actor, Client, Event, Outcome, What};
use access::words::{Login, NodeName};
use russh::keys::{Certificate, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};
use tokio_util::task::TaskTracker;

use super::channel::{self, Who};
use crate::authority::ssh::{SshClaim, believe};
use crate::clock;
use crate::listen::{Seat, SignedIn, Ticket};
use crate::refusals::Told;
use crate::session::open::Sessions;

/// Channels of one connection at once: a ControlMaster with many sessions, and no more than that.
const MAX_CHANNELS: usize = 128;

/// One connection.
pub(super) struct Connection {
    sessions: Sessions,
    ca: PublicKey,
    /// From the preface.
    dialled: Option<NodeName>,
    client: Client,
    id: String,
    before: Option<(Option<Ticket>, SignedIn)>,
    who: Option<Who>,
    channels: TaskTracker,
    /// A place among the connections of those who are known.
    seat: Option<Seat>,
    /// Refused, and not yet said to the person.
    unsaid: Vec<&'static str>,
}

impl Connection {
    pub(super) fn new(
        sessions: Sessions,
        ca: PublicKey,
        dialled: Option<NodeName>,
        client: Client,
        before: (Option<Ticket>, SignedIn),
    ) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self {
            sessions,
            ca,
            dialled,
            client,
            id,
            before: Some(before),
            who: None,
            channels: TaskTracker::new(),
            unsaid: Vec::new(),
            seat: None,
        }
    }

    fn target(&self, user: &str) -> Option<(NodeName, Login)> {
        let (login, named) = match user.split_once('%') {
            Some((login, node)) => (login, Some(node.strip_suffix(".naru").unwrap_or(node).parse::<NodeName>().ok()?)),
            None => (user, None),
        };
        let node = match (self.dialled.clone(), named) {
            (Some(dialled), Some(named)) if dialled != named => return None,
            (dialled, named) => dialled.or(named)?,
        };
        Some((node, login.parse().ok()?))
    }

    /// A certificate counts, or the log says why not.
    fn claim(&self, certificate: &Certificate) -> Option<SshClaim> {
        match believe(certificate, &self.ca, clock::now()) {
            Ok(claim) => Some(claim),
            Err(error) => {
                let mut event = Event::new(clock::now(), Actor::anonymous(), What::LoginFailed { method: "ssh_certificate".into() });
                event.outcome = Outcome::denied("NARU-A105", format!("a certificate was refused: {error}"));
                event.client = Some(self.client.clone());
                self.say(event);
                None
            }
        }
    }

    fn say(&self, event: Event) {
        match self.sessions.refusals.tell(event) {
            Ok(Told::Written | Told::Counted) => {}
            Err(error) => tracing::error!(%error, "an event could not be logged"),
        }
    }

    /// The protocol has no words for refusing this: the next session on a terminal says it.
    fn say_later(&mut self, what: &'static str) {
        if !self.unsaid.contains(&what) {
            self.unsaid.push(what);
        }
    }

    /// What Naru does not carry is refused and told.
    fn refuse(&self, asked: &str) {
        let identity = self.who.as_ref().and_then(|who| who.identity(&self.sessions).ok());
        let actor = identity.as_ref().map_or_else(Actor::anonymous, Actor::user);
        let mut event = Event::new(clock::now(), actor, What::SshRefused { asked: asked.to_owned() });
        event.outcome = Outcome::denied("NARU-S201", format!("{asked} is not carried by this proxy"));
        event.client = Some(self.client.clone());
        self.say(event);
    }
}

/// The refusal of a channel, as OpenSSH shows it after "open failed: administratively prohibited".
fn not_carried(what: &str) -> ChannelOpenFailure {
    ChannelOpenFailure::Other { code: ChannelOpenFailure::AdministrativelyProhibited.code(), reason: channel::not_carried(what) }
}

impl Handler for Connection {
    type Error = russh::Error;

    /// The probe shows only the bare key: say yes to Ed25519 and the like, and look when the certificate finishes.
    async fn auth_publickey_offered(&mut self, _user: &str, _offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn auth_openssh_certificate(&mut self, user: &str, certificate: &Certificate) -> Result<Auth, Self::Error> {
        let Some(claim) = self.claim(certificate) else { return Ok(Auth::reject()) };
        // From here on a no is a sentence in the session, since a failed authentication shows only "Permission denied".
        self.who = Some(Who {
            claim,
            target: self.target(user),
            user: user.chars().take(80).collect(),
            client: self.client.clone(),
            connection: self.id.clone(),
        });
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), Self::Error> {
        self.client.user_agent = Some(String::from_utf8_lossy(session.remote_sshid()).chars().take(256).collect());
        if let Some(who) = self.who.as_mut() {
            who.client = self.client.clone();
        }
        // A certificate whose sign-in has ended hears so in its first session, and stays a stranger until then.
        let Some(identity) = self.who.as_ref().and_then(|who| who.identity(&self.sessions).ok()) else { return Ok(()) };
        self.seat = self.sessions.seats.of_user(&identity.name);
        if self.seat.is_none() {
            tracing::warn!(client = %self.client.ip, "as many connections as one person may have");
            return Err(russh::Error::Disconnect);
        }
        if let Some((ticket, signed_in)) = self.before.take() {
            signed_in.say();
            drop(ticket);
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(who) = self.who.clone() else { return Err(russh::Error::NotAuthenticated) };
        if self.channels.len() >= MAX_CHANNELS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        reply.accept().await;
        let refused = std::mem::take(&mut self.unsaid);
        self.channels.spawn(channel::serve(channel, session.handle(), who, self.sessions.clone(), refused));
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse(&format!("direct-tcpip to {}:{port}", host.chars().take(255).collect::<String>()));
        reply.reject(not_carried("port forwarding")).await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        socket_path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse(&format!("direct-streamlocal to {}", socket_path.chars().take(255).collect::<String>()));
        reply.reject(not_carried("socket forwarding")).await;
        Ok(())
    }

    async fn tcpip_forward(&mut self, address: &str, port: &mut u32, _session: &mut Session) -> Result<bool, Self::Error> {
        self.refuse(&format!("tcpip-forward of {}:{port}", address.chars().take(255).collect::<String>()));
        self.say_later("port forwarding");
        Ok(false)
    }

    async fn streamlocal_forward(&mut self, socket_path: &str, _session: &mut Session) -> Result<bool, Self::Error> {
        self.refuse(&format!("streamlocal-forward of {}", socket_path.chars().take(255).collect::<String>()));
        self.say_later("socket forwarding");
        Ok(false)
    }

    async fn agent_request(&mut self, _channel: ChannelId, _session: &mut Session) -> Result<bool, Self::Error> {
        self.refuse("agent forwarding");
        Ok(false)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single_connection: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("x11-req");
        session.channel_failure(channel)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _cols: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn env_request(&mut self, channel: ChannelId, name: &str, _value: &str, session: &mut Session) -> Result<(), Self::Error> {
        if channel::is_env_allowed(name) { session.channel_success(channel) } else { session.channel_failure(channel) }
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn exec_request(&mut self, channel: ChannelId, _command: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn subsystem_request(&mut self, channel: ChannelId, name: &str, session: &mut Session) -> Result<(), Self::Error> {
        if name == channel::SFTP {
            return session.channel_success(channel);
        }
        self.refuse(&format!("subsystem {}", name.chars().take(64).collect::<String>()));
        session.channel_failure(channel)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        _cols: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn signal(&mut self, channel: ChannelId, _signal: Sig, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }
}
