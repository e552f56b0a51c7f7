//! What went wrong on a connection, in words for people: libraries speak to programmers, and link to their own manuals.

use std::error::Error;
use std::io::{self, ErrorKind};

/// Most characters of a library's own text.
const MOST: usize = 200;

/// The innermost cause that is known by its kind, as a few plain words; else the error's first line, without addresses of manuals.
pub fn words(error: &(dyn Error + 'static)) -> String {
    let mut known = None;
    let mut next = Some(error);
    // Errors are nested a few deep; a loop of them would be a fault of its library.
    for _ in 0..16 {
        let Some(now) = next else { break };
        next = match now.downcast_ref::<io::Error>() {
            Some(io) => {
                known = of_kind(io.kind()).or(known);
                io.get_ref().map(|inner| inner as &(dyn Error + 'static))
            }
            None => now.source(),
        };
    }
    known.map_or_else(|| trimmed(&error.to_string()), str::to_owned)
}

fn of_kind(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::UnexpectedEof => "the other side went away without saying so",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => "the connection was broken off",
        ErrorKind::ConnectionRefused => "nothing listens there",
        ErrorKind::TimedOut => "there was no answer in time",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "there is no way to it",
        _ => return None,
    })
}

fn trimmed(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let end = ["https://", "http://"].iter().filter_map(|link| line.find(link)).min().unwrap_or(line.len());
    line.chars()
        .take(line.get(..end).unwrap_or_default().chars().count().min(MOST))
        .collect::<String>()
        .trim_end_matches([':', ' '])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_says_nothing_in_its_own_words_that_we_know_in_ours() {
        let rustls =
            "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html";
        let closed = io::Error::other(io::Error::new(ErrorKind::UnexpectedEof, rustls));
        assert_eq!(words(&closed), "the other side went away without saying so");
        assert_eq!(words(&io::Error::from(ErrorKind::ConnectionRefused)), "nothing listens there");
        assert_eq!(words(&io::Error::other("odd thing: https://docs.rs/x\nmore")), "odd thing");
    }
}
