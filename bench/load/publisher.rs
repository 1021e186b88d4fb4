//! A publisher of far more lines than anybody asks for. The topics `host000.app.`, `host001.app.`, … take
//! turns; a message is such a frame, its number within the topic as omrzmq writes it, and a line of about 200
//! bytes with its own number in it.
//!
//! Up to the first line on its standard input it says a line of each topic now and then, without a number, so
//! that a subscription can be seen to work. It says `done` and how many seconds its lines took. At the next line
//! on its standard input it says a last line of each topic, by which a reader sees whether any were dropped
//! before it, and stays until that ends, so that what was sent is delivered.

use crate::{peers, say};
use rzmq_link::Numbering;
use std::error::Error;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Between two rounds before it begins.
const ROUND: Duration = Duration::from_millis(20);
/// Lines between two looks at the clock, where there is a rate.
const BURST: usize = 500;

pub(crate) fn run(
    port: u16,
    keys: &Path,
    topics: usize,
    lines: usize,
    rate: u64,
) -> Result<(), Box<dyn Error>> {
    let context = zmq::Context::new();
    let socket = peers::publish(&context, keys, port)?;
    let mut texts: Vec<_> = (0..topics).map(Text::new).collect();
    let mut numbers = Numbering::new();
    say("ready")?;
    let (sender, orders) = channel();
    thread::spawn(move || {
        io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    while orders.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
        texts.iter().try_for_each(|text| text.send(&socket, &mut numbers))?;
    }
    let began = Instant::now();
    for number in 0..lines {
        let text = &mut texts[number % topics];
        text.set(number)?;
        text.send(&socket, &mut numbers)?;
        if rate > 0 && number % BURST == 0 {
            let due = Duration::from_secs_f64(number as f64 / rate as f64);
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    say(&format!("done {:.3}", began.elapsed().as_secs_f64()))?;
    while orders.recv().is_ok() {
        for text in &mut texts {
            text.place().copy_from_slice(b"last-line");
            text.send(&socket, &mut numbers)?;
        }
    }
    Ok(())
}

/// A topic and its line.
struct Text {
    topic: Vec<u8>,
    line: Vec<u8>,
    /// Where the number is.
    at: usize,
}

impl Text {
    fn new(topic: usize) -> Text {
        let head = format!("<134>2026-11-24T10:00:00.000000+00:00 host{topic:03} app: n=");
        let mut line = head.into_bytes();
        let at = line.len();
        line.extend_from_slice(b"warm-up-- \"GET /api/v1/items/4711 HTTP/1.1\" 200 5120 ");
        line.resize(200, b'x');
        Text { topic: format!("host{topic:03}.app.").into_bytes(), line, at }
    }

    fn set(&mut self, number: usize) -> io::Result<()> {
        write!(self.place(), "{number:09}")
    }

    /// Nine bytes.
    fn place(&mut self) -> &mut [u8] {
        &mut self.line[self.at..self.at + 9]
    }

    fn send(&self, socket: &zmq::Socket, numbers: &mut Numbering) -> Result<(), zmq::Error> {
        let next = numbers.next(&self.topic);
        socket.send(&self.topic, zmq::SNDMORE)?;
        socket.send(next.frame(), zmq::SNDMORE)?;
        socket.send(&self.line, 0)?;
        next.taken();
        Ok(())
    }
}
