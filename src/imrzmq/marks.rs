//! The file of marks: for each session how far it is settled, so that a restarted receiver knows what
//! it has. A state file (module/statefile.rs) with marks of fixed size behind its header, each at a
//! place of its own: one positioned write replaces one, and survives the end of the process.

use crate::params::MOST_SESSIONS;
use rzmq_delivery::{MARK_BYTES, Mark};
use rzmq_module::statefile::{HEADER, StateFile, StateFileError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"RZMQMRK1";

/// An input's marks, open and locked. Owned by its listener.
#[derive(Debug)]
pub(crate) struct Marks {
    file: StateFile,
    /// What could not be written, by its place.
    owed: HashMap<u32, Mark>,
}

/// What opening it found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The marks.
    pub(crate) marks: Vec<Mark>,
    /// Places that hold something else: damaged.
    pub(crate) damaged: u32,
    /// Where a file that was not this input's has been put.
    pub(crate) foreign: Option<PathBuf>,
}

impl Marks {
    /// Opens, locks and reads the file of `owner`; makes it if there is none.
    pub(crate) fn open(path: &Path, owner: &str) -> Result<(Self, Found), StateFileError> {
        let (file, foreign) = StateFile::open(path, MAGIC, owner)?;
        let found = Self::read(&file).map_err(|why| why.after(foreign.clone()))?;
        Ok((Self { file, owed: HashMap::new() }, Found { foreign, ..found }))
    }

    fn read(file: &StateFile) -> Result<Found, StateFileError> {
        let mut found = Found { marks: Vec::new(), damaged: 0, foreign: None };
        let there = file.len()?.saturating_sub(HEADER) / MARK_BYTES as u64;
        let places = there.min(MOST_SESSIONS as u64);
        if there > places {
            // a length that nothing here has written, and memory may not suffice for
            found.damaged = u32::try_from(there - places).unwrap_or(u32::MAX);
            file.truncate(HEADER + places * MARK_BYTES as u64)?;
        }
        let mut content = vec![0; places as usize * MARK_BYTES];
        file.read(&mut content, HEADER)?;
        for (slot, bytes) in (0..).zip(content.chunks_exact(MARK_BYTES)) {
            match bytes.first_chunk().and_then(|bytes| Mark::decode(slot, bytes)) {
                Some(mark) => found.marks.push(mark),
                None if bytes.iter().all(|byte| *byte == 0) => {}
                None => found.damaged = found.damaged.saturating_add(1),
            }
        }
        Ok(found)
    }

    /// Writes one mark; one that cannot be written is owed.
    pub(crate) fn write(&mut self, mark: &Mark) -> Result<(), StateFileError> {
        let written = self.put(mark);
        match written {
            Ok(()) => self.owed.remove(&mark.slot),
            Err(_) => self.owed.insert(mark.slot, *mark),
        };
        written
    }

    /// Writes what is owed, before the end: as much as can be.
    pub(crate) fn write_owed(&self) -> Result<(), StateFileError> {
        self.owed.values().map(|mark| self.put(mark)).fold(Ok(()), Result::and)
    }

    fn put(&self, mark: &Mark) -> Result<(), StateFileError> {
        self.file.write(&mark.encode(), HEADER + u64::from(mark.slot) * MARK_BYTES as u64)
    }
}
