//! What may be wrong with a certificate, in sentences that name the file.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::raw;

/// What is wrong with a certificate file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The system does not let it be read.
    #[error("{path}: cannot be read: {reason}", path = path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        reason: String,
        /// The reason is missing rights.
        denied: bool,
    },
    /// It is no file.
    #[error("{path} is {found}, not a certificate file", path = path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// It is no directory.
    #[error(
        "{path} is not a directory: it must be one, with a certificate file for each key allowed",
        path = path.display()
    )]
    NotADirectory {
        /// Its path.
        path: PathBuf,
    },
    /// It is too large to be a certificate, or has too many files to be a directory of them.
    #[error("{path} is too large: {limit} at most", path = path.display())]
    TooLarge {
        /// Its path.
        path: PathBuf,
        /// The limit.
        limit: &'static str,
    },
    /// A file of the folder that must not let anybody in: it would go on doing so without the public file.
    #[error(
        "{path} is by its name (_secret) the file of a secret key, which lets nobody in: put the public half \
         of the key here",
        path = path.display()
    )]
    Secret {
        /// Its path.
        path: PathBuf,
    },
    /// A secret that is none.
    #[error(
        "{path} holds a secret key and can be read by others than its owner (mode {mode:04o}): chmod 600 {path}",
        path = path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A line cannot be understood.
    #[error("{path}, line {line}: {reason}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Without a name in it the file's stands for its owner, and that does not read as what it is.
    #[error(
        "{path} has no name in it, and its file's has a control character in it, or another sign that \
         cannot be seen or changes how others look: give it a name",
        path = path.display()
    )]
    FileName {
        /// The file.
        path: PathBuf,
    },
    /// Something is not there.
    #[error("{path}: {missing}", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is missing and how it would look.
        missing: String,
    },
    /// The two keys of a file are not a pair.
    #[error(
        "{path}: its public-key does not belong to its secret-key: take both from the same certificate",
        path = path.display()
    )]
    NoPair {
        /// The file.
        path: PathBuf,
    },
    /// libzmq could not make or check a key.
    #[error("libzmq cannot compute CURVE keys: {0}")]
    Crypto(String),
}

impl CertificateError {
    /// The file that cannot be read, and may well be there: no rights, no descriptors left, a server that is
    /// away.
    pub(crate) fn file_out_of_reach(&self) -> Option<&Path> {
        let CertificateError::Unreadable { path, .. } = self else { return None };
        let gone = fs::metadata(path).is_err_and(|error| {
            matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP))
        });
        (!gone).then_some(path)
    }

    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> CertificateError {
        let reason = match error.raw_os_error() {
            Some(errno) => raw::Errno(errno).to_string(),
            None => error.to_string(),
        };
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        CertificateError::Unreadable { path: path.to_owned(), reason, denied }
    }
}
