//! rsyslogd below valgrind, and what valgrind says of our modules.

use std::path::Path;
use std::process::Command;

use crate::paths;
use crate::rsyslogd::Rsyslogd;
use crate::skip::has_program;

/// valgrind's exit status when it found an error.
pub const ERROR_STATUS: i32 = 99;

/// How valgrind is run: memory errors count, leaks are left to [`Findings`].
#[derive(Clone, Default)]
pub struct Valgrind;

impl Valgrind {
    /// Why it can't be used here.
    pub fn unusable() -> Option<&'static str> {
        if !has_program("valgrind") {
            return Some("no valgrind");
        }
        // It must know that loader's symbols, and does not follow the shell that starts it.
        paths::unpacked_release().map(|_| "valgrind does not know another release's loader")
    }

    /// A command that runs `program` below valgrind.
    pub(crate) fn command(&self, log: &Path, program: &Path) -> Command {
        let mut command = Command::new("valgrind");
        command
            .arg(format!("--error-exitcode={ERROR_STATUS}"))
            .args([
                "--leak-check=full",
                "--show-leak-kinds=definite",
                "--errors-for-leak-kinds=none",
            ])
            // rsyslogd unloads its modules before it ends: without this, stacks lose their names.
            .args(["--keep-debuginfo=yes", "--num-callers=40"])
            .arg(format!(
                "--suppressions={}",
                paths::repository().join("tests/valgrind.supp").display()
            ))
            .arg(format!("--log-file={}", log.display()))
            .arg(program);
        command
    }
}

/// What valgrind reported, block by block.
pub struct Findings {
    blocks: Vec<String>,
}

impl Findings {
    /// What it said of a daemon that has ended.
    pub fn of(daemon: &Rsyslogd) -> Self {
        let log = daemon.path("valgrind.log");
        let text =
            String::from_utf8_lossy(&std::fs::read(log).expect("valgrind's log")).into_owned();
        let mut blocks = vec![String::new()];
        for line in text.lines() {
            // ==PID== text
            let words = line.strip_prefix("==").and_then(|rest| rest.split_once("=="));
            let words = words.map_or(line, |(_, words)| words.trim());
            if words.is_empty() {
                blocks.push(String::new());
            } else if let Some(block) = blocks.last_mut() {
                block.push_str(words);
                block.push('\n');
            }
        }
        blocks.retain(|block| !block.is_empty());
        Findings { blocks }
    }

    /// Nothing is definitely lost that a module under test allocated.
    #[track_caller]
    pub fn no_leaks(&self) {
        let leaks: Vec<_> =
            self.stacks(true).filter(|block| block.contains("definitely")).collect();
        assert!(leaks.is_empty(), "{} leaks of ours:\n{}", leaks.len(), leaks.join("\n"));
    }

    /// No memory error, whoever made it.
    #[track_caller]
    pub fn no_errors(&self) {
        let errors: Vec<_> = self.stacks(false).collect();
        assert!(errors.is_empty(), "{} memory errors:\n{}", errors.len(), errors.join("\n"));
    }

    /// Blocks with a stack: leaks of the modules under test, or errors of all.
    fn stacks(&self, leaks: bool) -> impl Iterator<Item = &str> {
        self.blocks.iter().map(String::as_str).filter(move |block| {
            let ours = ["imrzmq", "omrzmq", "imczmq", "omczmq"].iter().any(|m| block.contains(m));
            block.contains("\nat 0x")
                && block.contains("in loss record") == leaks
                && (ours || !leaks)
        })
    }
}
