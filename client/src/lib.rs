//! What the laptop does: login, ssh, play, explain. A library: arguments are read and codes are returned by `naru`.
//!
//! INVARIANT: it knows the proxy only by its API; nothing that it was sent reaches a terminal or a file of another program unfiltered.
#![forbid(unsafe_code)]

pub mod audit;
pub mod can;
pub mod diff;
pub mod doctor;
pub mod events;
pub mod extend;
pub mod failure;
pub mod gap;
pub mod http;
pub mod input;
pub mod keys;
pub mod kinds;
pub mod live;
pub mod locks;
pub mod login;
pub mod ls;
pub mod nodes;
pub mod offer;
pub mod out;
pub mod play;
pub mod profile;
pub mod prompt;
pub mod proxy_connect;
pub mod reach;
pub mod recording;
pub mod requests;
pub mod resources;
pub mod screen_filter;
pub mod secrets;
pub mod sessions;
pub mod ssh;
pub mod ssh_config;
pub mod terminal;
pub mod text;
pub mod tls;
pub mod token;
pub mod verify;
pub mod vt;
pub mod watch;
pub mod when;
pub mod yaml;
