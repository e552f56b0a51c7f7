//! An identity provider's connector as people write it.

use std::collections::BTreeMap;

use access::connector::{ConnectorSpec, Flow, ProviderSpec, WriteOnly};
use access::policy::Pattern;
use access::words::RoleName;

use super::parts::{self, PROVIDER};
use super::places::Places;
use super::spec::Spec;
use crate::read::{Fields, Reader};
use crate::tree::{Node, Value};

/// Beside those of a provider.
const FIELDS: [&str; 12] = [
    "client_id",
    "client_secret",
    "private_key_jwt",
    "scopes",
    "claims",
    "traits",
    "username",
    "audiences",
    "flows",
    "max_login",
    "refresh",
    "outage",
];

pub(super) fn read(spec: &mut Spec<'_, '_>, node: &Node) -> ConnectorSpec {
    let Spec { read, places, .. } = spec;
    let fields = read.fields(node, "a connector", &[PROVIDER.as_slice(), &FIELDS].concat());
    let ProviderSpec { issuer, ca, proxy, endpoint_hosts, algorithms } = parts::provider(read, &fields, places);
    let (fields, at) = (&fields, places);
    let flows = Flow::ALL.map(|flow| (flow.as_str(), flow));
    ConnectorSpec {
        issuer,
        ca,
        proxy,
        endpoint_hosts,
        algorithms,
        client_id: parts::text(read, fields, at, "client_id").unwrap_or_default(),
        client_secret: secret(read, fields, at),
        private_key_jwt: fields.get("private_key_jwt").and_then(|node| read.flag(node, "private_key_jwt")).unwrap_or_default(),
        scopes: parts::list(read, fields, at, "scopes"),
        claims: fields.get("claims").map(|node| claims(read, node, at)).unwrap_or_default(),
        traits: fields.get("traits").map(|node| traits(read, node, at)).unwrap_or_default(),
        username: parts::text(read, fields, at, "username"),
        audiences: parts::list(read, fields, at, "audiences"),
        flows: fields.get("flows").map(|node| words(read, node, &flows)).unwrap_or_default(),
        max_login: period(read, fields, at, "max_login", "write for example 8h"),
        refresh: period(read, fields, at, "refresh", "write for example 60s"),
        outage: period(read, fields, at, "outage", "write for example 15m"),
    }
}

/// Taken as it stands, also where YAML might see a number in it: no fault may repeat it.
fn secret(read: &mut Reader<'_>, fields: &Fields<'_>, places: &mut Places) -> Option<WriteOnly> {
    let node = fields.get("client_secret")?;
    places.part(read, "client_secret", node, |read, node, _| match &node.value {
        Value::Scalar { text, .. } => Some(WriteOnly::new(text.clone())),
        Value::Broken => None,
        _ => {
            read.fault(&node.at, "client_secret is one text", "write the secret itself, in quotes");
            None
        }
    })
}

fn words(read: &mut Reader<'_>, node: &Node, flows: &[(&str, Flow)]) -> Vec<Flow> {
    read.list(node, "flows").iter().filter_map(|item| read.word(item, "a way to sign in", flows)).collect()
}

pub(super) fn period(
    read: &mut Reader<'_>,
    fields: &Fields<'_>,
    places: &mut Places,
    name: &str,
    remedy: &str,
) -> Option<access::amount::Period> {
    let node = fields.get(name)?;
    places.part(read, name, node, |read, node, _| read.parse(node, name, remedy))
}

/// Path of a claim, then pattern of a value, then roles.
fn claims(read: &mut Reader<'_>, node: &Node, places: &mut Places) -> BTreeMap<String, BTreeMap<Pattern, Vec<RoleName>>> {
    let mut claims = BTreeMap::new();
    places.put("claims", &node.at);
    for entry in read.map(node, "claims") {
        let path = format!("claims.{}", entry.key);
        let by_value = places.part(read, &path, &entry.value, |read, node, places| {
            let mut by_value = BTreeMap::new();
            for entry in read.map(node, "a claim") {
                let Some(value) = parts::pattern(read, &entry.key, &entry.at) else { continue };
                let roles = places.part(read, &format!("{path}.{}", entry.key), &entry.value, |read, node, _| parts::roles(read, node));
                by_value.insert(value, roles);
            }
            by_value
        });
        places.put(path, &entry.at);
        claims.insert(entry.key.clone(), by_value);
    }
    claims
}

/// Name of a trait, then path of a claim.
fn traits(read: &mut Reader<'_>, node: &Node, places: &mut Places) -> BTreeMap<String, String> {
    let mut traits = BTreeMap::new();
    for entry in read.map(node, "traits") {
        let path = format!("traits.{}", entry.key);
        let claim = places.part(read, &path, &entry.value, |read, node, _| read.text(node, "the path of a claim").map(str::to_owned));
        places.put(path, &entry.at);
        traits.insert(entry.key.clone(), claim.unwrap_or_default());
    }
    traits
}
