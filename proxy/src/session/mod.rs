//! Sessions: one loop for each, whatever front and whatever kind. `open` turns a question into a running session, `run` is the loop,
//! `table` knows the live ones. No protocol words here, and nothing global.

pub(crate) mod budget;
mod ended;
mod far;
pub(crate) mod input;
pub(crate) mod lost;
pub(crate) mod near;
pub(crate) mod open;
mod resume;
mod run;
mod show;
pub(crate) mod step_up;
pub(crate) mod table;
mod waits;
mod warned;
