//! One order at an ACME server, from the account to the certificate. The server asks back on our own port (RFC 8737).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::web::AcmeWeb;
use super::{Acme, AcmeError};
use crate::clock;
use crate::listen::certificate::pair::{Pair, PairError};
use crate::listen::certificate::{Certificates, Challenge};

/// How the order is looked at: soon, then less often.
const LOOKS: RetryPolicy = RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(4 * 60));

/// Orders a certificate for all names, keeps it, and answers with it.
pub(super) async fn order(acme: &Acme, certificates: &Arc<Certificates>) -> Result<Pair, AcmeError> {
    let refused = |error: Error| refused(acme, &error);
    let account = account(acme).await?;
    let names: Vec<Identifier> = acme.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(refused)?;
    // They answer until the order is through.
    let answers = answer(acme, &mut order, certificates).await?;
    let ready = order.poll_ready(&LOOKS).await;
    if !matches!(ready, Ok(OrderStatus::Ready)) {
        // The names' own sentences say more than that of the order.
        return match (unproven(&mut order).await, ready) {
            (Some(why), _) => Err(AcmeError::Unproven(why)),
            (None, Err(error)) => Err(refused(error)),
            (None, Ok(_)) => Err(AcmeError::Unproven("it does not say why".to_owned())),
        };
    }
    drop(answers);
    let key = KeyPair::generate()?;
    let csr = CertificateParams::new(acme.names.clone())?.serialize_request(&key)?;
    order.finalize_csr(csr.der()).await.map_err(refused)?;
    let chain = order.poll_certificate(&LOOKS).await.map_err(refused)?;
    let key = Zeroizing::new(key.serialize_pem());
    let pair = Pair::from_pem(chain.as_bytes(), key.as_bytes())?;
    pair.check(&acme.names, clock::now())?;
    let both = Zeroizing::new(format!("{}{chain}", key.as_str()));
    let kept = acme.clone();
    let keeping = tokio::task::spawn_blocking(move || kept.keep("certificate.pem", both.as_bytes()));
    keeping.await.map_err(|_| AcmeError::BrokeOff)??;
    Ok(pair)
}

/// The account of before, or a new one. Its key is kept before anything is ordered with it.
async fn account(acme: &Acme) -> Result<Account, AcmeError> {
    let refused = |error: Error| refused(acme, &error);
    let builder = Account::builder_with_http(Box::new(AcmeWeb::new(acme.ca.as_deref())?));
    if let Some(known) = acme.account()? {
        return builder.from_credentials(known).await.map_err(refused);
    }
    let contact: Vec<&str> = acme.setting.contact.iter().map(String::as_str).collect();
    // That the terms are agreed to is checked when the settings are read.
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&new, acme.setting.directory.clone(), None).await.map_err(refused)?;
    let json = serde_json::to_vec(&credentials).map_err(|_| AcmeError::BrokeOff)?;
    acme.keep("account.json", &Zeroizing::new(json))?;
    Ok(account)
}

/// Lays an answer ready for each name that is not proven yet, and calls the server to look.
async fn answer<'c>(acme: &Acme, order: &mut Order, certificates: &'c Certificates) -> Result<Vec<Challenge<'c>>, AcmeError> {
    let refused = |error: Error| refused(acme, &error);
    let mut answers = Vec::new();
    let mut names = order.authorizations();
    while let Some(name) = names.next().await {
        let mut name = name.map_err(refused)?;
        if name.status == AuthorizationStatus::Valid {
            continue;
        }
        let dns = name.identifier().to_string();
        // A server that asks for what was not ordered gets no answer in it.
        if answers.len() == acme.names.len() || !acme.names.contains(&dns) {
            return Err(AcmeError::NoChallenge(wire::plain::words(&std::io::Error::other(dns))));
        }
        let mut challenge = name.challenge(ChallengeType::TlsAlpn01).ok_or_else(|| AcmeError::NoChallenge(dns.clone()))?;
        answers.push(certificates.challenge(&dns, proof(&dns, challenge.key_authorization().digest().as_ref())?));
        challenge.set_ready().await.map_err(refused)?;
    }
    Ok(answers)
}

/// The certificate that proves a name: of its own making, with the digest that the account's key gives (RFC 8737 section 3). Its extension
/// is critical and known to ACME servers alone, so the usual checks of a pair would refuse it.
pub(in crate::listen::certificate) fn proof(name: &str, digest: &[u8]) -> Result<CertifiedKey, AcmeError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| AcmeError::Pair(PairError::NoKey))?;
    let key = rustls::crypto::aws_lc_rs::default_provider().key_provider.load_private_key(key);
    let key = key.map_err(|error| AcmeError::Pair(PairError::BadKey(error.to_string())))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// Why names could not be checked, in the server's words.
async fn unproven(order: &mut Order) -> Option<String> {
    let mut told = Vec::new();
    let mut names = order.authorizations();
    while let Some(name) = names.next().await {
        let Ok(mut name) = name else { continue };
        let of = name.identifier().to_string();
        let Ok(state) = name.refresh().await else { continue };
        let why = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()?.detail.clone());
        told.extend(why.map(|why| plain(&format!("{of}: {why}"))));
        if told.len() == 3 {
            break;
        }
    }
    (!told.is_empty()).then(|| told.join("; "))
}

fn refused(acme: &Acme, error: &Error) -> AcmeError {
    match error {
        Error::Api(problem) if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist") => {
            acme.forget("account.json");
            AcmeError::NoAccount
        }
        Error::Api(problem) => {
            AcmeError::Server(plain(problem.detail.as_deref().or(problem.r#type.as_deref()).unwrap_or("it does not say why")))
        }
        other => AcmeError::Server(plain(&wire::plain::words(other))),
    }
}

/// A sentence of somebody else: short, on one line, steering no terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}
