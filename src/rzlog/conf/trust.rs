//! Who may talk to whom: the four parameters of trust in a configuration, and what is to be said of the
//! files that they name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rzmq_link::{
    Allowed, Certificate, CertificateError, Security, SecurityError, SecuritySettings,
    load_directory, load_own, load_peer,
};

use super::finding::{Kind, Place, Report};
use super::scan::Statement;
use super::tables::switch;

/// The names.
pub(crate) const NAMES: [&str; 4] =
    ["authtype", "authenticator", "servercertpath", "clientcertpath"];

/// What is written of one of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) text: &'a str,
    pub(crate) place: Place,
}

/// What is written of the four.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trust<'a> {
    pub(crate) authtype: Option<Said<'a>>,
    pub(crate) authenticator: Option<Said<'a>>,
    pub(crate) servercertpath: Option<Said<'a>>,
    pub(crate) clientcertpath: Option<Said<'a>>,
    /// Which of the folder's certificates; the C modules have no such parameter.
    pub(crate) allowednames: Option<Said<'a>>,
    /// One of them is known only when rsyslogd starts.
    pub(crate) evaluated: bool,
}

impl<'a> Trust<'a> {
    pub(crate) fn of(statement: &'a Statement, source: usize) -> Trust<'a> {
        let said = |name| {
            let parameter = statement.get(name)?;
            let place = Place { source, line: parameter.line };
            Some(Said { text: parameter.text().unwrap_or_default(), place })
        };
        let [authtype, authenticator, servercertpath, clientcertpath] = NAMES.map(said);
        let allowednames = said("allowednames");
        let names = NAMES.iter().chain(&["allowednames"]);
        let mut written = names.filter_map(|name| statement.get(name));
        let evaluated = written.any(|parameter| parameter.is_evaluated());
        Trust { authtype, authenticator, servercertpath, clientcertpath, allowednames, evaluated }
    }

    /// A statement's own words before the module's, as our modules read them.
    pub(crate) fn over(self, module: Trust<'a>) -> Trust<'a> {
        Trust {
            authtype: self.authtype.or(module.authtype),
            authenticator: self.authenticator.or(module.authenticator),
            servercertpath: self.servercertpath.or(module.servercertpath),
            clientcertpath: self.clientcertpath.or(module.clientcertpath),
            allowednames: self.allowednames.or(module.allowednames),
            evaluated: self.evaluated || module.evaluated,
        }
    }

    /// The first that is written.
    pub(crate) fn first(&self) -> Option<(&'static str, Said<'a>)> {
        let said = [self.authtype, self.authenticator, self.servercertpath, self.clientcertpath];
        NAMES.into_iter().zip(said).find_map(|(name, said)| said.map(|said| (name, said)))
    }

    pub(crate) fn is_authenticator_on(&self) -> Option<bool> {
        self.authenticator.and_then(|said| switch(said.text))
    }

    /// A server that lets any key in.
    pub(crate) fn is_open(&self) -> bool {
        let is = |said: Option<Said<'_>>, text| {
            said.is_some_and(|said| said.text.trim().eq_ignore_ascii_case(text))
        };
        is(self.authtype, "CURVESERVER") && is(self.clientcertpath, "*")
    }

    /// As our modules read them, without a look at the files.
    pub(crate) fn settings(&self) -> SecuritySettings<'a> {
        let text = |said: Option<Said<'a>>| said.map(|said| said.text);
        SecuritySettings {
            authtype: text(self.authtype),
            authenticator: self.is_authenticator_on(),
            servercertpath: text(self.servercertpath),
            clientcertpath: text(self.clientcertpath),
            allowednames: text(self.allowednames),
        }
    }

    fn place(&self, parameter: &str, otherwise: Place) -> Place {
        let said = match parameter {
            "servercertpath" => self.servercertpath,
            "clientcertpath" => self.clientcertpath,
            "authtype" => self.authtype,
            "allowednames" => self.allowednames,
            _ => self.authenticator,
        };
        said.or(self.authtype).map_or(otherwise, |said| said.place)
    }
}

/// What rsyslog's "strict" makes of trust that lets anybody in.
pub(crate) const STRICT: &str =
    "which global(compatibility.defaults.secure=\"strict\") does not allow";

