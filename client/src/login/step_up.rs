//! A session waits until its person has shown anew who they are: what the terminal says, and the browser that opens.

use wire::api::StepUpAsked;
use wire::link::Address;

use super::browser::{Opener, Page};
use crate::failure::Failure;
use crate::out::say;

/// Says what to do, and opens a browser where there is one.
pub fn step_up(ask: &StepUpAsked, server: &Address) -> Result<(), Failure> {
    let page = Page::of(&ask.browse, server)?;
    let terminal = rustix::termios::isatty(std::io::stderr());
    say(&ask.step_up);
    say(&format!("open {page} and compare the code {}; this goes on by itself", ask.code));
    if let Some(opener) = Opener::find(|name| std::env::var_os(name), terminal) {
        opener.open(&page);
    }
    Ok(())
}
