//! The one bounded line that names a node before the SSH banner, and what the first bytes of a connection are. Pure and total.

use access::words::NodeName;

/// Longest preface with its line end.
pub const MAX_PREFACE: usize = 96;
const BEGIN: &[u8] = b"NARU/1 ";

/// The line that `naru proxy-connect` writes: `NARU/1 demo\r\n`.
pub fn line(node: &NodeName) -> String {
    format!("NARU/1 {node}\r\n")
}

/// What a connection turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// A TLS record: handshake.
    Tls,
    /// SSH at once.
    Ssh,
    /// SSH after a preface of this many bytes that names this node.
    Preface {
        /// The node that was dialled.
        node: NodeName,
        /// Bytes of the line.
        len: usize,
    },
    /// HTTP without TLS: told where to go.
    PlainHttp,
    /// Nothing that we speak.
    Unknown,
}

/// Judges the first bytes; `None` asks for more. Never needs more than [`MAX_PREFACE`] bytes.
pub fn first(bytes: &[u8]) -> Option<First> {
    let (&byte, _) = bytes.split_first()?;
    match byte {
        0x16 => Some(First::Tls),
        b'S' => begins(bytes, b"SSH-").map(|yes| if yes { First::Ssh } else { First::Unknown }),
        b'N' => preface(bytes),
        b'G' | b'P' | b'H' | b'D' | b'O' | b'T' | b'C' => plain_http(bytes),
        _ => Some(First::Unknown),
    }
}

/// Whether `bytes` begin with `word`; `None` while they are too short to say and agree so far.
fn begins(bytes: &[u8], word: &[u8]) -> Option<bool> {
    let shared = bytes.len().min(word.len());
    let agrees = bytes.get(..shared) == word.get(..shared);
    if agrees && bytes.len() < word.len() { None } else { Some(agrees) }
}

fn preface(bytes: &[u8]) -> Option<First> {
    if !begins(bytes, BEGIN)? {
        return Some(First::Unknown);
    }
    let Some(end) = bytes.iter().take(MAX_PREFACE).position(|b| *b == b'\n') else {
        return if bytes.len() < MAX_PREFACE { None } else { Some(First::Unknown) };
    };
    let name = bytes.get(BEGIN.len()..end).and_then(|name| name.strip_suffix(b"\r"));
    let node = name.and_then(|name| std::str::from_utf8(name).ok()).and_then(|name| name.parse().ok());
    Some(match node {
        Some(node) => First::Preface { node, len: end + 1 },
        None => First::Unknown,
    })
}

fn plain_http(bytes: &[u8]) -> Option<First> {
    let methods: [&[u8]; 9] = [b"GET ", b"PUT ", b"POST ", b"PATCH ", b"PRI ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"CONNECT "];
    let mut open = false;
    for method in methods {
        match begins(bytes, method) {
            Some(true) => return Some(First::PlainHttp),
            Some(false) => {}
            None => open = true,
        }
    }
    if open { None } else { Some(First::Unknown) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_told_apart_however_they_arrive() {
        let node: NodeName = "db-1".parse().expect("name");
        let line = line(&node);
        let table: [(&[u8], First); 8] = [
            (&[0x16, 3, 1, 2, 0], First::Tls),
            (b"SSH-2.0-OpenSSH_9.2\r\n", First::Ssh),
            (line.as_bytes(), First::Preface { node: node.clone(), len: line.len() }),
            (b"GET / HTTP/1.1\r\n", First::PlainHttp),
            (b"NARU/1 DB\r\n", First::Unknown),
            (b"NARU/2 db-1\r\n", First::Unknown),
            (b"NARU/1 db-1\n", First::Unknown),
            (b"\0\0", First::Unknown),
        ];
        for (bytes, wanted) in table {
            let mut told = None;
            for end in 1..=bytes.len() {
                told = first(&bytes[..end]);
                if told.is_some() {
                    break;
                }
            }
            assert_eq!(told, Some(wanted), "{bytes:?}");
        }
        assert_eq!(first(b""), None);
        assert_eq!(first(&[&b"NARU/1 "[..], &[b'a'; 200]].concat()), Some(First::Unknown), "an endless line");
    }
}
