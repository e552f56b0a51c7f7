//! Text to settings, text to policy; faults with line and caret.
//!
//! INVARIANT: nothing here reads a file, the environment or a clock; text comes in, meaning or faults go out.
//! What people wrote is a tree with places ([`tree`]); what is meant are types without any "absent" that cannot stay so.
#![forbid(unsafe_code)]

pub mod agent;
pub mod faults;
pub mod policy;
pub mod policy_test;
pub mod proxy;
mod read;
mod secrets;
mod tree;
