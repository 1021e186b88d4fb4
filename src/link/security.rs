//! Who may talk to whom: the five trust parameters, read so that every mistake is an error
//! and nothing ever falls back to plaintext.
//!
//! The certificate files are read here while rsyslogd still has the rights to, and again when they
//! change (credentials.rs).

mod error;

use std::path::{Path, PathBuf};

pub use self::error::SecurityError;
use crate::allow_list::AllowList;
use crate::certificate::{Certificate, CertificateError, PublicKey};
use crate::credentials::{Findings, OwnKey, ServerKeys};
use crate::error::LinkError;
use crate::names::{Names, NamesError};
use crate::options::refused;
use crate::raw;

/// The parameters as the administrator wrote them, on module or instance.
#[derive(Debug, Clone, Copy, Default)]
pub struct SecuritySettings<'a> {
    /// CURVESERVER or CURVECLIENT, in any case of letters; none: plaintext.
    pub authtype: Option<&'a str>,
    /// Adds nothing to CURVESERVER; "off" beside it needs `clientcertpath="*"`.
    pub authenticator: Option<bool>,
    /// On a server its own key, on a client the server's certificate; or two with a comma between
    /// them.
    pub servercertpath: Option<&'a str>,
    /// On a server the directory of keys allowed, or `*` for any; on a client its own key,
    /// or `*` for a fresh one.
    pub clientcertpath: Option<&'a str>,
    /// On a server with such a directory: whose keys in it are meant, by name.
    pub allowednames: Option<&'a str>,
}

/// What a socket does about trust.
#[derive(Debug)]
pub enum Security {
    /// Nothing: anybody reads and writes.
    Plaintext,
    /// CURVE; asks each peer for its key.
    Server {
        /// The keys the peers know this server by: the first for its first endpoint, and so on,
        /// and the last for all that are left.
        own: Vec<OwnKey>,
        /// Whom it lets in.
        allowed: Allowed,
    },
    /// CURVE; knows the server's key.
    Client {
        /// The only server it talks to.
        servers: ServerKeys,
        /// The key it shows.
        own: OwnKey,
    },
}

/// Whom a CURVE server lets in.
#[derive(Debug)]
pub enum Allowed {
    /// Whoever has a key: encrypted, but with nobody in particular. Written as `*`.
    Any,
    /// Those in a folder, and nobody else.
    Folder(AllowList),
}

/// Which keys are in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// This side's own.
    pub(crate) own: Vec<PublicKey>,
    /// Of a client: the one it knows the server by.
    pub(crate) server: Option<PublicKey>,
}

/// What is shown to whoever is called at an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// This side's own key.
    pub(crate) own: PublicKey,
    /// Of a client: the key that it knows the server by, and its file.
    pub(crate) server: Option<(PublicKey, PathBuf)>,
    /// Which of the server's certificates that is.
    pub(crate) turn: u64,
}

impl Shown {
    /// Whether it is the same for the server.
    pub(crate) fn is(&self, other: &Shown) -> bool {
        (self.own, &self.server) == (other.own, &other.server)
    }
}

/// Whether a key is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Any key is.
    Anybody,
    /// This one is known.
    Known(Certificate),
    /// It is not.
    Refused,
}

const SERVER: &str = "CURVESERVER";
const CLIENT: &str = "CURVECLIENT";

impl Security {
    /// Checks the parameters against each other and reads the files they name.
    pub fn from_settings(settings: &SecuritySettings<'_>) -> Result<Security, SecurityError> {
        let authtype = match settings.authtype {
            None => return plaintext(settings),
            Some(text) if text.eq_ignore_ascii_case(SERVER) => SERVER,
            Some(text) if text.eq_ignore_ascii_case(CLIENT) => CLIENT,
            Some(text) => return Err(SecurityError::UnknownAuthtype(text.to_owned())),
        };
        if !raw::has(c"curve") {
            return Err(SecurityError::NoCurve { authtype, version: crate::version_text() });
        }
        let names = names(settings)?;
        let security =
            if authtype == SERVER { server(settings, names)? } else { client(settings)? };
        match (&security, settings.allowednames) {
            (Security::Server { allowed: Allowed::Folder(_), .. }, _) | (_, None | Some("*")) => {
                Ok(security)
            }
            (_, Some(text)) => Err(SecurityError::NamesOfNobody(text.to_owned())),
        }
    }

    /// Everything is encrypted and the other side proves who it is.
    pub fn is_curve(&self) -> bool {
        !matches!(self, Security::Plaintext)
    }

