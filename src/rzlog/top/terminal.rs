//! The terminal: taken, painted on, and given back as it was in every way out.
//!
//! It is given back on drop, by the panic hook before a panic is told, and by a second signal of somebody
//! who does not want to wait. Threads: one that reads keys, for reading may block on half a sequence and
//! does not end where the terminal is gone (its reader tries for ever). Locks: none of ours.

use std::io::{self, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event};
use crossterm::style::{Attribute, Color, Print, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{execute, queue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_current_process_group};

use super::picture::{Ink, Row};

/// Keys that wait to be looked at.
const KEYS: usize = 256;
/// Where a terminal does not know how large it is.
const USUAL: (u16, u16) = (80, 24);

/// It is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

pub(super) struct Terminal {
    keys: Receiver<io::Result<Event>>,
    size: (u16, u16),
    colours: bool,
    /// What stands there.
    painted: Vec<Row>,
    buffer: Vec<u8>,
}

impl Terminal {
    /// Takes it: whole, without a cursor, and keys are ours.
    pub(super) fn take() -> io::Result<Terminal> {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            previous(panic);
        }));
        enter()?;
        let (sender, keys) = sync_channel(KEYS);
        let read = move || {
            while let Ok(()) = sender.send(event::read()) {}
        };
        // from here on it is given back by whoever drops this
        let terminal = Terminal {
            keys,
            size: size_now(),
            colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            painted: Vec::new(),
            buffer: Vec::new(),
        };
        thread::Builder::new().name("rzlog-keys".into()).spawn(read)?;
        Ok(terminal)
    }

    /// Columns and rows, now: no event tells of what changed before there was somebody to hear it.
    pub(super) fn size(&mut self) -> (u16, u16) {
        let size = size_now();
        if size != self.size {
            self.size = size;
            self.painted.clear();
        }
        self.size
    }

    /// What was pressed, or happened to the window, since the last call; an error where no more can come.
    pub(super) fn next(&mut self) -> io::Result<Option<Event>> {
        match self.keys.try_recv() {
            Ok(event) => {
                let event = event?;
                if let Event::Resize(..) = event {
                    self.painted.clear();
                }
                Ok(Some(event))
            }
            Err(TryRecvError::Empty) if is_gone() => Err(io::ErrorKind::BrokenPipe.into()),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(io::Error::other("its keys cannot be read")),
        }
    }

    /// Paints the rows that are not there yet.
    pub(super) fn paint(&mut self, rows: Vec<Row>) -> io::Result<()> {
        let buffer = &mut self.buffer;
        buffer.clear();
        queue!(buffer, BeginSynchronizedUpdate)?;
        if self.painted.is_empty() {
            queue!(buffer, Clear(ClearType::All))?;
        }
        for (number, row) in (0..).zip(&rows) {
            if self.painted.get(usize::from(number)) == Some(row) {
                continue;
            }
            queue!(buffer, MoveTo(0, number), Clear(ClearType::UntilNewLine))?;
            for span in row {
                // each at its place, whatever width the terminal gives to those before it
                queue!(buffer, MoveTo(span.column, number))?;
                ink(buffer, span.ink, self.colours)?;
                queue!(buffer, Print(&span.text), SetAttribute(Attribute::Reset))?;
            }
        }
        queue!(buffer, EndSynchronizedUpdate)?;
        self.painted = rows;
        let mut out = io::stdout().lock();
        out.write_all(buffer)?;
        out.flush()
    }

    /// Gives it back, and stops until somebody lets it go on: as the terminal's own ^Z does, with all that
    /// was started with it (sudo, a pipe). Where no shell could let it go on, the system stops nobody.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        kill_current_process_group(Signal::TSTP)?;
        enter()?;
        self.repaint();
        Ok(())
    }

    /// What stands there may be somebody else's.
    pub(super) fn repaint(&mut self) {
        self.painted.clear();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::Relaxed);
    let entered = execute!(io::stdout(), EnterAlternateScreen, DisableLineWrap, Hide);
    entered.inspect_err(|_| give_back())
}

/// As it was before. Where it is gone there is nobody to tell.
fn give_back() {
    if TAKEN.swap(false, Ordering::Relaxed) {
        // first, for it waits for nobody
        let _ = disable_raw_mode();
        let _ = execute!(io::stdout(), EndSynchronizedUpdate, SetAttribute(Attribute::Reset));
        let _ = execute!(io::stdout(), Show, EnableLineWrap, LeaveAlternateScreen);
    }
}

/// For who does not wait until it takes what is written: at least it obeys keys as before.
pub(super) fn give_back_keys() {
    let _ = disable_raw_mode();
}

fn size_now() -> (u16, u16) {
    size().ok().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(USUAL)
}

/// The other end is closed: seen without writing to it.
pub(super) fn is_gone() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let asked = poll(&mut fds, Some(&Timespec::default()));
    let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    asked.is_ok() && fds[0].revents().intersects(gone)
}

fn ink(buffer: &mut Vec<u8>, ink: Ink, colours: bool) -> io::Result<()> {
    let attribute = match ink {
        Ink::Bold | Ink::Grave => Some(Attribute::Bold),
        Ink::Error if !colours => Some(Attribute::Bold),
        Ink::Faint => Some(Attribute::Dim),
        Ink::Chosen => Some(Attribute::Reverse),
        Ink::Plain | Ink::Warning | Ink::Error => None,
    };
    let colour = match ink {
        Ink::Grave | Ink::Error => Some(Color::DarkRed),
        Ink::Warning => Some(Color::DarkYellow),
        _ => None,
    };
    if let Some(attribute) = attribute {
        queue!(buffer, SetAttribute(attribute))?;
    }
    if let Some(colour) = colour.filter(|_| colours) {
        queue!(buffer, SetForegroundColor(colour))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, tcgetattr};
    use std::fs::{File, OpenOptions};
    use std::io::Read;
    use std::process::{Command, Stdio};

    const VICTIM: &str = "top::terminal::tests::victim_of_a_panic";

    #[test]
    #[ignore = "run by the next one, on a terminal of its own"]
    fn victim_of_a_panic() {
        let mut terminal = Terminal::take().unwrap();
        terminal.paint(vec![Row::new()]).unwrap();
        panic!("on purpose");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let open = || {
            let far =
                OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
            Stdio::from(far)
        };
        // setsid, so that it becomes nobody's controlling terminal but the victim's
        let status = Command::new("setsid")
            .arg("--ctty")
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", VICTIM, "--nocapture"])
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .status()
            .unwrap();
        assert!(!status.success());
        let modes = tcgetattr(&near).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
        let (mut said, mut near, mut buffer) = (Vec::new(), File::from(near), [0; 4096]);
        while let Ok(count @ 1..) = near.read(&mut buffer) {
            said.extend_from_slice(&buffer[..count]);
        }
        let said = String::from_utf8_lossy(&said);
        let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("no {text:?} in {said:?}"));
        assert!(at("\x1b[?1049h") < at("\x1b[?25h"), "{said:?}");
        assert!(at("\x1b[?25h") < at("\x1b[?1049l"), "{said:?}");
        assert!(at("\x1b[?1049l") < at("on purpose"), "{said:?}");
    }
}
