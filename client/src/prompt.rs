//! Questions to whoever sits at the terminal: one line, or yes and no. Without a terminal nothing is asked.

use std::io::{IsTerminal as _, Write as _};

use crate::failure::Failure;
use crate::out::plain;
use crate::terminal::Ends;

/// Most bytes of an answer.
const MOST: u64 = 4096;

/// Whether somebody is there to be asked.
pub fn possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a line; what is typed, without its end.
///
/// # Errors
/// Ctrl-C and the end of input (exit 130), a terminal that cannot be read.
pub async fn line(question: &str) -> Result<String, Failure> {
    let mut ends = Ends::listen()?;
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{} ", plain(question));
    let _ = err.flush();
    drop(err);
    // Only one line is taken: what is typed behind it is the session's. A thread of its own, which nobody waits for when Ctrl-C ends the program.
    let (to, read) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let taken = std::io::BufRead::read_line(&mut std::io::Read::take(std::io::stdin().lock(), MOST), &mut text);
        let _ = to.send(taken.map(|taken| (taken > 0).then_some(text)));
    });
    let nothing = |exit| Failure::new("NARU-C030", exit, "there was no answer, so nothing was done");
    tokio::select! {
        read = read => match read {
            Ok(Ok(Some(text))) => Ok(text.trim().to_owned()),
            Ok(Ok(None)) => Err(nothing(wire::api::exit::INTERRUPTED)),
            Ok(Err(cause)) => Err(Failure::new("NARU-C014", wire::api::exit::FAILED, "the terminal cannot be read").because(cause)),
            Err(_) => Err(nothing(wire::api::exit::FAILED)),
        },
        code = ends.next() => {
            let _ = std::io::stderr().lock().write_all(b"\n");
            Err(nothing(code))
        }
    }
}

/// Asks for a yes; anything else is a no.
///
/// # Errors
/// As [`line`].
pub async fn yes(question: &str) -> Result<bool, Failure> {
    line(&format!("{question} [y/N]")).await.map(|said| is_yes(&said))
}

fn is_yes(said: &str) -> bool {
    matches!(said.to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (said, yes) in [("y", true), ("YES", true), ("", false), ("n", false), ("yes please", false), ("yy", false)] {
            assert_eq!(is_yes(said), yes, "{said:?}");
        }
    }
}
