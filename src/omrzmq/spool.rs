//! The spool: lines that a stop found unsent, kept in one file of the work directory until the next
//! start sends them.
//!
//! A state file (module/statefile.rs) with records (record.rs) in the order in which the lines were
//! committed. Bytes 48 to 55 of its header are the offset of the first record that a later process
//! sends, bytes 56 to 63 how many of the lines that this record has left are settled. It has one owner,
//! who holds it under a mutex; this file knows neither threads nor locks.

use crate::record::{self, Record};
use rustix::fs::{FlockOperation, flock};
use rzmq_module::statefile::{HEADER, StateFile, StateFileError};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"RZMQSPL1";
const SETTLED: u64 = 48;

/// What opening a spool found that the administrator must hear of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The end was damaged and is cut off: so many bytes.
    TornTail(u64),
    /// The end is damaged, and could not be kept elsewhere: so many bytes, and why.
    StuckTail(u64, String),
    /// The file was none of this action's; it was renamed to this.
    Foreign(PathBuf),
}

/// What a process that is killed may take along of the records that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// The last of them: so many messages, and before those what is at least so many bytes of them, and
    /// one.
    Last { messages: usize, bytes: u64 },
    /// Any of them.
    Any,
}

/// A record that was sent.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// The offset behind it.
    behind: u64,
    /// What its messages take at least.
    bytes: u64,
}

/// One action's spool, open and locked.
#[derive(Debug)]
pub(crate) struct Spool {
    file: StateFile,
    /// Offset of the first record that is not sent yet.
    next: u64,
    /// Of the lines it holds, those that are settled.
    part: u64,
    /// The records that are sent but that libzmq may still hold: a process that comes after a kill -9
    /// sends them again.
    in_doubt: VecDeque<Doubt>,
    /// Bytes of those of them that precede the last messages of [`Held::Last`].
    older_bytes: u64,
    end: u64,
    /// Damaged bytes behind the end that could not be kept elsewhere yet.
    torn: u64,
    lines: u64,
    /// Why the file could not be told what is sent, as long as nobody asked.
    owed: Option<StateFileError>,
}

impl Spool {
    /// Opens, locks and examines the spool of `owner`; makes it if there is none.
    pub(crate) fn open(path: &Path, owner: &str) -> Result<(Self, Vec<Finding>), StateFileError> {
        let (file, foreign) = StateFile::open(path, MAGIC, owner)?;
        let (spool, finding) = Self::examined(file).map_err(|why| why.after(foreign.clone()))?;
        Ok((spool, foreign.map(Finding::Foreign).into_iter().chain(finding).collect()))
    }

    fn examined(file: StateFile) -> Result<(Self, Option<Finding>), StateFileError> {
        let end = file.len()?;
        let mut spool = Self {
            file,
            next: HEADER,
            part: 0,
            in_doubt: VecDeque::new(),
            older_bytes: 0,
            end,
            torn: 0,
            lines: 0,
            owed: None,
        };
        let finding = spool.examine()?;
        Ok((spool, finding))
    }

    /// Walks the records from the first unsent one: counts them and cuts off what is damaged.
    fn examine(&mut self) -> Result<Option<Finding>, StateFileError> {
        let mut settled = [0; 16];
        self.file.read(&mut settled, SETTLED)?;
        let settled = Settled::read(settled);
        if (HEADER..=self.end).contains(&settled.offset) {
            self.next = settled.offset;
        } else {
            // A new file; or the process died while it shortened an empty spool.
            self.note_settled(HEADER, 0)?;
        }
        let (lines, bytes) = walk(self.file.file(), self.next);
        self.lines = lines;
        let good = self.next + bytes;
        let torn = self.end - good;
        (self.end, self.torn) = (good, torn);
        let finding = match self.cut_torn_tail() {
            Ok(()) => (torn > 0).then_some(Finding::TornTail(torn)),
            Err(why) => Some(Finding::StuckTail(torn, why.to_string())),
        };
        let first = self.first()?.map_or(0, |(record, _)| record.lines());
        if settled.offset == self.next && settled.part < first {
            self.part = settled.part;
            self.lines -= settled.part;
        }
        Ok(finding)
    }

    /// What is damaged is never thrown away: it goes into a file of its own, as soon as one can be
    /// written.
    fn cut_torn_tail(&mut self) -> Result<(), StateFileError> {
        if self.torn > 0 {
            self.file.copy_from(self.end, "torn")?;
            self.file.truncate(self.end)?;
            self.torn = 0;
        }
        Ok(())
    }

