//! The other end of rsyslog's modules omrzmq and imrzmq, for programs: read the lines that a publisher
//! has, send lines that are acknowledged, and find out why a connection does not come about.
//!
//! Knows ZeroMQ through src/link and acknowledged delivery through src/delivery, and nothing of rsyslog.
//!
//! # Read
//!
//! `examples/read.rs`, which tests/rzlog runs against a publisher:
//!
//! ```no_run
#![doc = include_str!("examples/read.rs")]
//! ```
//!
//! # Send
//!
//! `examples/send.rs`, which tests/rzlog runs against a receiver:
//!
//! ```no_run
#![doc = include_str!("examples/send.rs")]
//! ```
#![forbid(unsafe_code)]

mod acked;
mod address;
mod check;
mod credentials;
mod error;
mod greeting;
mod line;
mod subscriber;

pub use acked::AckedSender;
pub use check::{Finding, check};
pub use credentials::Credentials;
pub use error::ClientError;
pub use line::{FACILITIES, Line, Severity};
pub use rzmq_delivery::{RefusedLine, RefusedReason};
pub use rzmq_link::{Missed, Notice};
pub use subscriber::{Event, Incoming, Message, OwnedMessage, Subscriber};
