//! What is fuzzed: plain functions from bytes to nothing that panic when a promise is broken.
//!
//! To add one: write its function, put it in [`TARGETS`], and put a few files into `tests/fuzz/corpus/NAME/`. The ordinary tests
//! then feed it every file of that folder once, and `cargo xtask fuzz NAME` looks for more. This file is compiled into the fuzzer
//! as well, so it may use only what `tests/fuzz/Cargo.toml` names.

use std::sync::LazyLock;
use std::time::Duration;

use access::time::Timestamp;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::BytesMut;
use wire::asciicast::Reader;
use wire::backup::{self, LogPlace, Part};
use wire::dpop;
use wire::forwarded;
use wire::frames::{Frame, HEAD, MAX_PAYLOAD};
use wire::grant::{Gate, GrantKeys};
use wire::journal::JournalCheck;
use wire::link::SignInLink;
use wire::oidc::{self, Algorithm, Discovery, Expected, KeySet, Nonce};
use wire::preface::{First, MAX_PREFACE, first, line};
use wire::proof::{Hash, MemoryKey};
use wire::proxy_header::{self, MAX_V2};

/// Takes hostile bytes and panics when a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("frames", frames),
    ("first_bytes", first_bytes),
    ("behind_balancer", behind_balancer),
    ("grant", grant),
    ("cast", cast),
    ("journal", journal),
    ("link", link),
    ("oidc", oidc),
    ("dpop", dpop),
    ("backup", backup),
];

/// Session frames: no panic, no output larger than its input allows, and what was read is written as it stood.
fn frames(data: &[u8]) {
    let mut buf = BytesMut::from(data);
    while let Ok(Some(frame)) = Frame::decode(&mut buf) {
        if let Frame::Input { data, .. } | Frame::Output { data, .. } = &frame {
            assert!(data.len() <= MAX_PAYLOAD, "a payload over the limit");
        }
        let mut again = BytesMut::new();
        frame.encode(&mut again);
        assert!(again.len() >= HEAD, "a frame without a head");
        let read = Frame::decode(&mut again).expect("what we write can be read");
        assert_eq!(read, Some(frame), "what we write reads back the same");
    }
    cut_in_two(data);
}

/// Bytes that arrive in two pieces mean what they mean in one.
fn cut_in_two(data: &[u8]) {
    let all = |parts: &[&[u8]]| {
        let (mut buf, mut out) = (BytesMut::new(), Vec::new());
        for part in parts {
            buf.extend_from_slice(part);
            loop {
                match Frame::decode(&mut buf) {
                    Ok(Some(frame)) => out.push(frame),
                    Ok(None) => break,
                    Err(_) => return (out, true),
                }
            }
        }
        (out, false)
    };
    let (head, tail) = data.split_at(data.len() / 2);
    let (whole, pieces) = (all(&[data]), all(&[head, tail]));
    assert!(whole == pieces, "cut bytes read differently: {whole:?} {pieces:?}");
}

/// The first bytes of the port and the preface line: told within the bound, and the same however they arrive.
fn first_bytes(data: &[u8]) {
    let told = (0..=data.len().min(MAX_PREFACE)).find_map(|end| data.get(..end).and_then(first));
    assert!(told.is_some() || data.len() < MAX_PREFACE, "undecided at the bound");
    if let Some(First::Preface { node, len }) = told {
        assert_eq!(data.get(..len), Some(line(&node).as_bytes()), "one spelling of a preface");
    }
}

/// What a balancer says of its client: told within the bound, the same however it arrives, and nothing left of an address counts.
fn behind_balancer(data: &[u8]) {
    let most = data.len().min(MAX_V2);
    let told = (0..=most).map(|end| proxy_header::read(data.get(..end).unwrap_or_default())).find(|told| *told != Ok(None));
    assert!(told.is_some() || data.len() < MAX_V2, "undecided at the bound");
    assert_eq!(proxy_header::read(data), told.clone().unwrap_or(Ok(None)), "pieces read differently");
    if let Some(Ok(Some(header))) = told {
        assert!(header.len <= most && header.client.is_none_or(|from| from.ip() == from.ip().to_canonical()), "{header:?}");
    }
    let named = |ip: std::net::IpAddr| ip.is_loopback();
    if let Ok(Some(client)) = forwarded::client([data].into_iter(), named) {
        assert_eq!(client.ip(), client.ip().to_canonical(), "IPv4 in two spellings");
        let after = client.to_string();
        let again = forwarded::client([data, after.as_bytes()].into_iter(), |ip| named(ip) && ip != client.ip());
        assert_eq!(again, Ok(Some(client)), "an address changed what stands right of it");
    }
}

