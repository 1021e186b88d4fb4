//! Credentials that live: keys and allow lists that are read when the configuration is, and again
//! whenever their files have changed (watcher.rs says when that is looked for).
//!
//! What cannot be read again stays as it was, and is told: a mistake made while rsyslogd runs
//! neither stops it nor lets anybody in. Only a certificate that is gone, or is none any more, takes
//! its key off the list; one that is there and cannot be read (after a privilege drop, or without a
//! descriptor left) does not.
//!
//! Locks: one a credential, held to look something up or to put the new state in place; never while
//! a file is read.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::certificate::{self, Certificate, CertificateError, KeyPair, PublicKey};
use crate::credential_notice::CredentialNotice;
use crate::names::Names;

/// What tells that a file is another one than before, or has been written to. The time is the
/// inode's: nobody can set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// None: there is no such file, or it cannot be looked at.
    fn of(path: &Path) -> Option<Stamp> {
        let metadata = fs::metadata(path).ok()?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Some(Stamp { inode: metadata.ino(), size: metadata.size(), changed })
    }
}

/// What a second look has found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// To be told.
    pub(crate) notices: Vec<CredentialNotice>,
    /// Keys that are not allowed any more, with the names they had.
    pub(crate) removed: Vec<(PublicKey, String)>,
}

/// A value read from files, and read again when they change.
#[derive(Debug)]
struct Reread<T> {
    files: Vec<PathBuf>,
    stamps: Mutex<Vec<Option<Stamp>>>,
    value: RwLock<Arc<T>>,
}

impl<T: PartialEq> Reread<T> {
    /// The stamps are taken first, so that a change in between is seen by the next look.
    fn new<E>(files: Vec<PathBuf>, read: impl FnOnce() -> Result<T, E>) -> Result<Reread<T>, E> {
        let stamps = Mutex::new(files.iter().map(|file| Stamp::of(file)).collect());
        let value = RwLock::new(Arc::new(read()?));
        Ok(Reread { files, stamps, value })
    }

