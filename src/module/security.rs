//! The five parameters of trust, on the module and on its instances, and what the core's
//! `global(compatibility.defaults.secure="…")` makes of those that let anybody in.

use rzmq_host::{SecureDefaults, Values};
use rzmq_link::{Allowed, Security, SecuritySettings};

/// What is written of the five parameters.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    authtype: Option<String>,
    authenticator: Option<bool>,
    servercertpath: Option<String>,
    clientcertpath: Option<String>,
    allowednames: Option<String>,
}

impl Credentials {
    /// What a statement says.
    pub fn read(values: &Values) -> Self {
        let text = |name| values.text(name).map(str::to_string);
        Self {
            authtype: text("authtype"),
            authenticator: values.switch("authenticator"),
            servercertpath: text("servercertpath"),
            clientcertpath: text("clientcertpath"),
            allowednames: text("allowednames"),
        }
    }

    /// An instance's own words before the module's.
    pub fn over(&self, module: &Self) -> Self {
        Self {
            authtype: self.authtype.clone().or_else(|| module.authtype.clone()),
            authenticator: self.authenticator.or(module.authenticator),
            servercertpath: self.servercertpath.clone().or_else(|| module.servercertpath.clone()),
            clientcertpath: self.clientcertpath.clone().or_else(|| module.clientcertpath.clone()),
            allowednames: self.allowednames.clone().or_else(|| module.allowednames.clone()),
        }
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.authtype.is_none()
            && self.authenticator.is_none()
            && self.servercertpath.is_none()
            && self.clientcertpath.is_none()
            && self.allowednames.is_none()
    }

    /// Reads the certificates; the error is a sentence that names the parameter or the file.
    pub fn security(&self) -> Result<Security, String> {
        let settings = SecuritySettings {
            authtype: self.authtype.as_deref(),
            authenticator: self.authenticator,
            servercertpath: self.servercertpath.as_deref(),
            clientcertpath: self.clientcertpath.as_deref(),
            allowednames: self.allowednames.as_deref(),
        };
        Security::from_settings(&settings).map_err(|why| why.to_string())
    }
}

/// What is to be said of a statement that is used.
#[derive(Debug)]
pub(crate) enum Remark {
    Warning(String),
    /// Makes an rsyslogd that is told to start with a clean configuration alone not start.
    Error(String),
}

/// What is to be said of a statement that lets anybody in: `Err`, that it cannot be used.
///
/// Where the setting cannot be read, an error is logged and the statement used. With "strict", rsyslog
/// sets `abortOnUncleanConfig`, and does not start after an error: so a "strict" that we cannot see is
/// obeyed, and who never wrote it keeps a working action, without which its lines would be lost.
pub(crate) fn judge(
    security: &Security,
    defaults: SecureDefaults,
) -> Result<Option<Remark>, String> {
    let open = match security {
        Security::Plaintext => {
            "without authtype everything travels in plaintext, and whoever reaches the endpoint is let in. \
             Write authtype=\"CURVESERVER\" or authtype=\"CURVECLIENT\" with servercertpath and clientcertpath"
        }
        Security::Server { allowed: Allowed::Any, .. } => {
            "clientcertpath=\"*\" lets any key in. Write the folder of the allowed clients' certificates"
        }
        Security::Server { .. } | Security::Client { .. } => return Ok(None),
    };
    match defaults {
        SecureDefaults::Off => Ok(None),
        SecureDefaults::Warn => Ok(Some(Remark::Warning(format!(
            "{open}. global(compatibility.defaults.secure=\"strict\") makes this an error, \
             \"backward-compatible\" silences it"
        )))),
        SecureDefaults::Unknown => Ok(Some(Remark::Error(format!(
            "{open}. Whether global(compatibility.defaults.secure=\"strict\") forbids it cannot be read in \
             this rsyslogd, whose release is unknown to this module: the statement is used, and rsyslogd does \
             not start if it does. Use a newer release of rsyslog-rzmq"
        )))),
        SecureDefaults::Strict => Err(format!(
            "{open}. global(compatibility.defaults.secure=\"strict\") demands it; with \
             \"backward-compatible\" there, it is not asked for"
        )),
    }
}

/// What is to be said of a server that has more keys than endpoints: each endpoint has one.
pub(crate) fn idle_key(security: &Security, endpoints: usize) -> Option<String> {
    let Security::Server { own, .. } = security else { return None };
    let file = own.get(endpoints)?.paths().first()?;
    Some(format!(
        "parameter servercertpath names {} keys, and there is no endpoint for {}: the first key is the first \
         endpoint's, the second the second's. Write a second endpoint, or one file",
        own.len(),
        file.display()
    ))
}
