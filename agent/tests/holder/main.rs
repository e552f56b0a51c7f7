//! A real zygote and real holders, driven through their sockets with frames. What runs only as root, or only not, says so.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr, reason = "tests")]

mod accounts;
mod hosts;
mod peer;
mod resume;
mod sessions;
