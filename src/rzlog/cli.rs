//! The command line as a whole. Help, manual page and completion are made from it.

use clap::{Parser, Subcommand};

/// See and hear the logs.
///
/// The other end of rsyslog's modules omrzmq and imrzmq: makes keys, says why a connection does not
/// work, shows the lines that a publisher has, and sends lines that are acknowledged.
#[derive(Parser)]
#[command(name = "rzlog", version, about, max_term_width = 100)]
#[command(
    after_long_help = "Exit status: 0 done; 1 it failed, and a sentence on standard error says why; \
    2 wrong usage; 130 Ctrl-C; 143 SIGTERM. `check`, `tail` and `send` have more, see their help."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What there is to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make, show and file CURVE keys
    #[command(subcommand)]
    Keys(crate::keys::Keys),
    /// Say in one sentence whether a connection works, and if not, why
    ///
    /// Looks like DEALER, SUB and PUSH in turn, as far as that is needed. A ROUTER that is not an imrzmq
    /// may take the greeting of acknowledged delivery for a line.
    Check(crate::check::Check),
    /// Show the lines of publishers as they come
    ///
    /// `rzlog tail web1 nginx` with a default profile, `rzlog tail tcp://loghost:5141 web1` without.
    /// Lines go to standard output, notices to standard error. LogTalez's options are understood, with
    /// one dash or two, here and without `tail`.
    Tail(Box<crate::tail::Tail>),
    /// Send lines to an imrzmq, each acknowledged
    ///
    /// From files or standard input. Loads old logs, and makes a sender of anything that prints lines.
    Send(crate::send::Send),
}
