//! A certificate from an ACME server (RFC 8555): what is kept of it in the state directory, and when a new one is ordered.
//! The talk itself is in [`order`], the way to the server in [`web`].

pub(super) mod order;
mod web;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use access::time::Timestamp;
use config::proxy::ProxyFile;
use instant_acme::AccountCredentials;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use store::state::{SecretError, read_secret, write_secret};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use super::Certificates;
use super::file::{self, FileError};
use super::pair::{Pair, PairError};
use web::AcmeWeb;

/// For a whole order: the server may take a minute to ask back from several places.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The wait after a first failure, doubled with each further one: few enough in an hour for the limits of public servers.
const FIRST_WAIT: Duration = Duration::from_secs(5 * 60);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(12 * 3600);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum AcmeError {
    #[error("the authorities of the ACME server: {0}")]
    Ca(#[from] FileError),
    #[error("the ACME server cannot be asked: {0}")]
    Way(String),
    #[error("{path} cannot be made: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Kept(#[from] SecretError),
    #[error("the ACME server refused, or was not reached: {0}")]
    Server(String),
    #[error("the account is not known to the ACME server any more; the next try makes a new one")]
    NoAccount,
    #[error("the ACME server does not offer to check {0} over TLS (tls-alpn-01)")]
    NoChallenge(String),
    #[error("the ACME server could not check the names: {0}")]
    Unproven(String),
    #[error("what the ACME server signed cannot be used: {0}")]
    Pair(#[from] PairError),
    #[error("a key could not be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the order did not end in {} minutes", PATIENCE.as_secs() / 60)]
    Patience,
    #[error("the order broke off")]
    BrokeOff,
}

/// An ACME server and what is kept of it.
#[derive(Clone)]
pub(crate) struct Acme {
    setting: config::proxy::Acme,
    /// What is ordered: the names of `public` without its addresses.
    names: Vec<String>,
    /// Certificates that sign the server's own, PEM.
    ca: Option<String>,
    folder: PathBuf,
}

impl Acme {
    /// Reads what the setting names. Nothing is asked or written yet.
    pub(super) fn read(setting: &config::proxy::Acme, public: &[String]) -> Result<Self, AcmeError> {
        let ca = setting.ca.as_deref().map(|path| authorities(Path::new(path))).transpose()?;
        AcmeWeb::new(ca.as_deref())?;
        let names = ProxyFile::dns_names(public).cloned().collect();
        Ok(Self { setting: setting.clone(), names, ca, folder: PathBuf::new() })
    }

    /// Takes its place below the folder of keys: one for each server, so that a trial at one leaves another's account alone.
    pub(super) fn settle(&mut self, keys: &Path) -> Result<(), AcmeError> {
        let hash = blake3::hash(self.setting.directory.as_bytes()).to_hex();
        let place = keys.join("acme").join(hash.get(..16).unwrap_or_default());
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&place);
        made.map_err(|source| AcmeError::Folder { path: place.clone(), source })?;
        self.folder = place;
        Ok(())
    }

    /// The certificate of an earlier order that still counts at this time.
    pub(super) fn kept(&self, now: Timestamp) -> Option<Pair> {
        let found = self.secret("certificate.pem").and_then(|pem| match pem {
            Some(pem) => {
                let pair = Pair::from_pem(&pem, &pem)?;
                pair.check([], now)?;
                Ok(Some(pair))
            }
            None => Ok(None),
        });
        // Another can be ordered, so this is no reason to stay away.
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "the certificate that was kept is not used");
            None
        })
    }

    /// When the next one is to be ordered, with this one in use.
    pub(super) fn due(&self, pair: Option<&Pair>, now: Timestamp) -> Timestamp {
        match pair {
            Some(pair) if pair.check(&self.names, now).is_ok() => pair.facts.renew_at(),
            _ => now,
        }
    }

    /// Orders one and keeps it. What a library of the talk may do wrong ends the order and nothing else.
    pub(super) async fn order(&self, certificates: &Arc<Certificates>) -> Result<Pair, AcmeError> {
        let (acme, certificates) = (self.clone(), certificates.clone());
        let ordering = AbortOnDropHandle::new(tokio::spawn(async move { order::order(&acme, &certificates).await }));
        let ordered = tokio::time::timeout(PATIENCE, ordering).await.map_err(|_| AcmeError::Patience)?;
        ordered.map_err(|_| AcmeError::BrokeOff)?
    }

    /// Account of an earlier order at the same server.
    fn account(&self) -> Result<Option<AccountCredentials>, AcmeError> {
        let Some(stored) = self.secret("account.json")? else { return Ok(None) };
        // Half a file cannot be: it is replaced whole. One that somebody changed is as good as none.
        Ok(serde_json::from_slice(&stored).ok())
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), AcmeError> {
        Ok(write_secret(&self.folder.join(name), bytes)?)
    }

    fn forget(&self, name: &str) {
        // It is not there, or the next order says the same again.
        let _ = std::fs::remove_file(self.folder.join(name));
    }

    fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, AcmeError> {
        match read_secret(&self.folder.join(name)) {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(SecretError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The wait after this many failures in a row, from 1.
pub(super) fn wait_after(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_WAIT)
}

fn authorities(path: &Path) -> Result<String, AcmeError> {
    let bytes = file::read(path)?;
    let unread = || FileError::Pair { path: path.to_owned(), source: PairError::NoCertificate };
    let text = std::str::from_utf8(&bytes).map_err(|_| unread())?;
    CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| unread())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::certificate::pair::tests::made;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn acme(dir: &Path, public: &[&str]) -> Acme {
        let setting = config::proxy::Acme { directory: "https://127.0.0.1:1/dir".to_owned(), contact: Vec::new(), ca: None };
        let public: Vec<String> = public.iter().map(|name| (*name).to_owned()).collect();
        let mut acme = Acme::read(&setting, &public).expect("a server");
        acme.settle(dir).expect("a folder");
        acme
    }

    #[test]
    fn a_kept_certificate_counts_until_two_thirds_of_its_life_and_for_its_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let one = acme(dir.path(), &["a.example.org", "10.0.0.1"]);
        assert_eq!(one.names, ["a.example.org"], "an address is not ordered");
        assert!(one.kept(NOW).is_none());
        assert_eq!(one.due(None, NOW), NOW);
        let (chain, key) = made(&["a.example.org"], NOW);
        one.keep("certificate.pem", format!("{key}{chain}").as_bytes()).expect("kept");
        let kept = one.kept(NOW).expect("a certificate");
        assert_eq!(one.due(Some(&kept), NOW), NOW.plus(Duration::from_secs(57_600)));
        assert!(one.kept(NOW.plus(Duration::from_secs(86_400))).is_none(), "it has expired");
        let more = acme(dir.path(), &["a.example.org", "b.example.org"]);
        assert!(more.kept(NOW).is_some(), "it is still good for one name");
        assert_eq!(more.due(Some(&kept), NOW), NOW, "and one with both is ordered");
        one.keep("certificate.pem", b"-----BEGIN nonsense").expect("kept");
        assert!(one.kept(NOW).is_none());
        one.keep("account.json", b"{").expect("kept");
        assert!(one.account().expect("read").is_none());
    }

    #[test]
    fn failures_are_few_in_an_hour_and_never_stop_for_a_day() {
        let waits: Vec<u64> = (1..=10).map(|failures| wait_after(failures).as_secs() / 60).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 720, 720]);
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }

    #[test]
    fn authorities_that_are_none_are_told_at_the_start() {
        let dir = tempfile::tempdir().expect("a folder");
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, "no certificate").expect("written");
        let ca = Some(ca.display().to_string());
        let setting = config::proxy::Acme { directory: "https://127.0.0.1:1/dir".to_owned(), contact: Vec::new(), ca };
        assert!(matches!(Acme::read(&setting, &["a.b".to_owned()]).err(), Some(AcmeError::Ca(_))));
    }
}
