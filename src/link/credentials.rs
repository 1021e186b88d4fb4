//! Credentials that live: keys and allow lists that are read when the configuration is, and again
//! whenever their files have changed (watcher.rs says when that is looked for).
//!
//! What cannot be read again stays as it was, and is told: a mistake made while rsyslogd runs
//! neither stops it nor lets anybody in; it is tried again at each look, and told again when something
//! else is wrong. Only a certificate that is gone, or is none any more, takes its key off the list; one
//! that may be there and cannot be read (after a privilege drop, or without a descriptor left) does not.
//!
//! Here are a side's own key and the keys a client knows its server by, each a value of reread.rs, with its locks.
//! Whom a server lets in is in allow_list.rs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::certificate::{self, Certificate, CertificateError, KeyPair, PublicKey};
use crate::credential_notice::CredentialNotice;
use crate::reread::Reread;

/// What a second look has found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// To be told.
    pub(crate) notices: Vec<CredentialNotice>,
    /// Keys that are not allowed any more, with the names they had.
    pub(crate) removed: Vec<(PublicKey, String)>,
    /// Keys that stay allowed under another name.
    pub(crate) renamed: Vec<Renamed>,
}

/// A key that has another name than before, on which filters and `enforcehost` rely.
#[derive(Debug)]
pub(crate) struct Renamed {
    pub(crate) key: PublicKey,
    pub(crate) before: String,
    /// What says how it is called now.
    pub(crate) now: Certificate,
}

/// This side's own key pair.
#[derive(Debug)]
pub struct OwnKey {
    /// None: made at the start, and kept until the end.
    path: Option<PathBuf>,
    pair: Reread<KeyPair>,
}

impl OwnKey {
    /// Reads it as [`certificate::load_own`] does.
    pub fn load(path: &Path) -> Result<OwnKey, CertificateError> {
        let files = vec![path.to_owned(), certificate::with_secret_suffix(path)];
        let pair = Reread::new(files, || certificate::load_own(path))?;
        Ok(OwnKey { path: Some(path.to_owned()), pair })
    }

    /// A fresh one.
    pub fn generate() -> Result<OwnKey, CertificateError> {
        let pair = Reread::new(Vec::new(), certificate::generate)?;
        Ok(OwnKey { path: None, pair })
    }

    /// What it is read from.
    pub fn paths(&self) -> &[PathBuf] {
        self.pair.files()
    }

    /// The pair as it is now.
    pub fn pair(&self) -> Arc<KeyPair> {
        self.pair.get()
    }

    pub(crate) fn refresh(&self, findings: &mut Findings) {
        let Some(path) = &self.path else { return };
        let notice = match self.pair.refresh(|| certificate::load_own(path)) {
            Ok(false) => return,
            Ok(true) => {
                CredentialNotice::OwnKeyReplaced { path: path.clone(), key: self.pair().public }
            }
            Err(why) => kept(&why),
        };
        findings.notices.push(notice);
    }
}

/// The keys a client knows its server by: one, or two while the server's key is being replaced.
#[derive(Debug)]
pub struct ServerKeys {
    files: Vec<PathBuf>,
    certificates: Reread<Vec<Certificate>>,
    /// Which of them is tried first.
    turn: AtomicU64,
}

impl ServerKeys {
    /// Reads them. Only the first has to be there; one that comes later is found then.
    pub fn load(files: Vec<PathBuf>) -> Result<ServerKeys, CertificateError> {
        let certificates = Reread::new(files.clone(), || load_peers(&files))?;
        Ok(ServerKeys { files, certificates, turn: AtomicU64::new(0) })
    }

    /// What they are read from.
    pub fn paths(&self) -> &[PathBuf] {
        &self.files
    }

    /// The one that a new caller begins with.
    pub fn current(&self) -> Option<Certificate> {
        self.of_turn(self.turn())
    }

    /// The one of a caller that is at this turn.
    pub(crate) fn of_turn(&self, turn: u64) -> Option<Certificate> {
        let certificates = self.certificates.get();
        certificates.get(turn as usize % certificates.len().max(1)).cloned()
    }

    /// The turn that a new caller begins with.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// Whether there is another one to try.
    pub(crate) fn has_another(&self) -> bool {
        self.certificates.get().len() > 1
    }

    /// New callers begin with this turn: a server does not hold the key of the one before. Those that
    /// have begun go their own way, for each of several servers may hold another.
    pub(crate) fn begin_with(&self, turn: u64) {
        self.turn.store(turn, Ordering::Relaxed);
    }

    pub(crate) fn refresh(&self, findings: &mut Findings) {
        match self.certificates.refresh(|| load_peers(&self.files)) {
            Ok(false) => {}
            Ok(true) => {
                let keys = self.certificates.get().iter().map(|it| it.public).collect();
                findings.notices.push(CredentialNotice::ServerKeysReplaced { keys });
            }
            Err(why) => findings.notices.push(kept(&why)),
        }
    }
}

/// Root's keys out of reach are what a privilege drop is for; anything else is a mistake.
fn kept(why: &CertificateError) -> CredentialNotice {
    let why_text = why.to_string();
    match why {
        CertificateError::Unreadable { denied: true, .. } => {
            CredentialNotice::OutOfReach { why: why_text }
        }
        _ => CredentialNotice::KeyKept { why: why_text },
    }
}

fn load_peers(files: &[PathBuf]) -> Result<Vec<Certificate>, CertificateError> {
    let is_there = |index: usize, file: &Path| index == 0 || file.symlink_metadata().is_ok();
    let there = files.iter().enumerate().filter(|(index, file)| is_there(*index, file));
    there.map(|(_, file)| certificate::load_peer(file)).collect()
}
