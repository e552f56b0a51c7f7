//! Server-sent events (WHATWG HTML, section 9.2) as they are read: bytes in, messages out. A machine with bounds; it knows no socket,
//! no route and no meaning of a message.

/// Most bytes of one message with its line that is not whole yet.
pub const MOST: usize = 4 * 1024 * 1024;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What kind it is: `message` where the sender did not say.
    pub event: String,
    /// Its lines, with a line feed between them.
    pub data: String,
    /// The id that was given last, by this message or one before it: what `Last-Event-ID` says to go on after it. Empty where none was.
    pub id: String,
}

/// Why a stream is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SseFault {
    #[error("a message has more than {MOST} bytes")]
    TooLong,
    #[error("a line is not UTF-8")]
    NotText,
}

/// Reads one stream. Holds at most [`MOST`] bytes beside the piece that it is given.
#[derive(Debug, Default)]
pub struct Reader {
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// A first line has been read: only the stream's first bytes may be a mark of their order.
    begun: bool,
    /// The line before ended with a carriage return, to which a line feed may belong.
    after_return: bool,
    event: String,
    /// Each line of data with a line feed behind it.
    data: String,
    /// Given in the message that is not whole yet.
    id: Option<String>,
    last_id: String,
}

impl Reader {
    /// Takes the next bytes; answers the messages that became whole with them, in order.
    ///
    /// # Errors
    /// [`SseFault`]: the stream is of no use any more.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, SseFault> {
        let mut whole = Vec::new();
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => whole.extend(self.end_of_line()?),
                _ if self.line.len() + self.data.len() >= MOST => return Err(SseFault::TooLong),
                other => self.line.push(*other),
            }
        }
        Ok(whole)
    }

    fn end_of_line(&mut self) -> Result<Option<Message>, SseFault> {
        let bytes = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&bytes).map_err(|_| SseFault::NotText)?;
        let line = if self.begun { line } else { line.strip_prefix('\u{feff}').unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            return Ok(self.end_of_message());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // A comment, which keeps the connection alive, or what we do not know.
            _ => {}
        }
        Ok(None)
    }

    fn end_of_message(&mut self) -> Option<Message> {
        self.last_id = self.id.take().unwrap_or_else(|| std::mem::take(&mut self.last_id));
        let (event, mut data) = (std::mem::take(&mut self.event), std::mem::take(&mut self.data));
        // Without the last line feed; without any there was no data, and it is no message.
        data.pop()?;
        let event = if event.is_empty() { "message".to_owned() } else { event };
        Some(Message { event, data, id: self.last_id.clone() })
    }
}
