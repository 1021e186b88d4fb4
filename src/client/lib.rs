//! The other end of rsyslog's modules omrzmq and imrzmq, for programs: read the lines that a publisher
//! has, send lines that are acknowledged, and find out why a connection does not come about.
//!
//! Knows ZeroMQ through src/link and acknowledged delivery through src/delivery, and nothing of rsyslog.
//!
//! ```no_run
//! use rzlog_client::{Credentials, Line, Subscriber};
//! use std::time::Duration;
//!
//! let keys = Credentials::curve("/etc/rsyslog-rzmq/archive", "/etc/rsyslog-rzmq/dashboard");
//! let topics = ["web1.nginx.".to_string()];
//! let mut subscriber = Subscriber::connect("tcp://archive.example.org:5141", &keys, &topics)?;
//! while let Some(message) = subscriber.receive(Duration::from_secs(60))? {
//!     let line = Line::parse(message.topic, message.text);
//!     println!("{:?} {}", line.severity, String::from_utf8_lossy(line.message));
//! }
//! # Ok::<(), rzlog_client::ClientError>(())
//! ```
//!
//! ```no_run
//! use rzlog_client::{AckedSender, Credentials};
//! use std::time::Duration;
//!
//! let keys = Credentials::curve("/etc/rsyslog-rzmq/archive", "/etc/rsyslog-rzmq/web1");
//! let mut sender = AckedSender::connect("tcp://archive.example.org:5140", &keys, "my program")?;
//! sender.offer(&[b"<13>1 - web1 my-program - - - hello"]);
//! assert!(sender.finish(Duration::from_secs(10))?, "not acknowledged in time");
//! # Ok::<(), rzlog_client::ClientError>(())
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
pub use subscriber::{Event, Message, OwnedMessage, Subscriber};
