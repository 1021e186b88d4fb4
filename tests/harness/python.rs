//! A pyzmq peer: a ZeroMQ implementation's user that shares neither our code nor our libzmq.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::paths;

/// A Python that can import zmq: the venv that scripts/setup makes, else the system's.
pub fn interpreter() -> Option<PathBuf> {
    let venv = paths::repository().join("target/venv/bin/python");
    [venv, "python3".into()].into_iter().find(|python| {
        Command::new(python)
            .args(["-c", "import zmq"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// A running `tests/peers/zpeer.py`.
pub struct PyPeer {
    child: Child,
    lines: Receiver<String>,
}

impl PyPeer {
    /// Starts one; `task` is described in the script. Comes back when it has bound or connected.
    pub fn start(python: &std::path::Path, task: &serde_json::Value) -> Self {
        let mut child = Command::new(python)
            .arg(paths::repository().join("tests/peers/zpeer.py"))
            .arg(task.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python does not run");
        let output = child.stdout.take().expect("its output");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let peer = PyPeer { child, lines };
        let first = peer.line(Duration::from_secs(20));
        assert_eq!(first.as_deref(), Some("ready"), "zpeer.py did not start");
        peer
    }

    /// The next line it prints.
    pub fn line(&self, deadline: Duration) -> Option<String> {
        self.lines.recv_timeout(deadline).ok()
    }

    /// Up to `count` messages it received, as frames.
    pub fn messages(&self, count: usize, deadline: Duration) -> Vec<Vec<Vec<u8>>> {
        let end = Instant::now() + deadline;
        let mut messages = Vec::new();
        while messages.len() < count {
            match self.line(end.saturating_duration_since(Instant::now())) {
                Some(line) => messages.push(line.split(' ').map(unhex).collect()),
                None => break,
            }
        }
        messages
    }
}

impl Drop for PyPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `-` is an empty frame.
fn unhex(text: &str) -> Vec<u8> {
    if text == "-" {
        return Vec::new();
    }
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex"))
        .collect()
}

/// Bytes for a task.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
