//! ZeroMQ as rsyslog-rzmq uses it: endpoints, socket types, options, CURVE with its
//! certificates, the authenticator, the monitor. It knows nothing of rsyslog.
//!
//! A module reads its parameters with [`parse_endpoints`], [`SocketType::parse`] and
//! [`Security::from_settings`] while the configuration is read (this starts no thread), makes
//! one [`Context`] at activation, and opens a [`Socket`] for each instance or worker.
//!
//! Layers, lower first:
//! - `z85`, and `raw`: libzmq's C functions made safe, the only `unsafe`.
//! - Keys and who has them: `random`, `signs`, `zpl`, `certificate`, `certificate_file`, `names`,
//!   `certificate_folder`; `reread`, `credential_notice`, `credentials`, `allow_list`.
//! - What a statement says: `endpoint`, `few_files`, `socket_type`, `error`, `options`, `security`, `spec`.
//! - What is told: `throttle`, `handshake_failure`, `notice`.
//! - A socket's connections: `threshold`, `door`, `roster`, `servers`, `calls`, `written`, `events`, `connections`; and
//!   the numbers of its messages: `numbering`, `gaps`.
//! - A thread each, a context: `authenticator`, `monitor`, `watcher`, `teller`.
//! - `owner`, `socket`, `context`: a socket keeps its context, so these two know each other.

mod allow_list;
mod authenticator;
mod calls;
mod certificate;
mod certificate_file;
mod certificate_folder;
mod connections;
mod context;
mod credential_notice;
mod credentials;
mod door;
mod endpoint;
mod error;
mod events;
mod few_files;
mod gaps;
mod handshake_failure;
mod monitor;
mod names;
mod notice;
mod numbering;
mod options;
mod owner;
mod random;
mod raw;
mod reread;
mod roster;
mod security;
mod servers;
// the host layer's list, which is not built into rzlog
#[path = "../host/signs.rs"]
mod signs;
mod socket;
mod socket_type;
mod spec;
mod teller;
mod threshold;
mod throttle;
mod watcher;
mod written;
mod z85;
mod zpl;

pub use allow_list::AllowList;
pub use certificate::{
    Certificate, CertificateError, KeyPair, PublicKey, generate, load_own, load_peer,
};
pub use certificate_file::{
    Existing, Metadata, WriteError, load_metadata, write_pair, write_public,
};
pub use certificate_folder::{Directory, is_hidden_or_backup, load_directory};
pub use context::Context;
pub use credential_notice::CredentialNotice;
pub use credentials::{OwnKey, ServerKeys};
pub use endpoint::{Endpoint, EndpointError, Mode, parse_endpoints};
pub use error::LinkError;
pub use few_files::{FewFiles, few_files};
pub use gaps::{Gaps, Missed};
pub use handshake_failure::{FailureKind, HandshakeFailure};
pub use names::{Names, NamesError};
pub use notice::{Change, Limit, Notice, Notices};
pub use numbering::{Next, Numbering};
pub use options::Options;
pub use random::random;
pub use raw::spawn_without_signals;
pub use security::{Allowed, Security, SecurityError, SecuritySettings};
pub use signs::misleads;
pub use socket::{Readiness, Received, Sent, Socket, wait_any};
pub use socket_type::{SocketType, SocketTypeError};
pub use spec::SocketSpec;
pub use throttle::{HeldBack, Throttle};

/// The loaded libzmq can encrypt. One that cannot must not be used.
pub fn has_curve() -> bool {
    raw::has(c"curve")
}

/// The loaded libzmq has the draft API (RADIO, DISH, SCATTER, GATHER, CLIENT, SERVER).
pub fn has_drafts() -> bool {
    raw::has_drafts()
}

/// The version of the loaded libzmq as people write it.
fn version_text() -> String {
    let (major, minor, patch) = raw::version();
    format!("{major}.{minor}.{patch}")
}
