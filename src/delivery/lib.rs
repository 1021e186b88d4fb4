//! Acknowledged delivery as a pure state machine: bytes, lines and the time go in; bytes, verdicts
//! and deadlines come out. No sockets, no threads, no clock, no files, no rsyslog, no ZeroMQ.
//!
//! docs/protocol.md defines every byte. `wire` is the codec and holds no state; `block` is the lines
//! of a frame; [`Sender`] is one session on the sending side, `frames` how its lines are packed, [`Choice`]
//! which of several receivers it speaks to; [`Receiver`] is all sessions of one
//! input; `marks` is what a receiver writes down. Each has its driver in the modules: omrzmq's
//! channel and imrzmq's listener, which alone know sockets and clocks.
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
mod marks;
mod outframe;
mod receiver;
mod sender;
mod wire;

pub use block::{Block, BlockError};
pub use choice::{Choice, Turn};
pub use codes::{ErrorCode, LaterReason, RefusedReason};
pub use event::{Doubt, Event, RefusedLine};
pub use head::Head;
pub use marks::{MARK_BYTES, Mark};
pub use outframe::SpooledFrame;
pub use receiver::{Accepted, Incoming, Key, PeerId, Reaction, Receiver, ReceiverLimits};
pub use sender::{COMPRESS_FAST, FRAME_TARGET, Sender, SenderOptions};
pub use wire::{
    Ack, Codec, Data, ErrorFrame, FRAME_MIN, Frame, Hello, Later, Limits, Refused, SessionId,
    Welcome, WireError, decode, is_frame,
};
