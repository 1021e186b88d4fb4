//! A file in rsyslog's work directory that outlives the process: omrzmq's spool, imrzmq's marks.
//!
//! It begins with a header of 64 bytes: a magic word (8), whose file it is (32, padded with zeros) and
//! 24 bytes for its user. It is locked (flock) as long as it is open, so two rsyslogd never share one.
//! A file with another header is set aside under another name, whole, and never trusted.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of the header.
pub const HEADER: u64 = 64;
const OWNER: std::ops::Range<usize> = 8..40;

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// An operation on the file failed.
    #[error("{} cannot be {what}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: io::Error,
    },
    /// Another process has it.
    #[error("{} is locked: another rsyslogd, or another statement, uses it", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// There is none, and one that was somebody else's has been put aside for it.
    #[error("{why} (the file that was there is not this statement's; it is kept as {})", aside.display())]
    SetAside {
        /// Where that one is now.
        aside: PathBuf,
        /// Why there is none.
        why: Box<StateFileError>,
    },
}

impl StateFileError {
    /// The same, with where somebody else's file was put before it came to this.
    #[must_use]
    pub fn after(self, aside: Option<PathBuf>) -> Self {
        match aside {
            Some(aside) => Self::SetAside { aside, why: Box::new(self) },
            None => self,
        }
    }
}

/// An open and locked state file. Offsets count from the beginning of the file.
#[derive(Debug)]
pub struct StateFile {
    file: File,
    path: PathBuf,
}

impl StateFile {
    /// Opens and locks the file of `owner` (32 bytes of it count); makes it if there is none. Also
    /// answers where a file that was somebody else's has been put.
    ///
    /// # Errors
    /// When the file cannot be opened, locked, read or written.
    pub fn open(
        path: &Path,
        magic: &[u8; 8],
        owner: &str,
    ) -> Result<(Self, Option<PathBuf>), StateFileError> {
        let mut header = [0; HEADER as usize];
        header[..8].copy_from_slice(magic);
        for (place, byte) in header[OWNER].iter_mut().zip(owner.bytes()) {
            *place = byte;
        }
        let own = &header[..OWNER.end];
        let mut state = Self::open_locked(path)?;
        let mut foreign = None;
        if !state.begins_with(own)? {
            let aside = beside(path, "foreign");
            fs::rename(path, &aside).map_err(|why| state.failed("set aside", why))?;
            let made = Self::open_locked(path);
            let made = made.and_then(|state| state.write(&header, 0).map(|()| state));
            state = made.map_err(|why| why.after(Some(aside.clone())))?;
            foreign = Some(aside);
        } else if state.len()? == 0 {
            state.write(&header, 0)?;
        }
        Ok((state, foreign))
    }

    fn open_locked(path: &Path) -> Result<Self, StateFileError> {
        let failed = |why| StateFileError::File { path: path.into(), what: "opened", why };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|why| match why {
            rustix::io::Errno::WOULDBLOCK => StateFileError::Locked { path: path.into() },
            why => failed(why.into()),
        })?;
        Ok(Self { file, path: path.into() })
    }

    /// An empty file is nobody's yet, and so may be ours.
    fn begins_with(&self, own: &[u8]) -> Result<bool, StateFileError> {
        let length = self.len()?;
        if length < HEADER {
            return Ok(length == 0);
        }
        let mut found = vec![0; own.len()];
        self.read(&mut found, 0)?;
        Ok(found == own)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path still leads to it, as far as the system tells: somebody may have tidied up the folder since.
    pub fn is_in_place(&self) -> bool {
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
            (_, Err(why)) => why.kind() != io::ErrorKind::NotFound,
            (Err(_), _) => true,
        }
    }

    /// For reading it from one end to the other.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes, header included.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn len(&self) -> Result<u64, StateFileError> {
        self.file.metadata().map(|data| data.len()).map_err(|why| self.failed("read", why))
    }

    /// Whether there is nothing but the header.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn is_empty(&self) -> Result<bool, StateFileError> {
        self.len().map(|bytes| bytes <= HEADER)
    }

    /// Reads exactly as many bytes.
    ///
    /// # Errors
    /// When they cannot be read, or are not there.
    pub fn read(&self, into: &mut [u8], at: u64) -> Result<(), StateFileError> {
        self.file.read_exact_at(into, at).map_err(|why| self.failed("read", why))
    }

    /// Writes all bytes. They survive the end of this process, and a loss of power once
    /// [`StateFile::sync`] has answered.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, bytes: &[u8], at: u64) -> Result<(), StateFileError> {
        self.file.write_all_at(bytes, at).map_err(|why| self.failed("written", why))
    }

    /// Cuts the file off.
    ///
    /// # Errors
    /// When the system does not.
    pub fn truncate(&self, length: u64) -> Result<(), StateFileError> {
        self.file.set_len(length).map_err(|why| self.failed("shortened", why))
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// When it does not get there.
    pub fn sync(&self) -> Result<(), StateFileError> {
        self.file.sync_data().map_err(|why| self.failed("synced", why))
    }

    /// Keeps what follows an offset in a file beside this one, whose name says why.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn copy_from(&self, offset: u64, why: &str) -> Result<PathBuf, StateFileError> {
        let path = beside(&self.path, why);
        let mut from = &self.file;
        let copied = from
            .seek(SeekFrom::Start(offset))
            .and_then(|_| File::create_new(&path))
            .and_then(|mut copy| {
                // half a copy is of no use
                io::copy(&mut from, &mut copy).inspect_err(|_| drop(fs::remove_file(&path)))
            });
        copied.map_err(|error| self.failed("copied", error))?;
        Ok(path)
    }

    /// Removes the file.
    ///
    /// # Errors
    /// When the system does not.
    pub fn remove(self) -> Result<(), StateFileError> {
        fs::remove_file(&self.path).map_err(|why| self.failed("removed", why))
    }

    fn failed(&self, what: &'static str, why: io::Error) -> StateFileError {
        StateFileError::File { path: self.path.clone(), what, why }
    }
}

/// A name beside this one that is not taken.
fn beside(path: &Path, why: &str) -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let named = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{why}-{seconds}-{number}"));
        PathBuf::from(name)
    };
    (0..u32::MAX).map(named).find(|path| !path.exists()).unwrap_or_else(|| named(u32::MAX))
}

/// Sixteen characters that stand for an identity (FNV-1a, 64 bits: it must be the same in every
/// release, and two statements that meet are an error at -N1).
pub fn digest(identity: &str) -> String {
    let fold = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", identity.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// The name of a statement's file in the work directory: readable where the statement has a name that
/// can be part of one.
pub fn file_name(module: &str, name: Option<&str>, digest: &str, extension: &str) -> String {
    let Some(name) = name else { return format!("{module}-{digest}.{extension}") };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.len() <= 64 && name.chars().all(plain) {
        return format!("{module}-{name}.{extension}");
    }
    let readable: String = name.chars().filter(|c| plain(*c)).take(64).collect();
    format!("{module}-{readable}-{digest}.{extension}")
}
