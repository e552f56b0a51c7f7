//! Keeps the certificates good while the proxy runs: signs our own anew before it ends, reads files again, orders from ACME. Each
//! change and each failure is an event; a failure leaves in use what was in use.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use access::event::{Actor, Event, Outcome, What};
use access::time::Timestamp;
use config::proxy::{Certificate, ProxyFile};
use recorder::Log;

use super::acme::{self, Acme, AcmeError};
use super::file::{Files, Look, Watched};
use super::pair::Pair;
use super::{CertificateError, Certificates};
use crate::clock;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often the wall clock is asked whether something is due: it may be set, and a machine may sleep.
const CLOCK_EVERY: Duration = Duration::from_secs(600);
/// Shortest time between two orders, whatever life a server gives its certificates.
const ORDER_EVERY: Duration = Duration::from_secs(10);

/// The code of a certificate that cannot be had.
const CODE: &str = "NARU-C118";

/// Where the certificate for browsers comes from.
pub(crate) enum Source {
    /// There is none but our own.
    Own,
    /// Two files.
    File(Box<(Watched, Pair)>),
    /// An ACME server.
    Acme(Acme),
}

impl Source {
    /// Reads what the setting names; nothing is written or asked.
    pub(crate) fn read(setting: &Certificate, public: &[String], now: Timestamp) -> Result<Self, CertificateError> {
        Ok(match setting {
            Certificate::Own => Self::Own,
            Certificate::File { chain, key } => {
                // Addresses are served by our own certificate where this one does not have them.
                let names = ProxyFile::dns_names(public).cloned().collect();
                let files = Files { chain: chain.into(), key: key.into(), names };
                Self::File(Box::new(Watched::open(files, now)?))
            }
            Certificate::Acme(acme) => Self::Acme(Acme::read(acme, public)?),
        })
    }
}

/// Signs our own certificate with a new key.
pub(crate) type SignOwn = Box<dyn Fn() -> Result<Pair, String> + Send + Sync>;

/// What keeps the certificates good.
pub(crate) struct Keeping {
    certificates: Arc<Certificates>,
    source: Kept,
    sign: SignOwn,
    log: Log,
}

/// A source that has shown its first certificate.
enum Kept {
    Own,
    File(Watched),
    Acme(Acme, Option<Pair>),
}

impl Keeping {
    /// Shows what the source has at once. `keys` is the folder of keys in the state directory.
    pub(crate) fn begin(
        source: Source,
        certificates: Arc<Certificates>,
        sign: SignOwn,
        keys: &Path,
        log: Log,
    ) -> Result<Self, CertificateError> {
        let source = match source {
            Source::Own => Kept::Own,
            Source::File(both) => {
                let (watched, first) = *both;
                certificates.set_public(first);
                Kept::File(watched)
            }
            Source::Acme(mut acme) => {
                acme.settle(keys)?;
                let first = acme.kept(clock::now());
                if let Some(first) = first.clone() {
                    certificates.set_public(first);
                }
                Kept::Acme(acme, first)
            }
        };
        Ok(Self { certificates, source, sign, log })
    }

    /// Until it is dropped.
    pub(crate) async fn run(self) -> Infallible {
        let Self { certificates, source, sign, log } = self;
        let tell = Tell(log);
        let own = keep_own(&certificates, &sign, &tell);
        let public = async {
            match source {
                Kept::Own => std::future::pending().await,
                Kept::File(watched) => watch(watched, &certificates, &tell).await,
                Kept::Acme(acme, first) => order(&acme, first, &certificates, &tell).await,
            }
        };
        tokio::select! {
            never = own => never,
            never = public => never,
        }
    }
}

async fn keep_own(certificates: &Certificates, sign: &SignOwn, tell: &Tell) -> Infallible {
    loop {
        tokio::time::sleep(CLOCK_EVERY).await;
        renew_own(certificates, sign, tell, clock::now());
    }
}

/// Signs our own certificate anew when it is time.
fn renew_own(certificates: &Certificates, sign: &SignOwn, tell: &Tell, now: Timestamp) {
    if now < certificates.own_renews_at() {
        return;
    }
    match sign() {
        Ok(pair) => {
            tell.changed("own", &pair);
            certificates.set_own(pair);
        }
        Err(cause) => tell.failed("own", &cause),
    }
}

