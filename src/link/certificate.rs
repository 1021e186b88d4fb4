//! CURVE keys and the certificate files that hold them, as czmq and pyzmq write them.
//!
//! An own key is read from NAME_secret, if that exists, else from NAME, and must be readable
//! by its owner only; of a peer the public key is enough. Every error names the file, and
//! where it can the line, and says what is missing.
//!
//! Secrets are wiped when dropped, and never printed.

mod error;
mod reading;

use std::path::{Path, PathBuf};
use std::{env, fmt, fs, hint, str};

pub use self::error::CertificateError;
pub(crate) use self::reading::read;
use crate::{raw, signs, z85, zpl};

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

/// Reads a peer's certificate. A secret key in it must be the public one's: were the two swapped, the secret one
/// would be told as a public one is.
pub fn load_peer(path: &Path) -> Result<Certificate, CertificateError> {
    let (text, _) = read(path)?;
    let keys = Keys::find(path, &text.0)?;
    let (line, public) = keys.public.ok_or_else(|| no_public(path))?;
    let public = PublicKey(key(path, line, "public-key", public)?);
    // one that was blanked is none
    let secret = keys.secret.and_then(|(line, secret)| key(path, line, "secret-key", secret).ok());
    if let Some(secret) = secret.map(Wiped) {
        if public_of(&secret.0)? != public {
            return Err(CertificateError::NoPair { path: path.to_owned() });
        }
    }
    let name = match keys.name {
        Some((line, name)) => name_in(path, line, name)?,
        None => None,
    };
    let certificate = Certificate { public, name, path: path.to_owned() };
    match reads_as_it_is(&certificate.label()) {
        true => Ok(certificate),
        false => Err(CertificateError::FileName { path: path.to_owned() }),
    }
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
    if !reads_as_it_is(&name) {
        let reason = "name has a control character in it, or another sign that cannot be seen or \
                      changes how others look"
            .to_owned();
        return Err(CertificateError::Line { path: path.to_owned(), line, reason });
    }
    Ok(Some(name).filter(|name| !name.is_empty()))
}

/// Whether a name shows what it is. The selectors of pictures, which a text may have, have no place in it.
pub(crate) fn reads_as_it_is(name: &str) -> bool {
    !name.chars().any(|sign| signs::misleads(sign) || ('\u{fe00}'..='\u{fe0f}').contains(&sign))
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
mod tests;
