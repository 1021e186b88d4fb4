//! Properties of the codec and of both machines against anything that may come from the wire, and single
//! things that one of them must withstand.

#![allow(clippy::unwrap_used, clippy::panic)]

mod frames;
mod generators;
mod machines;
mod receiver;
mod sender;
mod sessions;

use rzmq_delivery::{FRAME_TARGET, Sender, SenderOptions, SessionId};
use std::time::Duration;

const SESSION: SessionId = SessionId([7; 16]);

fn sender() -> Sender {
    let options = SenderOptions {
        software: "s".into(),
        name: "n".into(),
        compress: None,
        frame_target: FRAME_TARGET,
    };
    Sender::new(options, SESSION)
}

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bytes
}

/// Everything that may be transmitted now.
fn drain(sender: &mut Sender, now: Duration) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(frame) = sender.transmit(now) {
        frames.push(frame.to_vec());
        sender.transmitted(now);
        assert!(frames.len() < 10_000, "transmit has no end");
    }
    frames
}
