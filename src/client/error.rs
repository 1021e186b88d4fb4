//! What can go wrong, as sentences.

use rzmq_link::{EndpointError, LinkError, SecurityError};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The endpoint is written wrongly.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The credentials cannot be used.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The socket cannot be opened or used.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// There is more than one endpoint, or it is to be bound.
    #[error("\"{0}\": one endpoint that can be called is needed here, such as tcp://loghost:5140")]
    OneToCall(String),
    /// Some of them are to be bound, or there is none.
    #[error("\"{0}\": endpoints that can be called are needed here, such as tcp://loghost:5140")]
    ToCall(String),
}
