//! What imrzmq makes of messages: which are lines, where they came from, what happens when there
//! are too many, and which listeners run.

mod flow;
mod gaps;
mod lines;
mod listeners;

use harness::{Site, secs};

const STOP: std::time::Duration = secs(2);

fn pull(endpoint: &str, more: &str) -> Site {
    Site::receiver("", &format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" {more}"))
}
