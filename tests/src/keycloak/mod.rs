//! A real Keycloak for the tests: started on loopback, administered, and signed in to as a browser would. What Naru makes of it is for
//! the tests themselves; nothing of Naru is started here.
//!
//! One server serves all tests of a process ([`Keycloak::shared`]): each test takes a realm of its own, made from
//! `tests/keycloak/realm.json`, so that no test sees another's people, sessions or clients.
//!
//! Trust: Keycloak posts logout tokens to Naru over TLS and reads whom to trust once, when it starts (`--truststore-paths`). So the CA
//! file exists before Keycloak does, and a Naru whose CA is another is not believed. `company` starts Narus that share one.

mod admin;
mod browser;
#[cfg(test)]
pub(crate) mod company;
mod http;
mod opener;
mod page;
#[cfg(test)]
mod proof;
mod realm;
mod server;
mod totp;

pub use browser::{Browser, Seen};
pub use http::{Answer, Curl, query_value};
pub use opener::Opener;
pub use realm::{Person, Realm};
pub use server::Keycloak;
pub use totp::totp;
