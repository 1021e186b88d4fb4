//! `rzlog` as a user runs it: a process with its standard output and error in files, or on a terminal
//! of its own. Killed by its pid on drop; when the test is failing, what it said is printed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::paths;
use crate::wait::try_until;

/// A command that is to be run.
pub struct Rzlog {
    command: Command,
    folder: tempfile::TempDir,
    input: Vec<u8>,
    line: String,
}

impl Rzlog {
    /// With these arguments. It sees no configuration but what the test gives it.
    pub fn new<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let program = paths::rzlog();
        assert!(program.exists(), "{} is missing: run `make build` first", program.display());
        let folder = tempfile::Builder::new().prefix("rzlog-").tempdir().expect("scratch folder");
        let mut command = Command::new(program);
        let arguments: Vec<_> = arguments.into_iter().map(|it| it.as_ref().to_owned()).collect();
        let line = arguments.iter().map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" ");
        command.args(arguments).env("XDG_CONFIG_HOME", folder.path()).env("HOME", folder.path());
        command.env_remove("XDG_STATE_HOME");
        for name in ["NO_COLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        Rzlog { command, folder, input: Vec::new(), line }
    }

    /// A word line: arguments without blanks in them.
    pub fn of(line: &str) -> Self {
        Self::new(line.split_whitespace())
    }

    /// In this folder.
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// With a variable in its environment.
    pub fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// With this on its standard input.
    pub fn input(mut self, input: &[u8]) -> Self {
        self.input = input.to_vec();
        self
    }

    /// Under another program, which has these words, and behind them what would be run without it.
    pub fn under<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        self.wrap(command);
        self
    }

    /// Starts it, with files for its output.
    pub fn start(mut self) -> Running {
        let file = |name: &str| {
            let path = self.folder.path().join(name);
            (File::create(&path).expect("a file for output"), path)
        };
        let ((out, out_path), (err, err_path)) = (file("out"), file("err"));
        let input = self.folder.path().join("in");
        std::fs::write(&input, &self.input).expect("input written");
        self.command.stdin(File::open(&input).expect("input")).stdout(out).stderr(err);
        self.spawn(Said::Files(out_path, err_path))
    }

    /// Starts it, with a pipe to its standard input.
    pub fn start_with_pipe(mut self) -> (Running, std::process::ChildStdin) {
        let file = |name: &str| {
            let path = self.folder.path().join(name);
            (File::create(&path).expect("a file for output"), path)
        };
        let ((out, out_path), (err, err_path)) = (file("out"), file("err"));
        self.command.stdin(Stdio::piped()).stdout(out).stderr(err);
        let mut running = self.spawn(Said::Files(out_path, err_path));
        let input = running.child.stdin.take().expect("a pipe");
        (running, input)
    }

    /// As the job of a shell, beside another process of the job that waits for it, as sudo does. When the
    /// job has stopped, the shell says so, reads a line, and lets it go on.
    pub fn under_a_shell(mut self) -> Rzlog {
        let mut command = Command::new("sh");
        command.args(["-mc", "(\"$@\"; exit $?); echo the job has stopped; read go; fg", "sh"]);
        self.wrap(command);
        self
    }

    fn wrap(&mut self, mut command: Command) {
        command.arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = self.command.get_current_dir() {
            command.current_dir(folder);
        }
        self.command = command;
    }

    /// Starts it on a terminal of so many columns and rows, which is its controlling one: it hears of
    /// another size and of its end.
    pub fn start_on_terminal_of(mut self, columns: u16, rows: u16) -> Running {
        let mut command = Command::new("setsid");
        command.arg("--ctty");
        self.wrap(command);
        let running = self.start_on_terminal();
        running.resizes(columns, rows);
        running
    }

    /// Starts it on a terminal.
    pub fn start_on_terminal(mut self) -> Running {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        // closed in every child: it is hung up when this process closes it
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let near = openpt(flags).expect("a terminal");
        grantpt(&near).expect("a terminal");
        unlockpt(&near).expect("a terminal");
        let name = ptsname(&near, Vec::new()).expect("a terminal's name");
        let far = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOCTTY.bits() as i32)
            .open(OsStr::new(name.to_str().expect("a path")))
            .expect("a terminal");
        let copy = || Stdio::from(far.try_clone().expect("a terminal"));
        self.command.stdin(copy()).stdout(copy()).stderr(copy());
        rustix::io::ioctl_fionbio(&near, true).expect("not blocking");
        self.spawn(Said::Terminal(File::from(near).into(), Vec::new().into()))
    }

    fn spawn(mut self, said: Said) -> Running {
        let child = self.command.spawn().expect("rzlog does not run");
        Running { child, said, line: self.line, _folder: self.folder, ended: None }
    }

    /// Runs it to its end, which must come within a minute.
    #[track_caller]
    pub fn run(self) -> Ran {
        self.start().wait(Duration::from_secs(60))
    }
}

