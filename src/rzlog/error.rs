//! What can end a command, and the exit statuses.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rzmq_link::{CertificateError, SecurityError, WriteError};

/// How a command ended, as shells see it. docs/rzlog.md has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
        })
    }
}

/// Why a command could not be done. Each is a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// A file cannot be read or written.
    #[error("{path}: {reason}", path = path.display())]
    File { path: PathBuf, reason: io::Error },
    /// Standard output is closed.
    #[error("nobody reads standard output")]
    ReaderGone,
    /// Standard output does not take what is written, for another reason.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// For `map_err` on what is done with a file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |reason| Error::File { path, reason }
    }

    /// For `map_err` on what is written to standard output.
    pub(crate) fn output(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Error::ReaderGone,
            _ => Error::Output(error),
        }
    }
}