    /// Whether a server lets this key in, now.
    pub(crate) fn admission(&self, key: &PublicKey) -> Admission {
        match self {
            Security::Server { allowed: Allowed::Any, .. } => Admission::Anybody,
            Security::Server { allowed: Allowed::Folder(list), .. } => {
                list.find(key).map_or(Admission::Refused, Admission::Known)
            }
            Security::Plaintext | Security::Client { .. } => Admission::Refused,
        }
    }

    /// Changes when somebody is let in or no longer let in.
    pub(crate) fn admissions(&self) -> u64 {
        match self {
            Security::Server { allowed: Allowed::Folder(list), .. } => list.generation(),
            _ => 0,
        }
    }

    /// The keys that endpoints bound now are bound with. `turn` says by which certificate a client knows
    /// its server.
    pub(crate) fn keys(&self, turn: u64) -> Keys {
        match self {
            Security::Plaintext => Keys::default(),
            Security::Server { own, .. } => {
                Keys { own: own.iter().map(|own| own.pair().public).collect(), server: None }
            }
            Security::Client { servers, own } => Keys {
                own: vec![own.pair().public],
                server: servers.of_turn(turn).map(|server| server.public),
            },
        }
    }

    /// The turn that a new caller begins with: of a client that knows its server by two certificates.
    pub(crate) fn turn(&self) -> u64 {
        match self {
            Security::Client { servers, .. } => servers.turn(),
            Security::Plaintext | Security::Server { .. } => 0,
        }
    }

    /// What is shown at an endpoint, by its place among all, that is called now.
    pub(crate) fn shown(&self, endpoint: usize, turn: u64) -> Option<Shown> {
        match self {
            Security::Plaintext => None,
            Security::Server { own, .. } => {
                let own = own.get(endpoint).or(own.last())?.pair().public;
                Some(Shown { own, server: None, turn })
            }
            Security::Client { servers, own } => {
                let server = servers.of_turn(turn).map(|server| (server.public, server.path));
                Some(Shown { own: own.pair().public, server, turn })
            }
        }
    }

    /// Gives a socket the keys that its next bind or connect, of this endpoint, is made with; `turn` says by
    /// which certificate a client knows its server.
    pub(crate) fn show_keys(
        &self,
        socket: &raw::Socket,
        endpoint: usize,
        turn: u64,
    ) -> Result<(), LinkError> {
        let set = |name, option, value: &[u8]| {
            socket.set(option, value).map_err(refused(name, "(a key)"))
        };
        let own = match self {
            Security::Plaintext => return Ok(()),
            Security::Server { own, .. } => match own.get(endpoint).or(own.last()) {
                Some(own) => own.pair(),
                None => return Ok(()),
            },
            Security::Client { servers, own } => {
                if let Some(server) = servers.of_turn(turn) {
                    let key = server.public;
                    set("ZMQ_CURVE_SERVERKEY", zmq_sys::ZMQ_CURVE_SERVERKEY, key.as_bytes())?;
                }
                own.pair()
            }
        };
        set("ZMQ_CURVE_PUBLICKEY", zmq_sys::ZMQ_CURVE_PUBLICKEY, own.public.as_bytes())?;
        set("ZMQ_CURVE_SECRETKEY", zmq_sys::ZMQ_CURVE_SECRETKEY, own.secret())
    }

    /// Whether a client knows its server by another certificate, too.
    pub(crate) fn has_another(&self) -> bool {
        matches!(self, Security::Client { servers, .. } if servers.has_another())
    }

    /// New callers begin with this turn.
    pub(crate) fn begin_with(&self, turn: u64) {
        if let Security::Client { servers, .. } = self {
            servers.begin_with(turn);
        }
    }

    /// The files and folders that all this was read from.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        match self {
            Security::Plaintext => {}
            Security::Server { own, allowed } => {
                own.iter().for_each(|own| paths.extend_from_slice(own.paths()));
                if let Allowed::Folder(list) = allowed {
                    paths.push(list.folder().to_owned());
                }
            }
            Security::Client { servers, own } => {
                paths.extend_from_slice(servers.paths());
                paths.extend_from_slice(own.paths());
            }
        }
        paths
    }

    /// Reads again what has changed.
    pub(crate) fn refresh(&self) -> Findings {
        let mut findings = Findings::default();
        match self {
            Security::Plaintext => {}
            Security::Server { own, allowed } => {
                own.iter().for_each(|own| own.refresh(&mut findings));
                if let Allowed::Folder(list) = allowed {
                    list.refresh(&mut findings);
                }
            }
            Security::Client { servers, own } => {
                servers.refresh(&mut findings);
                own.refresh(&mut findings);
            }
        }
        findings
    }
}