/// Grants: nothing that was not signed is admitted.
fn grant(data: &[u8]) {
    let (Ok(install), Ok(agent)) = ("i1".parse(), "a1".parse()) else { return };
    let Ok(iss) = "i1".parse() else { return };
    let keys = GrantKeys { iss, iat: 0, exp: i64::MAX, keys: [("g1".to_owned(), "00".repeat(32))].into() };
    let mut gate = Gate::new(install, agent, "p".to_owned(), "e".to_owned(), keys);
    let token = String::from_utf8_lossy(data);
    assert!(gate.admit(&token, b"", Timestamp::from_secs(1_800_000_000)).is_err(), "an unsigned grant was admitted");
}

/// The cast reader: no panic, times never go back, and pieces read as the whole does.
fn cast(data: &[u8]) {
    let read = |parts: &[&[u8]]| {
        let mut reader = Reader::new();
        let mut items = 0_usize;
        for part in parts {
            reader.push(part);
            while let Some(item) = reader.next_item() {
                items += 1;
                if item.is_err() {
                    return items;
                }
            }
        }
        reader.finish();
        while let Some(item) = reader.next_item() {
            items += 1;
            if item.is_err() {
                break;
            }
        }
        items
    };
    let (head, tail) = data.split_at(data.len() / 3);
    assert_eq!(read(&[data]), read(&[head, tail]), "cut text reads differently");
}

/// The recorder's journal as found on a disk: no panic, and no more records than there are bytes.
fn journal(data: &[u8]) {
    let mut check = JournalCheck::new(None);
    check.file(1);
    check.feed(data);
    let report = check.finish();
    assert!(report.live.len() <= data.len(), "more recordings than bytes");
}

/// Sign-in links that people paste: what is understood prints as it stood.
fn link(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(link) = text.parse::<SignInLink>() {
        assert_eq!(link.to_string().parse(), Ok(link), "a link reads back");
    }
}

/// Backups: no panic, no more out than in, no name that is a path; and what we write of any entries reads back.
fn backup(data: &[u8]) {
    let read = |bytes: &[u8]| {
        let (mut parts, mut size) = (Vec::new(), 0);
        let mut reader = backup::Reader::new(bytes).ok()?;
        loop {
            match reader.next() {
                Ok(Some(Part::Sealed(_))) => return Some(parts),
                Ok(Some(part)) => {
                    let (Part::Key(name, value) | Part::Entry(name, value)) = &part else { return None };
                    assert!(!matches!(&part, Part::Key(name, _) if name.contains('/') || name.starts_with('.')), "a path: {name}");
                    size += name.len() + value.len();
                    assert!(size <= bytes.len(), "more than there is");
                    parts.push(part);
                }
                Ok(None) | Err(_) => return None,
            }
        }
    };
    read(data);
    let (Ok(install), Ok(key)) = ("n1".parse(), MemoryKey::from_seed(&[7; 32])) else { return };
    let log = LogPlace { count: 0, hash: Hash::ZERO };
    let head = backup::Head { install, time: NOW, revision: 1, log, version: String::new() };
    let mut writer = backup::Writer::new(Vec::new(), &head).expect("memory");
    let entries: Vec<(String, &[u8])> = data.chunks(64).enumerate().map(|(n, value)| (format!("{n:08}"), value)).collect();
    entries.iter().for_each(|(key, value)| writer.entry(key, value).expect("memory"));
    let written = writer.finish(&key).expect("memory");
    let parts = read(&written).expect("what we write is believed");
    assert!(parts.into_iter().eq(entries.into_iter().map(|(key, value)| Part::Entry(key, value.to_vec()))), "it reads back the same");
}

const ISSUER: &str = "https://sso.example.com";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// A provider whose private key is known, so that bytes get behind the signature.
static PROVIDER: LazyLock<(Ed25519KeyPair, KeySet)> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#);
    (pair, KeySet::parse(keys.as_bytes()).expect("a key set"))
});