    fn get(&self) -> Arc<T> {
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads again, if a file has changed; answers whether the value has.
    fn refresh<E>(&self, read: impl FnOnce() -> Result<T, E>) -> Result<bool, E> {
        let stamps: Vec<_> = self.files.iter().map(|file| Stamp::of(file)).collect();
        {
            let mut known = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
            if *known == stamps {
                return Ok(false);
            }
            *known = stamps;
        }
        let new = read()?;
        if *self.get() == new {
            return Ok(false);
        }
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(true)
    }
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
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.pair.files
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
    /// Which of them is tried.
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

    /// The one that the next connection is made with.
    pub fn current(&self) -> Option<Certificate> {
        let certificates = self.certificates.get();
        let turn = self.turn.load(Ordering::Relaxed) as usize;
        certificates.get(turn % certificates.len().max(1)).cloned()
    }

    /// Whether there is another one to try.
    pub(crate) fn has_another(&self) -> bool {
        self.certificates.get().len() > 1
    }

    /// The server does not hold this key: the next is tried. Sockets that share the list and have
    /// tried the same one move it on once.
    pub(crate) fn try_another(&self, tried: &PublicKey) {
        if self.current().is_some_and(|current| current.public == *tried) {
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
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

/// The keys that a folder of certificates lets in: those of all, or of some names.
#[derive(Debug)]
pub struct AllowList {
    folder: PathBuf,
    names: Names,
    seen: Mutex<Seen>,
    admitted: RwLock<Arc<HashMap<PublicKey, Certificate>>>,
    generation: AtomicU64,
}

/// What the folder looked like when it was last looked at.
#[derive(Debug, Default)]
struct Seen {
    stamps: BTreeMap<OsString, Option<Stamp>>,
    /// What is wrong with it or with files in it, as it was told.
    told: Vec<String>,
}

impl AllowList {
    /// Reads a folder, of which certificates with these names count.
    pub fn load(folder: &Path, names: Names) -> Result<AllowList, CertificateError> {
        let stamps = stamps_in(folder).unwrap_or_default();
        let directory = certificate::load_named(folder, &names)?;
        let told = directory.broken.iter().map(ToString::to_string).collect();
        Ok(AllowList {
            folder: folder.to_owned(),
            names,
            seen: Mutex::new(Seen { stamps, told }),
            admitted: RwLock::new(Arc::new(by_key(directory.certificates))),
            generation: AtomicU64::new(0),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate of a key that is allowed.
    pub fn find(&self, key: &PublicKey) -> Option<Certificate> {
        self.admitted().get(key).cloned()
    }

    /// Whether a key is allowed.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.admitted().contains_key(key)
    }

    /// How many keys are allowed.
    pub fn len(&self) -> usize {
        self.admitted().len()
    }

    /// Whether nobody is allowed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is wrong with files of the folder, a sentence each.
    pub fn broken(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).told.clone()
    }

    /// Changes with the list.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn admitted(&self) -> Arc<HashMap<PublicKey, Certificate>> {
        Arc::clone(&self.admitted.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn refresh(&self, findings: &mut Findings) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = match stamps_in(&self.folder) {
            Ok(stamps) if stamps == seen.stamps => return,
            Ok(stamps) => stamps,
            Err(why) => {
                let why = CertificateError::unreadable(&self.folder, &why).to_string();
                if !seen.told.contains(&why) {
                    findings.notices.push(CredentialNotice::ListKept { why: why.clone() });
                    seen.told.push(why);
                }
                // the next look, when it can be read again, takes all of it
                seen.stamps.clear();
                return;
            }
        };
        let directory = match certificate::load_named(&self.folder, &self.names) {
            Ok(directory) => directory,
            Err(why) => {
                findings.notices.push(CredentialNotice::ListKept { why: why.to_string() });
                return;
            }
        };
        let told: Vec<_> = directory.broken.iter().map(ToString::to_string).collect();
        for why in told.iter().filter(|why| !seen.told.contains(why)) {
            findings.notices.push(CredentialNotice::Unusable { why: why.clone() });
        }
        let out_of_reach: Vec<_> =
            directory.broken.iter().filter_map(CertificateError::file_out_of_reach).collect();
        // looked at again and again, until all can be read
        let stamps = if out_of_reach.is_empty() { stamps } else { BTreeMap::new() };
        *seen = Seen { stamps, told };
        let old = self.admitted();
        let kept = old.values().filter(|it| out_of_reach.contains(&it.path.as_path())).cloned();
        let new = by_key(kept.chain(directory.certificates).collect());
        for (key, certificate) in new.iter().filter(|(key, _)| !old.contains_key(key)) {
            let name = certificate.label();
            findings.notices.push(CredentialNotice::Allowed { name, key: *key });
        }
        let removed: Vec<_> = old.iter().filter(|(key, _)| !new.contains_key(key)).collect();
        findings.removed.extend(removed.iter().map(|(key, it)| (**key, it.label())));
        if new.is_empty() && !old.is_empty() {
            let (folder, names) = (self.folder.clone(), self.names.clone());
            findings.notices.push(CredentialNotice::NobodyAllowed { folder, names });
        }
        if *old != new {
            *self.admitted.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
            self.generation.fetch_add(1, Ordering::Release);
        }
    }
}

fn by_key(certificates: Vec<Certificate>) -> HashMap<PublicKey, Certificate> {
    certificates.into_iter().map(|certificate| (certificate.public, certificate)).collect()
}

fn stamps_in(folder: &Path) -> std::io::Result<BTreeMap<OsString, Option<Stamp>>> {
    let mut stamps = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let stamp = Stamp::of(&folder.join(&name));
        stamps.insert(name, stamp);
    }
    Ok(stamps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_the_names_that_count_is_told_with_the_names() {
        let folder = tempfile::tempdir().unwrap();
        let key = certificate::generate().unwrap().public;
        let write = |file: &str, name: &str| {
            let text =
                format!("metadata\n    name = \"{name}\"\ncurve\n    public-key = \"{key}\"\n");
            fs::write(folder.path().join(file), text).unwrap();
        };
        let refresh = |list: &AllowList| {
            let mut findings = Findings::default();
            list.refresh(&mut findings);
            findings.notices.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        // another file of the same key comes first
        write("a", "other");
        write("b", "web1");
        let list = AllowList::load(folder.path(), Names::parse("Web*").unwrap()).unwrap();
        assert_eq!(list.find(&key).map(|it| it.label()).as_deref(), Some("web1"));
        write("b", "web22");
        assert!(refresh(&list).is_empty() && list.contains(&key));
        write("b", "another");
        let told = refresh(&list);
        assert!(told[0].contains("with a name that fits allowednames=\"Web*\":"), "{told:?}");
        assert!(list.is_empty());
        let list = AllowList::load(folder.path(), Names::default()).unwrap();
        for file in ["a", "b"] {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
        let told = refresh(&list);
        assert!(told[0].ends_with("holds no usable certificate any more: nobody is allowed in"));
    }
}
