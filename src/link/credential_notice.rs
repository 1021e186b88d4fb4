//! What a second look at keys and allow lists (credentials.rs) tells.

use std::fmt;
use std::path::PathBuf;

use crate::certificate::PublicKey;
use crate::names::Names;

/// Something that became of a credential while the program runs, as a sentence (`Display`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialNotice {
    /// A certificate came into the folder.
    Allowed {
        /// The name on it.
        name: String,
        /// Its key.
        key: PublicKey,
    },
    /// A certificate is gone, or is another one now.
    Removed {
        /// The name on it.
        name: String,
        /// Its key.
        key: PublicKey,
        /// Connections that were closed for it.
        closed: usize,
    },
    /// A key has another name now.
    Renamed {
        /// The key.
        key: PublicKey,
        /// Its name.
        name: String,
        /// The name it had.
        before: String,
        /// The file that says so.
        file: PathBuf,
        /// Connections that were closed for it.
        closed: usize,
    },
    /// Two files give a key two names.
    SeveralNames {
        /// The key.
        key: PublicKey,
        /// The name that counts.
        name: String,
        /// The file that gives it.
        file: PathBuf,
        /// The other file.
        other: PathBuf,
    },
    /// A certificate is gone, or is another one now, and another file holds its key.
    StaysAllowed {
        /// The name on it.
        name: String,
        /// Its key.
        key: PublicKey,
        /// Its file.
        gone: PathBuf,
        /// The other file.
        other: PathBuf,
    },
    /// A file in the folder is no certificate.
    Unusable {
        /// Which, and why not.
        why: String,
    },
    /// The folder, or a certificate in it, cannot be read: whoever was allowed is allowed still.
    ListKept {
        /// Which, and why not.
        why: String,
    },
    /// The folder holds no certificate any more that counts.
    NobodyAllowed {
        /// The folder.
        folder: PathBuf,
        /// The names that count.
        names: Names,
    },
    /// The own key is another one now.
    OwnKeyReplaced {
        /// Its file.
        path: PathBuf,
        /// The new key.
        key: PublicKey,
    },
    /// The server is known by other keys now.
    ServerKeysReplaced {
        /// The new ones.
        keys: Vec<PublicKey>,
    },
    /// A key was to be read again, and cannot be.
    KeyKept {
        /// Which, and why not.
        why: String,
    },
    /// The system tells of no changes: they are found by looking every few seconds.
    Unwatched {
        /// The system's reason.
        why: String,
    },
    /// A key cannot be read with the rights that this process has by now.
    OutOfReach {
        /// Which, and why not.
        why: String,
    },
}

impl CredentialNotice {
    /// Whether somebody should look after it.
    pub fn is_trouble(&self) -> bool {
        match self {
            CredentialNotice::Allowed { .. }
            | CredentialNotice::OwnKeyReplaced { .. }
            | CredentialNotice::ServerKeysReplaced { .. }
            | CredentialNotice::Unwatched { .. }
            | CredentialNotice::OutOfReach { .. } => false,
            CredentialNotice::Removed { .. }
            | CredentialNotice::Renamed { .. }
            | CredentialNotice::SeveralNames { .. }
            | CredentialNotice::StaysAllowed { .. }
            | CredentialNotice::Unusable { .. }
            | CredentialNotice::ListKept { .. }
            | CredentialNotice::NobodyAllowed { .. }
            | CredentialNotice::KeyKept { .. } => true,
        }
    }
}

impl fmt::Display for CredentialNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CredentialNotice::Allowed { name, key } => {
                write!(f, "allowed from now on: {name}, key {key}")
            }
            CredentialNotice::Removed { name, key, closed } => {
                write!(f, "no longer allowed: {name}, key {key}; connections closed: {closed}")
            }
            CredentialNotice::Renamed { key, name, before, file, closed } => write!(
                f,
                "the key {key} is called {name} now, was {before} ({}); connections closed: {closed}",
                file.display()
            ),
            CredentialNotice::SeveralNames { key, name, file, other } => write!(
                f,
                "{} holds the key {key} too, under another name: it is called {name}, as in {}, the first in \
                 the order of names",
                other.display(),
                file.display()
            ),
            CredentialNotice::StaysAllowed { name, key, gone, other } => write!(
                f,
                "{name} stays allowed, though {} is gone or changed: {} holds its key too, {key}",
                gone.display(),
                other.display()
            ),
            CredentialNotice::Unusable { why } => write!(f, "not allowed in: {why}"),
            CredentialNotice::ListKept { why } => {
                write!(f, "{why}; whoever was allowed stays allowed until it can be read")
            }
            CredentialNotice::NobodyAllowed { folder, names } if names.are_all() => write!(
                f,
                "{} holds no usable certificate any more: nobody is allowed in",
                folder.display()
            ),
            CredentialNotice::NobodyAllowed { folder, names } => write!(
                f,
                "{} holds no usable certificate any more with a name that fits \
                 allowednames=\"{names}\": nobody is allowed in",
                folder.display()
            ),
            CredentialNotice::OwnKeyReplaced { path, key } => {
                write!(f, "{} holds another key now: {key}; it takes effect", path.display())
            }
            CredentialNotice::ServerKeysReplaced { keys } => {
                f.write_str("the server is known by another key now:")?;
                keys.iter().try_for_each(|key| write!(f, " {key}"))
            }
            CredentialNotice::OutOfReach { why } => write!(
                f,
                "{why} (with the rights that are left); if it changes, that counts from the next start"
            ),
            CredentialNotice::Unwatched { why } => write!(
                f,
                "the system does not tell when files of keys change: {why}; they are looked at every 2 seconds \
                 (more seldom, if there are very many)"
            ),
            CredentialNotice::KeyKept { why } => write!(f, "{why}; the key read before stays"),
        }
    }
}
