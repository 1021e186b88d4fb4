//! `tests/peers/webhook.py`: what stands in for a chat or an Alertmanager.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use harness::SOON;
use harness::paths::repository;
use serde_json::Value;

pub struct Webhook {
    child: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
    /// Requests that were read while something else was waited for.
    read: Mutex<Vec<Value>>,
    pub url: String,
}

impl Webhook {
    pub fn start() -> Webhook {
        Webhook::with(&[])
    }

    /// It speaks HTTPS, with this certificate and its key.
    pub fn start_tls(certificate: &Path, key: &Path) -> Webhook {
        Webhook::with(&[certificate, key])
    }

    fn with(arguments: &[&Path]) -> Webhook {
        let mut child = Command::new("python3")
            .arg(repository().join("tests/peers/webhook.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let (orders, output) = (child.stdin.take().expect("in"), child.stdout.take().expect("out"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let url = lines.recv_timeout(SOON).expect("webhook.py starts");
        Webhook { child, orders, lines, read: Mutex::default(), url }
    }

    /// From now on it answers so.
    pub fn answers(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("an order");
        while let Ok(line) = self.lines.recv_timeout(SOON) {
            match line.as_str() {
                "" => return,
                request => self.keep(request),
            }
        }
        panic!("webhook.py does not take orders");
    }

    fn keep(&self, request: &str) {
        let request: Value = serde_json::from_str(request).expect("JSON");
        self.read.lock().expect("a lock").push(request);
    }

    /// Waits for a request that this is true for, and gives all up to it.
    #[track_caller]
    pub fn wait(
        &self,
        what: &str,
        deadline: Duration,
        is_it: impl Fn(&Value) -> bool,
    ) -> Vec<Value> {
        let end = Instant::now() + deadline;
        loop {
            let mut read = self.read.lock().expect("a lock");
            if let Some(at) = read.iter().position(&is_it) {
                let requests: Vec<_> = read.drain(..=at).collect();
                let bad = |it: &&Value| it["problems"].as_array().is_none_or(|it| !it.is_empty());
                assert_eq!(requests.iter().find(bad), None);
                return requests;
            }
            drop(read);
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.keep(&line),
                Err(_) => panic!("waited in vain for {what}; {:?}", self.read),
            }
        }
    }

    /// Waits for a message to a chat that was taken and has all of these words in it.
    #[track_caller]
    pub fn wait_text(&self, words: &[&str], deadline: Duration) -> Vec<Value> {
        self.wait(&format!("a text with {words:?}"), deadline, |request| {
            let text = request["body"]["text"].as_str().unwrap_or_default();
            request["status"] == "200" && words.iter().all(|word| text.contains(word))
        })
    }

    /// Has such a request come?
    pub fn has(&self, is_it: impl Fn(&Value) -> bool) -> bool {
        self.lines.try_iter().for_each(|line| self.keep(&line));
        self.read.lock().expect("a lock").iter().any(is_it)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