/// A provider's documents and tokens: nothing unsigned is believed, and what is believed keeps what its type promises.
fn oidc(data: &[u8]) {
    if let Ok(keys) = KeySet::parse(data) {
        assert!(keys.knows(None) && keys.kids().count() + keys.skipped() <= KeySet::MAX_KEYS, "keys out of nothing");
    }
    if let Ok(read) = Discovery::parse(data, ISSUER, &[]) {
        let more = [read.end_session_endpoint, read.userinfo_endpoint, read.device_authorization_endpoint];
        let all = more.into_iter().flatten().chain([read.authorization_endpoint, read.token_endpoint, read.jwks_uri]);
        all.for_each(|url| assert!(url.to_ascii_lowercase().starts_with(ISSUER), "an endpoint elsewhere: {url}"));
    }
    let unsigned = String::from_utf8_lossy(data);
    assert_eq!(believed(&unsigned), 0, "an unsigned token was believed");
    believed(&signed(br#"{"alg":"EdDSA","kid":"k"}"#, data));
    let claims = br#"{"iss":"https://sso.example.com","aud":"naru","sub":"a","iat":1800000000,"exp":1800000060}"#;
    believed(&signed(data, claims));
}

/// DPoP proofs: what nobody signed proves nothing, and what is believed was made for the request, now and by the key that it shows.
fn dpop(data: &[u8]) {
    let urls = ["https://naru.example/v1/status".to_owned()];
    let asked = dpop::Request { method: "GET", urls: &urls, token: None, now: NOW };
    let unsigned = String::from_utf8_lossy(data);
    assert!(dpop::proof(&unsigned, &asked).is_err(), "an unsigned proof was believed");
    let public = URL_SAFE_NO_PAD.encode(PROVIDER.0.public_key());
    let header = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{public}"}}}}"#);
    let claims = r#"{"jti":"a","htm":"GET","htu":"https://naru.example/v1/status","iat":1800000000}"#;
    let good = dpop::proof(&signed(header.as_bytes(), claims.as_bytes()), &asked).expect("a good proof is believed");
    let [by_header, by_claims] = [signed(data, claims.as_bytes()), signed(header.as_bytes(), data)].map(|text| dpop::proof(&text, &asked));
    for believed in [&by_header, &by_claims].into_iter().flatten() {
        assert_eq!(believed.thumbprint(), good.thumbprint(), "one key, one thumbprint");
        assert!((1..=dpop::MAX_ID).contains(&believed.id().len()), "an id out of bounds");
    }
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = PROVIDER.0.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// As how many kinds a token is believed.
fn believed(token: &str) -> usize {
    let leeway = Duration::from_secs(60);
    let expected = Expected { issuer: ISSUER, audience: "naru", also_audiences: &[], algorithms: &Algorithm::ALL, now: NOW, leeway };
    let (id, logout) = (oidc::id_token(token, &PROVIDER.1, &expected, Nonce::None), oidc::logout_token(token, &PROVIDER.1, &expected));
    let workload = oidc::workload_token(token, &PROVIDER.1, &expected);
    assert!(logout.is_err() || (id.is_err() && workload.is_err()), "a logout token is also something else");
    if let Ok(id) = &id {
        let lives = id.issued() < id.expires() && NOW < id.expires().plus(leeway) && id.issued() <= NOW.plus(leeway);
        assert!(lives && !id.subject().is_empty() && id.subject().chars().count() <= 255, "an id token that should not be");
        let roles = oidc::claim(id.claims(), "a.b.c").map(oidc::strings).unwrap_or_default();
        assert!(roles.len() <= 1000 && roles.iter().all(|role| role.len() <= 256), "more roles than a token may give");
    }
    if let Ok(logout) = &logout {
        assert!(logout.subject().or(logout.sid()).is_some() && logout.remember_until() > NOW, "a logout token for nobody");
    }
    for fault in [id.as_ref().err(), logout.as_ref().err(), workload.as_ref().err()].into_iter().flatten() {
        assert!(fault.to_string().len() < 1000, "a sentence as long as the token");
    }
    usize::from(id.is_ok()) + usize::from(logout.is_ok()) + usize::from(workload.is_ok())
}
