//! `rzlog check`: one endpoint, one sentence, an exit status for each answer.

use std::time::Duration;

use clap::Args;
use rzlog_client::{Finding, check};

use crate::connect::{self, Trust};
use crate::error::{Error, Exit};
use crate::screen::{escape, say};

#[derive(Args)]
#[command(
    after_help = "Exit status: 0 fine; 1 a file or an option is wrong; 3 nothing listens there; \
    4 not ZeroMQ; 5 the peer speaks plaintext; 6 the peer wants keys; 7 the server has another key; \
    8 our key is not allowed; 9 unclear."
)]
pub(crate) struct Check {
    /// An endpoint, such as tcp://loghost:5140, or a @profile
    #[arg(required = true, add = connect::profiles())]
    endpoint: String,
    #[command(flatten)]
    trust: Trust,
    /// Seconds that a handshake may take
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    patience: u64,
}

pub(crate) fn run(command: &Check) -> Result<Exit, Error> {
    let word = &command.endpoint;
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

fn status(finding: &Finding) -> Exit {
    match finding {
        Finding::Fine { .. } => Exit::DONE,
        Finding::NothingListens(_) => Exit::NOBODY,
        Finding::NotZeroMq(_) => Exit::NOT_ZEROMQ,
        Finding::PeerIsPlaintext => Exit::PLAINTEXT,
        Finding::PeerWantsKeys(_) => Exit::WANTS_KEYS,
        Finding::OtherServerKey(_) => Exit::OTHER_SERVER_KEY,
        Finding::KeyNotAllowed(_) => Exit::KEY_NOT_ALLOWED,
        _ => Exit::UNCLEAR,
    }
}
