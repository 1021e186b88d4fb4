//! CURVE keys and the certificate files that hold them, as czmq and pyzmq write them.
//!
//! An own key is read from NAME_secret, if that exists, else from NAME, and must be readable
//! by its owner only; of a peer the public key is enough. Every error names the file, and
//! where it can the line, and says what is missing.
//!
//! Secrets are wiped when dropped, and never printed.

use std::fs::{self, File, OpenOptions};
use std::hint;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{env, fmt, str};

use crate::{raw, z85, zpl};

/// Certificates are a few hundred bytes; what is larger is something else.
const SIZE_MAX: u64 = 64 * 1024;

/// A CURVE public key. Prints as its 40 characters of Z85.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; z85::KEY_BYTES]);

impl PublicKey {
    /// Reads a key as people write it: 40 characters of Z85.
    pub fn from_z85(text: &str) -> Option<PublicKey> {
        z85::decode(text.as_bytes()).ok().map(PublicKey)
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> PublicKey {
        PublicKey(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&z85::encode(&self.0)).unwrap_or_default())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes that are wiped when dropped.
pub(crate) struct Wiped<T: AsMut<[u8]>>(pub(crate) T);

impl<T: AsMut<[u8]>> Drop for Wiped<T> {
    fn drop(&mut self) {
        self.0.as_mut().fill(0);
        // without a reader the compiler may leave the writing out
        hint::black_box(self.0.as_mut());
    }
}

/// A public key and the secret that belongs to it.
pub struct KeyPair {
    /// What others may know.
    pub public: PublicKey,
    secret: Wiped<[u8; z85::KEY_BYTES]>,
}

impl KeyPair {
    /// For the socket option, and nothing else.
    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret.0
    }
}

impl PartialEq for KeyPair {
    /// The public key stands for both.
    fn eq(&self, other: &KeyPair) -> bool {
        self.public == other.public
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Somebody's public key, with what the file says about whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The key.
    pub public: PublicKey,
    /// `name` in the metadata.
    pub name: Option<String>,
    /// The file it was read from.
    pub path: PathBuf,
}

impl Certificate {
    /// Whose key it is, for people: the name in its metadata, else the file's.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => self.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}

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

/// Reads an own key: from `path` with `_secret` after it, if that exists, else from `path`.
pub fn load_own(path: &Path) -> Result<KeyPair, CertificateError> {
    let secret_path = with_secret_suffix(path);
    let path = match fs::symlink_metadata(&secret_path) {
        Ok(_) => secret_path.as_path(),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENAMETOOLONG)) => {
            path
        }
        Err(error) => return Err(CertificateError::unreadable(&secret_path, &error)),
    };
    let (text, mode) = read(path)?;
    let keys = Keys::find(path, &text.0)?;
    let Some((line, secret)) = keys.secret else {
        let missing = format!(
            "holds no secret-key, and there is no {}: an own key needs one",
            secret_path.display()
        );
        return Err(CertificateError::Missing { path: path.to_owned(), missing });
    };
    if mode & forbidden(path) != 0 {
        return Err(CertificateError::Exposed { path: path.to_owned(), mode });
    }
    let secret = Wiped(key(path, line, "secret-key", secret)?);
    let pair = KeyPair { public: public_of(&secret.0)?, secret };
    match keys.public {
        Some((line, public)) if key(path, line, "public-key", public)? != pair.public.0 => {
            Err(CertificateError::NoPair { path: path.to_owned() })
        }
        Some(_) => Ok(pair),
        None => Err(no_public(path)),
    }
}

/// The rights that nobody may have to a secret. systemd hands a credential (LoadCredential=) to its service
/// by an access control list, whose mask is shown as the group's right to read. All lie in the folder itself.
fn forbidden(path: &Path) -> u32 {
    let folder = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let is_credential =
        folder.as_deref().is_some_and(|it| it.is_absolute() && path.parent() == Some(it));
    if is_credential { 0o037 } else { 0o077 }
}

/// Reads a peer's certificate. A secret key in it is not looked at.
pub fn load_peer(path: &Path) -> Result<Certificate, CertificateError> {
    let (text, _) = read(path)?;
    let keys = Keys::find(path, &text.0)?;
    let (line, public) = keys.public.ok_or_else(|| no_public(path))?;
    let public = PublicKey(key(path, line, "public-key", public)?);
    let name = match keys.name {
        Some((line, name)) => name_in(path, line, name)?,
        None => None,
    };
    Ok(Certificate { public, name, path: path.to_owned() })
}

/// Makes a fresh key pair.
pub fn generate() -> Result<KeyPair, CertificateError> {
    let (public, secret) =
        raw::key_pair().map_err(|errno| CertificateError::Crypto(errno.to_string()))?;
    let secret = Wiped(secret);
    let decoded = |text: &[u8]| {
        z85::decode(&text[..z85::KEY_CHARACTERS])
            .map_err(|mistake| CertificateError::Crypto(format!("a fresh key {mistake}")))
    };
    Ok(KeyPair { public: PublicKey(decoded(&public)?), secret: Wiped(decoded(&secret.0)?) })
}

pub(crate) fn with_secret_suffix(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push("_secret");
    PathBuf::from(path)
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

/// Reads a whole file, with its permission bits.
pub(crate) fn read(path: &Path) -> Result<(Wiped<Vec<u8>>, u32), CertificateError> {
    let file = open(path)?;
    let metadata = file.metadata().map_err(|error| CertificateError::unreadable(path, &error))?;
    check_kind(path, metadata.file_type())?;
    let too_large = || CertificateError::TooLarge { path: path.to_owned(), limit: "65536 bytes" };
    if metadata.len() > SIZE_MAX {
        return Err(too_large());
    }
    // room for all at once: a buffer that grows leaves copies of the secret behind
    let mut text = Wiped(Vec::with_capacity(SIZE_MAX as usize + 1));
    file.take(SIZE_MAX + 1)
        .read_to_end(&mut text.0)
        .map_err(|error| CertificateError::unreadable(path, &error))?;
    if text.0.len() as u64 > SIZE_MAX {
        return Err(too_large());
    }
    Ok((text, metadata.mode() & 0o7777))
}

/// Opens without waiting (a FIFO) and without effect (a device): looked at before, and, as
/// it may have changed since, again after.
fn open(path: &Path) -> Result<File, CertificateError> {
    let metadata =
        fs::metadata(path).map_err(|error| CertificateError::unreadable(path, &error))?;
    check_kind(path, metadata.file_type())?;
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| CertificateError::unreadable(path, &error))
}

fn check_kind(path: &Path, kind: fs::FileType) -> Result<(), CertificateError> {
    let found = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(CertificateError::NotAFile { path: path.to_owned(), found })
}

/// The lines of a certificate that count, not yet understood.
struct Keys<'a> {
    public: Option<(usize, &'a [u8])>,
    secret: Option<(usize, &'a [u8])>,
    name: Option<(usize, &'a [u8])>,
}

impl<'a> Keys<'a> {
    fn find(path: &Path, text: &'a [u8]) -> Result<Keys<'a>, CertificateError> {
        let line_error =
            |line, reason| CertificateError::Line { path: path.to_owned(), line, reason };
        let properties =
            zpl::parse(text).map_err(|error| line_error(error.line, error.reason.to_owned()))?;
        let mut keys = Keys { public: None, secret: None, name: None };
        for property in properties {
            let slot = match property.name {
                b"public-key" => &mut keys.public,
                b"secret-key" => &mut keys.secret,
                b"name" if property.section == b"metadata" => &mut keys.name,
                _ => continue,
            };
            let name = String::from_utf8_lossy(property.name);
            if property.name != b"name" && property.section != b"curve" {
                let reason = format!("{name} must stand, indented, below a line that says curve");
                return Err(line_error(property.line, reason));
            }
            if let Some((first, _)) = slot {
                let reason = format!("{name} was already given in line {first}");
                return Err(line_error(property.line, reason));
            }
            *slot = Some((property.line, property.value));
        }
        Ok(keys)
    }
}

fn key(path: &Path, line: usize, name: &str, text: &[u8]) -> Result<[u8; 32], CertificateError> {
    z85::decode(text).map_err(|mistake| CertificateError::Line {
        path: path.to_owned(),
        line,
        reason: format!("{name} {mistake}"),
    })
}

/// The name that counts for `enforcehost` and `allowednames`: it must read as what it is.
fn name_in(path: &Path, line: usize, text: &[u8]) -> Result<Option<String>, CertificateError> {
    let name = String::from_utf8_lossy(text).into_owned();
    if name.chars().any(char::is_control) {
        let reason = "name has a control character in it".to_owned();
        return Err(CertificateError::Line { path: path.to_owned(), line, reason });
    }
    Ok(Some(name).filter(|name| !name.is_empty()))
}

fn no_public(path: &Path) -> CertificateError {
    let missing = "holds no public-key (a line public-key = \"40 characters\", indented, \
                   below a line that says curve)";
    CertificateError::Missing { path: path.to_owned(), missing: missing.to_owned() }
}

fn public_of(secret: &[u8; 32]) -> Result<PublicKey, CertificateError> {
    let mut text = Wiped([0; z85::KEY_CHARACTERS + 1]);
    text.0[..z85::KEY_CHARACTERS].copy_from_slice(&z85::encode(secret));
    let public =
        raw::public_of(&text.0).map_err(|errno| CertificateError::Crypto(errno.to_string()))?;
    z85::decode(&public[..z85::KEY_CHARACTERS])
        .map(PublicKey)
        .map_err(|mistake| CertificateError::Crypto(format!("a computed key {mistake}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    use tempfile::TempDir;

    // as zcert_save of czmq 4.2.1 wrote it
    const CZMQ_PUBLIC: &str = "w6]9pS3Q>*1>&j1G*qo@Hk{/6O.EM}6wVCuQg[{s";
    const CZMQ_SECRET: &str = "gE&]$Q4pwiB5l5RDRRu}pX{Fepw*KRnB6<$slRrQ";
    const CZMQ_FILE: &str = r#"#   ****  Generated on 2026-11-24 19:19:12 by CZMQ  ****

metadata
    name = "web1 # main"
    email = "a@b"
curve
    public-key = "w6]9pS3Q>*1>&j1G*qo@Hk{/6O.EM}6wVCuQg[{s"
    secret-key = "gE&]$Q4pwiB5l5RDRRu}pX{Fepw*KRnB6<$slRrQ"
"#;
    // as zmq.auth of pyzmq 27 wrote it: metadata without quotes
    const PYZMQ_PUBLIC: &str = "MaT]u(P:?XQi{Gc^F.@00@sbewGy+)s}z?rU/i.:";
    const PYZMQ_FILE: &str = r#"#   ****  Generated on 2026-11-24 19:19:23.674320 by pyzmq  ****

metadata
    name = py one
    role = log
curve
    public-key = "MaT]u(P:?XQi{Gc^F.@00@sbewGy+)s}z?rU/i.:"
    secret-key = "GvNI}3uNU2}PGygvAFed1KnX60)$$FH(pZv.Biq1"
"#;

    struct Folder(TempDir);

    impl Folder {
        fn new() -> Folder {
            Folder(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn file(&self, name: &str, mode: u32, text: impl AsRef<[u8]>) -> PathBuf {
            let path = self.path(name);
            File::create(&path).unwrap().write_all(text.as_ref()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    #[test]
    fn czmq_and_pyzmq_certificates_are_read() {
        let folder = Folder::new();
        let web = folder.file("web", 0o600, CZMQ_FILE);
        let certificate = load_peer(&web).unwrap();
        assert_eq!(certificate.public.to_string(), CZMQ_PUBLIC);
        assert_eq!(certificate.label(), "web1 # main");
        let own = load_own(&web).unwrap();
        assert_eq!(own.public, certificate.public);
        assert_eq!(z85::encode(own.secret()), CZMQ_SECRET.as_bytes());
        let py = folder.file("py.key_secret", 0o400, PYZMQ_FILE.replace('\n', "\r\n"));
        assert_eq!(load_own(&folder.path("py.key")).unwrap().public.to_string(), PYZMQ_PUBLIC);
        assert_eq!(load_own(&py).unwrap().public.to_string(), PYZMQ_PUBLIC);
        let certificate = load_peer(&py).unwrap();
        assert_eq!(certificate.label(), "py one");
    }

    #[test]
    fn a_certificate_without_a_name_has_its_files() {
        let folder = Folder::new();
        let text = CZMQ_FILE.replace("    name = \"web1 # main\"\n", "");
        let certificate = load_peer(&folder.file("web7.cert", 0o644, text)).unwrap();
        assert_eq!(
            (certificate.name.as_deref(), certificate.label().as_str()),
            (None, "web7.cert")
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let folder = Folder::new();
        let own = load_own(&folder.file("web", 0o600, CZMQ_FILE)).unwrap();
        let text = format!("{own:?}");
        assert!(text.contains(CZMQ_PUBLIC) && !text.contains(CZMQ_SECRET), "{text}");
    }

    #[test]
    fn what_is_secret_is_wiped_when_it_goes() {
        let mut secret = [7; 32];
        drop(Wiped(&mut secret));
        assert_eq!(secret, [0; 32]);
    }

    #[test]
    fn the_secret_file_comes_first() {
        let folder = Folder::new();
        let public = CZMQ_FILE.lines().filter(|line| !line.contains("secret-key"));
        let public: String = public.map(|line| format!("{line}\n")).collect();
        let name = folder.file("web", 0o644, &public);
        let error = load_own(&name).unwrap_err().to_string();
        assert!(error.contains("web: holds no secret-key, and there is no"), "{error}");
        assert!(error.contains("web_secret"), "{error}");
        folder.file("web_secret", 0o600, CZMQ_FILE);
        assert_eq!(load_own(&name).unwrap().public, load_peer(&name).unwrap().public);
        // even a broken one: falling back would hide the mistake
        folder.file("web_secret", 0o600, "");
        assert!(load_own(&name).is_err());
    }

    #[test]
    fn errors_name_file_line_and_cause() {
        let folder = Folder::new();
        let public = format!("    public-key = \"{CZMQ_PUBLIC}\"\n");
        let other = generate().unwrap().public.to_string();
        for (text, part) in [
            ("".to_owned(), ": holds no secret-key"),
            ("curve\n".to_owned(), ": holds no secret-key"),
            (CZMQ_FILE.replace(&public, ""), ": holds no public-key"),
            (CZMQ_FILE.replace("$slRrQ", ""), ", line 8: secret-key has 34 characters"),
            (CZMQ_FILE.replace("w6]9", "w6~9"), ", line 7: public-key has '~' as character 3"),
            (CZMQ_FILE.replace("$slRrQ\"", "$slRrQ"), ", line 8: has a quote that is not closed"),
            (CZMQ_FILE.replace("curve\n", ""), ", line 6: public-key must stand, indented, below"),
            (CZMQ_FILE.replace("    public", "public"), ", line 7: public-key must stand"),
            (
                CZMQ_FILE.replace(&public, &public.repeat(2)),
                ", line 8: public-key was already given in line 7",
            ),
            (
                CZMQ_FILE.replace(CZMQ_PUBLIC, &other),
                "public-key does not belong to its secret-key",
            ),
            ("-----BEGIN PRIVATE KEY-----\n".to_owned(), ", line 1: is not a section"),
        ] {
            let path = folder.file("own", 0o600, &text);
            let error = load_own(&path).unwrap_err().to_string();
            let start = path.display().to_string();
            assert!(error.starts_with(&start) && error.contains(part), "{part}: {error}");
        }
        for (text, part) in [
            (
                CZMQ_FILE.replace("curve", "metadata\n    name = db1\ncurve"),
                ", line 7: name was already given in line 4",
            ),
            (CZMQ_FILE.replace("web1", "we\u{1b}[1Db1"), ", line 4: name has a control character"),
        ] {
            let error = load_peer(&folder.file("peer", 0o644, &text)).unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
        let error = load_peer(&folder.file("peer", 0o600, "metadata\n")).unwrap_err().to_string();
        assert!(error.contains("peer: holds no public-key (a line public-key ="), "{error}");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let folder = Folder::new();
        for mode in [0o640, 0o604, 0o660, 0o620, 0o601] {
            let path = folder.file("own", mode, CZMQ_FILE);
            let error = load_own(&path).unwrap_err().to_string();
            assert!(
                error.contains(&format!("(mode 0{mode:o}): chmod 600 {}", path.display())),
                "{error}"
            );
            assert!(load_peer(&path).is_ok());
        }
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let folder = Folder::new();
        fs::create_dir(folder.path("dir")).unwrap();
        let _socket = UnixListener::bind(folder.path("socket")).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(folder.path("fifo")).status();
        assert!(fifo.unwrap().success());
        for (path, part) in [
            (folder.path("dir"), "is a directory, not a certificate file"),
            (folder.path("socket"), "is a socket, not"),
            (folder.path("fifo"), "is a named pipe, not"),
            (PathBuf::from("/dev/zero"), "is a device, not"),
            (folder.path("none"), "cannot be read: No such file or directory"),
            (folder.path("x\0y"), "cannot be read: "),
            // a file system may also call such a name not there
            (folder.path(&"x".repeat(300)), "cannot be read: "),
            (folder.file("big", 0o600, vec![b'\n'; 70_000]), "is too large: 65536 bytes at most"),
        ] {
            for error in [load_own(&path).unwrap_err(), load_peer(&path).unwrap_err()] {
                let error = error.to_string();
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[test]
    fn fresh_keys_are_pairs_and_differ() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one.public, two.public);
        assert_eq!(public_of(one.secret()).unwrap(), one.public);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_file_makes_it_panic(text: Vec<u8>, start in 0..CZMQ_FILE.len()) {
            let folder = Folder::new();
            for text in [text.clone(), [&CZMQ_FILE.as_bytes()[start..], &text].concat()] {
                let path = folder.file("x", 0o600, &text);
                let _ = load_own(&path);
                let _ = load_peer(&path);
            }
        }
    }
}