    /// Lines that are not sent yet.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether its file has been taken from its path, and nothing is in it that would be lost with it.
    pub(crate) fn is_gone(&self) -> bool {
        self.lines == 0 && !self.file.is_in_place()
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Where its file has been taken from its path, puts what is unsent into a new one of `owner` there. Offsets
    /// answered before no longer count.
    pub(crate) fn put_back(&mut self, owner: &str) -> Result<Vec<Finding>, StateFileError> {
        if self.lines == 0 || self.file.is_in_place() {
            return Ok(Vec::new());
        }
        let (mut new, findings) = Self::open(self.path(), owner)?;
        if new.lines == 0 {
            new.part = self.part;
        }
        if let Err(why) = self.copy_to(&mut new) {
            let aside = findings.into_iter().find_map(|finding| match finding {
                Finding::Foreign(aside) => Some(aside),
                Finding::TornTail(_) | Finding::StuckTail(..) => None,
            });
            return Err(why.after(aside));
        }
        *self = new;
        Ok(findings)
    }

    fn copy_to(&mut self, new: &mut Self) -> Result<(), StateFileError> {
        let mut piece = [0; 1 << 16];
        while self.next < self.end {
            let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
            let piece = &mut piece[..left.min(1 << 16)];
            self.file.read(piece, self.next)?;
            new.append(piece, 0)?;
            self.next += piece.len() as u64;
        }
        new.lines += self.lines;
        Ok(())
    }

    /// Appends encoded records of so many lines: all of them, or none and an error. They survive the
    /// end of this process, and a loss of power once the spool is closed.
    pub(crate) fn append(&mut self, records: &[u8], lines: u64) -> Result<(), StateFileError> {
        self.cut_torn_tail()?;
        if let Err(why) = self.file.write(records, self.end) {
            // Half a block must not stay in front of a later one.
            let _ = self.file.truncate(self.end);
            return Err(why);
        }
        self.end += records.len() as u64;
        self.lines += lines;
        Ok(())
    }

    /// The first record that is not sent yet, with the offset behind it for [`Spool::settled`] and
    /// [`Spool::sent_or_owe`].
    pub(crate) fn first(&self) -> Result<Option<(Record, u64)>, StateFileError> {
        self.at(self.next)
    }

    /// The record at an offset that this spool answered, with the offset behind it.
    pub(crate) fn at(&self, offset: u64) -> Result<Option<(Record, u64)>, StateFileError> {
        if offset >= self.end {
            return Ok(None);
        }
        let mut reader = Cursor { file: self.file.file(), at: offset };
        match record::read(&mut reader, &mut Vec::new()) {
            Some((mut record, bytes)) => {
                if let Record::Frame(_, settled) = &mut record {
                    *settled += if offset == self.next { self.part } else { 0 };
                }
                Ok(Some((record, offset + bytes)))
            }
            None => Err(StateFileError::File {
                path: self.file.path().into(),
                what: "read",
                why: io::Error::new(io::ErrorKind::InvalidData, "a record is damaged"),
            }),
        }
    }

    /// The number behind the last line of the session that the first record is of, as far as its
    /// records follow each other; 0 if the first is none of a session.
    pub(crate) fn end_of_first_session(&self) -> Result<u64, StateFileError> {
        let (mut end, mut next, mut session) = (0, self.next, None);
        while let Some((Record::Frame(frame, _), behind)) = self.at(next)? {
            if *session.get_or_insert(frame.session) != frame.session {
                break;
            }
            end = frame.first.saturating_add(frame.count.into());
            next = behind;
        }
        Ok(end)
    }

    /// The record of `lines` lines that ends at `behind` is with the peer; [`Spool::note_or_owe`] tells
    /// the file.
    pub(crate) fn settled(&mut self, lines: u64, behind: u64) {
        self.next = behind;
        self.part = 0;
        self.lines = self.lines.saturating_sub(lines);
    }

    /// Of the first record, so many more lines are settled, and not yet all.
    pub(crate) fn sent_part(&mut self, lines: u64) {
        self.part += lines;
        self.lines = self.lines.saturating_sub(lines);
    }

    /// Tells the file of what is settled: a later process does not send it again. What could not be noted
    /// is noted with the next, and holds nobody up: at the worst a later process sends again what is sent.
    pub(crate) fn note_or_owe(&mut self) {
        self.owed = self.note().err();
    }

    /// The record of `lines` lines that ends at `behind` is sent, in messages of at least `bytes`. The
    /// file is told as far as a kill cannot take along what was sent; beyond that as [`Spool::note_or_owe`].
    pub(crate) fn sent_or_owe(&mut self, lines: u64, bytes: u64, behind: u64, held: Held) {
        self.settled(lines, behind);
        if let Some(settled) = self.doubt(Doubt { behind, bytes }, held) {
            self.owed = self.note_settled(settled, 0).err();
        }
    }

    /// All records sent so far are settled; an empty spool gives its space back, if the file can be told.
    pub(crate) fn settle_or_owe(&mut self) {
        self.note_or_owe();
        if self.owed.is_none() && self.next >= self.end && self.cut_torn_tail().is_ok() {
            // Where that fails the file is large, and right.
            let _ = self.give_space_back();
        }
    }

    /// Why the file could not be told what is sent, if that is new.
    pub(crate) fn take_owed(&mut self) -> Option<StateFileError> {
        self.owed.take()
    }

    fn note(&mut self) -> Result<(), StateFileError> {
        self.note_settled(self.next, self.part)?;
        self.in_doubt.clear();
        self.older_bytes = 0;
        Ok(())
    }

    /// The offset behind the records that are no longer in doubt, if there are more of them now.
    fn doubt(&mut self, sent: Doubt, held: Held) -> Option<u64> {
        let Held::Last { messages, bytes } = held else { return None };
        self.in_doubt.push_back(sent);
        let newest = self.in_doubt.len().checked_sub(messages + 1)?;
        self.older_bytes += self.in_doubt.get(newest)?.bytes;
        let mut settled = None;
        while self.in_doubt.len() > messages {
            let Some(oldest) = self.in_doubt.front() else { break };
            if self.older_bytes - oldest.bytes < bytes {
                break;
            }
            self.older_bytes -= oldest.bytes;
            settled = self.in_doubt.pop_front();
        }
        settled.map(|last| last.behind)
    }

    fn give_space_back(&mut self) -> Result<(), StateFileError> {
        // In this order, so that a process that dies in between leaves an offset at or beyond
        // the end, which means that nothing waits.
        self.file.truncate(HEADER)?;
        self.note_settled(HEADER, 0)?;
        self.next = HEADER;
        self.end = HEADER;
        self.lines = 0;
        Ok(())
    }

    fn note_settled(&self, offset: u64, part: u64) -> Result<(), StateFileError> {
        self.file.write(&[offset.to_le_bytes(), part.to_le_bytes()].concat(), SETTLED)
    }

    /// Closes the spool: synced if lines wait in it, removed if none do, whether or not the file could be told.
    pub(crate) fn close(mut self) -> Result<(), StateFileError> {
        if self.is_gone() {
            return Ok(());
        }
        let noted = self.note();
        if self.next >= self.end && self.cut_torn_tail().is_ok() {
            return self.file.remove();
        }
        noted.and(self.file.sync())
    }
}

/// What the header says of the records that are sent.
struct Settled {
    offset: u64,
    part: u64,
}

impl Settled {
    fn read([a, b, c, d, e, f, g, h, part @ ..]: [u8; 16]) -> Self {
        let offset = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Self { offset, part: u64::from_le_bytes(part) }
    }
}

/// Reads on from an offset, without moving the file's own position.
struct Cursor<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(into, self.at)?;
        self.at += bytes as u64;
        Ok(bytes)
    }
}

/// Lines that wait in a spool file, `None` when it is none or another process has it open.
pub(crate) fn count_lines(path: &Path) -> Option<u64> {
    // A FIFO of this name would keep whoever opens it waiting.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut file = File::open(path).ok()?;
    flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
    // its owner may want it meanwhile
    flock(&file, FlockOperation::Unlock).ok()?;
    let mut header = [0; HEADER as usize];
    file.read_exact(&mut header).ok()?;
    let settled = Settled::read(*header.get(SETTLED as usize..)?.first_chunk()?);
    let lines = || walk(&file, settled.offset.max(HEADER)).0.saturating_sub(settled.part);
    header.starts_with(MAGIC).then(lines)
}

/// Lines and bytes of the whole records from an offset on.
fn walk(mut file: &File, from: u64) -> (u64, u64) {
    let (mut lines, mut bytes) = (0, 0);
    if file.seek(SeekFrom::Start(from)).is_ok() {
        let mut reader = io::BufReader::with_capacity(1 << 20, file);
        let mut body = Vec::new();
        while let Some((record, length)) = record::read(&mut reader, &mut body) {
            lines += record.lines();
            bytes += length;
        }
    }
    (lines, bytes)
}

#[cfg(test)]
mod tests;
