//! Dials out, believes only verified grants, opens terminals.

#![forbid(unsafe_code)]

pub mod holder;
