//! A notice by a command: it is on its standard input, and the exit status is the answer.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{self, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::config;
use super::outbox::Outcome;

/// How often a command is looked after.
const SLICE: Duration = Duration::from_millis(50);

/// The notice is on its standard input. Its arguments are the configuration's alone: nothing foreign is
/// in them. `hidden` are the variables of the other receivers' secrets.
pub(crate) fn run(command: &config::Command, hidden: &[String], notice: &Value) -> Outcome {
    let later = |why: String| Outcome::Later { wait: None, why };
    let failed = |why, unsure| Outcome::Failed { wait: None, unsure, of_text: false, why };
    let Some((program, arguments)) = command.arguments.split_first() else {
        return later("no command".into());
    };
    let mut process = process::Command::new(program);
    for name in hidden {
        process.env_remove(name);
    }
    let started = process
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return later(format!("{program}: {error}")),
    };
    let text = notice.to_string();
    let input = child.stdin.take();
    // it may read late or never
    let write = move || input.map(|mut input| input.write_all(text.as_bytes()));
    let writer = thread::Builder::new().name("rzlog-input".into()).spawn(write);
    let began = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if began.elapsed() < Duration::from_millis(command.timeout.0) => {
                thread::sleep(SLICE);
            }
            _ => break None,
        }
    };
    let Some(status) = ended else {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process_group(pid, Signal::KILL));
        let _ = child.kill();
        let _ = child.wait();
        return failed(format!("{program} took more than {}", command.timeout), true);
    };
    // what it did not read it did not want
    drop(writer);
    if status.success() {
        Outcome::Delivered
    } else {
        failed(format!("{program}: {status}"), false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::Span;
    use super::*;

    #[test]
    fn a_command_gets_the_notice_and_its_status_counts() {
        let command = |arguments: &[&str], timeout| config::Command {
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            timeout: Span(timeout),
        };
        let notice = serde_json::json!({ "text": "$(touch /nowhere)".repeat(100_000) });
        let grep = command(&["grep", "-q", "touch"], 10_000);
        assert_eq!(run(&grep, &[], &notice), Outcome::Delivered);
        let secret = "CARGO_MANIFEST_DIR";
        assert!(std::env::var_os(secret).is_some());
        let asks = command(&["sh", "-c", "test -z \"$CARGO_MANIFEST_DIR\""], 10_000);
        assert_ne!(run(&asks, &[], &notice), Outcome::Delivered);
        assert_eq!(run(&asks, &[secret.to_owned()], &notice), Outcome::Delivered);
        for (arguments, timeout, words) in [
            (&["false"][..], 10_000, "false: exit status: 1, false"),
            (&["sleep", "600"], 100, "sleep took more than 0s, true"),
        ] {
            match run(&command(arguments, timeout), &[], &notice) {
                Outcome::Failed { why, unsure, .. } => {
                    assert_eq!(format!("{why}, {unsure}"), words)
                }
                other => panic!("{other:?}"),
            }
        }
        match run(&command(&["/nowhere"], 100), &[], &notice) {
            Outcome::Later { why, .. } => assert!(why.contains("No such file"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
