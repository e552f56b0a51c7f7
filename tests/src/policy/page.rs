//! Follows `docs/policy.md` as a reader would, in a demo of its own: writes its files, types its commands, compares what is seen.
//!
//! In the page a `yaml` block that begins with `# NAME.yaml` is a file. A `console` block is `NAME$ COMMAND` and what the two streams say,
//! in that order, `…` for any run of characters; `# exit N` behind a command is its end where that is not 0, and `# goes on` leaves it
//! running on a terminal of its own, whose next words are in `text` blocks. REQUEST is the id of the last request. The account that runs
//! the demo stands where the page has root.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use super::{PATIENCE, both};
use crate::harness::{Demo, Person};
use crate::pty::Terminal;

/// A block of the page: its word, its lines, and the line of the page before its first.
struct Block {
    word: String,
    at: usize,
    lines: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut found, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (at, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(word)) => open = Some(Block { word: word.to_owned(), at: at + 1, lines: Vec::new() }),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => block.lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of the page has no end");
    found
}

/// Where this line is in the text, and what is after it; `…` is any run of characters.
fn after<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    wanted
        .split('…')
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
        .try_fold(text, |text, piece| text.split_once(piece).map(|(_, rest)| rest))
}

/// The id in the command that decides a request.
fn request(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("naru request approve ")?;
    Some(rest.chars().take(8).collect()).filter(|id: &String| id.chars().all(|c| c.is_ascii_alphanumeric()))
}

struct Reader<'a> {
    demo: &'a Demo,
    folder: PathBuf,
    people: BTreeMap<String, Person>,
    request: Option<String>,
    waiting: Option<Terminal>,
    /// What the waiting terminal showed and nobody looked for yet.
    screen: String,
}

impl Reader<'_> {
    fn here(&self, text: &str) -> String {
        let text = text.replace("root", self.demo.ready("login"));
        self.request.as_ref().map_or(text.clone(), |id| text.replace("REQUEST", id))
    }

    fn read(&mut self, block: &Block) -> Result<(), String> {
        match block.word.as_str() {
            "yaml" => {
                let name = block.lines.first().and_then(|line| line.strip_prefix("# ")).ok_or("a yaml block begins with # NAME.yaml")?;
                std::fs::write(self.folder.join(name), self.here(&(block.lines.join("\n") + "\n"))).map_err(|e| e.to_string())
            }
            "console" => {
                let mut rest = block.lines.as_slice();
                while let Some((command, below)) = rest.split_first() {
                    let end = below.iter().position(|line| prompt(line).is_some()).unwrap_or(below.len());
                    let (said, next) = below.split_at(end);
                    self.type_(command, said).map_err(|why| format!("{command}\n{why}"))?;
                    rest = next;
                }
                Ok(())
            }
            "text" => self.seen(&block.lines),
            _ => Ok(()),
        }
    }

    fn type_(&mut self, line: &str, said: &[String]) -> Result<(), String> {
        let (who, command) = prompt(line).ok_or("a console block begins with NAME$ COMMAND")?;
        let (command, note) = command.split_once("  # ").unwrap_or((command, ""));
        let command = self.here(command.trim());
        if !self.people.contains_key(who) {
            self.people.insert(who.to_owned(), self.demo.sign_in(who)?);
        }
        let mut shell = self.people[who].command("sh");
        shell.args(["-c", &command]).current_dir(&self.folder);
        if note == "goes on" {
            self.screen.clear();
            self.waiting = Some(Terminal::start(shell.env("TERM", "xterm"), 200, 50).map_err(|e| e.to_string())?);
            return self.seen(said);
        }
        let code: i32 = note.strip_prefix("exit ").unwrap_or("0").parse().map_err(|_| format!("no such note: {note}"))?;
        let out = shell.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
        let text = both(&out);
        self.request = request(&text).or(self.request.take());
        if out.status.code() != Some(code) {
            return Err(format!("ended with {} and said\n{text}", out.status));
        }
        let mut rest = text.as_str();
        for wanted in said.iter().map(|line| self.here(line)) {
            rest = after(rest, &wanted).ok_or_else(|| format!("nowhere: {wanted}\nin: {text}"))?;
        }
        Ok(())
    }

    /// What the terminal that goes on shows next.
    fn seen(&mut self, lines: &[String]) -> Result<(), String> {
        for line in lines {
            let wanted = self.here(&line.replace("REQUEST", "…"));
            let terminal = self.waiting.as_mut().ok_or("no command goes on")?;
            loop {
                // A line that is not whole may still bring the id that is looked for.
                let whole = self.screen.rfind('\n').and_then(|end| self.screen.get(..=end)).unwrap_or_default();
                if let Some(rest) = after(whole, &wanted) {
                    let rest = self.screen.len() - whole.len() + rest.len();
                    let shown = self.screen.drain(..self.screen.len() - rest).collect::<String>() + &self.screen;
                    self.request = request(&shown).or(self.request.take());
                    break;
                }
                let mut buf = [0; 4096];
                match terminal.read(&mut buf, PATIENCE) {
                    Ok(count) if count > 0 => self.screen += &String::from_utf8_lossy(&buf[..count]),
                    end => return Err(format!("{end:?}, and nowhere: {wanted}\nin: {}", self.screen)),
                }
            }
        }
        Ok(())
    }
}

/// `alice$ naru ls` as who and what.
fn prompt(line: &str) -> Option<(&str, &str)> {
    let (who, command) = line.split_once("$ ")?;
    (!who.is_empty() && who.bytes().all(|b| b.is_ascii_lowercase())).then_some((who, command))
}

#[test]
fn the_page_can_be_followed_from_its_first_line_to_its_last() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policy.md")).unwrap();
    let demo = Demo::start(&[]).unwrap();
    let folder = demo.folder().join("page");
    std::fs::create_dir(&folder).unwrap();
    let mut reader = Reader { demo: &demo, folder, people: BTreeMap::new(), request: None, waiting: None, screen: String::new() };
    let blocks = blocks(&page);
    assert!(blocks.iter().filter(|block| block.word == "console").count() > 8, "the page has its commands");
    for block in &blocks {
        let wrong = |why: String| panic!("docs/policy.md:{}: {why}\n--- the demo said\n{}", block.at, demo.log());
        reader.read(block).unwrap_or_else(wrong);
    }
}

#[test]
fn the_page_in_korean_has_the_same_files_and_commands() {
    let of = |name: &str| {
        let page = std::fs::read_to_string(format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        blocks(&page).into_iter().map(|block| (block.word, block.lines)).collect::<Vec<_>>()
    };
    assert_eq!(of("policy.ko.md"), of("policy.md"));
}

#[test]
fn lines_are_found_in_their_order_with_gaps() {
    assert_eq!(after("a b c d", "a…c"), Some(" d"));
    assert_eq!(after("a b c d", "c…a"), None);
    assert_eq!(request("naru request approve abcd2345\r\n"), Some("abcd2345".into()));
    assert_eq!(prompt("alice$ naru ls"), Some(("alice", "naru ls")));
    assert_eq!(prompt("error: $ naru"), None);
}
