//! Certificates on their way to a file: ZPL as czmq writes it, and what is in their metadata.
//!
//! A file has its mode from its first moment on. A new one must not be there yet; one that is replaced is
//! so at once, by another that is whole. Texts with a secret in them are wiped.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;

use crate::certificate::{
    CertificateError, KeyPair, PublicKey, Wiped, load_peer, read, reads_as_it_is,
    with_secret_suffix,
};
use crate::{raw, z85, zpl};

/// What a certificate says about its key, beside the key: names and values in their order.
pub type Metadata = Vec<(String, String)>;

/// Whether a file that is there may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is an error.
    Keep,
    /// It is replaced.
    Replace,
}

/// Why a certificate could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// There is one.
    #[error(
        "{path} exists, and keys are never overwritten: whoever trusts the old key would no longer be \
         reached. Remove it first, or say --force",
        path = .0.display()
    )]
    Exists(PathBuf),
    /// The system does not let it be written.
    #[error("{path} cannot be written: {reason}", path = path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// A name or value that the format has no place for.
    #[error("{what} \"{text}\" cannot stand in a certificate: {reason}")]
    Metadata {
        /// Name or value.
        what: &'static str,
        /// The text.
        text: String,
        /// Why not.
        reason: &'static str,
    },
}

/// Writes `path` with the public key and `path`_secret, mode 0600, with both.
pub fn write_pair(
    path: &Path,
    pair: &KeyPair,
    metadata: &Metadata,
    existing: Existing,
) -> Result<(), WriteError> {
    let secret_path = with_secret_suffix(path);
    let public = text(&pair.public, None, metadata)?;
    let secret = text(&pair.public, Some(pair.secret()), metadata)?;
    if existing == Existing::Keep {
        // before the secret is written: no half of a pair is left behind
        for path in [path, &secret_path] {
            if fs::symlink_metadata(path).is_ok() {
                return Err(WriteError::Exists(path.to_owned()));
            }
        }
    }
    put(&secret_path, &secret.0, 0o600, existing)?;
    put(path, &public.0, 0o644, existing)
}

/// Writes a public key alone.
pub fn write_public(
    path: &Path,
    key: &PublicKey,
    metadata: &Metadata,
    existing: Existing,
) -> Result<(), WriteError> {
    put(path, &text(key, None, metadata)?.0, 0o644, existing)
}

/// What a certificate file says about its key.
pub fn load_metadata(path: &Path) -> Result<Metadata, CertificateError> {
    load_peer(path)?;
    let (text, _) = read(path)?;
    // load_peer has understood it
    let properties = zpl::parse(&text.0).unwrap_or_default();
    let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let own = properties.iter().filter(|property| property.section == b"metadata");
    Ok(own.map(|property| (lossy(property.name), lossy(property.value))).collect())
}

fn text(
    public: &PublicKey,
    secret: Option<&[u8; 32]>,
    metadata: &Metadata,
) -> Result<Wiped<Vec<u8>>, WriteError> {
    let lengths = metadata.iter().map(|(name, value)| name.len() + value.len() + 16);
    // room for all at once: a buffer that grows leaves copies of the secret behind
    let mut text = Wiped(Vec::with_capacity(1024 + lengths.sum::<usize>()));
    let heading: &str = match secret {
        Some(_) => {
            "#   CURVE key pair, made by rsyslog-rzmq\n#   Keep this file secret: who has it is let in \
             where its owner is.\n"
        }
        None => {
            "#   CURVE public key, made by rsyslog-rzmq\n#   Give it away by a way that nobody can \
             change it on.\n"
        }
    };
    text.0.extend_from_slice(heading.as_bytes());
    text.0.extend_from_slice(b"\nmetadata\n");
    for (name, value) in metadata {
        let quote = quote_for(name, value)?;
        text.0.extend_from_slice(format!("    {name} = {quote}{value}{quote}\n").as_bytes());
    }
    text.0.extend_from_slice(format!("curve\n    public-key = \"{public}\"\n").as_bytes());
    if let Some(secret) = secret {
        let encoded = Wiped(z85::encode(secret));
        text.0.extend_from_slice(b"    secret-key = \"");
        text.0.extend_from_slice(&encoded.0);
        text.0.extend_from_slice(b"\"\n");
    }
    Ok(text)
}

