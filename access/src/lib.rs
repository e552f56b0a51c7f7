//! Who may do what: the words of Naru, the policy, the one pure function that decides, and every audit event.
//!
//! INVARIANT: nothing here awaits, opens a file or a socket, reads a clock or draws a random number.
//! Asking twice gives the same answer.
#![forbid(unsafe_code)]

pub mod amount;
pub mod condition;
pub mod connector;
pub mod decide;
pub mod event;
pub mod hours;
pub mod identity;
pub mod network;
pub mod policy;
pub mod reach;
pub mod time;
pub mod words;
