//! What the tests of this package stand on: a real rsyslogd in a scratch folder, ways to feed it
//! and to read from it, foreign ZeroMQ peers, keys, and a judge of what arrived.
//!
//! Rules: a test waits for conditions, never for time alone; ports are chosen free; whatever was
//! started is killed on drop; when a test fails, the configuration and rsyslogd's log are printed.

pub mod alone;
pub mod check;
pub mod dice;
pub mod disk;
pub mod feed;
pub mod flavour;
pub mod keys;
pub mod oracle;
pub mod pages;
pub mod paths;
pub mod patient;
pub mod peer;
pub mod ports;
pub mod proxy;
pub mod python;
pub mod rsyslogd;
pub mod rzlog;
pub mod site;
pub mod skip;
pub mod stats;
pub mod sums;
pub mod valgrind;
pub mod wait;

pub use alone::alone;
pub use check::Check;
pub use dice::Dice;
pub use disk::{Small, fail_writes, mend_writes};
pub use flavour::Flavour;
pub use keys::Keys;
pub use oracle::Oracle;
pub use peer::Peer;
pub use proxy::{Half, Proxy};
pub use rsyslogd::{Ending, Rsyslogd};
pub use rzlog::Rzlog;
pub use site::Site;
pub use wait::wait_until;

/// Seconds, as most deadlines are written.
pub const fn secs(seconds: u64) -> std::time::Duration {
    std::time::Duration::from_secs(seconds)
}

/// Milliseconds.
pub const fn millis(milliseconds: u64) -> std::time::Duration {
    std::time::Duration::from_millis(milliseconds)
}

/// The deadline of a step that takes milliseconds on an idle machine.
pub const SOON: std::time::Duration = secs(10);
