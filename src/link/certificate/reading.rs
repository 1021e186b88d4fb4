//! The bytes of a certificate file, whatever is at its place: nothing is waited for, set off or read without
//! an end.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::{CertificateError, Wiped};

/// Certificates are a few hundred bytes; what is larger is something else.
const SIZE_MAX: u64 = 64 * 1024;

/// Reads a whole file, with its permission bits.
pub(crate) fn read(path: &Path) -> Result<(Wiped<Vec<u8>>, u32), CertificateError> {
    let file = open(path)?;
    let metadata = file.metadata().map_err(|error| CertificateError::unreadable(path, &error))?;
    check_kind(path, metadata.file_type())?;
    let too_large = || CertificateError::TooLarge { path: path.to_owned(), limit: "65536 bytes" };
    if metadata.len() > SIZE_MAX {
        return Err(too_large());
    }
    // room for all at once: a buffer that grows leaves copies of the secret behind
    let mut text = Wiped(Vec::with_capacity(SIZE_MAX as usize + 1));
    file.take(SIZE_MAX + 1)
        .read_to_end(&mut text.0)
        .map_err(|error| CertificateError::unreadable(path, &error))?;
    if text.0.len() as u64 > SIZE_MAX {
        return Err(too_large());
    }
    Ok((text, metadata.mode() & 0o7777))
}

/// Opens without waiting (a FIFO) and without effect (a device): looked at before, and, as
/// it may have changed since, again after.
fn open(path: &Path) -> Result<File, CertificateError> {
    let metadata =
        fs::metadata(path).map_err(|error| CertificateError::unreadable(path, &error))?;
    check_kind(path, metadata.file_type())?;
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| CertificateError::unreadable(path, &error))
}

fn check_kind(path: &Path, kind: fs::FileType) -> Result<(), CertificateError> {
    let found = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(CertificateError::NotAFile { path: path.to_owned(), found })
}
