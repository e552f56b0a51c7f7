//! The agent's side of its holders: one zygote that makes them, one socket each to attach to.