async fn watch(mut watched: Watched, certificates: &Certificates, tell: &Tell) -> Infallible {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Files may lie on a disk that does not answer.
        let looking = tokio::task::spawn_blocking(move || {
            let look = watched.look(clock::now());
            (watched, look)
        });
        let Ok((again, look)) = looking.await else {
            tracing::error!("the certificate's files cannot be looked at any more; restart the server after changing them");
            return std::future::pending().await;
        };
        watched = again;
        match look {
            Look::Same => {}
            Look::New(pair) => {
                tell.changed("file", &pair);
                certificates.set_public(*pair);
            }
            Look::Ending => tell.failed("file", "the certificate in use ends soon, and its files have no newer one"),
            Look::Broken(error) => tell.failed("file", &error.to_string()),
        }
    }
}

async fn order(acme: &Acme, mut current: Option<Pair>, certificates: &Arc<Certificates>, tell: &Tell) -> Infallible {
    let mut failures: u32 = 0;
    loop {
        let now = clock::now();
        let due = acme.due(current.as_ref(), now);
        if now < due {
            tokio::time::sleep(due.since(now).min(CLOCK_EVERY)).await;
            continue;
        }
        let wait = match acme.order(certificates).await {
            Ok(pair) => {
                failures = 0;
                tell.changed("acme", &pair);
                certificates.set_public(pair.clone());
                current = Some(pair);
                ORDER_EVERY
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                let wait = acme::wait_after(failures);
                tracing::warn!(%error, failures, minutes = wait.as_secs() / 60, "no certificate was ordered; it is tried again");
                // The first of a row, and those that begin to matter: the rest stands in the server's own log.
                if failures == 1 || current.as_ref().is_some_and(|pair| pair.facts.ends_soon(now)) {
                    tell.failed("acme", &error.to_string());
                }
                // An account that was forgotten is made anew without waiting, once.
                if matches!(error, AcmeError::NoAccount) && failures == 1 { ORDER_EVERY } else { wait }
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Says what happened, in the audit log and in our own.
struct Tell(Log);

impl Tell {
    fn changed(&self, source: &str, pair: &Pair) {
        let facts = &pair.facts;
        tracing::info!(source, serial = facts.serial, names = facts.names.join(" "), "the server has a new certificate");
        self.say(Event::new(
            clock::now(),
            Actor::system(),
            What::CertificateChanged {
                source: source.to_owned(),
                names: facts.names.clone(),
                serial: facts.serial.clone(),
                expires: facts.not_after,
            },
        ));
    }

    fn failed(&self, source: &str, cause: &str) {
        tracing::warn!(source, cause, "the server gets no new certificate; the one in use goes on");
        let what = What::CertificateFailed { source: source.to_owned(), cause: cause.to_owned() };
        let mut event = Event::new(clock::now(), Actor::system(), what);
        event.outcome = Outcome::failed(CODE, cause);
        self.say(event);
    }

    fn say(&self, event: Event) {
        if let Err(error) = self.0.append(&event) {
            tracing::error!(%error, "an event of the server's certificate could not be logged");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{certificates, pair};
    use super::*;

    fn log() -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().expect("a folder");
        let settings = recorder::log::LogSettings::new(dir.path().to_owned(), "i1".parse().expect("an id"), "proxy-1");
        let key = Arc::new(wire::proof::MemoryKey::from_seed(&[7; 32]).expect("a key"));
        let (log, _) = Log::start(settings, key).expect("a log");
        (dir, log)
    }

    fn kinds(dir: &tempfile::TempDir) -> Vec<String> {
        let mut text = String::new();
        for entry in walk(dir.path()) {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(entry).expect("read")));
        }
        let of = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["type"].as_str().map(str::to_owned);
        text.lines().filter_map(of).collect()
    }

    fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir).expect("a folder").flatten().map(|entry| entry.path());
        entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn our_own_certificate_is_signed_anew_before_it_ends_and_a_failure_keeps_the_old_one() {
        let ((certificates, first), (dir, log)) = (certificates(), log());
        let tell = Tell(log);
        let good: SignOwn = Box::new(|| Ok(pair(&["naru.example.org"])));
        let bad: SignOwn = Box::new(|| Err("no randomness".to_owned()));
        let pin = || certificates.choose_for(super::super::Asks::OwnCa, None).expect("a choice").pin;
        let due = certificates.own_renews_at();
        renew_own(&certificates, &good, &tell, due.minus(Duration::from_secs(1)));
        assert_eq!(pin(), first.to_string(), "not before its time");
        renew_own(&certificates, &bad, &tell, due);
        assert_eq!(pin(), first.to_string());
        renew_own(&certificates, &good, &tell, due);
        assert_ne!(pin(), first.to_string());
        assert_eq!(kinds(&dir), ["certificate.failed", "certificate.changed"]);
    }
}
