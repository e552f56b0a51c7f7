//! What is signed and how: canonical JSON, the checkpoint key, the signed statements. Checking is pure; whoever has the files feeds them in.

pub mod log;
pub mod recording;

use std::fmt;

use access::event::Lost;
use access::time::Timestamp;
use access::words::{InstallId, SessionId};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A blake3 hash; prints as 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What a chain begins with.
    pub const ZERO: Self = Self([0; 32]);

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = hex::FromHexError;
    /// One way to write it: capitals would be a second, and a flipped bit of what is proved could hide in it.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if let Some((index, c)) = text.char_indices().find(|(_, c)| c.is_ascii_uppercase()) {
            return Err(hex::FromHexError::InvalidHexCharacter { c, index });
        }
        let mut out = [0; 32];
        hex::decode_to_slice(&text, &mut out)?;
        Ok(Self(out))
    }
}

/// The public half of a checkpoint key: 32 bytes of Ed25519 (RFC 8032). Prints as base64 without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// `SHA256:` and base64, as ssh-keygen prints fingerprints (over the 32 bytes).
    pub fn fingerprint(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.0);
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest.as_ref()))
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        STANDARD_NO_PAD.encode(key.0)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = SignatureFault;
    fn try_from(text: String) -> Result<Self, SignatureFault> {
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| SignatureFault::BadKey)?;
        Ok(Self(bytes.try_into().map_err(|_| SignatureFault::BadKey)?))
    }
}

/// Whoever holds the checkpoint key. The recorder asks; it never sees the key.
pub trait Sign: Send + Sync + 'static {
    /// The key that signatures are checked with.
    fn public(&self) -> PublicKey;
    /// A signature over exactly these bytes (already separated by domain), 64 bytes of Ed25519.
    fn sign(&self, bytes: &[u8]) -> [u8; 64];
}

/// An Ed25519 key in memory: the plain [`Sign`]er.
pub struct MemoryKey(Ed25519KeyPair);

impl MemoryKey {
    /// From PKCS#8 DER (RFC 8410).
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SignatureFault> {
        Ed25519KeyPair::from_pkcs8(der).map(Self).map_err(|_| SignatureFault::BadKey)
    }
    /// From a 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, SignatureFault> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| SignatureFault::BadKey)
    }
}

impl fmt::Debug for MemoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryKey({})", self.public().fingerprint())
    }
}

impl Sign for MemoryKey {
    fn public(&self) -> PublicKey {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(out)
    }
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.0.sign(bytes).as_ref());
        out
    }
}

/// Why a signed statement is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SignatureFault {
    #[error("the public key is not 32 bytes of base64")]
    BadKey,
    #[error("it is not the JSON of a signed statement: {0}")]
    NotJson(String),
    #[error("it is not written in canonical JSON")]
    NotCanonical,
    #[error("the signature does not fit")]
    BadSignature,
    #[error("it is signed by {found}, not by {wanted}")]
    OtherKey { found: String, wanted: String },
}

/// A statement that can be signed: the domain keeps one kind from being taken for another.
pub trait Statement: Serialize + for<'de> Deserialize<'de> {
    /// Unique, with version: `naru-head/1`.
    const DOMAIN: &'static str;
}

/// RFC 8785 for what we write: keys sorted, no white space, whole numbers only.
pub fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    let mut out = Vec::new();
    write_canonical(&value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_unstable_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            out.push(b'{');
            for (i, (key, item)) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(Value::from(key.as_str()).to_string().as_bytes());
                out.push(b':');
                write_canonical(item, out);
            }
            out.push(b'}');
        }
        plain => out.extend_from_slice(plain.to_string().as_bytes()),
    }
}

fn to_be_signed(domain: &str, body: &Value) -> Vec<u8> {
    let mut bytes = domain.as_bytes().to_vec();
    bytes.push(0);
    write_canonical(body, &mut bytes);
    bytes
}

/// The bytes to store: canonical JSON of the statement with `key` and `sig` added.
pub fn seal<S: Statement>(statement: &S, signer: &dyn Sign) -> Vec<u8> {
    let mut body = serde_json::to_value(statement).unwrap_or(Value::Null);
    if let Value::Object(map) = &mut body {
        map.insert("key".into(), String::from(signer.public()).into());
    }
    let sig = signer.sign(&to_be_signed(S::DOMAIN, &body));
    if let Value::Object(map) = &mut body {
        map.insert("sig".into(), STANDARD_NO_PAD.encode(sig).into());
    }
    let mut out = Vec::new();
    write_canonical(&body, &mut out);
    out
}

