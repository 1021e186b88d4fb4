//! A folder of certificates: which of its files count, and what is in them.
//!
//! A secret key's file never counts, beside its public half or alone: who takes the public file away takes
//! the key off the list. czmq passes over such files, too.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::certificate::{Certificate, CertificateError, load_peer};
use crate::names::Names;

/// A directory of more files than this is not a directory of certificates.
const FILES_MAX: usize = 100_000;

/// What a directory of certificates holds.
#[derive(Debug, Default)]
pub struct Directory {
    /// All that count, in the order of the file names. Several may hold one key: the first says whose it is.
    pub certificates: Vec<Certificate>,
    /// The files that are no certificates. They don't disturb the others.
    pub broken: Vec<CertificateError>,
}

/// Reads every certificate of a directory. Hidden files, back-ups, and X_secret beside X are passed over.
pub fn load_directory(path: &Path) -> Result<Directory, CertificateError> {
    load_named(path, &Names::default())
}

/// The same, of the certificates with these names: a key may have one beside others.
pub(crate) fn load_named(path: &Path, wanted: &Names) -> Result<Directory, CertificateError> {
    let names = names_in(path)?;
    let mut directory = Directory::default();
    for name in &names {
        let text = name.to_string_lossy();
        if is_hidden_or_backup(&text) {
            continue;
        }
        let file = path.join(name);
        // anything but a file is no mistake here; a link that leads nowhere is
        if fs::metadata(&file).is_ok_and(|metadata| !metadata.is_file()) {
            continue;
        }
        match text.strip_suffix("_secret") {
            Some(public) if names.contains(&OsString::from(public)) => continue,
            Some(_) => directory.broken.push(CertificateError::Secret { path: file }),
            None => match load_peer(&file) {
                Ok(new) if wanted.have(&new) => directory.certificates.push(new),
                Ok(_) => {}
                Err(error) => directory.broken.push(error),
            },
        }
    }
    Ok(directory)
}

/// The names of all that is in a directory: of no more than a directory of certificates may have.
pub(crate) fn names_in(path: &Path) -> Result<BTreeSet<OsString>, CertificateError> {
    let entries = fs::read_dir(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTDIR) => CertificateError::NotADirectory { path: path.to_owned() },
        _ => CertificateError::unreadable(path, &error),
    })?;
    let mut names = BTreeSet::new();
    for entry in entries {
        names
            .insert(entry.map_err(|error| CertificateError::unreadable(path, &error))?.file_name());
        if names.len() > FILES_MAX {
            let limit = "100000 files";
            return Err(CertificateError::TooLarge { path: path.to_owned(), limit });
        }
    }
    Ok(names)
}

/// No file of this name counts in a directory of certificates: it is hidden, or what an editor or a
/// package leaves.
pub fn is_hidden_or_backup(name: &str) -> bool {
    name.starts_with(['.', '#'])
        || ["~", ".bak", ".orig", ".swp", ".tmp", ".dpkg-old", ".dpkg-new", ".dpkg-dist"]
            .iter()
            .chain(&[".rpmsave", ".rpmnew", ".rpmorig"])
            .any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::generate;

    #[test]
    fn a_directory_gives_what_counts_and_survives_broken_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let named = |name: &str, key: &str| {
            format!("metadata\n    name = \"{name}\"\ncurve\n    public-key = \"{key}\"\n")
        };
        let [a, b] = [(); 2].map(|()| generate().unwrap().public.to_string());
        file("a", &named("A", &a));
        file("a_secret", "not even read");
        file("b", &named("B", &b));
        file("c", &named("A again", &a));
        file("gone_secret", &named("gone", &b));
        for name in ["broken", ".hidden", "a~", "a.bak"] {
            file(name, "nonsense here");
        }
        fs::create_dir(folder.path().join("old")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("nowhere"), folder.path().join("link"))
            .unwrap();
        let labels = |directory: &Directory| -> Vec<String> {
            directory.certificates.iter().map(Certificate::label).collect()
        };
        let directory = load_directory(folder.path()).unwrap();
        assert_eq!(labels(&directory), ["A", "B", "A again"]);
        let broken: Vec<_> = directory.broken.iter().map(ToString::to_string).collect();
        assert_eq!(broken.len(), 3, "{broken:?}");
        assert!(broken[0].contains("broken, line 1"), "{broken:?}");
        assert!(broken[1].contains("gone_secret is by its name (_secret) the file"), "{broken:?}");
        assert!(broken[2].contains("link: cannot be read: No such file"), "{broken:?}");
        // a name that is wanted counts, whichever other file has the key too
        let wanted = Names::parse("a again,b").unwrap();
        assert_eq!(labels(&load_named(folder.path(), &wanted).unwrap()), ["B", "A again"]);
        let error = load_directory(&folder.path().join("a")).unwrap_err().to_string();
        assert!(error.contains("a is not a directory: it must be one"), "{error}");
    }
}
