//! Bytes and API types on every wire, as codecs and machines.
//!
//! INVARIANT: no file, no socket, no clock, no tokio. Bytes come in as arguments, `now` is an argument,
//! and hostile bytes are parsed with bounded memory and time.
#![forbid(unsafe_code)]

pub mod api;
pub mod asciicast;
pub mod backup;
pub mod dpop;
pub mod forwarded;
pub mod frames;
pub mod grant;
pub mod journal;
pub mod link;
pub mod oidc;
pub mod pinned;
pub mod plain;
pub mod preface;
pub mod proof;
pub mod proxy_header;
pub mod sse;
pub mod tunnel;
