//! `rzlog send`: lines of files or of standard input to an imrzmq, acknowledged.
//!
//! What is not acknowledged is held, at most `AHEAD` bytes of it. Input that pauses does not hold up the
//! connection, and the other way round.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rzlog_client::{AckedSender, FACILITIES, Severity};

use crate::connect::{self, Trust};
use crate::error::{Error, Exit};
use crate::screen::notice;
use crate::show::now;
use crate::signals::Signals;

/// Bytes of lines that may be unacknowledged.
const AHEAD: usize = 8 << 20;
/// Bytes that are offered at once.
const BATCH: usize = 256 << 10;
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// A longer line fits into no frame of the protocol.
const LONGEST: usize = 16 << 20;
/// How long input and connection are waited for in turn.
const SLICE: Duration = Duration::from_millis(50);
/// How long what was read may take when a signal has come.
const GRACE: Duration = Duration::from_secs(5);
/// Refused lines that are shown.
const SHOWN: u64 = 10;

#[derive(Args)]
#[command(
    after_help = "Lines travel as they are; those of log files have host and program in them. With \
    --tag each becomes the text of a line of that program, now. Empty lines are left out.\n\nExit status: \
    0 all lines were acknowledged; 1 a file or an option is wrong; 3 not all lines were acknowledged in \
    time; 10 the receiver refused lines for good; 130 Ctrl-C; 143 SIGTERM."
)]
pub(crate) struct Send {
    /// The receiver, such as tcp://loghost:5140, or a @profile. Several with commas between them: the
    /// first that answers is used, the next takes over
    #[arg(required = true, add = connect::profiles())]
    endpoint: String,
    /// Files, or - for standard input [default: -]
    files: Vec<PathBuf>,
    #[command(flatten)]
    trust: Trust,
    /// Make each line one of this program
    #[arg(long, value_name = "PROGRAM", value_parser = word)]
    tag: Option<String>,
    /// With --tag: of this host [default: this one]
    #[arg(long, requires = "tag", value_parser = word)]
    host: Option<String>,
    /// With --tag: facility and severity
    #[arg(long, requires = "tag", default_value = "user.notice", value_parser = priority)]
    priority: u8,
    /// Pack what is sent, for slow links
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Compress::None)]
    compress: Compress,
    /// Give up when nothing was acknowledged for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    /// No progress, no count and no notices but errors
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Compress {
    None,
    Zstd,
}

fn word(text: &str) -> Result<String, String> {
    let fine =
        !text.is_empty() && text.len() <= 255 && text.bytes().all(|it| it.is_ascii_graphic());
    if fine { Ok(text.to_owned()) } else { Err("one word of ASCII is possible".into()) }
}

fn priority(text: &str) -> Result<u8, String> {
    let (facility, severity) = text.split_once('.').ok_or("write FACILITY.SEVERITY")?;
    let facility = FACILITIES.iter().position(|known| *known == facility);
    let facility = facility.ok_or_else(|| format!("possible are {}", FACILITIES.join(", ")))?;
    let severity = Severity::from_name(severity).ok_or("severity: emerg to debug are possible")?;
    Ok(facility as u8 * 8 + severity as u8)
}

/// Lines of one file, as far as they are there.
struct Lines {
    file: File,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Where the next line begins, and up to where there is no line break.
    at: usize,
    looked: usize,
    number: u64,
    ended: bool,
    /// Within a line that is too long.
    skipping: bool,
}

enum Next {
    Line(Vec<u8>),
    TooLong,
    NotYet,
    End,
}

