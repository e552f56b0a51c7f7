//! Tries `wire::oidc` as the proxy uses it: a provider made of real keys signs honest and hostile tokens. No provider is reached.

mod believed;
mod provider;
