//! Sessions that have not ended: their stored files are held against the journal's word, and the journal against HEAD.
//!
//! The server may go on meanwhile. What it appends does no harm. A journal file that it frees while it is read looks like damage, so a
//! fault is believed only when HEAD and the list of files stood still, or after some attempts.

use std::fs::File;
use std::io::{ErrorKind, Read};

use access::words::SessionId;
use wire::journal::{JournalCheck, JournalFault, JournalReport, file_name, file_number};
use wire::proof::log::FaultKind;
use wire::proof::recording::RecordingCheck;
use wire::proof::{Head, JournalHead, unseal};

use super::{Begun, VerifyError, Work};

/// How often the journal is read when it changes under the reader.
const ATTEMPTS: u32 = 5;

impl Work<'_> {
    /// Checks what the journals must hold as far as their HEADs cover them, and the recordings of sessions that have not ended.
    pub(super) fn live(&mut self, journals: Vec<(String, JournalHead)>) -> Result<(), VerifyError> {
        let open = self.open.clone();
        self.report.open = open.iter().filter(|(_, begun)| !begun.ended).map(|(id, _)| *id).collect();
        let mut reports = Vec::new();
        for (stream, head) in journals {
            reports.push(self.settled(&stream, head)?);
        }
        for (id, Begun { covered, ended }) in open {
            if let Some(live) = reports.iter().find_map(|(report, _)| report.live.get(&id)) {
                self.live_recording(&id, RecordingCheck::live(live))?;
                continue;
            }
            // Stored and signed; the log was not told yet when it was read.
            let sealed = reports.iter().find_map(|(report, _)| report.sealed.get(&id));
            if sealed.is_some() || self.dir.join(format!("recordings/{id}/manifest.json")).exists() {
                self.recording(id, sealed.map(ToString::to_string).as_deref(), self.key)?;
                continue;
            }
            if ended {
                self.fault(format!("recordings/{id}/manifest.json"), None, 0, FaultKind::MissingManifest);
                continue;
            }
            // The journal knew of it before the log did. Where it is broken that has been said.
            let sound = reports.iter().all(|(report, _)| report.faults.is_empty());
            if let Some((_, first)) = reports.first().filter(|_| covered && sound) {
                let before = first.saturating_sub(1);
                self.fault(format!("journal/{}", file_name(before)), None, 0, FaultKind::MissingFile);
            }
        }
        Ok(())
    }

    fn live_recording(&mut self, id: &SessionId, check: RecordingCheck) -> Result<(), VerifyError> {
        let folder = format!("recordings/{id}");
        for name in self.names(&folder)? {
            // It may be ending just now.
            if !matches!(name.as_str(), "cast" | "manifest.json" | "manifest.tmp") {
                self.fault(format!("{folder}/{name}"), None, 0, FaultKind::ExtraFile);
            }
        }
        self.cast(id, check)
    }

    /// The journal against HEAD, read while both stood still. Answers the number of its first file too.
    fn settled(&mut self, stream: &str, mut head: JournalHead) -> Result<(JournalReport, u64), VerifyError> {
        let mut attempt = 1;
        loop {
            let files = self.journal_files()?;
            let (report, whole) = self.journal(head, &files)?;
            let now = self.head_now(stream)?.unwrap_or(head);
            let still = now == head && self.journal_files()? == files;
            if (whole && report.faults.is_empty()) || still || attempt == ATTEMPTS {
                for fault in &report.faults {
                    self.journal_fault(fault, &files);
                }
                self.report.journal_tail += report.unsigned_records;
                return Ok((report, files.first().copied().unwrap_or(head.file + 1)));
            }
            (head, attempt) = (now, attempt + 1);
        }
    }

    fn journal_files(&self) -> Result<Vec<u64>, VerifyError> {
        let mut files: Vec<u64> = self.names("journal")?.iter().filter_map(|name| file_number(name)).collect();
        files.sort_unstable();
        Ok(files)
    }

    /// One pass over these files; `false` when one of them was gone before it was read.
    fn journal(&mut self, head: JournalHead, files: &[u64]) -> Result<(JournalReport, bool), VerifyError> {
        let mut check = JournalCheck::new(Some(head));
        let mut block = vec![0; 256 * 1024];
        for number in files {
            let name = format!("journal/{}", file_name(*number));
            let io_at = |source| VerifyError::Io { file: name.clone(), source };
            let mut file = match File::open(self.dir.join(&name)) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok((check.finish(), false)),
                other => other.map_err(io_at)?,
            };
            check.file(*number);
            loop {
                let read = file.read(&mut block).map_err(io_at)?;
                if read == 0 {
                    break;
                }
                self.done.bytes += read as u64;
                check.feed(block.get(..read).unwrap_or_default());
            }
            (self.progress)(self.done);
        }
        Ok((check.finish(), true))
    }

    /// The journal's place in HEAD as it stands now, where it is believed.
    fn head_now(&self, stream: &str) -> Result<Option<JournalHead>, VerifyError> {
        let Some(bytes) = self.small(&format!("log/{stream}/HEAD"), 64 * 1024)? else { return Ok(None) };
        let head = unseal::<Head>(&bytes, self.key.as_ref()).ok().map(|(head, _)| head);
        let ours = head.filter(|head| head.stream == stream && self.install.as_ref().is_none_or(|wanted| *wanted == head.install));
        Ok(ours.and_then(|head| head.journal))
    }

    fn journal_fault(&mut self, fault: &JournalFault, files: &[u64]) {
        let (JournalFault::Broken { file, offset }
        | JournalFault::HeadMissing { file, offset }
        | JournalFault::HeadDiffers { file, offset }) = fault;
        let there = files.contains(file);
        let kind = if there { FaultKind::BadJournal } else { FaultKind::MissingFile };
        self.fault(format!("journal/{}", file_name(*file)), None, if there { *offset } else { 0 }, kind);
    }
}
