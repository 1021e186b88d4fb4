//! Feeding a daemon through imptcp on a unix socket: fast, lossless, and one knows when rsyslog has
//! taken the lines.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::oracle::numbered;

/// A line as a host sends it: facility user, host `feeder`, tag `app:`.
pub fn syslog_line(text: &str) -> String {
    format!("<13>2026-11-24T10:00:00.123456+00:00 feeder app: {text}")
}

/// The way into one daemon; can go to another thread.
#[derive(Clone)]
pub struct Feeder {
    socket: PathBuf,
}

impl Feeder {
    /// Into the imptcp that listens on this socket.
    pub fn at(socket: &std::path::Path) -> Self {
        Feeder { socket: socket.to_owned() }
    }

    /// Feeds the lines `n=…` of these numbers.
    #[track_caller]
    pub fn numbers(&self, numbers: Range<usize>) {
        self.texts(numbers.map(numbered));
    }

    /// Feeds a line for each text.
    #[track_caller]
    pub fn texts<S: AsRef<str>>(&self, texts: impl IntoIterator<Item = S>) {
        let mut bytes = Vec::new();
        for text in texts {
            bytes.extend_from_slice(syslog_line(text.as_ref()).as_bytes());
            bytes.push(b'\n');
        }
        self.bytes(&bytes);
    }

    /// Feeds bytes and comes back when imptcp has submitted all of them: it closes its end only
    /// after it has worked through everything that came before ours was closed.
    #[track_caller]
    pub fn bytes(&self, bytes: &[u8]) {
        assert!(
            self.try_bytes(bytes, Duration::from_secs(60)),
            "imptcp did not take {} bytes within 60 s, or is gone",
            bytes.len()
        );
    }

    /// As [`Feeder::bytes`], but false when that takes longer than `deadline` (a full queue).
    pub fn try_bytes(&self, bytes: &[u8], deadline: Duration) -> bool {
        let start = Instant::now();
        let mut stream = UnixStream::connect(&self.socket).expect("imptcp accepts");
        let pause = Some(Duration::from_millis(100));
        stream.set_write_timeout(pause).expect("time-out");
        stream.set_read_timeout(pause).expect("time-out");
        let mut rest = bytes;
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(error) if patient(error.kind()) => {}
                Err(error) => panic!("feeding imptcp: {error}"),
            }
            if start.elapsed() > deadline {
                return false;
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
        let mut nothing = [0];
        while start.elapsed() <= deadline {
            match stream.read(&mut nothing) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if patient(error.kind()) => {}
                // The daemon is gone or going.
                Err(_) => return false,
            }
        }
        false
    }
}

fn patient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
