//! `rzlog alert`: rules over the lines of publishers, and word to a chat, an Alertmanager or a command.
//!
//! ```text
//! lines ─ rule ─ engine ──alerts── route ──notices── outbox ──attempts── channel
//! ```
//!
//! Everything up to the outbox is one pure machine (core.rs): the time is handed in. live.rs drives it on
//! publishers, dry.rs on a file. Threads: the main one, and one a receiver, which alone talks to its
//! channel; they exchange attempts and outcomes through channels. No locks.

mod age;
mod channel;
mod clock;
mod command;
mod config;
mod core;
mod dry;
mod engine;
mod group;
mod live;
mod outbox;
mod pattern;
mod payload;
mod route;
mod rule;
mod secret;
mod state;
mod text;
mod webhook;
mod window;

use std::path::PathBuf;

use clap::Args;

use self::channel::Channel;
use self::config::Config;
use self::core::{Core, Kept};
use crate::connect::{self, Trust};
use crate::error::{Error, Exit};
use crate::screen::{notice, say};

#[derive(Args)]
#[command(
    after_long_help = "Files: [[rules]] and [[receivers]] are needed, [route] and [[inhibit_rules]] are \
    possible; docs/rzlog.md has them all, and packaging/rules/alert rules that are ready. A receiver's secrets \
    are in files or in the environment. HUP reads the files anew: rules that are the same go on where they \
    were, and if there is a mistake, the old ones stay in use.\n\n\
    Exit status: 0 --check, --dry-run or --try-receivers is done; 1 a file or an option is wrong, or a \
    receiver could not be reached; 130 Ctrl-C; 143 SIGTERM."
)]
pub(crate) struct Alert {
    /// Endpoints or a @profile; of a profile endpoints, keys and topics count
    #[arg(value_name = "@PROFILE | ENDPOINT", add = connect::profiles())]
    words: Vec<String>,
    #[command(flatten)]
    trust: Trust,
    /// A file of rules and receivers, or a folder of *.toml; can be given again, they are read as one
    #[arg(short, long, value_name = "FILE", required = true)]
    rules: Vec<PathBuf>,
    /// What is to outlive a restart [default: alert.json in STATE_DIRECTORY, else in
    /// ~/.local/state/rzlog]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Beginnings of topics, with commas between them
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', add = connect::topics())]
    topics: Option<Vec<String>>,
    /// A publisher that sends a longer line is cut off
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    longest: u64,
    /// Read the files of rules, and end
    #[arg(long, conflicts_with_all = ["dry_run", "try_receivers"])]
    check: bool,
    /// Print what would be sent for the lines of this file (- is standard input), in their own time
    #[arg(long, value_name = "FILE", conflicts_with = "try_receivers")]
    dry_run: Option<PathBuf>,
    /// Send a word to each receiver, and say how it went
    #[arg(long)]
    try_receivers: bool,
    /// No notices but errors and gaps
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(alert: &Alert) -> Result<Exit, Error> {
    if !alert.check && !alert.try_receivers && alert.dry_run.is_none() {
        return live::run(alert);
    }
    let mut config = Config::read(&alert.rules)?;
    if alert.dry_run.is_some() && config.receivers.is_empty() {
        // rules alone can be tried, too
        config.receivers.push(dry::receiver());
    }
    let channels = channels(&config)?;
    if alert.check {
        Core::new(&config, Kept::default(), 0)?;
        channels.iter().filter_map(Channel::worries).for_each(|worry| notice(&worry));
        say(&format!("fine: {} rules, {} receivers", config.rules.len(), channels.len()))?;
        return Ok(Exit::DONE);
    }
    match &alert.dry_run {
        Some(path) if !alert.try_receivers => dry::run(path, &config, &channels),
        _ => live::try_receivers(&channels),
    }
}

fn channels(config: &Config) -> Result<Vec<Channel>, Error> {
    let secrets: Vec<_> =
        config.receivers.iter().filter_map(config::Receiver::secret_variable).collect();
    config.receivers.iter().map(|it| Channel::new(it, &secrets)).collect()
}

#[cfg(test)]
mod tests;
