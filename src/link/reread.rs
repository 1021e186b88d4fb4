//! A value that is read from files, and again when they have changed: the watcher asks at each look (watcher.rs).
//!
//! Locks: two a value: what its files looked like, and the value. Each is held to compare, to copy or to put a new
//! one in place, and never while a file is read.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What tells that a file is another one than before, or has been written to. The time is the
/// inode's: nobody can set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// None: there is no such file, or it cannot be looked at.
    pub(crate) fn of(path: &Path) -> Option<Stamp> {
        let metadata = fs::metadata(path).ok()?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Some(Stamp { inode: metadata.ino(), size: metadata.size(), changed })
    }
}

/// A value read from files, and read again when they change.
#[derive(Debug)]
pub(crate) struct Reread<T> {
    files: Vec<PathBuf>,
    last: Mutex<Look>,
    value: RwLock<Arc<T>>,
}

/// What the files of a value were like when they were last looked at.
#[derive(Debug, Default)]
struct Look {
    /// None at all: they could not be read, and will be at the next look.
    stamps: Vec<Option<Stamp>>,
    /// Why not, as it was told.
    told: Option<String>,
}

impl<T: PartialEq> Reread<T> {
    /// The stamps are taken first, so that a change in between is seen by the next look.
    pub(crate) fn new<E>(
        files: Vec<PathBuf>,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<Reread<T>, E> {
        let stamps = files.iter().map(|file| Stamp::of(file)).collect();
        let last = Mutex::new(Look { stamps, told: None });
        let value = RwLock::new(Arc::new(read()?));
        Ok(Reread { files, last, value })
    }

    /// What it is read from.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads again, if a file has changed or could not be read; answers whether the value has changed, and
    /// an error once.
    pub(crate) fn refresh<E: Display>(
        &self,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<bool, E> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps: Vec<_> = self.files.iter().map(|file| Stamp::of(file)).collect();
        if last().stamps == stamps {
            return Ok(false);
        }
        let new = match read() {
            Ok(new) => new,
            Err(why) => {
                let told = last().fail(why.to_string());
                return if told { Ok(false) } else { Err(why) };
            }
        };
        *last() = Look { stamps, told: None };
        if *self.get() == new {
            return Ok(false);
        }
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(true)
    }
}

impl Look {
    /// Answers whether just this was told.
    fn fail(&mut self, why: String) -> bool {
        self.stamps.clear();
        let is_told = self.told.as_ref() == Some(&why);
        self.told = Some(why);
        is_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_read_again_and_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let value = Reread::new(vec![file.clone()], || Ok::<_, &str>(1)).unwrap();
        fs::write(file, "new").unwrap();
        assert_eq!(value.refresh(|| Err("no descriptor")), Err("no descriptor"));
        assert_eq!(value.refresh(|| Err("no descriptor")), Ok(false));
        assert_eq!(value.refresh(|| Err("no right")), Err("no right"));
        assert_eq!((value.refresh(|| Ok::<_, &str>(2)), *value.get()), (Ok(true), 2));
        assert_eq!(value.refresh(|| Err("not looked at")), Ok(false));
    }
}
