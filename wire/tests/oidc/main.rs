//! Tries `wire::oidc` as the proxy uses it: a provider made of real keys signs honest and hostile tokens. No provider is reached.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that finds something missing is to stop")]

mod believed;
mod described;
mod forged;
mod key_sets;
mod mutated;
mod provider;
mod refused;
