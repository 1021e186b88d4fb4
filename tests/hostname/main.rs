//! `enforcehost`: what imrzmq reads as a line's HOSTNAME is what rsyslogd's parsers make of it, and a
//! stolen key speaks for no other host.

mod corpus;
mod enforce;
// The reader itself, as imrzmq has it: it needs nothing of the module around it.
#[path = "../../src/imrzmq/hostname.rs"]
mod hostname;
