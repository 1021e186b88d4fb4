//! What a sender hears of its receiver, beyond the numbers.

use crate::codes::{ErrorCode, LaterReason, RefusedReason};
use crate::wire::{SessionId, WireError};

/// A line that the receiver will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its number.
    pub number: u64,
    /// Why.
    pub reason: RefusedReason,
    /// Its bytes, as the receiver counted them.
    pub bytes: u32,
    /// The line.
    pub text: Vec<u8>,
}

/// What a received frame came to, beyond the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing the driver needs to know.
    Nothing,
    /// The receiver answered a hello: lines go out.
    Welcome,
    /// The receiver does not take lines for a while.
    Later(LaterReason),
    /// The receiver reports an error; the sender will say hello.
    Trouble(ErrorCode, String),
    /// The session is lost to this sender: the driver gives it a new one with
    /// [`Sender::renumber`](crate::Sender::renumber).
    SessionLost(ErrorCode, String),
}

impl Event {
    /// What people should hear of it, if anything; with the session's id where they may look for it.
    pub fn sentence(&self, session: Option<SessionId>) -> Option<String> {
        match self {
            Self::Nothing | Self::Welcome => None,
            Self::Later(reason) => Some(format!("the receiver takes nothing now: {reason}")),
            Self::Trouble(code, text) => {
                Some(format!("the receiver answers an error ({code}): {text}"))
            }
            Self::SessionLost(code, text) => {
                let session = session.map(|id| format!("the session {id}"));
                let session = session.as_deref().unwrap_or("the session");
                Some(format!(
                    "{session} is lost ({code}): {text}. What is unsettled goes on in a new one, and may \
                     arrive twice"
                ))
            }
        }
    }
}

/// Why a frame of the receiver makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It cannot be read.
    #[error("the receiver sent a frame that cannot be read: {0}")]
    Wire(#[from] WireError),
    /// It is one that only senders send.
    #[error("the receiver sent a frame that only senders send")]
    Direction,
    /// It settles lines that were never sent.
    #[error("the receiver settles lines up to {have}, but only {sent} were sent")]
    Ahead {
        /// What it says.
        have: u64,
        /// What is true.
        sent: u64,
    },
}