/// Why reading stopped for now.
enum Pause {
    /// A batch is full, or enough is under way.
    Full,
    NotYet,
    End,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, Error> {
        let (file, path) = if path == Path::new("-") {
            let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
            (stdin, PathBuf::from("standard input"))
        } else {
            // a pipe that nobody writes to yet would stand still here, and hear no signal
            let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
            let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path);
            (file, path.to_owned())
        };
        let file = file.map_err(Error::file(&path))?;
        Ok(Lines {
            file,
            path,
            buffer: Vec::new(),
            at: 0,
            looked: 0,
            number: 0,
            ended: false,
            skipping: false,
        })
    }

    fn next(&mut self) -> Result<Next, Error> {
        loop {
            let end = self.buffer[self.looked..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|end| self.looked + end) {
                let line = self.buffer[self.at..end].to_vec();
                (self.at, self.looked) = (end + 1, end + 1);
                return Ok(self.whole(line));
            }
            self.looked = self.buffer.len();
            if self.looked - self.at > LONGEST {
                self.skipping = true;
                (self.at, self.looked) = (0, 0);
                self.buffer.clear();
                if !self.ended {
                    // it may have no end: others get their turn
                    return Ok(Next::NotYet);
                }
            }
            if self.ended {
                let line = self.buffer.split_off(self.at);
                (self.at, self.looked) = (0, 0);
                self.buffer.clear();
                return Ok(match line.is_empty() && !self.skipping {
                    true => Next::End,
                    false => self.whole(line),
                });
            }
            if !is_readable(&self.file, Duration::ZERO) {
                return Ok(Next::NotYet);
            }
            self.buffer.drain(..self.at);
            self.looked -= self.at;
            self.at = 0;
            match read_once(&self.file, &mut self.buffer) {
                // another reader of the pipe was faster
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::NotYet),
                read => self.ended = read.map_err(Error::file(&self.path))? == 0,
            }
        }
    }

    /// Reads no more. Lines that were read are still there; the half of one is not, it would be taken for a
    /// line.
    fn stop(&mut self) {
        if self.ended {
            return;
        }
        let end = self.buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.buffer.truncate(end);
        self.looked = self.looked.min(end);
        self.skipping &= self.at < end;
        self.ended = true;
    }

    fn whole(&mut self, mut line: Vec<u8>) -> Next {
        self.number += 1;
        if std::mem::take(&mut self.skipping) {
            return Next::TooLong;
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Next::Line(line)
    }
}

/// Found out before anything is sent. A pipe is opened once only: who writes to it would see it closed.
fn can_be_read(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if metadata.is_file() { File::open(path).map(drop) } else { Ok(()) }
}

