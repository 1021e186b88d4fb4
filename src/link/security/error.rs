//! What may be wrong with the trust parameters, in sentences that name parameter and value.

use crate::certificate::CertificateError;
use crate::names::NamesError;

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
