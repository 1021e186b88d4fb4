//! The spool: lines that a stop found unsent, kept in one file of the work directory until the next
//! start sends them.
//!
//! File: a header of 64 bytes, then records, in the order in which the lines were committed.
//!
//! | bytes of the header | |
//! |---|---|
//! | 0–7 | `RZMQSPL1` |
//! | 8–39 | whose it is: the digest of the action's identity, padded with zeros |
//! | 40–47 | zero |
//! | 48–55 | offset of the first record that a later process sends (little endian) |
//! | 56–63 | zero |
//!
//! A record is the length of its body (u32), the CRC-32 of its body (u32), and the body: the number
//! of texts (u16), and for each its length (u32) and its bytes. The first text is the line, others
//! are its dynamic topics.
//!
//! The file is locked (flock) as long as the action lives, so two rsyslogd never share one. It has
//! one owner, who holds it under a mutex; this file knows neither threads nor locks.

use rustix::fs::{FlockOperation, flock};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const MAGIC: &[u8; 8] = b"RZMQSPL1";
const OWNER: std::ops::Range<usize> = 8..40;
const SETTLED: u64 = 48;
const HEADER: u64 = 64;
const RECORD_HEAD: u64 = 8;
/// A body longer than this is not one of ours (maxMessageSize is far below).
const LONGEST_BODY: u32 = 256 << 20;

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// An operation on the file failed.
    #[error("the spool {} cannot be {what}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: io::Error,
    },
    /// Another process has it.
    #[error("the spool {} is locked: another rsyslogd, or another action, uses it", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
}

/// What opening a spool found that the administrator must hear of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The end was damaged and is cut off: so many bytes.
    TornTail(u64),
    /// The file was none of this action's; it was renamed to this.
    Foreign(PathBuf),
}

/// One action's spool, open and locked.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    path: PathBuf,
    /// Offset of the first record that is not sent yet.
    next: u64,
    /// Offsets behind the records that are sent but that libzmq may still hold: a process that comes
    /// after a kill -9 sends them again.
    in_doubt: VecDeque<u64>,
    end: u64,
    lines: u64,
}

/// One line as it was committed: its text, then its dynamic topics.
pub(crate) type Texts = Vec<Vec<u8>>;

impl Spool {
    /// Opens, locks and examines the spool of `owner` (at most 32 bytes count); makes it if there is
    /// none.
    pub(crate) fn open(path: &Path, owner: &str) -> Result<(Self, Vec<Finding>), SpoolError> {
        let mut findings = Vec::new();
        let mut spool = Self::open_locked(path)?;
        if !spool.is_owned_by(owner)? {
            let aside = aside(path);
            fs::rename(path, &aside).map_err(|why| spool.failed("set aside", why))?;
            findings.push(Finding::Foreign(aside));
            spool = Self::open_locked(path)?;
        }
        if spool.end == 0 {
            spool.write_header(owner)?;
        } else if let Some(torn) = spool.examine()? {
            findings.push(Finding::TornTail(torn));
        }
        Ok((spool, findings))
    }

    fn open_locked(path: &Path) -> Result<Self, SpoolError> {
        let failed = |why| SpoolError::File { path: path.into(), what: "opened", why };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(failed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|why| match why {
            rustix::io::Errno::WOULDBLOCK => SpoolError::Locked { path: path.into() },
            why => failed(why.into()),
        })?;
        let end = file.metadata().map_err(failed)?.len();
        let (path, in_doubt) = (path.into(), VecDeque::new());
        Ok(Self { file, path, next: HEADER, in_doubt, end, lines: 0 })
    }

    /// An empty file is nobody's yet, and so may be ours.
    fn is_owned_by(&self, owner: &str) -> Result<bool, SpoolError> {
        if self.end == 0 {
            return Ok(true);
        }
        let mut header = [0; HEADER as usize];
        if self.end < HEADER {
            return Ok(false);
        }
        self.file.read_exact_at(&mut header, 0).map_err(|why| self.failed("read", why))?;
        Ok(header[..8] == MAGIC[..] && header[OWNER] == owner_bytes(owner))
    }

    fn write_header(&mut self, owner: &str) -> Result<(), SpoolError> {
        let mut header = [0; HEADER as usize];
        header[..8].copy_from_slice(MAGIC);
        header[OWNER].copy_from_slice(&owner_bytes(owner));
        header[SETTLED as usize..][..8].copy_from_slice(&HEADER.to_le_bytes());
        self.file.write_all_at(&header, 0).map_err(|why| self.failed("written", why))?;
        self.end = HEADER;
        Ok(())
    }

