//! The live view's driver: reads lines, asks for keys, paints. One thread; the terminal and the signals
//! have one each beside it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossterm::event::Event;
use signal_hook::consts::{SIGHUP, SIGINT};

use super::lens::Lens;
use super::picture::{View, picture};
use super::reader::Reader;
use super::state::{Act, Page, State};
use super::terminal::{Terminal, give_back_keys, is_gone};
use crate::error::{Error, Exit};
use crate::seen::Seen;
use crate::signals::Signals;

/// How soon a key is answered while no lines come.
const SLICE: Duration = Duration::from_millis(50);
/// How often the numbers are painted anew, and lines as they come.
const PAINT: Duration = Duration::from_secs(1);
const PAINT_LINES: Duration = Duration::from_millis(100);

pub(super) fn run(mut reader: Reader, lens: Lens) -> Result<Exit, Error> {
    let signals = Signals::listen_on_terminal(give_back_keys).map_err(Error::Terminal)?;
    let ended = watch(&mut reader, lens, &signals);
    remember(&reader);
    match ended {
        // whether HUP comes first or an error of the terminal is chance
        Err(Error::Terminal(_)) if is_gone() => Ok(Exit::signal(SIGHUP)),
        ended => ended,
    }
}

fn watch(reader: &mut Reader, lens: Lens, signals: &Signals) -> Result<Exit, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut terminal = Terminal::take().map_err(Error::Terminal)?;
    let mut state = State::new(lens);
    let (mut painted, mut changed, mut new_lines) = (None::<Instant>, true, false);
    loop {
        if let Some(signal) = signals.came() {
            return Ok(Exit::signal(signal));
        }
        for notice in reader.notices() {
            state.tell(reader.now(), notice);
            changed = true;
        }
        let act = keys(&mut terminal, &mut state, reader)?;
        match act {
            Act::Quit => return Ok(Exit::DONE),
            // what the terminal would have sent
            Act::Interrupt => return Ok(Exit::signal(SIGINT)),
            Act::Suspend => {
                terminal.suspend().map_err(Error::Terminal)?;
                reader.paused();
            }
            Act::Repaint => terminal.repaint(),
            Act::Show | Act::Nothing => {}
        }
        changed |= act != Act::Nothing;
        let now = reader.now();
        let patience = if act == Act::Nothing { SLICE } else { Duration::ZERO };
        reader.read(patience, |message, line, place| {
            if let Page::Tail(pane) = &mut state.page {
                new_lines |= pane.offer(message.endpoint, place, line.message, now);
            }
        })?;
        let is_due = painted.is_none_or(|painted| {
            let pause = if new_lines { PAINT_LINES } else { PAINT };
            painted.elapsed() >= pause
        });
        if changed || is_due {
            (painted, changed, new_lines) = (Some(Instant::now()), false, false);
            let (now, size) = (reader.now(), terminal.size());
            let view = View { table: &reader.table, now, began: since.as_secs(), size };
            terminal.paint(picture(&mut state, &view)).map_err(Error::Terminal)?;
        }
    }
}

/// Keys up to the first one that means something: the next is for the picture that it leads to.
fn keys(terminal: &mut Terminal, state: &mut State, reader: &Reader) -> Result<Act, Error> {
    while let Some(event) = terminal.next().map_err(Error::Terminal)? {
        let act = match event {
            Event::Key(key) => state.press(key, &reader.table),
            Event::Resize(..) => Act::Show,
            _ => Act::Nothing,
        };
        if act != Act::Nothing {
            return Ok(act);
        }
    }
    Ok(Act::Nothing)
}

/// Hosts and programs, for completion.
fn remember(reader: &Reader) {
    let mut seen = Seen::load();
    reader.table.names().for_each(|name| seen.note(Some(name)));
    seen.save();
}
