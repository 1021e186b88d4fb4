//! The keys that a folder of certificates lets in, read again whenever its files have changed; credentials.rs says
//! what comes of a file that cannot be read.
//!
//! Locks: two a list: what the folder looked like, held while it is read again (the watcher's, and whoever reads the
//! configuration), and the keys in force, held to look one up or to put new ones in place.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::certificate::{Certificate, CertificateError, PublicKey};
use crate::certificate_folder::{load_named, names_in};
use crate::credential_notice::CredentialNotice;
use crate::credentials::{Findings, Renamed};
use crate::names::Names;
use crate::reread::Stamp;

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

    /// Reads the folder again, if it has changed or could not be read.
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
        let (told, out_of_reach) = tell_broken(&directory.broken, &seen, findings);
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
        compare(&old, &new, findings);
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

/// What is wrong with files of the folder: all of it, as sentences, and those of them that may be there and cannot be
/// read. What was not told before is put among the findings.
fn tell_broken<'a>(
    broken: &'a [CertificateError],
    seen: &Seen,
    findings: &mut Findings,
) -> (Vec<String>, HashSet<&'a Path>) {
    let known: HashSet<_> = seen.told.iter().collect();
    let held: HashSet<_> = seen.certificates.iter().map(|it| it.path.as_path()).collect();
    let (mut told, mut out_of_reach) = (Vec::new(), HashSet::new());
    for error in broken {
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
    (told, out_of_reach)
}

/// Who is let in now and was not before, who no longer is, and who is called otherwise.
fn compare(
    old: &HashMap<PublicKey, Certificate>,
    new: &HashMap<PublicKey, Certificate>,
    findings: &mut Findings,
) {
    for (key, certificate) in new.iter().filter(|(key, _)| !old.contains_key(key)) {
        let name = certificate.label();
        findings.notices.push(CredentialNotice::Allowed { name, key: *key });
    }
    let removed = old.iter().filter(|(key, _)| !new.contains_key(key));
    findings.removed.extend(removed.map(|(key, it)| (*key, it.label())));
    let both = old.iter().filter_map(|(key, it)| Some((key, it.label(), new.get(key)?)));
    findings.renamed.extend(
        both.filter(|(_, before, now)| *before != now.label()).map(|(key, before, now)| Renamed {
            key: *key,
            before,
            now: now.clone(),
        }),
    );
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
mod tests;
