//! The proxy: the only thing that listens. Fronts per protocol, authority, sessions, agents, API.
//!
//! Built in an order that can be read aloud: state directory, keys, store, log, recorder, policy, port; then served; then drained in the
//! opposite order.
#![forbid(unsafe_code)]

mod address;
mod agents;
mod answers;
mod api;
mod authority;
pub mod backup;
mod break_glass;
mod build;
mod clock;
mod declared;
mod freshness;
mod heap;

mod listen;
mod live;
mod migrate;
mod notify;
mod oidc;
mod ops;
mod refusals;
mod requests;
mod seed;
mod session;
mod ssh;
mod unmade;
mod world;

pub use build::{BuildError, Proxy, Settings};
pub use listen::certificate::CertificateError;
pub use listen::control;
pub use notify::NotifyError;
pub use seed::{SeedError, Seeded};