/// Checks a line of metadata; answers the quotes that its value gets.
fn quote_for(name: &str, value: &str) -> Result<char, WriteError> {
    let refused = |what, text: &str, reason| {
        Err(WriteError::Metadata { what, text: text.escape_debug().to_string(), reason })
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return refused("the name", name, "letters, digits, - _ . and / are possible");
    }
    if !reads_as_it_is(value) {
        return refused(
            "the value",
            value,
            "it has a line break or another control character in it, or a sign that cannot be seen or \
             changes how others look",
        );
    }
    match (value.contains('"'), value.contains('\'')) {
        (false, _) => Ok('"'),
        (true, false) => Ok('\''),
        (true, true) => refused("the value", value, "it has both kinds of quotes in it"),
    }
}

fn put(path: &Path, text: &[u8], mode: u32, existing: Existing) -> Result<(), WriteError> {
    let result = match existing {
        Existing::Keep => write_new(path, text, mode),
        Existing::Replace => {
            let mut beside = path.as_os_str().to_owned();
            beside.push(format!(".{}.tmp", process::id()));
            let beside = PathBuf::from(beside);
            let renamed =
                |()| fs::rename(&beside, path).inspect_err(|_| drop(fs::remove_file(&beside)));
            write_new(&beside, text, mode).and_then(renamed)
        }
    };
    result.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => WriteError::Exists(path.to_owned()),
        _ => {
            let reason = match error.raw_os_error() {
                Some(errno) => raw::Errno(errno).to_string(),
                None => error.to_string(),
            };
            WriteError::Unwritable { path: path.to_owned(), reason }
        }
    })
}

/// Writes a file that must not be there yet; half of one is removed again.
fn write_new(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // whatever the umask is
    let written = file
        .set_permissions(fs::Permissions::from_mode(mode))
        .and_then(|()| file.write_all(text))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // the error that comes first is the one to tell
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{generate, load_own};

    fn metadata() -> Metadata {
        [("name", "web1"), ("email", "it's # me"), ("organization", "\"Acme\"")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    #[test]
    fn what_is_written_is_read_again_and_its_secret_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web1");
        let pair = generate().unwrap();
        write_pair(&path, &pair, &metadata(), Existing::Keep).unwrap();
        assert_eq!(load_own(&path).unwrap().public, pair.public);
        assert_eq!(load_own(&path).unwrap().secret(), pair.secret());
        let public = load_peer(&path).unwrap();
        assert_eq!((public.public, public.name.as_deref()), (pair.public, Some("web1")));
        assert_eq!(load_metadata(&path).unwrap(), metadata());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o644);
        assert_eq!(mode(&with_secret_suffix(&path)), 0o600);
        assert!(!fs::read_to_string(&path).unwrap().contains("secret-key"));
        let names = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 2, "something was left behind");
    }

    #[test]
    fn nothing_is_overwritten_unless_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web1");
        let (first, second) = (generate().unwrap(), generate().unwrap());
        write_pair(&path, &first, &metadata(), Existing::Keep).unwrap();
        fs::remove_file(&path).unwrap();
        // one half is enough
        let error = write_pair(&path, &second, &metadata(), Existing::Keep).unwrap_err();
        assert!(matches!(error, WriteError::Exists(_)), "{error}");
        assert!(!path.exists());
        assert_eq!(load_own(&path).unwrap().public, first.public);
        write_pair(&path, &second, &metadata(), Existing::Replace).unwrap();
        assert_eq!(load_own(&path).unwrap().public, second.public);
    }

    #[test]
    fn metadata_cannot_break_out_of_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web1");
        let pair = generate().unwrap();
        for (name, value) in [
            ("name", "a\nb"),
            ("na me", "a"),
            ("", "a"),
            ("name", "'\""),
            ("name", "\u{85}"),
            ("name", "we\u{200b}b"),
        ] {
            let metadata = vec![(name.to_owned(), value.to_owned())];
            let error = write_pair(&path, &pair, &metadata, Existing::Keep).unwrap_err();
            assert!(matches!(error, WriteError::Metadata { .. }), "{error}");
        }
        assert!(!path.exists());
    }
}