/// Whether a link is encrypted, and what else there is to say of it: for a statement of ours.
pub(crate) fn judge(trust: &Trust<'_>, place: Place, report: &mut Report<'_>) -> Option<bool> {
    if trust.evaluated {
        report.tell_at(place, Kind::Unread, "its trust depends on rsyslogd's environment");
        return None;
    }
    if let Some(said) = trust.authenticator.filter(|said| switch(said.text).is_none()) {
        let why = format!("authenticator=\"{}\": on or off is possible", said.text);
        report.tell_at(said.place, Kind::Broken, why);
        return None;
    }
    match Security::from_settings(&trust.settings()) {
        Ok(security) => {
            of_files(&security, trust, place, report);
            Some(security.is_curve())
        }
        Err(SecurityError::Certificate { parameter, source, .. }) => {
            let place = trust.place(parameter, place);
            report.tell_at(place, kind(&source), format!("{parameter}: {source}"));
            Some(true)
        }
        Err(error) => {
            let parameter = match error {
                SecurityError::NobodyAllowed { .. } => "clientcertpath",
                SecurityError::AnyServer(_) | SecurityError::ManyFiles(_) => "servercertpath",
                SecurityError::AuthenticatorOff => "authenticator",
                SecurityError::NoAuthtype { parameter } => {
                    if parameter.starts_with("auth") {
                        "authenticator"
                    } else {
                        parameter
                    }
                }
                _ => "authtype",
            };
            let place = trust.place(parameter, place);
            report.tell_at(place, Kind::Broken, format!("{error}; the statement is not used"));
            None
        }
    }
}

/// What can be said of files that can be used.
fn of_files(security: &Security, trust: &Trust<'_>, place: Place, report: &mut Report<'_>) {
    match security {
        Security::Plaintext => {}
        Security::Server { allowed: Allowed::Any, .. } => {
            let place = trust.place("clientcertpath", place);
            report.tell_at(place, Kind::Unsafe, "clientcertpath=\"*\" lets any key in");
        }
        Security::Server { allowed: Allowed::Folder(_), .. } => {
            if let Some(said) = trust.clientcertpath {
                of_folder(said, report);
            }
        }
        Security::Client { .. } => {
            let Some(said) = trust.servercertpath else { return };
            for file in said.text.split(',') {
                if let Ok(certificate) = load_peer(Path::new(file.trim())) {
                    of_peer(&certificate, "servercertpath", said.place, report);
                }
            }
        }
    }
}

/// An own key.
pub(crate) fn of_own(parameter: &str, said: Said<'_>, report: &mut Report<'_>) {
    if let Err(error) = load_own(Path::new(said.text)) {
        report.tell_at(said.place, kind(&error), format!("{parameter}: {error}"));
    }
}

/// The certificate of a server, on its client.
pub(crate) fn of_server(said: Said<'_>, report: &mut Report<'_>) {
    match load_peer(Path::new(said.text)) {
        Ok(certificate) => of_peer(&certificate, "servercertpath", said.place, report),
        Err(error) => report.tell_at(said.place, kind(&error), format!("servercertpath: {error}")),
    }
}

/// A folder of allowed keys.
pub(crate) fn of_folder(said: Said<'_>, report: &mut Report<'_>) {
    let path = Path::new(said.text);
    let directory = match load_directory(path) {
        Ok(directory) => directory,
        Err(error) => {
            return report.tell_at(said.place, kind(&error), format!("clientcertpath: {error}"));
        }
    };
    if directory.certificates.is_empty() && directory.broken.is_empty() {
        let why =
            format!("clientcertpath: {} holds no certificate: nobody is let in", path.display());
        report.tell_at(said.place, Kind::Broken, why);
    }
    for error in &directory.broken {
        report.tell_at(said.place, kind(error), format!("clientcertpath: not let in: {error}"));
    }
    if anybody_writes(path) {
        let why = format!(
            "clientcertpath: everybody on this host may write to {} and let keys in: chmod o-w",
            path.display()
        );
        report.tell_at(said.place, Kind::Unsafe, why);
    }
    for certificate in &directory.certificates {
        of_peer(certificate, "clientcertpath", said.place, report);
    }
}

fn of_peer(certificate: &Certificate, parameter: &str, place: Place, report: &mut Report<'_>) {
    let path = &certificate.path;
    let shown = path.display();
    // it was read just now, so it is small
    let text = fs::read(path).unwrap_or_default();
    let is_secret = |line: &[u8]| line.trim_ascii_start().starts_with(b"secret-key");
    if text.split(|byte| *byte == b'\n').any(is_secret) {
        let why = format!(
            "{parameter}: {shown} holds the secret key of another party: only the public half belongs \
             here, and who has read it can take that party's place"
        );
        report.tell_at(place, Kind::Unsafe, why);
    }
    if anybody_writes(path) {
        let why = format!("{parameter}: everybody on this host may change {shown}: chmod o-w");
        report.tell_at(place, Kind::Unsafe, why);
    }
}

fn anybody_writes(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
}

fn kind(error: &CertificateError) -> Kind {
    match error {
        CertificateError::Exposed { .. } | CertificateError::Secret { .. } => Kind::Unsafe,
        CertificateError::Unreadable { denied: true, .. } => Kind::Unread,
        _ => Kind::Broken,
    }
}
