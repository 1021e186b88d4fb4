//! What carries a batch to the peer: best-effort messages (besteffort.rs) or acknowledged delivery
//! (acked.rs). The commit discipline (worker.rs) and the keeper (keeper.rs) are the same for both.

use crate::action::{Action, Running};
use rzmq_delivery::SessionId;
use rzmq_host::Batch;
use rzmq_link::LinkError;
use rzmq_module::statefile::StateFileError;
use std::sync::Arc;
use std::time::Duration;

/// One worker's way to the peer. It belongs to one thread at a time, and is left to the action when
/// its thread ends.
pub(crate) trait Carrier: Send {
    /// A batch is about to be carried.
    fn begin(&mut self, context: Context<'_>, batch: Batch<'_>);

    /// Carries what can be carried without waiting.
    ///
    /// # Errors
    /// When the socket does not work; it is opened anew in the next step.
    fn advance(&mut self, context: Context<'_>, batch: Batch<'_>) -> Result<Advance, CarrierError>;

    /// Waits until another step is worth trying, or until `patience` is over; answers whether it is.
    fn wait(&mut self, context: Context<'_>, patience: Duration) -> bool;

    /// Why nothing moves.
    fn why_stuck(&self, context: Context<'_>) -> Stuck;

    /// The batch's rest as records for the spool. It stays this carrier's.
    fn rest(&self, batch: Batch<'_>) -> Rest;

    /// The rest is in the spool: it is no longer this carrier's.
    fn let_go(&mut self);

    /// The batch stays rsyslog's, which offers it again.
    fn suspended(&mut self, batch: Batch<'_>);

    /// The engine has given up what was answered SUSPENDED: lines to come are other ones.
    fn given_up(&mut self);

    /// Carries the lines of a former run; one short step.
    ///
    /// # Errors
    /// When the socket does not work or the spool cannot be read. What is sent of it and cannot be noted holds
    /// up nobody ([`crate::spool::Spool::take_owed`]).
    fn advance_spool(&mut self, context: Context<'_>) -> Result<SpoolStep, CarrierError>;
}

/// Where a carrier works.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) action: &'a Arc<Action>,
    pub(crate) running: &'a Running,
}

/// Why nothing moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// Nobody is connected.
    Absent,
    /// Nobody is connected, and since a line last got through a server has refused our key.
    Refused,
    /// The peer is connected but does not answer the hello of acknowledged delivery.
    Unanswered,
    /// The peer takes, or acknowledges, nothing for the time being.
    Busy,
}

impl Stuck {
    /// Nobody is connected: whether for a reason that is known.
    pub(crate) fn unconnected(context: Context<'_>) -> Self {
        if context.running.is_key_refused() { Self::Refused } else { Self::Absent }
    }

    /// As a sentence for the log.
    pub(crate) fn sentence(&self, endpoints: &str) -> String {
        match self {
            Self::Absent => format!("no peer is connected ({endpoints})"),
            Self::Refused => format!("no peer is connected: our key is refused ({endpoints})"),
            Self::Unanswered => format!(
                "{endpoints} is connected but does not answer the hello of acknowledged delivery (is it \
                 an imrzmq input with socktype=\"ROUTER\"?)"
            ),
            Self::Busy => format!("the peer takes nothing more for the time being ({endpoints})"),
        }
    }
}

/// What is left of a batch.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// As the spool keeps it.
    pub(crate) records: Vec<u8>,
    /// Lines that are not known to be with the peer.
    pub(crate) lines: u64,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advance {
    /// The whole batch is off rsyslog's hands.
    Done,
    /// Some of it is.
    Moved,
    /// Nothing could be done.
    Stuck,
}

/// What a step with the spool came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpoolStep {
    /// The spool is empty.
    Done,
    /// Some lines are gone.
    Moved,
    /// Nothing could be done, for a short time.
    Waited,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarrierError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the spool: {0}")]
    Spool(#[from] StateFileError),
    #[error("the spool: a frame of session {0} is damaged; it and what follows stay there")]
    Frame(SessionId),
}
