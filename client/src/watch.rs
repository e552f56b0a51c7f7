//! `naru sessions watch`: a live session as it goes on, read only.

use serde_json::json;
use wire::api::exit;
use wire::asciicast::{Item, Reader};

use crate::failure::Failure;
use crate::http::Streamed;
use crate::out::{Out, print, say};
use crate::play::{Event, item_of, size, with_returns};
use crate::recording::{Export, Format};
use crate::screen_filter::{CUT, Filter, Keep};
use crate::terminal::{self, Ends, Raw};

/// Shows the stream until the session ends: on a terminal as it looks (`q` or Ctrl-C leaves), else as text or JSON lines.
pub async fn run(from: Streamed, out: Out, raw: bool) -> Result<u8, Failure> {
    if out.json {
        json_lines(from).await
    } else if out.terminal && rustix::termios::isatty(std::io::stdin()) {
        screen(from, raw).await
    } else {
        text(from, raw).await
    }
}

async fn text(mut from: Streamed, raw: bool) -> Result<u8, Failure> {
    let mut export = Export::new(Format::Txt, raw);
    let mut shown = Vec::new();
    while let Some(line) = from.line().await? {
        export.line(&line, &mut shown)?;
        print(&shown)?;
        shown.clear();
    }
    export.end(&mut shown)?;
    print(&shown)?;
    Ok(exit::OK)
}

async fn json_lines(mut from: Streamed) -> Result<u8, Failure> {
    let mut reader = Reader::default();
    while let Some(line) = from.line().await? {
        if let Some(event) = event(&mut reader, &line)? {
            print(format!("{}\n", as_json(&event)).as_bytes())?;
        }
    }
    Ok(exit::OK)
}

/// One line of `watch --json` and `play --json`. JSON escapes every control, so nothing is taken out of it.
pub(crate) fn as_json(event: &Event) -> serde_json::Value {
    json!({ "time_us": event.time, "code": event.code.to_string(), "data": String::from_utf8_lossy(&event.data) })
}

async fn screen(mut from: Streamed, raw: bool) -> Result<u8, Failure> {
    let mut ends = Ends::listen()?;
    let guard = Raw::enter(true)?;
    let mut typed = terminal::typed();
    let (mut reader, mut filter) = (Reader::default(), Filter::new(Keep::OneScreen));
    let here = terminal::size();
    let mut noted = None;
    let code = loop {
        let line = tokio::select! {
            line = from.line() => line?,
            Some(keys) = typed.recv() => match keys.iter().find(|key| matches!(key, b'q' | 0x03)) {
                Some(b'q') => break exit::OK,
                Some(_) => break exit::INTERRUPTED,
                None => continue,
            },
            code = ends.next() => break code,
        };
        let Some(line) = line else {
            drop(guard);
            noted.iter().for_each(|note: &String| say(note));
            say("the session has ended");
            return Ok(exit::OK);
        };
        let item = item(&mut reader, &line)?;
        let mut shown = Vec::new();
        if let Some(size) = item.as_ref().and_then(size_in)
            && let Some(note) = terminal::larger(size, here)
        {
            filter.cut_lines();
            shown.extend_from_slice(CUT);
            shown.extend(terminal::bottom_row(&note, here));
            print(&shown)?;
            shown.clear();
            noted = Some(note);
        }
        let Some(event) = item.and_then(Event::of) else { continue };
        let data = match event.code {
            'o' | crate::gap::CODE => event.data,
            'O' | 'E' => with_returns(&event.data),
            _ => continue,
        };
        if raw {
            shown = data
        } else {
            filter.feed(&data, &mut shown)
        }
        print(&shown)?;
    };
    Ok(code)
}

fn event(reader: &mut Reader, line: &[u8]) -> Result<Option<Event>, Failure> {
    Ok(item(reader, line)?.and_then(Event::of))
}

fn item(reader: &mut Reader, line: &[u8]) -> Result<Option<Item>, Failure> {
    item_of(reader, line).map_err(|e| Failure::new("NARU-R120", exit::FAILED, "the recording cannot be read").because(e))
}

/// The size that the session begins with, or takes on.
fn size_in(item: &Item) -> Option<(u16, u16)> {
    match item {
        Item::Header(header) => Some((header.cols, header.rows)),
        Item::Event { code: 'r', text, .. } => size(text.as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_carries_no_control() {
        let mut reader = Reader::default();
        assert_eq!(event(&mut reader, b"{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}"), Ok(None));
        let mut sizes = Reader::default();
        let sized = |line: &[u8], reader: &mut Reader| item(reader, line).expect("reads").as_ref().and_then(size_in);
        assert_eq!(sized(b"{\"version\":3,\"term\":{\"cols\":200,\"rows\":24}}", &mut sizes), Some((200, 24)));
        assert_eq!(sized(b"[1,\"r\",\"90x30\"]", &mut sizes), Some((90, 30)));
        let event = event(&mut reader, b"[0.5,\"o\",\"\\u001b[31m\\n\"]").expect("reads").expect("an event");
        let line = as_json(&event).to_string();
        assert!(line.contains("500000") && !line.chars().any(char::is_control), "{line}");
    }
}
