//! A machine that signs in, as people write it.

use access::connector::{BotSpec, ProviderSpec};

use super::connector::period;
use super::parts::{self, PROVIDER};
use super::spec::Spec;
use crate::tree::Node;

/// Beside those of a provider.
const FIELDS: [&str; 5] = ["audience", "claims", "roles", "traits", "max_login"];

pub(super) fn read(spec: &mut Spec<'_, '_>, node: &Node) -> BotSpec {
    let Spec { read, places, .. } = spec;
    let fields = read.fields(node, "a bot", &[PROVIDER.as_slice(), &FIELDS].concat());
    let ProviderSpec { issuer, ca, proxy, endpoint_hosts, algorithms } = parts::provider(read, &fields, places);
    let mut spec = BotSpec {
        issuer,
        ca,
        proxy,
        endpoint_hosts,
        algorithms,
        audience: parts::text(read, &fields, places, "audience").unwrap_or_default(),
        roles: fields.get("roles").map(|node| parts::roles(read, node)).unwrap_or_default(),
        max_login: period(read, &fields, places, "max_login", "write for example 30m"),
        ..BotSpec::default()
    };
    if let Some(node) = fields.get("claims") {
        spec.claims = places.part(read, "claims", node, |read, node, places| {
            let mut claims = std::collections::BTreeMap::new();
            for entry in read.map(node, "claims") {
                let path = format!("claims.{}", entry.key);
                let patterns = places.part(read, &path, &entry.value, |read, node, _| parts::patterns(read, node));
                places.put(path, &entry.at);
                claims.insert(entry.key.clone(), patterns);
            }
            claims
        });
    }
    if let Some(node) = fields.get("traits") {
        spec.traits = parts::traits(read, node, places);
    }
    spec
}
