//! A notice by HTTP: the agent, the request, and what its answer or its failure means.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::clock::Span;
use super::outbox::Outcome;
use super::secret::redact;
use super::text::clean;

/// An answer has to be there within this.
const PATIENCE: Duration = Duration::from_secs(15);
/// Where it was not, and the notice may have been taken: rather waited for than told twice.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// Of an answer.
const LONGEST_ANSWER: u64 = 4096;

/// Trusts whom the system trusts, follows nobody elsewhere.
pub(crate) fn agent() -> Agent {
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> =
        roots.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_resolve(Some(PATIENCE / 4))
        .timeout_connect(Some(PATIENCE / 2))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("rzlog/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::new_with_config(config)
}

/// What a library or a server says of it is told without the `secrets`; `unsure`: an earlier attempt may have
/// been taken.
pub(crate) fn post(
    http: &Agent,
    url: &str,
    token: Option<&str>,
    body: &Value,
    secrets: &[&str],
    unsure: bool,
) -> Outcome {
    let mut request = http.post(url).header("Content-Type", "application/json");
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let patience = if unsure { LONG_PATIENCE } else { PATIENCE };
    let request = request.config().timeout_global(Some(patience)).build();
    let mut answer = match request.send(body.to_string()) {
        Ok(answer) => answer,
        Err(error) => {
            let why = redact(&error.to_string(), secrets);
            return match is_before_the_notice(&error) {
                true => Outcome::Later { wait: None, why },
                false => Outcome::Failed { wait: None, unsure: true, of_text: false, why },
            };
        }
    };
    let status = answer.status().as_u16();
    if (200..300).contains(&status) {
        return Outcome::Delivered;
    }
    let wait = answer.headers().get("Retry-After").and_then(|wait| wait.to_str().ok());
    let wait = wait.and_then(|wait| wait.trim().parse().ok()).map(|it: u64| it.min(86_400));
    let wait = wait.map(Span::seconds);
    let said = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string();
    // redacted before it is cut, so that no part of a secret stays
    let said = clean(redact(&said.unwrap_or_default(), secrets).as_bytes(), 200);
    let why = format!("answered {status}: {said}");
    answered(status, wait, why)
}

/// What a status but success means.
fn answered(status: u16, wait: Option<Span>, why: String) -> Outcome {
    match status {
        400 | 413 | 422 => Outcome::Refused { why },
        // 502: a proxy that has nobody to ask
        429 | 502 | 503 => Outcome::Later { wait, why },
        _ => Outcome::Failed {
            wait,
            // a proxy that waited in vain for whom it asked
            unsure: status == 504,
            // RFC 9110, 6585, 7725: too long, of no use, or not to be said
            of_text: matches!(status, 403 | 406 | 414 | 415 | 431 | 451),
            why,
        },
    }
}

/// Nobody was there to have it: the connection or its handshake did not come about.
fn is_before_the_notice(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;

    use ureq::{Error, Timeout};
    match error {
        Error::Io(error) => !matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::TimedOut
                | ErrorKind::WouldBlock
        ),
        Error::Timeout(timeout) => matches!(timeout, Timeout::Resolve | Timeout::Connect),
        Error::HostNotFound
        | Error::ConnectionFailed
        | Error::BadUri(_)
        | Error::Http(_)
        | Error::Tls(_)
        | Error::Rustls(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_answers_that_restarts_is_not_about_the_notice() {
        let meaning = |status| match answered(status, None, String::new()) {
            Outcome::Refused { .. } => "refused",
            Outcome::Later { .. } => "later",
            Outcome::Failed { unsure: true, of_text: false, .. } => "unsure",
            Outcome::Failed { unsure: false, of_text: true, .. } => "of its text",
            Outcome::Failed { unsure: false, of_text: false, .. } => "failed",
            _ => "",
        };
        for (statuses, words) in [
            (&[400, 413, 422][..], "refused"),
            (&[429, 502, 503], "later"),
            (&[504], "unsure"),
            (&[403, 406, 414, 431], "of its text"),
            (&[302, 401, 404, 500], "failed"),
        ] {
            statuses.iter().for_each(|status| assert_eq!(meaning(*status), words, "{status}"));
        }
    }
}
