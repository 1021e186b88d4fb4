//! `enforcehost`: a line may claim only the host that its sender's certificate names.

use crate::hostname::{LongLines, hostname};
use rzmq_host::{Log, Rsyslogd};
use rzmq_link::Received;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Between two lines in the log about one certificate.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// Bytes of what a line claims that are shown.
const SHOWN: usize = 64;

/// The check of one input. Owned by its listener.
pub(crate) struct HostCheck {
    long: LongLines,
    log: Log,
    /// By the certificate's name, of which there are as many as files in `clientcertpath`.
    told: HashMap<String, Told>,
}

/// When a certificate was last told of, and how often it was not since.
struct Told {
    when: Instant,
    held_back: u64,
}

/// Who says whose line it is.
#[derive(Clone, Copy)]
pub(crate) struct Claimant<'a> {
    address: &'a str,
    /// The name in its certificate.
    name: Option<&'a str>,
}

impl<'a> Claimant<'a> {
    /// The sender of a message.
    pub(crate) fn of(received: &'a Received) -> Self {
        Self {
            address: received.peer_address().unwrap_or("an unknown peer"),
            name: received.sender_name(),
        }
    }
}

impl HostCheck {
    pub(crate) fn new(rsyslogd: &Rsyslogd, log: Log) -> Self {
        let long =
            LongLines { longest: rsyslogd.max_message_size(), split: rsyslogd.may_split_lines() };
        Self { long, log, told: HashMap::new() }
    }

    /// Whether the line may pass. One that may not is told of.
    pub(crate) fn passes(&mut self, line: &[u8], claimant: Claimant<'_>) -> bool {
        let claimed = hostname(line, self.long);
        let is_own = |host: &str| claimant.name.is_some_and(|own| own.eq_ignore_ascii_case(host));
        if claimed.is_some_and(is_own) {
            return true;
        }
        self.tell(line, claimed, claimant);
        false
    }

    /// Writes it to the log, at most once a minute and certificate.
    fn tell(&mut self, line: &[u8], claimed: Option<&str>, claimant: Claimant<'_>) {
        let name = claimant.name.unwrap_or_default();
        let mut held_back = 0;
        match self.told.get_mut(name) {
            Some(told) if told.when.elapsed() < TELL_AGAIN => {
                told.held_back += 1;
                return;
            }
            Some(told) => {
                held_back = std::mem::take(&mut told.held_back);
                told.when = Instant::now();
            }
            None => {
                self.told.insert(name.to_string(), Told { when: Instant::now(), held_back });
            }
        }
        let mut text = format!("{} ({name}): ", claimant.address);
        let _ = match claimed {
            Some(host) => write!(
                text,
                "a line with the HOSTNAME \"{}\", which is not its certificate's name, is not taken",
                beginning(host.as_bytes())
            ),
            None => write!(
                text,
                "a line whose HOSTNAME cannot be determined is not taken; it begins \"{}\"",
                beginning(line)
            ),
        };
        if held_back > 0 {
            let _ =
                write!(text, " ({held_back} more of this certificate since the last such message)");
        }
        self.log.error(text);
    }
}

/// What a log line shows of foreign bytes.
fn beginning(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let dots = if shown.len() < bytes.len() { "…" } else { "" };
    format!("{}{dots}", shown.escape_ascii())
}
