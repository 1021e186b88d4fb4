//! Subscribers of one publisher. The topics `t000000|`, `t000001|`, … are dealt among them in turn, so
//! that each line goes to one of them, however many topics there are.
//!
//! A message is a topic and then ` w` before the clock starts, until every subscription is known to
//! work, or ` n=` and the line's number in nine digits.

use crate::{peers, say, wait_for_go};
use std::error::Error;
use std::path::Path;

pub(crate) fn run(
    port: u16,
    keys: &Path,
    count: usize,
    lines: usize,
    topics: usize,
) -> Result<(), Box<dyn Error>> {
    let context = zmq::Context::new();
    let count = count.min(topics);
    let mut sockets = Vec::with_capacity(count);
    for number in 0..count {
        let socket = peers::connect(&context, zmq::SUB, keys, number, port)?;
        for topic in (number..topics).step_by(count) {
            socket.set_subscribe(format!("t{topic:06}|").as_bytes())?;
        }
        sockets.push(socket);
    }
    // Subscriptions arrive in their order: a line of the last one tells that all are there.
    let mut waiting = vec![true; count];
    while waiting.contains(&true) {
        take(&sockets, |subscriber, message| {
            if number(message, 1..7)? + count >= topics {
                waiting[subscriber] = false;
            }
            Ok(())
        })?;
    }
    say("ready")?;
    wait_for_go()?;
    let mut seen = vec![false; lines];
    let mut left = lines;
    while left > 0 {
        take(&sockets, |_, message| {
            if message.get(9) == Some(&b'w') {
                return Ok(());
            }
            let number = number(message, 11..20)?;
            match seen.get_mut(number) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(format!("line {number} came twice, or is none of ours").into()),
            }
            left -= 1;
            Ok(())
        })?;
    }
    say("done")?;
    Ok(())
}

/// Waits, and takes all that is there.
fn take(
    sockets: &[zmq::Socket],
    mut with: impl FnMut(usize, &[u8]) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut items: Vec<_> = sockets.iter().map(|it| it.as_poll_item(zmq::POLLIN)).collect();
    zmq::poll(&mut items, -1)?;
    let mut message = zmq::Message::new();
    for (subscriber, socket) in sockets.iter().enumerate() {
        loop {
            match socket.recv(&mut message, zmq::DONTWAIT) {
                Ok(()) => with(subscriber, &message)?,
                Err(zmq::Error::EAGAIN) => break,
                Err(why) => return Err(why.into()),
            }
        }
    }
    Ok(())
}

/// The number at this place of a message.
fn number(message: &[u8], place: std::ops::Range<usize>) -> Result<usize, Box<dyn Error>> {
    let digits = message.get(place).ok_or("a message ends within its number")?;
    Ok(std::str::from_utf8(digits)?.parse()?)
}