    /// Walks the records from the first unsent one: counts them and cuts off what is damaged.
    fn examine(&mut self) -> Result<Option<u64>, SpoolError> {
        let mut settled = [0; 8];
        self.file.read_exact_at(&mut settled, SETTLED).map_err(|why| self.failed("read", why))?;
        let settled = u64::from_le_bytes(settled);
        if (HEADER..=self.end).contains(&settled) {
            self.next = settled;
        } else {
            // The process died while it shortened an empty spool, or the file was damaged.
            self.note_settled(HEADER)?;
        }

        let mut reader = io::BufReader::with_capacity(1 << 20, &self.file);
        reader.seek(SeekFrom::Start(self.next)).map_err(|why| self.failed("read", why))?;
        let mut good = self.next;
        let mut body = Vec::new();
        while let Some(length) = read_record(&mut reader, &mut body) {
            good += RECORD_HEAD + length;
            self.lines += 1;
        }
        let torn = self.end - good;
        if torn == 0 {
            return Ok(None);
        }
        self.file.set_len(good).map_err(|why| self.failed("repaired", why))?;
        self.end = good;
        Ok(Some(torn))
    }

    /// Lines that are not sent yet.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends lines: all of them, or none and an error. They survive the end of this process; for
    /// a loss of power, [`Spool::sync`].
    pub(crate) fn append<'a, L>(&mut self, lines: L) -> Result<u64, SpoolError>
    where
        L: Iterator<Item: Iterator<Item = &'a [u8]>>,
    {
        let mut block = Vec::new();
        let mut added = 0;
        for texts in lines {
            let start = block.len();
            block.extend_from_slice(&[0; RECORD_HEAD as usize + 2]);
            let mut number: u16 = 0;
            for text in texts {
                block.extend_from_slice(&(text.len() as u32).to_le_bytes());
                block.extend_from_slice(text);
                number += 1;
            }
            let body = start + RECORD_HEAD as usize;
            block[body..body + 2].copy_from_slice(&number.to_le_bytes());
            let length = (block.len() - body) as u32;
            let checksum = crc32fast::hash(&block[body..]);
            block[start..start + 4].copy_from_slice(&length.to_le_bytes());
            block[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
            added += 1;
        }
        if let Err(why) = self.file.write_all_at(&block, self.end) {
            // Half a block must not stay in front of a later one.
            let _ = self.file.set_len(self.end);
            return Err(self.failed("written", why));
        }
        self.end += block.len() as u64;
        self.lines += added;
        Ok(added)
    }

    /// The first line that is not sent yet, with the offset behind it for [`Spool::sent`].
    pub(crate) fn first(&self) -> Result<Option<(Texts, u64)>, SpoolError> {
        if self.next >= self.end {
            return Ok(None);
        }
        let damaged = || {
            self.failed("read", io::Error::new(io::ErrorKind::InvalidData, "a record is damaged"))
        };
        let mut head = [0; RECORD_HEAD as usize];
        self.file.read_exact_at(&mut head, self.next).map_err(|why| self.failed("read", why))?;
        let (length, checksum) = split_head(&head);
        if length > LONGEST_BODY || self.next + RECORD_HEAD + u64::from(length) > self.end {
            return Err(damaged());
        }
        let mut body = vec![0; length as usize];
        let at = self.next + RECORD_HEAD;
        self.file.read_exact_at(&mut body, at).map_err(|why| self.failed("read", why))?;
        let texts = (crc32fast::hash(&body) == checksum).then(|| texts(&body)).flatten();
        let texts = texts.ok_or_else(damaged)?;
        Ok(Some((texts, at + u64::from(length))))
    }

    /// The line that ends at `behind` is sent. Of the lines sent, the last `held` may still be in
    /// libzmq's hands; those before them are settled: a later process does not send them again.
    pub(crate) fn sent(&mut self, behind: u64, held: usize) -> Result<(), SpoolError> {
        self.next = behind;
        self.lines = self.lines.saturating_sub(1);
        self.in_doubt.push_back(behind);
        let mut settled = None;
        while self.in_doubt.len() > held {
            settled = self.in_doubt.pop_front();
        }
        settled.map_or(Ok(()), |offset| self.note_settled(offset))
    }

    /// All lines sent so far are settled; an empty spool gives its space back.
    pub(crate) fn settle(&mut self) -> Result<(), SpoolError> {
        self.in_doubt.clear();
        self.note_settled(self.next)?;
        if self.next >= self.end {
            // In this order, so that a process that dies in between leaves an offset at or beyond
            // the end, which means that nothing waits.
            self.file.set_len(HEADER).map_err(|why| self.failed("shortened", why))?;
            self.note_settled(HEADER)?;
            self.next = HEADER;
            self.end = HEADER;
            self.lines = 0;
        }
        Ok(())
    }

    fn note_settled(&self, offset: u64) -> Result<(), SpoolError> {
        let written = self.file.write_all_at(&offset.to_le_bytes(), SETTLED);
        written.map_err(|why| self.failed("written", why))
    }

    /// What was appended survives a loss of power once this has answered.
    pub(crate) fn sync(&self) -> Result<(), SpoolError> {
        self.file.sync_data().map_err(|why| self.failed("synced", why))
    }

    /// Closes the spool: synced if lines wait in it, removed if none do.
    pub(crate) fn close(mut self) -> Result<(), SpoolError> {
        self.settle()?;
        if self.lines > 0 {
            return self.sync();
        }
        fs::remove_file(&self.path).map_err(|why| self.failed("removed", why))
    }

    fn failed(&self, what: &'static str, why: io::Error) -> SpoolError {
        SpoolError::File { path: self.path.clone(), what, why }
    }
}

/// Lines that wait in a spool file, `None` when it is none.
pub(crate) fn count_lines(path: &Path) -> Option<u64> {
    let file = File::open(path).ok()?;
    let mut header = [0; HEADER as usize];
    file.read_exact_at(&mut header, 0).ok()?;
    if header[..8] != MAGIC[..] {
        return None;
    }
    let mut settled = [0; 8];
    settled.copy_from_slice(&header[SETTLED as usize..][..8]);
    let mut reader = io::BufReader::with_capacity(1 << 20, &file);
    reader.seek(SeekFrom::Start(u64::from_le_bytes(settled).max(HEADER))).ok()?;
    let mut body = Vec::new();
    let mut lines = 0;
    while read_record(&mut reader, &mut body).is_some() {
        lines += 1;
    }
    Some(lines)
}

fn owner_bytes(owner: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().zip(owner.bytes()) {
        *place = byte;
    }
    bytes
}

fn aside(path: &Path) -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".foreign-{seconds}-{}", std::process::id()));
    PathBuf::from(name)
}

