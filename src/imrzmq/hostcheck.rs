//! `enforcehost`: a line may claim only the host that its sender's certificate names.

use crate::hostname::{LongLines, hostname};
use rzmq_host::{Log, Rsyslogd};
use rzmq_link::{HeldBack, Received, Throttle};
use std::fmt::Write as _;
use std::time::Instant;

/// Bytes of what a line claims that are shown.
const SHOWN: usize = 64;

/// The check of one input. Owned by its listener.
pub(crate) struct HostCheck {
    long: LongLines,
    log: Log,
    throttle: Throttle,
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
        Self { long, log, throttle: Throttle::of_peers() }
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
        let admitted = self.throttle.admit("host", name, Instant::now());
        let Some(more) = admitted.map(HeldBack) else { return };
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
        self.log.error(format!("{text}{more}"));
    }
}

/// What a log line shows of foreign bytes.
fn beginning(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let dots = if shown.len() < bytes.len() { "…" } else { "" };
    format!("{}{dots}", shown.escape_ascii())
}
