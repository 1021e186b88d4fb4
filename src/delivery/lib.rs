//! Acknowledged delivery as a pure state machine: bytes, lines and the time go in; bytes, verdicts
//! and deadlines come out. No sockets, no threads, no clock, no files, no rsyslog, no ZeroMQ.
//!
//! docs/protocol.md defines every byte. `wire` is the codec and holds no state, `codes` its numbers with
//! their words; `block` is the lines of a frame, `head` what may stand before one of them. [`Sender`] is one
//! session on the sending side, `frames` how its lines are packed, `outframe` a frame until it is settled,
//! `event` what the driver hears; [`Choice`] says which of several receivers it speaks to. [`Receiver`] is
//! the receiving side of one input, `sessions` its table, `incoming` the new lines of a frame, `marks` what
//! is written down. The drivers, which alone know sockets and clocks, are the files acked.rs of omrzmq,
//! imrzmq and the client.
//!
//! Invariants, which the simulation holds against every schedule:
//! - a line is settled at the sender only after the receiver accepted or refused it;
//! - within a session, lines are accepted in the order of their numbers, each once, unless the
//!   receiver died between accepting a chunk and writing it down;
//! - what is in memory is bounded by the window at the receiver and by what was offered at the sender.
#![forbid(unsafe_code)]

mod block;
mod choice;
mod codes;
mod event;
mod frames;
mod head;
mod incoming;
mod marks;
mod outframe;
mod receiver;
mod sender;
mod sessions;
mod wire;

pub use block::{Block, BlockError};
pub use choice::{Choice, Turn};
pub use codes::{ErrorCode, LaterReason, RefusedReason};
pub use event::{Doubt, Event, RefusedLine};
pub use head::Head;
pub use incoming::Incoming;
pub use marks::{MARK_BYTES, Mark};
pub use outframe::SpooledFrame;
pub use receiver::{Accepted, Key, PeerId, Reaction, Receiver, ReceiverLimits};
pub use sender::{COMPRESS_FAST, FRAME_TARGET, Sender, SenderOptions};
pub use wire::{
    Ack, Codec, Data, ErrorFrame, FRAME_MIN, Frame, Hello, Later, Limits, Refused, SessionId,
    Welcome, WireError, decode, is_frame,
};
