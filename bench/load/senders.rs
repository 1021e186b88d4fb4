//! Many acknowledged senders: each with its own key, connection and session, and frames of
//! [`FRAME`] lines, of which a few are in flight.

use crate::{peers, say, wait_for_go};
use rzmq_delivery::{FRAME_TARGET, Sender, SenderOptions, SessionId};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Lines a frame, however many senders there are.
const FRAME: u64 = 128;

struct Peer {
    number: usize,
    socket: zmq::Socket,
    sender: Sender,
    /// Lines it has still to offer.
    left: u64,
}

pub(crate) fn run(
    port: u16,
    keys: &Path,
    count: usize,
    lines: usize,
    in_flight: u64,
) -> Result<(), Box<dyn Error>> {
    let context = zmq::Context::new();
    let mut peers = Vec::with_capacity(count);
    for number in 0..count {
        let socket = peers::connect(&context, zmq::DEALER, keys, number, port)?;
        let options = SenderOptions {
            software: "rzmq-load".into(),
            name: format!("sender {number}"),
            compress: None,
            frame_target: FRAME_TARGET,
        };
        let mut session = [0x5e; 16];
        session[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let sender = Sender::new(options, SessionId(session));
        // The first frame is the warm-up.
        peers.push(Peer { number, socket, sender, left: FRAME });
    }
    let clock = Instant::now();
    drive(&mut peers, clock, 1)?;
    say("ready")?;
    wait_for_go()?;
    for peer in &mut peers {
        peer.left = (lines / count) as u64;
    }
    drive(&mut peers, clock, in_flight)?;
    say("done")?;
    Ok(())
}

/// Until all lines of all peers are settled.
fn drive(peers: &mut [Peer], clock: Instant, in_flight: u64) -> Result<(), Box<dyn Error>> {
    let mut text = Text::default();
    let mut awaited = vec![true; peers.len()];
    loop {
        let mut busy = false;
        for (peer, awaited) in peers.iter_mut().zip(&awaited) {
            if *awaited {
                peer.work(clock, in_flight, &mut text)?;
            }
            busy |= peer.left > 0 || !peer.sender.is_idle();
        }
        if !busy {
            return Ok(());
        }
        let mut items: Vec<_> =
            peers.iter().map(|peer| peer.socket.as_poll_item(zmq::POLLIN)).collect();
        let came = zmq::poll(&mut items, 500)?;
        for (awaited, item) in awaited.iter_mut().zip(&items) {
            // Once in a while everybody looks at the clock: a hello may have to be repeated.
            *awaited = came == 0 || item.is_readable();
        }
    }
}

impl Peer {
    fn work(
        &mut self,
        clock: Instant,
        in_flight: u64,
        text: &mut Text,
    ) -> Result<(), Box<dyn Error>> {
        let mut answer = zmq::Message::new();
        loop {
            match self.socket.recv(&mut answer, zmq::DONTWAIT) {
                Ok(()) => drop(self.sender.receive(clock.elapsed(), &answer)?),
                Err(zmq::Error::EAGAIN) => break,
                Err(why) => return Err(why.into()),
            }
        }
        while self.left > 0 && self.sender.next() - self.sender.settled() < in_flight * FRAME {
            let lines = FRAME.min(self.left);
            text.fill(self.number, self.sender.next(), lines)?;
            self.sender.offer(&text.lines());
            self.left -= lines;
        }
        let now = clock.elapsed();
        while let Some(frame) = self.sender.transmit(now) {
            self.socket.send(frame, zmq::DONTWAIT)?;
            self.sender.transmitted(now);
        }
        Ok(())
    }
}

/// Lines of a frame: about 200 bytes, no two alike.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    dice: u64,
}

impl Text {
    fn fill(&mut self, sender: usize, first: u64, lines: u64) -> std::io::Result<()> {
        self.bytes.clear();
        self.ends.clear();
        for number in first..first + lines {
            let [a, b, c] = [self.throw(), self.throw(), self.throw()];
            write!(
                self.bytes,
                "<134>2026-11-24T10:00:00.000000+00:00 bench web: s={sender:05} n={number:09} \
                 {a:016x} \"GET /api/{b:016x}?id={c:016x} HTTP/1.1\" 200 Mozilla/5.0 (X11; Linux x86_64) \
                 rid={a:016x}{c:016x}"
            )?;
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    fn lines(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end]).collect()
    }

    /// splitmix64.
    fn throw(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