/// Reads what is there, once, and does not wait for more.
fn read_once(mut file: &File, into: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(count) => {
                into.extend_from_slice(&chunk[..count]);
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether something, or the end, can be read; regular files always can. A signal ends the wait.
fn is_readable(file: &File, patience: Duration) -> bool {
    let mut fds = [PollFd::new(file, PollFlags::IN)];
    let patience = Timespec::try_from(patience).unwrap_or_default();
    poll(&mut fds, Some(&patience)).is_ok() && !fds[0].revents().is_empty()
}

/// A run: what was sent and what came of it.
struct Run<'a> {
    send: &'a Send,
    sender: AckedSender,
    host: String,
    /// Bytes of each unsettled line, and their sum.
    lengths: VecDeque<usize>,
    ahead: usize,
    refused: u64,
    too_long: u64,
    /// Something could not be read.
    failed: bool,
    /// The signal that came, and when.
    stopped: Option<(i32, Instant)>,
    began: Instant,
    /// When something was last settled, or there was nothing to settle.
    moved: Instant,
    progress: Option<Instant>,
}

pub(crate) fn run(send: &Send) -> Result<Exit, Error> {
    if !send.endpoint.contains("://") && !send.endpoint.starts_with('@') {
        return Err(Error::Usage(format!(
            "\"{}\" is no endpoint; one looks like tcp://loghost:5140, and files come after it",
            send.endpoint
        )));
    }
    let target = send.trust.resolve(std::slice::from_ref(&send.endpoint), &[])?;
    let mut files = VecDeque::from(send.files.clone());
    if files.is_empty() {
        files.push_back(PathBuf::from("-"));
    }
    // a name that is wrong is found before anything is sent
    let named = files.iter().filter(|path| *path != Path::new("-"));
    named.into_iter().try_for_each(|path| can_be_read(path).map_err(Error::file(path)))?;
    let signals = Signals::listen().map_err(Error::Output)?;
    let connect = match send.compress {
        Compress::None => AckedSender::connect,
        Compress::Zstd => AckedSender::connect_packing,
    };
    let sender = connect(&target.endpoints, &target.credentials, "rzlog send")?;
    let mut run = Run::new(send, sender);
    let outcome = run.all_of(files, &signals);
    let outcome = outcome.map(|exit| run.stopped.map_or(exit, |(signal, _)| Exit::signal(signal)));
    // whatever ended it, it is told how far it came
    let exit = run.end(*outcome.as_ref().unwrap_or(&Exit::FAILED));
    outcome.map(|_| exit)
}

impl<'a> Run<'a> {
    fn new(send: &'a Send, sender: AckedSender) -> Run<'a> {
        let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let own = word(own.trim()).unwrap_or_else(|_| "-".into());
        Run {
            send,
            sender,
            host: send.host.clone().unwrap_or(own),
            lengths: VecDeque::new(),
            ahead: 0,
            refused: 0,
            too_long: 0,
            failed: false,
            stopped: None,
            began: Instant::now(),
            moved: Instant::now(),
            progress: None,
        }
    }

    fn all_of(&mut self, mut files: VecDeque<PathBuf>, signals: &Signals) -> Result<Exit, Error> {
        let mut lines: Option<Lines> = None;
        loop {
            if let (None, Some(signal)) = (self.stopped, signals.came()) {
                self.stop(signal);
                files.clear();
                lines.iter_mut().for_each(Lines::stop);
            }
            if lines.is_none() {
                match files.pop_front().map(|path| Lines::open(&path)).transpose() {
                    Ok(next) => lines = next,
                    Err(error) => self.cannot_read(&error),
                }
            }
            if self.failed {
                (lines, files) = (None, VecDeque::new());
            }
            let Some(open) = &mut lines else {
                if self.sender.unsettled() == 0 {
                    return Ok(Exit::DONE);
                }
                self.drive(SLICE)?;
                if self.gives_up() {
                    return Ok(Exit::NOBODY);
                }
                continue;
            };
            match self.offer_some(open) {
                Pause::End => lines = None,
                Pause::NotYet if self.sender.unsettled() == 0 => {
                    self.drive(Duration::ZERO)?;
                    is_readable(&open.file, SLICE);
                }
                Pause::NotYet => self.drive(SLICE)?,
                Pause::Full if self.ahead >= AHEAD => self.drive(SLICE)?,
                Pause::Full => self.drive(Duration::ZERO)?,
            }
            if self.gives_up() {
                return Ok(Exit::NOBODY);
            }
        }
    }

    /// What was read is still sent, and counted, for a while.
    fn stop(&mut self, signal: i32) {
        self.stopped = Some((signal, Instant::now()));
        if self.sender.unsettled() > 0 && !self.send.quiet {
            self.clear_progress();
            notice(&format!(
                "stops, in {} s at the latest, when what was read is acknowledged; another signal ends it at \
                 once",
                GRACE.as_secs()
            ));
        }
    }

    /// What was read before it is still sent, and counted.
    fn cannot_read(&mut self, error: &Error) {
        self.clear_progress();
        notice(&format!("{error}; nothing more is read"));
        self.failed = true;
    }

    /// Offers what can be read, up to a batch.
    fn offer_some(&mut self, lines: &mut Lines) -> Pause {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let pause = loop {
            if bytes >= BATCH || self.ahead + bytes >= AHEAD {
                break Pause::Full;
            }
            let next = lines.next().unwrap_or_else(|error| {
                self.cannot_read(&error);
                Next::End
            });
            match next {
                Next::Line(line) if line.is_empty() => {}
                Next::Line(line) => {
                    let line = self.dressed(line);
                    bytes += line.len();
                    batch.push(line);
                }
                Next::TooLong => {
                    self.too_long += 1;
                    let (path, number) = (lines.path.display(), lines.number);
                    notice(&format!(
                        "{path}, line {number}: left out, longer than {LONGEST} bytes"
                    ));
                }
                Next::NotYet => break Pause::NotYet,
                Next::End => break Pause::End,
            }
        };
        if self.sender.unsettled() == 0 {
            self.moved = Instant::now();
        }
        self.ahead += bytes;
        self.lengths.extend(batch.iter().map(Vec::len));
        let batch: Vec<_> = batch.iter().map(Vec::as_slice).collect();
        self.sender.offer(&batch);
        pause
    }

    fn dressed(&self, line: Vec<u8>) -> Vec<u8> {
        let Some(tag) = &self.send.tag else { return line };
        let head = format!("<{}>1 {} {} {tag} - - - ", self.send.priority, now(), self.host);
        [head.as_bytes(), &line].concat()
    }

    fn drive(&mut self, patience: Duration) -> Result<(), Error> {
        self.sender.drive(patience)?;
        while self.lengths.len() as u64 > self.sender.unsettled() {
            self.ahead -= self.lengths.pop_front().unwrap_or_default();
            self.moved = Instant::now();
        }
        for line in self.sender.take_refused() {
            self.refused += 1;
            if self.refused <= SHOWN {
                let text =
                    String::from_utf8_lossy(&line.text).chars().take(100).collect::<String>();
                notice(&format!("refused, {}: {text}", line.reason));
            }
        }
        for text in self.sender.take_notices() {
            if !self.send.quiet {
                self.clear_progress();
                notice(&text);
            }
        }
        self.show_progress();
        Ok(())
    }

    fn gives_up(&self) -> bool {
        let patience = Duration::from_secs(self.send.patience);
        let stopped = self.stopped.is_some_and(|(_, since)| since.elapsed() >= GRACE);
        self.sender.unsettled() > 0 && (stopped || self.moved.elapsed() >= patience)
    }

    fn taken(&self) -> u64 {
        self.sender.settled().saturating_sub(self.refused)
    }

    fn show_progress(&mut self) {
        let due = self.progress.is_none_or(|shown| shown.elapsed() >= Duration::from_millis(200));
        if self.send.quiet || !due || !io::stderr().is_terminal() {
            return;
        }
        self.progress = Some(Instant::now());
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{} lines acknowledged, {} under way, {:.0} a second",
            self.taken(),
            self.sender.unsettled(),
            self.taken() as f64 / seconds
        );
    }

    fn clear_progress(&mut self) {
        if self.progress.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn end(mut self, exit: Exit) -> Exit {
        self.clear_progress();
        let unsettled = self.sender.unsettled();
        let mut count = format!("{} lines acknowledged", self.taken());
        if self.refused > 0 {
            count += &format!(", {} refused for good", self.refused);
        }
        if self.too_long > 0 {
            count += &format!(", {} left out", self.too_long);
        }
        if unsettled > 0 {
            let doubt = match self.sender.was_answered() {
                true => "they may have arrived",
                false => "no receiver opened a session, so none of them was sent",
            };
            count += &format!(
                ", {unsettled} not acknowledged ({doubt}); what follows them was not sent"
            );
        }
        if !self.send.quiet || exit != Exit::DONE || self.failed {
            notice(&count);
        }
        match exit {
            Exit::DONE if self.failed => Exit::FAILED,
            Exit::DONE if self.refused > 0 || self.too_long > 0 => Exit::REFUSED,
            exit => exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        fs::write(&path, bytes).unwrap();
        let mut lines = Lines::open(&path).unwrap();
        let mut all = Vec::new();
        loop {
            match lines.next().unwrap() {
                Next::Line(line) => all.push(Some(line)),
                Next::TooLong => all.push(None),
                Next::NotYet => {}
                Next::End => return all,
            }
        }
    }

    #[test]
    fn lines_are_cut_where_they_end() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(lines_of(b"a\r\n\nb\xff\0"), [some("a"), some(""), Some(b"b\xff\0".to_vec())]);
        assert_eq!(lines_of(b""), []);
        let long = "x".repeat(200_000);
        let text = format!("{long}\n{long}\nend\n");
        assert_eq!(lines_of(text.as_bytes()), [some(&long), some(&long), some("end")]);
    }

    #[test]
    fn what_was_read_ends_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        fs::write(&path, "x".repeat(CHUNK - 5) + "\nb\nhalf of one\n").unwrap();
        let mut lines = Lines::open(&path).unwrap();
        assert!(matches!(lines.next(), Ok(Next::Line(line)) if line.len() == CHUNK - 5));
        lines.stop();
        assert!(matches!(lines.next(), Ok(Next::Line(line)) if line == b"b"));
        assert!(matches!(lines.next(), Ok(Next::End)));
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_one_is_not() {
        let mut text = vec![b'x'; 3 * LONGEST];
        text.extend_from_slice(b"\nnext");
        assert_eq!(lines_of(&text), [None, Some(b"next".to_vec())]);
    }

    #[test]
    fn priorities_have_names() {
        assert_eq!(priority("user.notice"), Ok(13));
        assert_eq!(priority("local7.debug"), Ok(191));
        for bad in ["notice", "user.", "loud.notice"] {
            assert!(priority(bad).is_err(), "{bad}");
        }
    }
}
