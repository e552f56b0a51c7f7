//! What requests to many routes say alike: which page of a list, and by what key one that makes something is known again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The header by which a request that makes something is known again (draft-ietf-httpapi-idempotency-key-header): whoever sends it once
/// more with the same key is answered as the first time, and nothing is made twice.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Says `true` on an answer that was given before.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";
/// Says `false` on an answer that is too large to be given again.
pub const IDEMPOTENT_KEPT: &str = "idempotent-kept";

/// Which page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// At most this many; 500 where absent, 1,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before ended: its `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Which resources of a kind, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceQuery {
    /// At most this many; 500 where absent, 1,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before ended: its `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// All of them as messages, then each change as it happens: see [`super::watch`].
    #[serde(default)]
    pub watch: bool,
}
