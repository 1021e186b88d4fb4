//! What imrzmq and omrzmq share: the parameters both have (params.rs, of trust: security.rs), rsyslogd's log
//! as the place for the link's notices (notices.rs), files in the work directory that outlive the process
//! (statefile.rs), HUP (hup.rs), and the reference and man pages (reference.rs, manual.rs). The only crate
//! beside the modules that knows both host and link.
//!
//! No threads; one lock, for HUP (hup.rs).

mod hup;
pub mod manual;
mod notices;
mod params;
pub mod reference;
mod security;
pub mod statefile;

pub use hup::Hup;
pub use notices::{InstanceNotices, PeerCounters};
pub use params::{INSTANCE, Instance, MODULE, mistake, socket_type, unusable};
pub use security::Credentials;

use rzmq_host::LoadError;

/// What the loaded libzmq must offer before a module may be used.
pub fn requirement() -> Result<(), LoadError> {
    if rzmq_link::has_curve() {
        Ok(())
    } else {
        Err(LoadError::Requirement(
            "the libzmq on this machine was built without CURVE; install the distribution's libzmq5",
        ))
    }
}
