//! `minfree`: acknowledged senders keep their lines while a file system has less room than that. rsyslog's
//! queues and omfile do not survive a full disk without a loss, and an input is not told where they write.
//!
//! Owned by the input's listener.

use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// A file system, and the room that it is to keep.
#[derive(Debug)]
pub(crate) struct FreeSpace {
    folder: PathBuf,
    least_mib: u64,
}

impl FreeSpace {
    /// The error: nothing can be known of this folder.
    pub(crate) fn new(folder: &Path, least_mib: u64) -> Result<Self, String> {
        free_mib(folder)?;
        Ok(Self { folder: folder.to_owned(), least_mib })
    }

    /// The file system's free MiB, where they are too few; asked before each chunk, for which a microsecond is
    /// little. The error: nothing can be known of the folder any more.
    pub(crate) fn too_little(&self) -> Result<Option<u64>, String> {
        Ok(Some(free_mib(&self.folder)?).filter(|free| *free < self.least_mib))
    }

    /// What is said of it.
    pub(crate) fn trouble(&self, free_mib: u64) -> String {
        let Self { folder, least_mib, .. } = self;
        format!(
            "{free_mib} MiB are free at {}, less than minfree=\"{least_mib}\": acknowledged senders keep their \
             lines until there is room",
            folder.display()
        )
    }
}

/// What a user without privileges may still write.
fn free_mib(folder: &Path) -> Result<u64, String> {
    let about = rustix::fs::statvfs(folder);
    let about = about.map_err(|why| format!("{}: {why}", folder.display()))?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize) / MIB)
}
