//! Who may talk to whom: the five trust parameters, read so that every mistake is an error
//! and nothing ever falls back to plaintext.
//!
//! The certificate files are read here while rsyslogd still has the rights to, and again when they
//! change (credentials.rs).

use std::path::{Path, PathBuf};

use crate::allow_list::AllowList;
use crate::certificate::{Certificate, CertificateError, PublicKey};
use crate::credentials::{Findings, OwnKey, ServerKeys};
use crate::names::{Names, NamesError};
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

/// A mistake in the trust parameters. Each sentence names parameter and value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// Neither of the two words.
    #[error("authtype=\"{0}\" is not known; possible: CURVESERVER, CURVECLIENT")]
    UnknownAuthtype(String),
    /// A trust parameter without authtype: it would have been plaintext.
    #[error(
        "{parameter} is given, but authtype is not: without authtype=\"CURVESERVER\" or authtype=\"CURVECLIENT\" everything would travel in plaintext"
    )]
    NoAuthtype {
        /// The parameter that was given.
        parameter: &'static str,
    },
    /// A parameter that this authtype needs.
    #[error("authtype=\"{authtype}\" needs {parameter}: {meaning}")]
    Missing {
        /// The authtype.
        authtype: &'static str,
        /// The parameter that is missing, or empty.
        parameter: &'static str,
        /// What it must hold.
        meaning: &'static str,
    },
    /// An authenticator that may not be off.
    #[error(
        "authenticator=\"off\" beside authtype=\"CURVESERVER\" would let anybody in: if that is meant, write clientcertpath=\"*\", else leave authenticator out"
    )]
    AuthenticatorOff,
    /// A server key that cannot be made up.
    #[error("servercertpath=\"*\": {0}")]
    AnyServer(&'static str),
    /// A certificate cannot be used.
    #[error("{parameter}=\"{value}\": {source}")]
    Certificate {
        /// The parameter that names it.
        parameter: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        #[source]
        source: CertificateError,
    },
    /// More keys than a server has while one is being replaced.
    #[error(
        "servercertpath=\"{0}\": two files are the most, of the server's present key and its next"
    )]
    ManyFiles(String),
    /// A server that would let nobody in.
    #[error(
        "clientcertpath=\"{path}\" holds no usable certificate, so nobody could connect: put the allowed clients' public certificates there{broken}"
    )]
    NobodyAllowed {
        /// The directory.
        path: String,
        /// The files found there and what is wrong with each; empty if there is none.
        broken: String,
    },
    /// A list of names that is none.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// Names without certificates among which they would choose.
    #[error(
        "allowednames=\"{0}\" chooses among the certificates of a directory: it needs authtype=\"CURVESERVER\" and a directory in clientcertpath (allowednames=\"*\" takes back what module(load=…) says)"
    )]
    NamesOfNobody(String),
    /// No certificate has such a name.
    #[error(
        "clientcertpath=\"{path}\" holds no usable certificate with a name that fits allowednames=\"{names}\", so nobody could connect{broken}"
    )]
    NobodyNamed {
        /// The directory.
        path: String,
        /// What was asked for.
        names: String,
        /// The files found there that are no certificates; empty if there is none.
        broken: String,
    },
    /// The loaded libzmq cannot encrypt.
    #[error(
        "authtype=\"{authtype}\" needs CURVE, which the libzmq loaded here ({version}) was built without: install the distribution's libzmq, which has it"
    )]
    NoCurve {
        /// The authtype.
        authtype: &'static str,
        /// Which libzmq is loaded.
        version: String,
    },
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
mod tests {
    use super::*;
    use crate::certificate;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    /// A folder with keys/server, keys/server_secret, keys/client…, empty/, broken/.
    fn keys() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["empty", "broken", "clients"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("broken/x"), "nonsense here").unwrap();
        fs::write(folder.path().join("clients/x"), "nonsense here").unwrap();
        for name in ["server", "client"] {
            let pair = certificate::generate().unwrap();
            let public = format!("curve\n    public-key = \"{}\"\n", pair.public);
            let secret = crate::z85::encode(pair.secret());
            let secret =
                format!("{public}    secret-key = \"{}\"\n", String::from_utf8_lossy(&secret));
            let path = folder.path().join(name);
            fs::write(&path, &public).unwrap();
            let secret_path = folder.path().join(format!("{name}_secret"));
            fs::write(&secret_path, secret).unwrap();
            fs::set_permissions(secret_path, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(folder.path().join("clients").join(name), public).unwrap();
        }
        folder
    }

