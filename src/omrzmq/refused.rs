//! Lines that a receiver never takes: counted, told in the log, and kept in a file where one is named.

use crate::carrier::Context;
use rustix::fs::OFlags;
use rzmq_delivery::SessionId;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A refused line.
pub(crate) struct Refused<'a> {
    pub(crate) session: SessionId,
    /// `None` where it was refused before it had one.
    pub(crate) number: Option<u64>,
    pub(crate) reason: &'a dyn Display,
    /// The line.
    pub(crate) text: &'a [u8],
    pub(crate) bytes: usize,
}

/// Counts, tells and keeps a refused line.
pub(crate) fn note(context: Context<'_>, line: &Refused<'_>) {
    let Context { action, running } = context;
    running.counters.refused().add(1);
    let number = line.number.map_or("-".to_string(), |number| number.to_string());
    let what = format!("{}:{number} {} {} bytes", line.session, line.reason, line.bytes);
    action.tell(
        running,
        "refused",
        &format!("the receiver never takes a line ({what}); such lines are counted as refused"),
    );
    let Some(path) = &action.statement.refused_file else { return };
    if let Err(why) = append(path, &what, line.text) {
        let trouble = format!("refusedfile=\"{}\" cannot be written: {why}", path.display());
        action.tell(running, "refusedfile", &trouble);
    }
}

/// One write, so that two workers do not mix their lines. A pipe is no file: nobody waits for its reader.
fn append(path: &Path, what: &str, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    options.custom_flags(OFlags::NONBLOCK.bits() as i32);
    let mut file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut record = format!("{what} ").into_bytes();
    record.extend_from_slice(text);
    record.push(b'\n');
    file.write_all(&record)
}