enum Said {
    Files(PathBuf, PathBuf),
    /// What was read from it stays.
    Terminal(Box<File>, std::cell::RefCell<Vec<u8>>),
}

/// A running command.
pub struct Running {
    child: Child,
    said: Said,
    line: String,
    _folder: tempfile::TempDir,
    ended: Option<ExitStatus>,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status, 128 and the number of the signal that killed it.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// It ended with this status.
    #[track_caller]
    pub fn ended(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// It failed, and said all of these words in one line of standard error.
    #[track_caller]
    pub fn complains(&self, words: &[&str]) {
        let told = |line: &str| {
            line.starts_with("rzlog: ") && words.iter().all(|word| line.contains(word))
        };
        assert!(self.status != 0 && self.err.lines().any(told), "no {words:?} in {self:?}");
    }
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Standard output so far; all that is on its terminal.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.out_bytes()).into_owned()
    }

    /// The same as bytes.
    pub fn out_bytes(&self) -> Vec<u8> {
        match &self.said {
            Said::Files(out, _) => std::fs::read(out).unwrap_or_default(),
            Said::Terminal(terminal, read) => {
                let mut buffer = [0; 1 << 16];
                while let Ok(count @ 1..) = (&**terminal).read(&mut buffer) {
                    read.borrow_mut().extend_from_slice(&buffer[..count]);
                }
                read.borrow().clone()
            }
        }
    }

    /// Standard error so far.
    pub fn err(&self) -> String {
        match &self.said {
            Said::Files(_, err) => {
                String::from_utf8_lossy(&std::fs::read(err).unwrap_or_default()).into_owned()
            }
            Said::Terminal(..) => self.out(),
        }
    }

    /// Types on its terminal.
    pub fn types(&self, text: &str) {
        self.terminal().write_all(text.as_bytes()).expect("typed");
    }

    fn terminal(&self) -> &File {
        match &self.said {
            Said::Terminal(terminal, _) => terminal,
            Said::Files(..) => panic!("it is on no terminal"),
        }
    }

    /// Its terminal has so many columns and rows from now on.
    pub fn resizes(&self, columns: u16, rows: u16) {
        let size =
            rustix::termios::Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(self.terminal(), size).expect("another size");
    }

    /// Its terminal gives it keys as they are, and shows none.
    pub fn has_the_keys(&self) -> bool {
        use rustix::termios::{LocalModes, tcgetattr};
        let modes = tcgetattr(self.terminal()).expect("modes").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// The window is closed.
    pub fn hangs_up(&mut self) {
        self.said = Said::Files(PathBuf::new(), PathBuf::new());
    }

    /// Waits until standard output has this in it.
    #[track_caller]
    pub fn wait_out(&mut self, text: &str, deadline: Duration) -> String {
        self.wait_for(&format!("output {text:?}"), deadline, |it| it.out().contains(text));
        self.out()
    }

    /// Waits until standard error has a line with all of these words.
    #[track_caller]
    pub fn wait_err(&mut self, words: &[&str], deadline: Duration) {
        self.wait_for(&format!("a notice with {words:?}"), deadline, |it| {
            it.err().lines().any(|line| words.iter().all(|word| line.contains(word)))
        });
    }

    /// Waits for a condition; that it ends meanwhile is a failure.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, deadline: Duration, condition: impl Fn(&Self) -> bool) {
        // asked once: what is on a terminal may be another thing the next moment
        let came = try_until(deadline, || {
            let ended = self.exited().is_some();
            let holds = condition(self);
            (holds || ended).then_some(holds)
        });
        assert!(
            came == Some(true),
            "rzlog {}: waited in vain for {what}; {:?}; out: {}; err: {}",
            self.line,
            self.ended,
            end_of(&self.out()),
            end_of(&self.err())
        );
    }

    /// Has it ended?
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("rzlog's status");
        }
        self.ended
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("sh")
            .args(["-c", &format!("kill -s {name} {}", self.pid())])
            .stderr(Stdio::null())
            .status();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self, deadline: Duration) -> Ran {
        let ended = try_until(deadline, || self.exited());
        let Some(status) = ended else {
            panic!(
                "rzlog {} did not end within {deadline:?}; out: {}; err: {}",
                self.line,
                end_of(&self.out()),
                end_of(&self.err())
            );
        };
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        Ran { status, out: self.out(), err: self.err() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.exited().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!(
                "---- rzlog {}: {:?}\n{}\n---- its notices:\n{}----",
                self.line,
                self.ended,
                end_of(&self.out()),
                end_of(&self.err())
            );
        }
    }
}

/// The last of a long text.
fn end_of(text: &str) -> &str {
    let at = text.char_indices().rev().nth(4_000).map_or(0, |(at, _)| at);
    &text[at..]
}
