//! Where to connect, and with which keys: from the command line, and from a profile where that says
//! nothing. Plaintext is never a fallback.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use rzlog_client::Credentials;

use crate::error::Error;
use crate::profile::{self, Profile};
use crate::seen::Seen;

/// The options of trust, named as the modules' parameters are.
#[derive(Args, Default)]
pub(crate) struct Trust {
    /// The server's public certificate; two with a comma between them while its key is replaced
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Keys")]
    pub(crate) servercertpath: Option<String>,
    /// Our own key, FILE or FILE_secret; * for a fresh one, where the server lets anybody in
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Keys")]
    pub(crate) clientcertpath: Option<String>,
    /// Without keys: anybody on the way can read and change everything
    #[arg(long, help_heading = "Keys", conflicts_with_all = ["servercertpath", "clientcertpath"])]
    pub(crate) plaintext: bool,
    /// The file of profiles [default: ~/.config/rzlog/config.toml, then /etc/rzlog/config.toml]
    #[arg(long, value_name = "FILE", help_heading = "Keys")]
    pub(crate) config: Option<PathBuf>,
}

/// What was resolved.
#[derive(Debug)]
pub(crate) struct Target {
    /// With commas between them.
    pub(crate) endpoints: String,
    pub(crate) credentials: Credentials,
    pub(crate) profile: Profile,
    /// The words that are neither endpoints nor profiles.
    pub(crate) rest: Vec<String>,
}

/// Profiles, for completion.
pub(crate) fn profiles() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let names = profile::names().into_iter();
        names.map(|name| CompletionCandidate::new(format!("@{name}"))).collect()
    })
}

/// Profiles, and hosts and programs that were seen, for completion.
pub(crate) fn words() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let profiles = profile::names().into_iter().map(|name| format!("@{name}"));
        profiles.chain(Seen::load().words()).map(CompletionCandidate::new).collect()
    })
}

/// Topics that were seen, for completion.
pub(crate) fn topics() -> ArgValueCandidates {
    ArgValueCandidates::new(|| Seen::load().topics().map(CompletionCandidate::new).collect())
}

impl Trust {
    /// Sorts words: `@name` is a profile, what has `://` in it an endpoint.
    pub(crate) fn resolve(&self, words: &[String], endpoints: &[String]) -> Result<Target, Error> {
        let (mut named, mut rest) = (None, Vec::new());
        let mut endpoints = endpoints.to_vec();
        for word in words {
            if word.contains("://") {
                endpoints.push(word.clone());
            } else if let Some(name) = word.strip_prefix('@') {
                if named.replace(name).is_some() {
                    return Err(Error::Usage(format!("@{name}: one profile at a time")));
                }
            } else {
                rest.push(word.clone());
            }
        }
        let config = self.config.as_deref();
        let profile = match named {
            Some(name) => profile::find(config, name)?,
            None if endpoints.is_empty() => profile::default(config)?.ok_or_else(|| {
                Error::Usage(
                    "where to? Name an endpoint, such as tcp://loghost:5141, or a @profile; without \
                     either, [profiles.default] in ~/.config/rzlog/config.toml is used"
                        .into(),
                )
            })?,
            None => Profile::default(),
        };
        if endpoints.is_empty() {
            endpoints.clone_from(&profile.endpoints);
        }
        let credentials = self.credentials(&profile)?;
        Ok(Target { endpoints: each_once(&endpoints.join(",")), credentials, profile, rest })
    }

    fn credentials(&self, profile: &Profile) -> Result<Credentials, Error> {
        let server = self.servercertpath.as_ref().or(profile.servercertpath.as_ref());
        let client = self.clientcertpath.as_ref().or(profile.clientcertpath.as_ref());
        let said = self.servercertpath.is_some() || self.clientcertpath.is_some();
        if self.plaintext {
            return Ok(Credentials::Plaintext);
        }
        if profile.plaintext && !said {
            return match (server, client) {
                (None, None) => Ok(Credentials::Plaintext),
                _ => Err(Error::Usage(
                    "the profile has plaintext = true and keys: it is one or the other".into(),
                )),
            };
        }
        match (server, client) {
            (Some(server), Some(client)) => Ok(Credentials::curve(server, client)),
            (server, _) => {
                let missing = match server {
                    None => "servercertpath, the file of the server's public certificate",
                    Some(_) => "clientcertpath, the file of our own key, or * for a fresh one",
                };
                Err(Error::Usage(format!(
                    "--{missing}, is missing. A link without keys must be asked for: --plaintext"
                )))
            }
        }
    }
}

/// Endpoints without those that are named before already: every line would come, and count, twice.
fn each_once(endpoints: &str) -> String {
    let mut once = Vec::new();
    for endpoint in endpoints.split(',').map(str::trim) {
        if !once.contains(&endpoint) {
            once.push(endpoint);
        }
    }
    once.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn plaintext_is_asked_for_or_an_error() {
        let mut trust = Trust::default();
        let error = trust.resolve(&words("tcp://a:1 h"), &[]).unwrap_err().to_string();
        assert!(error.contains("--servercertpath") && error.contains("--plaintext"), "{error}");
        trust.servercertpath = Some("s".into());
        let error = trust.resolve(&words("tcp://a:1 h"), &[]).unwrap_err().to_string();
        assert!(error.contains("--clientcertpath"), "{error}");
        let mut profile = Profile { plaintext: true, ..Profile::default() };
        assert_eq!(Trust::default().credentials(&profile).unwrap(), Credentials::Plaintext);
        profile.clientcertpath = Some("c".into());
        let error = Trust::default().credentials(&profile).unwrap_err().to_string();
        assert!(error.contains("plaintext = true and keys"), "{error}");
        let trust = Trust { plaintext: true, ..Trust::default() };
        assert_eq!(trust.credentials(&profile).unwrap(), Credentials::Plaintext);
        let target = trust.resolve(&words("tcp://a:1 h @tcp://b:2 p"), &[]).unwrap();
        assert_eq!(target.credentials, Credentials::Plaintext);
        assert_eq!(
            (target.endpoints.as_str(), target.rest),
            ("tcp://a:1,@tcp://b:2", words("h p"))
        );
        let target = trust.resolve(&words("tcp://a:1,tcp://b:2"), &words("tcp://a:1")).unwrap();
        assert_eq!(target.endpoints, "tcp://a:1,tcp://b:2");
    }
}
