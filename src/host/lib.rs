//! rsyslog as safe Rust sees it: entry points, guard, parameters, messages, batches, counters, log.
//!
//! This crate owns the boundary between rsyslogd (C) and the two modules (Rust), and all of the
//! project's `unsafe` code but one file, src/link/raw.rs. It knows nothing of ZeroMQ.
//!
//! A module implements [`InputModule`] or [`OutputModule`] and names itself once with
//! [`input_module!`] or [`output_module!`]; that macro defines `modInit`, the one symbol that
//! rsyslogd looks for. From there the core asks for entry points by name; each of them is a thin
//! generic function in `input.rs`, `output.rs` or `registration.rs` that runs the module's method
//! behind the one guard (`guard.rs`).
//!
//! Threads: this crate starts none. rsyslogd calls configuration and activation from its main
//! thread, `run` from the input's thread, `commit` from the threads of the action's queue.
//! Locks: one mutex a module around its state while the configuration is loaded, checked, activated
//! and freed; none on the way of a log line.
#![warn(unreachable_pub)]

mod counters;
mod early;
mod error;
mod fault;
mod forward;
mod guard;
mod input;
mod layout;
mod log;
mod message;
mod output;
mod params;
mod ratelimit;
mod registration;
mod rsyslogd;
mod secure_defaults;
// public for the link, which has the same file
#[allow(unreachable_pub)]
mod signs;
mod strings;
#[allow(missing_docs, non_camel_case_types, non_snake_case, non_upper_case_globals)]
#[allow(dead_code, unreachable_pub, clippy::all, clippy::undocumented_unsafe_blocks)]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/rsyslog.rs"));
}

pub use counters::{Counter, Counters};
pub use error::Error;
pub use fault::fault_point;
pub use input::InputModule;
pub use log::Log;
pub use message::{FlowControl, LineContext, Property, Ruleset, SubmitError, Submitter};
pub use output::{Batch, OutputModule, Verdict};
pub use params::{Kind, Param, ParamError, Values, join, reference};
pub use ratelimit::{RateLimit, RateLimitError};
pub use registration::{LoadError, Module, ModuleCell, Registered};
pub use rsyslogd::Rsyslogd;
pub use secure_defaults::SecureDefaults;

/// What the exported macros need; not for other use.
#[doc(hidden)]
pub mod entry {
    pub use crate::input::mod_init as input_mod_init;
    pub use crate::output::mod_init as output_mod_init;
    pub use crate::sys::query_entry_point_t as QueryEntryPoint;
}