/// Believes stored bytes: canonical, signed by the key that they name, and by `trusted` where one is given. Answers the statement and the key used.
pub fn unseal<S: Statement>(bytes: &[u8], trusted: Option<&PublicKey>) -> Result<(S, PublicKey), SignatureFault> {
    let mut body: Value = serde_json::from_slice(bytes).map_err(|e| SignatureFault::NotJson(e.to_string()))?;
    let mut again = Vec::new();
    write_canonical(&body, &mut again);
    if again != bytes {
        return Err(SignatureFault::NotCanonical);
    }
    let map = body.as_object_mut().ok_or_else(|| SignatureFault::NotJson("not an object".into()))?;
    let sig = match map.remove("sig") {
        Some(Value::String(text)) => STANDARD_NO_PAD.decode(text).map_err(|_| SignatureFault::BadSignature)?,
        _ => return Err(SignatureFault::BadSignature),
    };
    let key = match map.get("key") {
        Some(Value::String(text)) => PublicKey::try_from(text.clone())?,
        _ => return Err(SignatureFault::BadKey),
    };
    if let Some(wanted) = trusted
        && *wanted != key
    {
        return Err(SignatureFault::OtherKey { found: key.fingerprint(), wanted: wanted.fingerprint() });
    }
    UnparsedPublicKey::new(&ED25519, key.0).verify(&to_be_signed(S::DOMAIN, &body), &sig).map_err(|_| SignatureFault::BadSignature)?;
    if let Some(map) = body.as_object_mut() {
        map.remove("key");
    }
    let statement = serde_json::from_value(body).map_err(|e| SignatureFault::NotJson(e.to_string()))?;
    Ok((statement, key))
}

/// `log/STREAM/HEAD`: replaced after every group commit, so that a cut tail shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Which install.
    pub install: InstallId,
    /// Which log.
    pub stream: String,
    /// How many events it has.
    pub count: u64,
    /// The `hash` of the last of them; zero when none.
    pub hash: Hash,
    /// When this was signed.
    pub time: Timestamp,
    /// How many lines `checkpoints` has at least.
    pub checkpoints: u64,
    /// How far the recorder's journal goes.
    pub journal: Option<JournalHead>,
    /// The revision of the proxy's store that was durable then: a store that is behind it was set back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<u64>,
}

impl Statement for Head {
    const DOMAIN: &'static str = "naru-head/1";
}

/// A place in the journal and the chain up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalHead {
    /// Number of the journal file.
    pub file: u64,
    /// Bytes of it that are covered.
    pub offset: u64,
    /// The chain after the record that ends there.
    pub chain: Hash,
}

/// A checkpoint: leaves for at least one sink every 60 s or 1,000 events, and proves later that HEAD was not rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Which install.
    pub install: InstallId,
    /// Which log.
    pub stream: String,
    /// How many events it had.
    pub count: u64,
    /// The `hash` of the last of them.
    pub hash: Hash,
    /// When.
    pub time: Timestamp,
}

impl Statement for Checkpoint {
    const DOMAIN: &'static str = "naru-checkpoint/1";
}

/// `log/STREAM/NNNNNN.seal`: a part of the log that is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSeal {
    /// Which install.
    pub install: InstallId,
    /// Which log.
    pub stream: String,
    /// Number of the segment.
    pub segment: u64,
    /// `seq` of its first event.
    pub first: u64,
    /// How many events it has.
    pub count: u64,
    /// The `prev` of its first event.
    pub prev: Hash,
    /// The `hash` of its last event.
    pub last: Hash,
    /// Bytes of the file.
    pub bytes: u64,
    /// blake3 of the file as stored.
    pub blake3: Hash,
}

impl Statement for LogSeal {
    const DOMAIN: &'static str = "naru-log-segment/1";
}

/// `recordings/SESSION/manifest.json`: a recording that is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Which install.
    pub install: InstallId,
    /// The session.
    pub session: SessionId,
    /// Who: `issuer|subject`.
    pub user: String,
    /// The handle.
    pub user_name: String,
    /// The node.
    pub node: String,
    /// The account there.
    pub login: String,
    /// `shell`, `exec`, `sftp`.
    pub kind: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Why, as in `session.end`.
    pub reason: String,
    /// The files of `cast/` in order.
    pub segments: Vec<Segment>,
    /// Bytes of output that went in.
    pub output_bytes: u64,
    /// Gaps where output went by unrecorded.
    pub gaps: u64,
    /// What they lack; absent where there are none.
    #[serde(default, skip_serializing_if = "Lost::is_nothing")]
    pub lost: Lost,
}

impl Statement for Manifest {
    const DOMAIN: &'static str = "naru-manifest/1";
}

/// One file of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// `0001.zst`.
    pub file: String,
    /// Bytes as stored.
    pub bytes: u64,
    /// blake3 as stored.
    pub blake3: Hash,
    /// Milliseconds of the session at which it begins.
    pub start_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flipped_bit_anywhere_is_found() {
        let signer = MemoryKey::from_seed(&[7; 32]).expect("key");
        let head = Head {
            install: "i-1".parse().expect("id"),
            stream: "proxy-1".into(),
            count: 3,
            hash: Hash::of(b"x"),
            time: Timestamp::from_secs(5),
            checkpoints: 0,
            journal: Some(JournalHead { file: 1, offset: 9, chain: Hash::ZERO }),
            store: Some(4),
        };
        let bytes = seal(&head, &signer);
        assert_eq!(unseal::<Head>(&bytes, Some(&signer.public())), Ok((head, signer.public())));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal::<Head>(&bad, Some(&signer.public())).is_err(), "bit {bit}");
        }
        assert!(unseal::<Checkpoint>(&bytes, None).is_err(), "a head is no checkpoint");
    }
}