fn plaintext(settings: &SecuritySettings<'_>) -> Result<Security, SecurityError> {
    let given = [
        ("servercertpath", settings.servercertpath.is_some()),
        ("clientcertpath", settings.clientcertpath.is_some()),
        ("authenticator=\"on\"", settings.authenticator == Some(true)),
        ("allowednames", settings.allowednames.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((parameter, _)) => Err(SecurityError::NoAuthtype { parameter }),
        None => Ok(Security::Plaintext),
    }
}

fn names(settings: &SecuritySettings<'_>) -> Result<Names, NamesError> {
    settings.allowednames.map_or(Ok(Names::default()), Names::parse)
}

fn server(settings: &SecuritySettings<'_>, names: Names) -> Result<Security, SecurityError> {
    let written = required(
        SERVER,
        "servercertpath",
        settings.servercertpath,
        "the file of this server's own key",
    )?;
    let clients = required(
        SERVER,
        "clientcertpath",
        settings.clientcertpath,
        "the directory of the allowed clients' public certificates, or \"*\" to let any key in",
    )?;
    if settings.authenticator == Some(false) && clients != "*" {
        return Err(SecurityError::AuthenticatorOff);
    }
    if written == "*" {
        return Err(SecurityError::AnyServer(
            "a server needs a key that its clients know: name its file",
        ));
    }
    let files = two_files(written)?;
    let own = files.iter().map(|file| OwnKey::load(file)).collect::<Result<_, _>>();
    let own = own.map_err(about("servercertpath", written))?;
    if clients == "*" {
        return Ok(Security::Server { own, allowed: Allowed::Any });
    }
    let wanted = (!names.are_all()).then(|| names.to_string());
    let list = AllowList::load(Path::new(clients), names);
    let list = list.map_err(about("clientcertpath", clients))?;
    if list.is_empty() {
        let path = clients.to_owned();
        let broken: String = list.broken().iter().map(|error| format!("; {error}")).collect();
        return Err(match wanted {
            None => SecurityError::NobodyAllowed { path, broken },
            Some(names) => SecurityError::NobodyNamed { path, names, broken },
        });
    }
    Ok(Security::Server { own, allowed: Allowed::Folder(list) })
}

fn client(settings: &SecuritySettings<'_>) -> Result<Security, SecurityError> {
    let server = required(
        CLIENT,
        "servercertpath",
        settings.servercertpath,
        "the file of the server's public certificate",
    )?;
    let own = required(
        CLIENT,
        "clientcertpath",
        settings.clientcertpath,
        "the file of this client's own key, or \"*\" for a fresh one at each start",
    )?;
    if server == "*" {
        return Err(SecurityError::AnyServer(
            "a client must know its server's key: name the file of its public certificate",
        ));
    }
    let servers = ServerKeys::load(two_files(server)?).map_err(about("servercertpath", server))?;
    let own = if own == "*" { OwnKey::generate() } else { OwnKey::load(Path::new(own)) }
        .map_err(about("clientcertpath", own))?;
    Ok(Security::Client { servers, own })
}

/// One file, or two with a comma between them. A file whose own name has a comma is one.
fn two_files(text: &str) -> Result<Vec<PathBuf>, SecurityError> {
    if Path::new(text).exists() {
        return Ok(vec![PathBuf::from(text)]);
    }
    let files: Vec<_> = text.split(',').map(|file| PathBuf::from(file.trim())).collect();
    if files.len() > 2 {
        return Err(SecurityError::ManyFiles(text.to_owned()));
    }
    Ok(files)
}

fn required<'a>(
    authtype: &'static str,
    parameter: &'static str,
    value: Option<&'a str>,
    meaning: &'static str,
) -> Result<&'a str, SecurityError> {
    value.filter(|value| !value.is_empty()).ok_or(SecurityError::Missing {
        authtype,
        parameter,
        meaning,
    })
}

fn about(parameter: &'static str, value: &str) -> impl FnOnce(CertificateError) -> SecurityError {
    let value = value.to_owned();
    move |source| SecurityError::Certificate { parameter, value, source }
}

#[cfg(test)]
mod tests;
