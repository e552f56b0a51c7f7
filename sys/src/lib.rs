//! The one crate with unsafe: the few calls that safe crates lack.
