//! What an OpenID Connect provider says, believed or refused with a reason: its keys, its tokens, its description of itself.
//!
//! Nothing here fetches, keeps or decides who somebody is: bytes and the time come in as arguments, and the caller asks the
//! provider. A token that was believed is a value that only this room makes.

mod address;
mod algorithm;
mod claims;
mod discovery;
mod discovery_fault;
mod fault;
mod id_token;
pub(crate) mod json;
mod jws;
pub(crate) mod keys;
mod logout_token;
mod pick;
mod workload_token;

use std::time::Duration;

use access::time::Timestamp;

pub use address::AddressFault;
pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use discovery::{Discovery, TokenIssuer};
pub use discovery_fault::{DiscoveryFault, IssuerHint};
pub use fault::TokenFault;
pub use id_token::{IdToken, Nonce, id_token};
pub use json::JsonFault;
pub use keys::{KeySet, KeySetFault};
pub use logout_token::{LogoutToken, logout_token};
pub use pick::{claim, strings};
pub use workload_token::{WorkloadToken, workload_token};

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 64 * 1024;
/// Members of all objects in a token's claims, together.
pub const MAX_CLAIMS: usize = 1000;
/// Longest life of a token from `iat` to `exp`, whatever its issuer says.
pub const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Most that the clocks of provider and proxy may differ; a larger [`Expected::leeway`] counts as this.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// What every token of a provider must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `iss`, to the letter.
    pub issuer: &'a str,
    /// Our client id (or, for a workload, the audience that was agreed): must be in `aud`.
    pub audience: &'a str,
    /// What else may stand in `aud` of an id token or logout token; any further value is refused.
    pub also_audiences: &'a [String],
    /// What may sign: of the provider's own description and the connector, never of a token's header.
    pub algorithms: &'a [Algorithm],
    /// The time.
    pub now: Timestamp,
    /// How far the clocks may differ; at most [`MAX_LEEWAY`].
    pub leeway: Duration,
}
