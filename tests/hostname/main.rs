//! What imrzmq itself reads of a line is what rsyslogd's parsers make of it: the HOSTNAME for `enforcehost`,
//! by which a stolen key speaks for no other host, and all that `earlyparse` reads.

mod corpus;
mod early;
mod enforce;
// The reader itself, as imrzmq has it: it needs nothing of the module around it.
#[path = "../../src/imrzmq/hostname.rs"]
mod hostname;