fn split_head(head: &[u8; RECORD_HEAD as usize]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = *head;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Reads one whole record whose checksum holds into `body`, and answers the body's length.
fn read_record(reader: &mut impl Read, body: &mut Vec<u8>) -> Option<u64> {
    let mut head = [0; RECORD_HEAD as usize];
    reader.read_exact(&mut head).ok()?;
    let (length, checksum) = split_head(&head);
    if length > LONGEST_BODY {
        return None;
    }
    body.clear();
    // As much as is there, not as much as the length claims.
    reader.by_ref().take(u64::from(length)).read_to_end(body).ok()?;
    let whole = body.len() == length as usize && crc32fast::hash(body) == checksum;
    (whole && texts(body).is_some()).then_some(u64::from(length))
}

fn texts(body: &[u8]) -> Option<Texts> {
    let (number, mut rest) = body.split_at_checked(2)?;
    let number = u16::from_le_bytes(number.try_into().ok()?);
    let mut texts = Vec::new();
    for _ in 0..number {
        let (length, behind) = rest.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let (text, behind) = behind.split_at_checked(length)?;
        texts.push(text.to_vec());
        rest = behind;
    }
    (number > 0 && rest.is_empty()).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(spool: &mut Spool, texts: &[&str]) {
        let lines = texts.iter().map(|text| [text.as_bytes()].into_iter());
        assert_eq!(spool.append(lines).unwrap(), texts.len() as u64);
    }

    fn drain(spool: &mut Spool) -> Vec<String> {
        let mut all = Vec::new();
        while let Some((texts, behind)) = spool.first().unwrap() {
            all.push(String::from_utf8(texts[0].clone()).unwrap());
            spool.sent(behind, 0).unwrap();
        }
        spool.settle().unwrap();
        all
    }

    #[test]
    fn lines_come_back_once_in_order_across_openings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.spool");
        let (mut spool, findings) = Spool::open(&path, "a").unwrap();
        assert!(findings.is_empty());
        lines(&mut spool, &["one", "", "three"]);
        let (texts, behind) = spool.first().unwrap().unwrap();
        assert_eq!(texts, [b"one".to_vec()]);
        spool.sent(behind, 0).unwrap();
        spool.close().unwrap();

        let (mut spool, findings) = Spool::open(&path, "a").unwrap();
        assert!(findings.is_empty());
        assert_eq!(spool.lines(), 2);
        assert_eq!(count_lines(&path), Some(2));
        lines(&mut spool, &["four"]);
        assert_eq!(drain(&mut spool), ["", "three", "four"]);
        spool.close().unwrap();
        assert!(!path.exists(), "an empty spool is removed");
    }

    #[test]
    fn dynamic_topics_stay_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.spool");
        let (mut spool, _) = Spool::open(&path, "a").unwrap();
        spool.append([[b"line".as_slice(), b"topic", b""].into_iter()].into_iter()).unwrap();
        assert_eq!(spool.first().unwrap().unwrap().0, [&b"line"[..], b"topic", b""]);
    }

    #[test]
    fn a_torn_tail_is_cut_off_wherever_it_tore() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.spool");
        let (mut spool, _) = Spool::open(&path, "a").unwrap();
        lines(&mut spool, &["one", "two"]);
        let whole = spool.end;
        lines(&mut spool, &["three"]);
        let end = spool.end;
        drop(spool);
        let bytes = fs::read(&path).unwrap();
        for length in whole + 1..end {
            fs::write(&path, &bytes[..length as usize]).unwrap();
            let (mut spool, findings) = Spool::open(&path, "a").unwrap();
            assert_eq!(findings, [Finding::TornTail(length - whole)]);
            lines(&mut spool, &["new"]);
            assert_eq!(drain(&mut spool), ["one", "two", "new"]);
        }
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(&path, flipped).unwrap();
        let (mut spool, findings) = Spool::open(&path, "a").unwrap();
        assert_eq!(findings, [Finding::TornTail(end - whole)]);
        assert_eq!(drain(&mut spool), ["one", "two"]);
    }

    #[test]
    fn a_foreign_file_is_set_aside_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.spool");
        for foreign in [&b"hello"[..], &[0; 200], &[0xff; 64]] {
            fs::write(&path, foreign).unwrap();
            let (spool, findings) = Spool::open(&path, "a").unwrap();
            let [Finding::Foreign(aside)] = &findings[..] else { panic!("{findings:?}") };
            assert_eq!(fs::read(aside).unwrap(), foreign);
            fs::remove_file(aside).unwrap();
            spool.close().unwrap();
        }
        let (mut other, _) = Spool::open(&path, "b").unwrap();
        lines(&mut other, &["of another"]);
        drop(other);
        let (_, findings) = Spool::open(&path, "a").unwrap();
        assert!(matches!(findings[..], [Finding::Foreign(_)]), "another action's: {findings:?}");
    }

    #[test]
    fn what_libzmq_may_hold_comes_again_after_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.spool");
        let (mut spool, _) = Spool::open(&path, "a").unwrap();
        lines(&mut spool, &["one", "two", "three", "four"]);
        for _ in 0..3 {
            let (_, behind) = spool.first().unwrap().unwrap();
            spool.sent(behind, 2).unwrap();
        }
        assert_eq!(spool.lines(), 1);
        drop(spool); // as a kill -9 leaves it
        let (mut spool, _) = Spool::open(&path, "a").unwrap();
        assert_eq!(drain(&mut spool), ["two", "three", "four"]);
    }

    #[test]
    fn two_owners_never_share_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.spool");
        let (_first, _) = Spool::open(&path, "a").unwrap();
        assert!(matches!(Spool::open(&path, "a"), Err(SpoolError::Locked { .. })));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.spool");
            let (spool, _) = Spool::open(&path, "a").unwrap();
            drop(spool);
            let mut content = fs::read(&path).unwrap();
            content.extend_from_slice(&bytes);
            fs::write(&path, &content).unwrap();
            let (mut spool, _) = Spool::open(&path, "a").unwrap();
            drain(&mut spool);
            fs::write(&path, &bytes).unwrap();
            let _ = count_lines(&path);
        }
    }
}
