//! Everything that looks at Naru from outside: a harness that starts the real program, stories, laws and fuzz targets.
//!
//! INVARIANT: of our crates only `access` and `wire` may be used here; what else Naru does is seen through the built binary.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test code says so by failing")]

pub mod fuzz_targets;
pub mod harness;
pub mod issuer;
pub mod keycloak;
pub mod pty;

#[cfg(test)]
mod agents;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod balancers;
#[cfg(test)]
mod bots;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod joining;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod live;
#[cfg(test)]
mod operating;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod recordings;
#[cfg(test)]
mod refused_sign_ins;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod stranger;
#[cfg(test)]
mod tamper;
#[cfg(test)]
mod transfers;
