//! `naru login`, `naru status`, `naru logout`: keys made here become a sign-in, by a link, through a provider or as a machine.
//!
//! INVARIANT: the identity provider is the server's affair. What is here opens a browser, carries what came back and keeps certificates.

mod bot;
mod browser;
mod callback;
#[cfg(test)]
pub(crate) mod fake;
mod keep;
mod link;
mod logout;
mod provider;
mod status;
mod step_up;
mod trust;
#[cfg(test)]
mod walk;

pub use bot::{as_bot, token};
pub use keep::Place;
pub use link::with_link;
pub use logout::logout;
pub use provider::{Asked, Way, with_provider};
pub use status::{all, status};
pub use step_up::step_up;