    fn read(
        folder: &TempDir,
        authtype: Option<&str>,
        authenticator: Option<bool>,
        server: Option<&str>,
        client: Option<&str>,
    ) -> Result<Security, String> {
        let full = |path: Option<&str>| {
            path.map(|path| match path {
                "" | "*" => path.to_owned(),
                name => folder.path().join(name).display().to_string(),
            })
        };
        let (server, client) = (full(server), full(client));
        Security::from_settings(&SecuritySettings {
            authtype,
            authenticator,
            servercertpath: server.as_deref(),
            clientcertpath: client.as_deref(),
            allowednames: None,
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn names_choose_among_the_certificates_of_a_folder_and_nothing_else() {
        let f = keys();
        let path = |name: &str| match name {
            "*" => name.to_owned(),
            name => f.path().join(name).display().to_string(),
        };
        let read = |authtype, clients: &str, names| {
            Security::from_settings(&SecuritySettings {
                authtype,
                servercertpath: authtype.map(|_| path("server")).as_deref(),
                clientcertpath: authtype.map(|_| path(clients)).as_deref(),
                allowednames: Some(names),
                ..SecuritySettings::default()
            })
        };
        let (server, client) = (Some("CURVESERVER"), Some("CURVECLIENT"));
        for (names, count) in [("cl*", 1), ("SERVER", 1), ("client,server", 2), ("*", 2)] {
            let security = read(server, "clients", names);
            let Ok(Security::Server { allowed: Allowed::Folder(list), .. }) = security else {
                panic!("{security:?}");
            };
            assert_eq!(list.len(), count, "{names}");
        }
        assert!(read(server, "*", "*").is_ok() && read(client, "client", "*").is_ok());
        for (authtype, clients, names, part) in [
            (server, "clients", "", "an empty name in it"),
            (server, "clients", "nobody", "fits allowednames=\"nobody\""),
            (server, "*", "web", "needs authtype=\"CURVESERVER\" and a directory"),
            (client, "client", "web", "needs authtype=\"CURVESERVER\" and a directory"),
            (None, "clients", "web", "allowednames is given, but authtype is not"),
        ] {
            let error = read(authtype, clients, names).unwrap_err().to_string();
            assert!(error.contains(part), "wanted {part:?}: {error}");
        }
    }

    #[test]
    fn what_is_right() {
        let f = keys();
        for authenticator in [None, Some(false)] {
            assert!(matches!(read(&f, None, authenticator, None, None), Ok(Security::Plaintext)));
        }
        for authtype in ["CURVESERVER", "curveserver", "CurveServer"] {
            for authenticator in [None, Some(true)] {
                let security =
                    read(&f, Some(authtype), authenticator, Some("server"), Some("clients"));
                let Ok(Security::Server { allowed: Allowed::Folder(list), .. }) = security else {
                    panic!("{security:?}");
                };
                assert_eq!((list.len(), list.broken().len()), (2, 1));
            }
        }
        for authenticator in [None, Some(true), Some(false)] {
            let any = read(&f, Some("CURVESERVER"), authenticator, Some("server"), Some("*"));
            assert!(matches!(any, Ok(Security::Server { allowed: Allowed::Any, .. })));
            let client =
                read(&f, Some("curveclient"), authenticator, Some("server"), Some("client"));
            assert!(matches!(client, Ok(Security::Client { .. })));
        }
        let fresh = || match read(&f, Some("CURVECLIENT"), None, Some("server"), Some("*")) {
            Ok(Security::Client { own, .. }) => own.pair().public,
            other => panic!("{other:?}"),
        };
        assert_ne!(fresh(), fresh());
    }

    #[test]
    fn what_is_wrong_is_an_error_and_never_plaintext() {
        let f = keys();
        let (server, client) = (Some("CURVESERVER"), Some("CURVECLIENT"));
        let (on, off) = (Some(true), Some(false));
        type Row<'a> = (Option<&'a str>, Option<bool>, Option<&'a str>, Option<&'a str>, &'a str);
        let rows: &[Row<'_>] = &[
            (
                Some("CURVE"),
                None,
                None,
                None,
                "authtype=\"CURVE\" is not known; possible: CURVESERVER, CURVECLIENT",
            ),
            (Some(""), None, None, None, "authtype=\"\" is not known"),
            (None, None, Some("server"), None, "servercertpath is given, but authtype is not"),
            (None, None, None, Some("*"), "clientcertpath is given, but authtype is not"),
            (None, on, None, None, "authenticator=\"on\" is given, but authtype is not"),
            (
                server,
                None,
                None,
                Some("clients"),
                "needs servercertpath: the file of this server's own key",
            ),
            (server, on, None, Some("clients"), "needs servercertpath"),
            (server, None, Some(""), Some("clients"), "needs servercertpath"),
            (
                server,
                None,
                Some("server"),
                None,
                "needs clientcertpath: the directory of the allowed",
            ),
            (server, on, Some("server"), Some(""), "needs clientcertpath"),
            (server, off, Some("server"), Some("clients"), "authenticator=\"off\" beside"),
            (
                server,
                None,
                Some("*"),
                Some("clients"),
                "servercertpath=\"*\": a server needs a key",
            ),
            (server, None, Some("none"), Some("clients"), "none: cannot be read: No such file"),
            (server, None, Some("clients/server"), Some("clients"), "holds no secret-key"),
            (server, None, Some("clients"), Some("clients"), "is a directory, not a certificate"),
            (server, None, Some("server"), Some("empty"), "holds no usable certificate, so nobody"),
            (server, None, Some("server"), Some("broken"), "there; "),
            (server, None, Some("server"), Some("none"), "none: cannot be read: No such file"),
            (server, None, Some("server"), Some("server"), "server is not a directory"),
            (client, None, None, Some("client"), "needs servercertpath: the file of the server's"),
            (client, None, Some("server"), None, "needs clientcertpath: the file of this client's"),
            (client, None, Some("*"), Some("client"), "a client must know its server's key"),
            (client, None, Some("none"), Some("client"), "servercertpath=\""),
            (client, None, Some("server"), Some("none"), "clientcertpath=\""),
            (client, None, Some("server"), Some("clients/client"), "holds no secret-key"),
        ];
        for (authtype, authenticator, server, client, part) in rows {
            let error = read(&f, *authtype, *authenticator, *server, *client)
                .expect_err(&format!("{authtype:?} {authenticator:?} {server:?} {client:?}"));
            assert!(error.contains(part), "wanted {part:?}: {error}");
        }
    }
}
