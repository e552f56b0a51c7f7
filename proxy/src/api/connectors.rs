//! What a connector needs before it is kept: its secret sealed, its key made, its provider tried.

use std::collections::BTreeMap;

use access::connector::{ConnectorSpec, ProviderSpec, WriteOnly};
use access::policy::{Resource, Stated};
use access::words::ConnectorName;
use aws_lc_rs::signature::KeyPair as _;
use rcgen::KeyPair;
use wire::api::exit;
use zeroize::Zeroizing;

use super::App;
use super::problem::No;
use crate::authority::sealed::{Seal, Sealed, Unseal};
use crate::declared::{ClientKey, Id, StoredConnector, place_of};
use crate::live::View;

/// Takes the secret out of a connector: what is compared, kept and shown is without it.
pub(super) fn without_secret(resource: Resource) -> (Resource, Option<WriteOnly>) {
    match resource {
        Resource::OidcConnector { name, mut spec } => {
            let secret = spec.client_secret.take();
            (Resource::OidcConnector { name, spec }, secret)
        }
        Resource::Messenger { name, mut spec } => {
            let secret = spec.webhook.as_mut().and_then(|webhook| webhook.secret.take());
            (Resource::Messenger { name, spec }, secret)
        }
        Resource::AuditSink { name, mut spec } => {
            let secret = spec.webhook.as_mut().and_then(|webhook| webhook.secret.take());
            (Resource::AuditSink { name, spec }, secret)
        }
        other => (other, None),
    }
}

/// As it would be shown: without its secret.
pub(super) fn shown(mut stated: Stated) -> Stated {
    let (resource, _secret) = without_secret(stated.resource);
    stated.resource = resource;
    stated
}

/// Seals a secret of a resource.
pub(super) fn sealed(app: &App, id: &Id, secret: &WriteOnly) -> Result<Sealed, No> {
    app.keys.ask(Seal { place: &place_of(id), secret: secret.reveal().as_bytes() }).map_err(No::ours)
}

/// Whether this is the secret that is kept.
pub(super) fn has_secret(app: &App, view: &View, id: &Id, secret: &WriteOnly) -> bool {
    let Some(sealed) = view.resources.get(id).and_then(|there| there.stored.secrets.values().next()) else { return false };
    app.keys.ask(Unseal { place: &place_of(id), sealed }).is_ok_and(|kept| *kept == secret.reveal())
}

/// The connectors among what changes, as they will be kept. Their providers are tried first: one that people could not sign in by is
/// refused.
pub(super) async fn made<'a>(
    app: &App,
    view: &View,
    changed: impl Iterator<Item = (&'a Id, &'a Resource)>,
    secrets: &BTreeMap<Id, WriteOnly>,
) -> Result<BTreeMap<ConnectorName, StoredConnector>, No> {
    let mut made = BTreeMap::new();
    for (id, resource) in changed {
        let Resource::OidcConnector { name, spec } = resource else { continue };
        let place = place_of(id);
        let seal = |text: &str| app.keys.ask(Seal { place: &place, secret: text.as_bytes() }).map_err(No::ours);
        let before = view.connectors.get(name);
        let secret = match secrets.get(id) {
            _ if spec.private_key_jwt => None,
            Some(secret) => Some(seal(secret.reveal())?),
            // A secret goes only where it was meant to go, and by the way that was meant: a foreign authority behind a foreign proxy
            // would be shown it.
            None => before.filter(|before| same_way(&before.spec, spec)).and_then(|before| before.secret.clone()),
        };
        // What was signed for one provider is shown to no other (audience injection, RFC 7523): a key is for one client of one provider.
        let same_client = |before: &&StoredConnector| before.spec.issuer == spec.issuer && before.spec.client_id == spec.client_id;
        let key = match before.filter(same_client).and_then(|before| before.key.clone()) {
            _ if !spec.private_key_jwt => None,
            Some(key) => Some(key),
            None => {
                let pair = KeyPair::generate().map_err(No::ours)?;
                let private = Zeroizing::new(hex::encode(Zeroizing::new(pair.serialize_der()).as_slice()));
                Some(ClientKey { private: seal(&private)?, public: public_of(&pair)? })
            }
        };
        let stored = StoredConnector { spec: spec.clone(), secret, key };
        app.oidc.tried(&stored).await.map_err(|error| {
            let no = No::new(
                axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                "NARU-C009",
                exit::FAILED,
                format!("connector {name} would sign nobody in: {error}"),
            );
            no.hint("Nothing was changed. Mend it, or apply it again when the provider answers.")
        })?;
        made.insert(name.clone(), stored);
    }
    Ok(made)
}

/// Whether two declarations show a secret to the same provider.
fn same_way(one: &ConnectorSpec, other: &ConnectorSpec) -> bool {
    let way = |spec: &ConnectorSpec| ProviderSpec { algorithms: Vec::new(), ..spec.provider() };
    way(one) == way(other) && one.client_id == other.client_id
}

/// The public point of a P-256 key, in hex.
fn public_of(pair: &KeyPair) -> Result<String, No> {
    let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let der = Zeroizing::new(pair.serialize_der());
    let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(algorithm, &der).map_err(No::ours)?;
    Ok(hex::encode(pair.public_key().as_ref()))
}
