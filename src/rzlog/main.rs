//! `rzlog`: see and hear the logs at the other end of omrzmq, and send some to imrzmq.
//!
//! One file a command. What a command does over the network is in src/client; here are its options,
//! its words and its exit status. `metrics`, `alert` and `top` have threads of their own; SIGINT and
//! SIGTERM are a flag (signals.rs), HUP is another (reload.rs).

mod alert;
mod check;
mod cli;
mod completion;
mod conf;
mod connect;
mod duration;
mod error;
mod fleet;
mod flood;
mod keys;
mod logtalez;
mod metrics;
mod migrate;
mod pick;
mod profile;
mod reload;
mod screen;
mod seen;
mod send;
mod show;
mod signals;
mod stdout;
mod tail;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use crate::cli::{Cli, Command};
use crate::error::{Error, Exit};

/// By this variable a shell asks for completions; not COMPLETE, which others may have set for their own ends.
const COMPLETE: &str = "RZLOG_COMPLETE";

fn main() -> ExitCode {
    CompleteEnv::with_factory(Cli::command).shells(completion::SHELLS).var(COMPLETE).complete();
    let arguments = logtalez::translate(std::env::args_os().collect());
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // help and version are "errors" too, with status 0
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match &cli.command {
        Command::Keys(command) => keys::run(command),
        Command::Check(command) => check::run(command),
        Command::Tail(command) => tail::run(command),
        Command::Send(command) => send::run(command),
        Command::Top(command) => top::run(command),
        Command::Metrics(command) => metrics::run(command),
        Command::Alert(command) => alert::run(command),
        Command::Migrate(command) => migrate::run(command),
    };
    match result {
        Ok(exit) => exit.into(),
        // Who reads our output has read enough.
        Err(Error::ReaderGone) => Exit::DONE.into(),
        Err(error) => {
            screen::notice(&error.to_string());
            Exit::FAILED.into()
        }
    }
}
