//! What the laptop does: login, ssh, play, explain.
