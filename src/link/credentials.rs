//! Credentials that live: keys and allow lists that are read when the configuration is, and again
//! whenever their files have changed (watcher.rs says when that is looked for).
//!
//! What cannot be read again stays as it was, and is told: a mistake made while rsyslogd runs
//! neither stops it nor lets anybody in; it is tried again at each look, and told again when something
//! else is wrong. Only a certificate that is gone, or is none any more, takes its key off the list; one
//! that may be there and cannot be read (after a privilege drop, or without a descriptor left) does not.
//!
//! Locks: one a credential, held to look something up or to put the new state in place; never while
//! a file is read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::certificate::{self, Certificate, CertificateError, KeyPair, PublicKey};
use crate::certificate_folder::{load_named, names_in};
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

/// A value read from files, and read again when they change.
#[derive(Debug)]
struct Reread<T> {
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
    fn new<E>(files: Vec<PathBuf>, read: impl FnOnce() -> Result<T, E>) -> Result<Reread<T>, E> {
        let stamps = files.iter().map(|file| Stamp::of(file)).collect();
        let last = Mutex::new(Look { stamps, told: None });
        let value = RwLock::new(Arc::new(read()?));
        Ok(Reread { files, last, value })
    }

    fn get(&self) -> Arc<T> {
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads again, if a file has changed or could not be read; answers whether the value has changed, and
    /// an error once.
    fn refresh<E: Display>(&self, read: impl FnOnce() -> Result<T, E>) -> Result<bool, E> {
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
    /// None: not all could be read, and will be at the next look.
    stamps: Option<BTreeMap<OsString, Option<Stamp>>>,
    /// The certificates that count, or did when they could be read.
    certificates: Vec<Certificate>,
    /// What is wrong with it or with files in it, as it was told.
    told: Vec<String>,
}

impl AllowList {
    /// Reads a folder, of which certificates with these names count.
    pub fn load(folder: &Path, names: Names) -> Result<AllowList, CertificateError> {
        let stamps = stamps_in(folder).ok();
        let directory = load_named(folder, &names)?;
        let told = directory.broken.iter().map(ToString::to_string).collect();
        let admitted = RwLock::new(Arc::new(by_key(&directory.certificates)));
        let certificates = directory.certificates;
        Ok(AllowList {
            folder: folder.to_owned(),
            names,
            seen: Mutex::new(Seen { stamps, certificates, told }),
            admitted,
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

    /// Which keys have several names in it, a sentence each.
    pub fn several_names(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        sentences(&several_names(&seen.certificates)).collect()
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
            Ok(stamps) if seen.stamps.as_ref() == Some(&stamps) => return,
            stamps => stamps,
        };
        let read = stamps.and_then(|it| Ok((it, load_named(&self.folder, &self.names)?)));
        let (stamps, directory) = match read {
            Ok(read) => read,
            Err(why) => {
                let why = why.to_string();
                if !seen.told.contains(&why) {
                    findings.notices.push(CredentialNotice::ListKept { why: why.clone() });
                    seen.told.push(why);
                }
                seen.stamps = None;
                return;
            }
        };
        let known: HashSet<_> = seen.told.iter().collect();
        let held: HashSet<_> = seen.certificates.iter().map(|it| it.path.as_path()).collect();
        let (mut told, mut out_of_reach) = (Vec::new(), HashSet::new());
        for error in &directory.broken {
            let (why, file) = (error.to_string(), error.file_out_of_reach());
            out_of_reach.extend(file);
            told.push(why.clone());
            let notice = match file {
                _ if known.contains(&why) => continue,
                Some(file) if held.contains(file) => CredentialNotice::ListKept { why },
                _ => CredentialNotice::Unusable { why },
            };
            findings.notices.push(notice);
        }
        let stamps = out_of_reach.is_empty().then_some(stamps);
        let kept = seen.certificates.iter().filter(|it| out_of_reach.contains(it.path.as_path()));
        let mut certificates: Vec<_> =
            directory.certificates.into_iter().chain(kept.cloned()).collect();
        // the first says whose a key is that several have
        certificates.sort_by(|one, other| one.path.cmp(&other.path));
        let old = self.admitted();
        let new = by_key(&certificates);
        findings.notices.extend(held_by_others(&seen.certificates, &certificates, &new));
        let known: HashSet<_> = sentences(&several_names(&seen.certificates)).collect();
        let named = several_names(&certificates).into_iter();
        findings.notices.extend(named.filter(|it| !known.contains(&it.to_string())));
        *seen = Seen { stamps, certificates, told };
        for (key, certificate) in new.iter().filter(|(key, _)| !old.contains_key(key)) {
            let name = certificate.label();
            findings.notices.push(CredentialNotice::Allowed { name, key: *key });
        }
        let removed: Vec<_> = old.iter().filter(|(key, _)| !new.contains_key(key)).collect();
        findings.removed.extend(removed.iter().map(|(key, it)| (**key, it.label())));
        let both = old.iter().filter_map(|(key, it)| Some((key, it.label(), new.get(key)?)));
        findings.renamed.extend(
            both.filter(|(_, before, now)| *before != now.label())
                .map(|(key, before, now)| Renamed { key: *key, before, now: now.clone() }),
        );
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

/// The first of each key.
fn by_key(certificates: &[Certificate]) -> HashMap<PublicKey, Certificate> {
    let mut keys = HashMap::new();
    for certificate in certificates {
        keys.entry(certificate.public).or_insert_with(|| certificate.clone());
    }
    keys
}

/// Keys that files give several names, of which the first counts: one notice for each key.
fn several_names(certificates: &[Certificate]) -> Vec<CredentialNotice> {
    let (mut first, mut told) = (HashMap::new(), HashSet::new());
    let mut notices = Vec::new();
    for other in certificates {
        let holder: &Certificate = first.entry(other.public).or_insert(other);
        if holder.label() != other.label() && told.insert(other.public) {
            notices.push(CredentialNotice::SeveralNames {
                key: other.public,
                name: holder.label(),
                file: holder.path.clone(),
                other: other.path.clone(),
            });
        }
    }
    notices
}

fn sentences(notices: &[CredentialNotice]) -> impl Iterator<Item = String> + '_ {
    notices.iter().map(ToString::to_string)
}

/// Certificates that are gone and whose keys are allowed all the same: who took one away should know.
fn held_by_others(
    old: &[Certificate],
    new: &[Certificate],
    allowed: &HashMap<PublicKey, Certificate>,
) -> Vec<CredentialNotice> {
    let there: HashSet<_> = new.iter().map(|it| (&it.path, it.public)).collect();
    let gone = old.iter().filter(|it| !there.contains(&(&it.path, it.public)));
    let held = gone.filter_map(|it| Some((it, allowed.get(&it.public)?)));
    held.map(|(gone, other)| CredentialNotice::StaysAllowed {
        name: gone.label(),
        key: gone.public,
        gone: gone.path.clone(),
        other: other.path.clone(),
    })
    .collect()
}

fn stamps_in(folder: &Path) -> Result<BTreeMap<OsString, Option<Stamp>>, CertificateError> {
    // before any is looked at: a folder of millions is none of certificates
    let names = names_in(folder)?;
    let stamped = |name| {
        let stamp = Stamp::of(&folder.join(&name));
        (name, stamp)
    };
    Ok(names.into_iter().map(stamped).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate_file::{Existing, Metadata, write_pair};

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

    fn told(list: &AllowList) -> (Vec<String>, usize) {
        let mut findings = Findings::default();
        list.refresh(&mut findings);
        let sentences = findings.notices.iter().map(ToString::to_string).collect();
        (sentences, findings.removed.len())
    }

    fn pair(path: &Path) -> PublicKey {
        let pair = certificate::generate().unwrap();
        write_pair(path, &pair, &Metadata::new(), Existing::Keep).unwrap();
        pair.public
    }

    #[test]
    fn who_takes_the_public_file_away_takes_the_key_away() {
        let folder = tempfile::tempdir().unwrap();
        let key = pair(&folder.path().join("web1"));
        pair(&folder.path().join("web2"));
        let list = AllowList::load(folder.path(), Names::default()).unwrap();
        assert!((list.len(), list.broken().len()) == (2, 0) && list.contains(&key));
        fs::remove_file(folder.path().join("web1")).unwrap();
        let (sentences, removed) = told(&list);
        assert!(removed == 1 && !list.contains(&key));
        assert!(sentences[0].contains("web1_secret is by its name"), "{sentences:?}");
        assert_eq!(told(&list), (vec![], 0));
    }

    #[test]
    fn a_key_that_another_file_holds_too_is_told_to_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let key = pair(&path("web1"));
        fs::remove_file(path("web1_secret")).unwrap();
        fs::copy(path("web1"), path("web1.old")).unwrap();
        let list = AllowList::load(folder.path(), Names::default()).unwrap();
        for (from, to, holder) in
            [("web1.old", "web2", "web1"), ("web1", "web1.revoked", "web1.revoked")]
        {
            fs::rename(path(from), path(to)).unwrap();
            let (sentences, removed) = told(&list);
            assert!((removed, sentences.len()) == (0, 2) && list.contains(&key), "{sentences:?}");
            assert_eq!(list.several_names(), sentences[1..]);
            assert!(sentences[1].contains("too, under another name: it is called "));
            let start = format!("{from} stays allowed, though {} is gone", path(from).display());
            assert!(sentences[0].starts_with(&start), "{sentences:?}");
            let holder = format!(": {} holds its key too", path(holder).display());
            assert!(sentences[0].contains(&holder), "{sentences:?}");
        }
        for file in ["web1.revoked", "web2"] {
            fs::remove_file(path(file)).unwrap();
        }
        assert_eq!(told(&list).1, 1);
    }

    #[test]
    fn a_folder_that_comes_back_empty_lets_nobody_in() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("allowed");
        fs::create_dir(&folder).unwrap();
        let key = pair(&folder.join("web1"));
        let list = AllowList::load(&folder, Names::default()).unwrap();
        fs::rename(&folder, place.path().join("elsewhere")).unwrap();
        assert!((told(&list).1, told(&list).0.len()) == (0, 0) && list.contains(&key));
        fs::create_dir(&folder).unwrap();
        assert!(told(&list).1 == 1 && list.is_empty());
    }

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

    #[test]
    fn a_folder_of_too_many_files_is_told_once() {
        // in memory: so many files take a disk long
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let key = pair(&folder.path().join("web1"));
        let list = AllowList::load(folder.path(), Names::default()).unwrap();
        for number in 0..100_000 {
            fs::write(folder.path().join(format!(".{number}")), "").unwrap();
        }
        let (sentences, removed) = told(&list);
        assert!(
            sentences[0].contains("too large: 100000 files at most; whoever was allowed stays")
        );
        assert!((removed, sentences.len()) == (0, 1) && list.contains(&key), "{sentences:?}");
        assert_eq!(told(&list), (vec![], 0));
    }
}
