//! Whom this side trusts, and the key that it shows.

use std::sync::Arc;

use rzmq_link::{Security, SecurityError, SecuritySettings};

/// What a connection is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing: anybody on the way reads and writes.
    Plaintext,
    /// CURVE.
    Curve {
        /// The file of the server's public certificate.
        servercertpath: String,
        /// The file of this side's own key, or `*` for a fresh one.
        clientcertpath: String,
    },
}

impl Credentials {
    /// CURVE with these files.
    pub fn curve(servercertpath: &str, clientcertpath: &str) -> Credentials {
        Credentials::Curve {
            servercertpath: servercertpath.to_owned(),
            clientcertpath: clientcertpath.to_owned(),
        }
    }

    /// Reads the files.
    pub(crate) fn security(&self) -> Result<Arc<Security>, SecurityError> {
        let settings = match self {
            Credentials::Plaintext => SecuritySettings::default(),
            Credentials::Curve { servercertpath, clientcertpath } => SecuritySettings {
                authtype: Some("CURVECLIENT"),
                servercertpath: Some(servercertpath),
                clientcertpath: Some(clientcertpath),
                ..SecuritySettings::default()
            },
        };
        Ok(Arc::new(Security::from_settings(&settings)?))
    }
}
