//! What can end a command, and the exit statuses.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rzlog_client::ClientError;
use rzmq_link::{CertificateError, WriteError};

use crate::metrics::RulesError;

/// How a command ended, as shells see it. docs/rzlog.md has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    pub(crate) const DONE: Exit = Exit(0);
    pub(crate) const FAILED: Exit = Exit(1);
    /// Nothing listens; `tail` and `top`: nobody was ever there; `send`: not everything was acknowledged.
    pub(crate) const NOBODY: Exit = Exit(3);
    pub(crate) const NOT_ZEROMQ: Exit = Exit(4);
    pub(crate) const PLAINTEXT: Exit = Exit(5);
    pub(crate) const WANTS_KEYS: Exit = Exit(6);
    pub(crate) const OTHER_SERVER_KEY: Exit = Exit(7);
    pub(crate) const KEY_NOT_ALLOWED: Exit = Exit(8);
    pub(crate) const UNCLEAR: Exit = Exit(9);
    /// `send`: lines that the receiver refused for good.
    pub(crate) const REFUSED: Exit = Exit(10);
    /// `check --config`: something is unsafe, broken or ignored; `migrate`: a module has to stay.
    pub(crate) const FINDINGS: Exit = Exit(11);
    /// `check --config`, `migrate`: none of that, but not all could be looked at.
    pub(crate) const NOT_READ: Exit = Exit(12);
    /// `check`: a receiver lets us in and takes no session.
    pub(crate) const NO_SESSION: Exit = Exit(13);

    /// A signal ended it: as a shell says it.
    pub(crate) fn signal(number: i32) -> Exit {
        Exit(128_u8.saturating_add(u8::try_from(number).unwrap_or(0)))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.0)
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
    Client(#[from] ClientError),
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// A file cannot be read or written.
    #[error("{path}: {reason}", path = path.display())]
    File { path: PathBuf, reason: io::Error },
    /// Standard output is closed.
    #[error("nobody reads standard output")]
    ReaderGone,
    /// Standard output does not take what is written, for another reason.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// The terminal cannot be used, or is gone.
    #[error("the terminal: {0}")]
    Terminal(io::Error),
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
