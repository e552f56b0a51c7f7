//! The agent's holders: one zygote that makes them, a socket each to attach to. Only what grant and host allow gets here.

use std::path::Path;
use std::path::PathBuf;

use access::event::SessionKind;
use access::words::SessionId;
use tokio::net::UnixStream;
use wire::tunnel::{How, Refusal};

use crate::holder::spawn::StartError;
use crate::holder::{Kind, Pty, Refused, SpawnSpec, Zygote, code};
use crate::local::Admitted;

/// Makes and finds holders.
#[derive(Debug, Clone)]
pub(crate) struct Holders {
    zygote: Zygote,
    /// Whether the host lists root.
    allow_root: bool,
}

impl Holders {
    /// Starts the zygote: `program zygote`, with sockets in `dir`. `allow_root`: whether sessions may have uid 0.
    pub(crate) fn start(dir: &Path, program: PathBuf, allow_root: bool) -> Result<Self, StartError> {
        Zygote::start(dir, program, vec!["zygote".into()]).map(|zygote| Self { zygote, allow_root })
    }

    /// A holder for an admitted session, and its socket.
    pub(crate) async fn open(&self, admitted: &Admitted) -> Result<UnixStream, Refusal> {
        let request = admitted.request();
        let How::Open { kind, command, terminal, env, grace_s, read_only } = &request.how else {
            return self.attach(request.session).await;
        };
        let kind = match (kind, command) {
            (SessionKind::Shell, None) => Kind::Shell,
            (SessionKind::Exec, Some(command)) => Kind::Exec { command: command.clone() },
            (SessionKind::Sftp, None) => Kind::Sftp { read_only: *read_only },
            _ => return Err(refusal(code::BAD_REQUEST, "the request's kind and command do not fit")),
        };
        let pty = terminal.clone().map(|terminal| Pty { term: terminal.term, size: terminal.size, modes: terminal.modes });
        let spec = SpawnSpec {
            session: request.session,
            login: request.login.clone(),
            kind,
            pty,
            env: env.clone(),
            grace: u32::try_from(*grace_s).unwrap_or(u32::MAX),
            allow_root: self.allow_root,
            motd: true,
        };
        self.zygote.spawn(&spec).await.map_err(said)?;
        self.attach(request.session).await
    }

    /// The socket of a holder that lives.
    pub(crate) async fn attach(&self, session: SessionId) -> Result<UnixStream, Refusal> {
        self.zygote.attach_socket(&session).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => refusal(code::LOST, "the session is not on this host any more"),
            _ => refusal(code::HOST, &format!("the session's holder cannot be reached: {error}")),
        })
    }

    /// Hangs up every session that this agent's zygote started, and waits until they are gone (at most seven seconds): for an agent that
    /// goes away for good.
    pub(crate) async fn end_all(&self) {
        self.zygote.end_all().await;
    }
}

fn refusal(code: &str, message: &str) -> Refusal {
    Refusal { code: code.to_owned(), message: message.to_owned() }
}

fn said(refused: Refused) -> Refusal {
    Refusal { code: refused.code, message: refused.message }
}
