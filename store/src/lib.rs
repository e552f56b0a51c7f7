//! Ordered keys with compare-and-swap, watch and leases; and the state directory that holds them.
//!
//! INVARIANT: no word of access, recording or SSH is known here: keys and bytes only.
#![forbid(unsafe_code)]

pub mod kv;
pub mod state;
