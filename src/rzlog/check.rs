//! `rzlog check`: one endpoint, one sentence, an exit status for each answer. Without an endpoint, what is
//! wrong with a configuration of rsyslog's.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use rzlog_client::{Finding, check};

use crate::conf::{Configuration, Kind, count, judge};
use crate::connect::{self, Trust};
use crate::error::{Error, Exit};
use crate::screen::{escape, notice, say};

#[derive(Args)]
#[command(
    after_help = "Exit status: 0 fine; 1 a file or an option is wrong; 3 nothing listens there; \
    4 not ZeroMQ; 5 the peer speaks plaintext; 6 the peer wants keys; 7 the server has another key; \
    8 our key is not allowed; 9 unclear, such as a peer that says nothing; 13 the receiver takes no session of ours. For a \
    configuration: 0 fine; 11 something is unsafe, broken or ignored; 12 nothing of that, but not all could be read.",
    mut_arg("config", |arg| arg.help(
        "Without an endpoint: the rsyslog configuration to look at, such as /etc/rsyslog.conf. With \
        one: the file of profiles [default: ~/.config/rzlog/config.toml, then /etc/rzlog/config.toml]"
    ))
)]
pub(crate) struct Check {
    /// An endpoint, such as tcp://loghost:5140, or a @profile
    #[arg(required_unless_present = "config", add = connect::profiles())]
    endpoint: Option<String>,
    #[command(flatten)]
    trust: Trust,
    /// Seconds that a handshake may take
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    patience: u64,
}

pub(crate) fn run(command: &Check) -> Result<Exit, Error> {
    let Some(word) = &command.endpoint else {
        let Trust { servercertpath, clientcertpath, plaintext, config } = &command.trust;
        if *plaintext || servercertpath.is_some() || clientcertpath.is_some() {
            return Err(Error::Usage(
                "--servercertpath, --clientcertpath and --plaintext go with an endpoint".into(),
            ));
        }
        return look_at(config.as_deref().unwrap_or(Path::new("")));
    };
    if !word.contains("://") && !word.starts_with('@') {
        return Err(Error::Usage(format!(
            "\"{word}\" is no endpoint; one looks like tcp://loghost:5140"
        )));
    }
    let target = command.trust.resolve(std::slice::from_ref(word), &[])?;
    let mut exit = Exit::DONE;
    for endpoint in target.endpoints.split(',').map(str::trim) {
        let finding = check(endpoint, &target.credentials, Duration::from_secs(command.patience))?;
        let mut sentence = String::new();
        escape(format!("{endpoint}: {finding}").as_bytes(), &mut sentence);
        say(&sentence)?;
        if exit == Exit::DONE {
            exit = status(&finding);
        }
    }
    Ok(exit)
}

/// Says what is wrong with rsyslog's configuration, a line each: where, how bad, what.
fn look_at(path: &Path) -> Result<Exit, Error> {
    let configuration = Configuration::read(path)?;
    let findings = judge(&configuration);
    for finding in &findings {
        let path = configuration.path(&finding.place).display();
        let line = format!("{path}:{}: {}: {}", finding.place.line, finding.kind, finding.sentence);
        let mut sentence = String::new();
        escape(line.as_bytes(), &mut sentence);
        say(&sentence)?;
    }
    let (theirs, ours) = count(&configuration);
    if theirs > 0 {
        notice(&format!(
            "statements of omczmq and imczmq: {theirs}. These modules lose lines whatever is written; rzlog \
             migrate rewrites them"
        ));
    }
    if findings.is_empty() {
        let files = configuration.sources.len();
        say(&format!("fine: files read: {files}; statements of rzmq: {ours}, of czmq: {theirs}"))?;
    }
    Ok(match findings.iter().map(|finding| finding.kind).min() {
        None => Exit::DONE,
        Some(Kind::Unread) => Exit::NOT_READ,
        Some(_) => Exit::FINDINGS,
    })
}

fn status(finding: &Finding) -> Exit {
    match finding {
        Finding::Fine { .. } => Exit::DONE,
        Finding::NoSession { .. } => Exit::NO_SESSION,
        Finding::NothingListens(_) => Exit::NOBODY,
        Finding::NotZeroMq(_) => Exit::NOT_ZEROMQ,
        Finding::PeerIsPlaintext => Exit::PLAINTEXT,
        Finding::PeerWantsKeys(_) => Exit::WANTS_KEYS,
        Finding::OtherServerKey(_) => Exit::OTHER_SERVER_KEY,
        Finding::KeyNotAllowed(_) => Exit::KEY_NOT_ALLOWED,
        _ => Exit::UNCLEAR,
    }
}
