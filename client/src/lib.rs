//! What the laptop does: login, ssh, play, explain.

pub mod verify;
