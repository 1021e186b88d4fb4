//! /metrics over HTTP/1, and nothing else.
//!
//! Whoever can reach the port may send anything, slowly, and never read the answer. So a request has a most
//! of bytes, a connection a most of time, and there is a most of connections: one more, and the oldest
//! makes room. The page is rendered a few times a second at most, and once for all who ask meanwhile.
//!
//! Threads: one that accepts, one a connection. Locks: the list of connections and the last page, each held
//! for a moment, the latter while a page is rendered.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;

use super::page;

/// A request is no longer than this, in bytes and in header lines.
const LONGEST_REQUEST: usize = 8 << 10;
const MOST_HEADERS: usize = 64;
/// All of a request comes within this time.
const ASKING: Duration = Duration::from_secs(5);
/// All of an answer is taken within this time.
const ANSWERING: Duration = Duration::from_secs(10);
/// Connections at once.
const MOST: usize = 16;
/// A page stays for this long.
const FRESH: Duration = Duration::from_millis(200);
/// After an error that may stay for a while, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// What OpenMetrics is called.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

struct Server {
    registry: Registry,
    page: Mutex<Option<(Instant, Arc<str>)>>,
    /// The oldest first.
    open: Mutex<VecDeque<(u64, TcpStream)>>,
}

/// Answers on this listener from now on.
pub(super) fn serve(listener: TcpListener, registry: Registry) -> io::Result<()> {
    let server = Arc::new(Server { registry, page: Mutex::default(), open: Mutex::default() });
    thread::Builder::new().name("http".into()).spawn(move || server.accept(&listener))?;
    Ok(())
}

impl Server {
    fn accept(self: &Arc<Server>, listener: &TcpListener) {
        for number in 0_u64.. {
            match listener.accept() {
                // who is gone already, or has no thread, is closed
                Ok((stream, _)) => drop(self.take(number, stream)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    fn take(self: &Arc<Server>, number: u64, stream: TcpStream) -> io::Result<()> {
        let copy = stream.try_clone()?;
        let mut open = locked(&self.open);
        if open.len() >= MOST {
            if let Some((_, oldest)) = open.pop_front() {
                let _ = oldest.shutdown(Shutdown::Both);
            }
        }
        open.push_back((number, copy));
        drop(open);
        let server = Arc::clone(self);
        let work = move || {
            // a peer that is gone, or too slow, has no answer
            let _ = server.answer(stream);
            locked(&server.open).retain(|(other, _)| *other != number);
        };
        match thread::Builder::new().name("http".into()).spawn(work) {
            Ok(_) => Ok(()),
            Err(error) => {
                locked(&self.open).retain(|(other, _)| *other != number);
                Err(error)
            }
        }
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let (status, kind, body, with_body) = match ask(&mut stream)? {
            Request::Metrics { with_body } => ("200 OK", OPENMETRICS, self.page(), with_body),
            Request::Other => ("404 Not Found", PLAIN, Arc::from("see /metrics\n"), true),
            Request::Method => ("405 Method Not Allowed", PLAIN, Arc::from("GET or HEAD\n"), true),
            Request::Broken => ("400 Bad Request", PLAIN, Arc::from("this is not HTTP/1\n"), true),
            Request::Long => {
                ("431 Request Header Fields Too Large", PLAIN, Arc::from("too long\n"), true)
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let until = Instant::now() + ANSWERING;
        write(&mut stream, head.as_bytes(), until)?;
        if with_body {
            write(&mut stream, body.as_bytes(), until)?;
        }
        // What is unread when a connection is closed resets it, and the answer may be lost.
        stream.shutdown(Shutdown::Write)?;
        let mut rest = [0; 4096];
        let mut left = LONGEST_REQUEST;
        let until = Instant::now() + PAUSE;
        while let (Some(count), true) = (read(&mut stream, &mut rest, until)?, left > 0) {
            if count == 0 {
                break;
            }
            left = left.saturating_sub(count);
        }
        Ok(())
    }

    fn page(&self) -> Arc<str> {
        let mut page = locked(&self.page);
        match &*page {
            Some((at, text)) if at.elapsed() < FRESH => Arc::clone(text),
            _ => {
                let text: Arc<str> = page::render(&self.registry).into();
                *page = Some((Instant::now(), Arc::clone(&text)));
                text
            }
        }
    }
}

enum Request {
    Metrics { with_body: bool },
    Other,
    Method,
    Broken,
    Long,
}

/// Reads a request's head. An error: there is nobody to answer.
fn ask(stream: &mut TcpStream) -> io::Result<Request> {
    let until = Instant::now() + ASKING;
    let mut head = vec![0; LONGEST_REQUEST];
    let mut length = 0;
    loop {
        let count = match read(stream, &mut head[length..], until)? {
            Some(0) | None => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(count) => count,
        };
        length += count;
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head[..length]) {
            Ok(httparse::Status::Complete(_)) => {
                let path = request.path.unwrap_or_default();
                let path = path.split('?').next().unwrap_or_default();
                return Ok(match (request.method, path) {
                    (Some("GET"), "/metrics") => Request::Metrics { with_body: true },
                    (Some("HEAD"), "/metrics") => Request::Metrics { with_body: false },
                    (Some("GET" | "HEAD"), _) => Request::Other,
                    _ => Request::Method,
                });
            }
            Ok(httparse::Status::Partial) if length == head.len() => return Ok(Request::Long),
            Ok(httparse::Status::Partial) => {}
            Err(httparse::Error::TooManyHeaders) => return Ok(Request::Long),
            Err(_) => return Ok(Request::Broken),
        }
    }
}

/// Reads what is there until then; `None`: the time is over.
fn read(stream: &mut TcpStream, into: &mut [u8], until: Instant) -> io::Result<Option<usize>> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(into) {
            Ok(count) => return Ok(Some(count)),
            Err(error) if is_patience(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn write(stream: &mut TcpStream, mut bytes: &[u8], until: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_patience(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_patience(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
