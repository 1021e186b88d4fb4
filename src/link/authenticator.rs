//! Who is let in: the ZAP handler (ZeroMQ RFC 27) of one context.
//!
//! libzmq asks it, over `inproc://zeromq.zap.01`, about each key that a CURVE client shows
//! to one of the context's servers. Each server socket has a domain of its own, by which its
//! list is found; with ZAP_ENFORCE_DOMAIN libzmq lets nobody in when this handler is absent.
//!
//! A refusal is status 300, never 400 or 500: after those a libzmq client never comes back,
//! even when its key is allowed later; after 300 it tries again once the server's handshake
//! time is over. That is so, however, only if the answer comes when libzmq has begun to wait
//! for it; one that comes at once makes libzmq hang up at once, and the stranger knocks
//! again and again. Refusals are therefore answered a little later than they are decided.
//!
//! The user id of a connection, which its messages carry, is its key in Z85 and a number of its own.
//!
//! Owns: one thread, which ends when the `Authenticator` is dropped. Locks: the table of
//! domains, held for a look-up; a domain's throttle, held while it counts. Neither is held
//! while a notice is given.

use std::collections::{HashMap, VecDeque};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::certificate::PublicKey;
use crate::error::LinkError;
use crate::notice::{self, Change, Notice, Notices};
use crate::options::milliseconds;
use crate::raw::{self, Awaited, Errno, Frame};
use crate::roster::Roster;
use crate::security::{Admission, Security};
use crate::throttle::Throttle;
use crate::z85;

const ADDRESS: &str = "inproc://zeromq.zap.01";
const THREAD: &str = "rzmq-auth";
/// How much later a refusal is answered.
const REFUSAL_PAUSE: Duration = Duration::from_millis(20);

/// What a server socket wants of the authenticator.
struct Domain {
    security: Arc<Security>,
    roster: Arc<Roster>,
    refused: AtomicU64,
    notices: Arc<dyn Notices>,
    throttle: Mutex<Throttle>,
}

type Domains = Mutex<HashMap<Vec<u8>, Arc<Domain>>>;

/// The thread that answers, and the table it answers from.
pub(crate) struct Authenticator {
    domains: Arc<Domains>,
    /// Its other end is readable when this one is closed: the sign to end.
    alive: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// A server socket's entry in the table; it goes when this is dropped.
pub(crate) struct Registration {
    name: Vec<u8>,
    domain: Arc<Domain>,
    domains: Arc<Domains>,
}

impl Authenticator {
    /// Takes the context's ZAP address; there can be one only.
    pub(crate) fn start(context: &Arc<raw::Context>) -> Result<Authenticator, LinkError> {
        let failed = |errno: Errno| LinkError::Authenticator(errno.to_string());
        let socket = context.socket(zmq_sys::ZMQ_ROUTER).map_err(failed)?;
        socket.set_int(zmq_sys::ZMQ_LINGER, 0).map_err(failed)?;
        socket.bind(ADDRESS).map_err(failed)?;
        let thread_failed =
            |error: std::io::Error| LinkError::Thread { thread: THREAD, reason: error.to_string() };
        let (alive, end) = UnixStream::pair().map_err(thread_failed)?;
        let domains = Arc::new(Domains::default());
        let table = Arc::clone(&domains);
        let thread = raw::spawn_without_signals(THREAD, move || serve(&socket, &end, &table))
            .map_err(thread_failed)?;
        Ok(Authenticator { domains, alive: Some(alive), thread: Some(thread) })
    }

    /// Lets in whom `security` allows at the socket with this domain.
    pub(crate) fn register(
        &self,
        name: Vec<u8>,
        security: Arc<Security>,
        roster: Arc<Roster>,
        notices: Arc<dyn Notices>,
    ) -> Registration {
        let (refused, throttle) = (AtomicU64::new(0), Mutex::new(Throttle::of_strangers()));
        let domain = Arc::new(Domain { security, roster, refused, notices, throttle });
        lock(&self.domains).insert(name.clone(), Arc::clone(&domain));
        Registration { name, domain, domains: Arc::clone(&self.domains) }
    }
}

impl Drop for Authenticator {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            // an Err means that it panicked and is over too
            let _ = thread.join();
        }
    }
}

impl Registration {
    /// How many times a key was refused here.
    pub(crate) fn refused(&self) -> u64 {
        self.domain.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.domains).remove(&self.name);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // whoever panicked left a table that is still a table
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &raw::Socket, end: &UnixStream, domains: &Domains) {
    let mut refusals: VecDeque<(Instant, Request)> = VecDeque::new();
    loop {
        let mut items = [Awaited::message(socket), Awaited::descriptor(end.as_raw_fd())];
        match raw::wait(&mut items, time_left(&refusals)) {
            Err(errno) if errno.is_interrupted() => continue,
            Err(_) => return,
            Ok(()) => {}
        }
        if items[1].came() {
            return;
        }
        while let Some(request) = Request::receive(socket) {
            match request.decide(domains) {
                Some(key) => request.answer(socket, "200", user_id(&key).as_bytes()),
                None => refusals.push_back((Instant::now() + REFUSAL_PAUSE, request)),
            }
        }
        let now = Instant::now();
        while let Some((due, request)) = refusals.front() {
            if *due > now {
                break;
            }
            request.answer(socket, "300", b"");
            refusals.pop_front();
        }
    }
}

/// Milliseconds until the first refusal is due; -1: there is none.
fn time_left(refusals: &VecDeque<(Instant, Request)>) -> i64 {
    refusals
        .front()
        .map_or(-1, |(due, _)| milliseconds(due.saturating_duration_since(Instant::now())).into())
}

/// The frames of a request: whom to answer, an empty one, version, request id, domain,
/// address, identity, mechanism, key.
struct Request {
    frames: Vec<Frame>,
    /// More frames came than a CURVE request has.
    too_long: bool,
}

impl Request {
    const FRAMES: usize = 9;

    fn receive(socket: &raw::Socket) -> Option<Request> {
        let mut request = Request { frames: Vec::with_capacity(Self::FRAMES), too_long: false };
        loop {
            let mut frame = Frame::new();
            socket.receive(&mut frame).ok()?;
            let more = frame.more();
            if request.frames.len() < Self::FRAMES {
                request.frames.push(frame);
            } else {
                request.too_long = true;
            }
            if !more {
                return Some(request);
            }
        }
    }

    /// The key to let in; none: refuse.
    fn decide(&self, domains: &Domains) -> Option<PublicKey> {
        let [_, _, version, _, domain, address, _, mechanism, key] = self.frames.as_slice() else {
            return None;
        };
        if self.too_long || version.bytes() != b"1.0" || mechanism.bytes() != b"CURVE" {
            return None;
        }
        let key = PublicKey::from_bytes(key.bytes().try_into().ok()?);
        // gone, if the socket is just being closed
        let domain = lock(domains).get(domain.bytes()).cloned()?;
        domain.lets_in(&String::from_utf8_lossy(address.bytes()), key).then_some(key)
    }

    fn answer(&self, socket: &raw::Socket, status: &str, user: &[u8]) {
        let [to, rest @ ..] = self.frames.as_slice() else {
            return;
        };
        let request_id = rest.get(2).map(Frame::bytes).unwrap_or_default();
        let frames: [&[u8]; 8] =
            [to.bytes(), b"", b"1.0", request_id, status.as_bytes(), b"", user, b""];
        let last = frames.len() - 1;
        for (index, bytes) in frames.iter().enumerate() {
            let sent =
                Frame::joined(&[bytes]).and_then(|mut frame| socket.send(&mut frame, index < last));
            // whoever asked is gone, or memory is: unanswered, libzmq lets nobody in
            if sent.is_err() {
                return;
            }
        }
    }
}

/// What the messages of a connection carry: whose they are, and another one each time.
fn user_id(key: &PublicKey) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("{key}{:x}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The key of a user id.
pub(crate) fn key_of_user(id: &[u8]) -> Option<PublicKey> {
    PublicKey::from_z85(std::str::from_utf8(id.get(..z85::KEY_CHARACTERS)?).ok()?)
}

impl Domain {
    fn lets_in(&self, address: &str, key: PublicKey) -> bool {
        match self.security.admission(&key) {
            Admission::Anybody => return true,
            Admission::Known(_) => {
                if let Err(limit) = self.roster.admit(address, key, Instant::now()) {
                    notice::count(&*self.notices, Change::ConnectionRefused);
                    self.tell("limit", &format!("{address} {key}"), |held_back| {
                        let peer = address.to_owned();
                        Notice::TooMany { peer, half_open: false, limit, held_back }
                    });
                    return false;
                }
                // Taken off the list since? Whoever took it off may have looked for its connections
                // before this one was known to be its.
                if self.security.admission(&key) != Admission::Refused {
                    return true;
                }
            }
            Admission::Refused => {}
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        notice::count(&*self.notices, Change::KeyRefused);
        self.tell("key", &format!("{address} {key}"), |held_back| {
            let address = address.to_owned();
            Notice::RefusedKey { address, key, held_back }
        });
        false
    }

    fn tell(&self, kind: &'static str, cause: &str, notice: impl FnOnce(u64) -> Notice) {
        let admitted = lock(&self.throttle).admit(kind, cause, Instant::now());
        if let Some(held_back) = admitted {
            notice::give(&*self.notices, &notice(held_back));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allow_list::AllowList;
    use crate::certificate::{self, KeyPair};
    use crate::credentials::OwnKey;
    use crate::names::Names;
    use crate::roster::Limits;
    use crate::security::Allowed;
    use std::fs;
    use std::time::Duration;

    struct Log(Mutex<Vec<Notice>>);

    impl Notices for Log {
        fn notice(&self, notice: &Notice) {
            lock(&self.0).push(notice.clone());
        }
    }

    fn log() -> Arc<Log> {
        Arc::new(Log(Mutex::default()))
    }

    /// A server that lets in this key, or any.
    fn server(key: Option<PublicKey>) -> Arc<Security> {
        let own = vec![OwnKey::generate().unwrap()];
        let allowed = key.map_or(Allowed::Any, |key| {
            let folder = tempfile::tempdir().unwrap();
            let text = format!("curve\n    public-key = \"{key}\"\n");
            fs::write(folder.path().join("x"), text).unwrap();
            Allowed::Folder(AllowList::load(folder.path(), Names::default()).unwrap())
        });
        Arc::new(Security::Server { own, allowed })
    }

    fn anybody() -> Arc<Security> {
        server(None)
    }

    fn roster(of_one_key: usize) -> Arc<Roster> {
        let handshake = Duration::from_secs(3);
        Arc::new(Roster::new(Limits { connections: 9, of_one_key, handshake }))
    }

    /// Asks as libzmq's sessions do, and returns status and user id.
    fn ask(context: &Arc<raw::Context>, frames: &[&[u8]]) -> (String, String) {
        let socket = context.socket(zmq_sys::ZMQ_REQ).unwrap();
        socket.set_int(zmq_sys::ZMQ_LINGER, 0).unwrap();
        socket.connect(ADDRESS).unwrap();
        for (index, bytes) in frames.iter().enumerate() {
            socket.send(&mut Frame::joined(&[bytes]).unwrap(), index + 1 < frames.len()).unwrap();
        }
        raw::wait(&mut [Awaited::message(&socket)], 5000).unwrap();
        let mut answer = Vec::new();
        loop {
            let mut frame = Frame::new();
            socket.receive(&mut frame).unwrap();
            answer.push(String::from_utf8(frame.bytes().to_vec()).unwrap());
            if !frame.more() {
                break;
            }
        }
        assert_eq!(answer.len(), 6);
        assert_eq!(answer[0], "1.0");
        assert_eq!(answer[1].as_bytes(), *frames.get(1).unwrap_or(&b"".as_slice()));
        (answer[2].clone(), answer[4].clone())
    }

    #[test]
    fn keys_are_judged_by_the_list_of_their_domain() {
        let context = raw::Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let (a, b) = (PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32]));
        let notices = log();
        let register = |name: &[u8], key| {
            authenticator.register(name.to_vec(), server(key), roster(9), notices.clone())
        };
        let (for_a, _for_all) = (register(b"A", Some(a)), register(b"*", None));
        let judged = |domain: &[u8], key: PublicKey| {
            let key = key.as_bytes();
            ask(&context, &[b"1.0", b"7", domain, b"10.0.0.7", b"", b"CURVE", key])
        };
        let (status, user) = judged(b"A", a);
        assert_eq!((status.as_str(), key_of_user(user.as_bytes())), ("200", Some(a)));
        assert_ne!(judged(b"A", a).1, user, "two connections have one name");
        assert_eq!(judged(b"A", b), ("300".to_owned(), String::new()));
        let (status, user) = judged(b"*", b);
        assert_eq!((status.as_str(), key_of_user(user.as_bytes())), ("200", Some(b)));
        assert_eq!(judged(b"unknown", a).0, "300");
        assert_eq!(judged(b"A", b).0, "300");
        assert_eq!(for_a.refused(), 2);
        let address = "10.0.0.7".to_owned();
        let told = Notice::RefusedKey { address, key: b, held_back: 0 };
        assert_eq!(*lock(&notices.0), [told]);
        drop(for_a);
        assert_eq!(judged(b"A", a).0, "300");
    }

    #[test]
    fn malformed_requests_are_refused_and_the_next_is_served() {
        let context = raw::Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let _all = authenticator.register(b"D".to_vec(), anybody(), roster(9), log());
        let key = [9; 32];
        let malformed: &[&[&[u8]]] = &[
            &[b""],
            &[b"1.0"],
            &[b"1.0", b"id"],
            &[b"2.0", b"id", b"D", b"", b"", b"CURVE", &key],
            &[b"1.0", b"id", b"D", b"", b"", b"PLAIN", &key],
            &[b"1.0", b"id", b"D", b"", b"", b"NULL"],
            &[b"1.0", b"id", b"D", b"", b"", b"CURVE", &key[1..]],
            &[b"1.0", b"id", b"D", b"", b"", b"CURVE", &key, b"more"],
            &[b"1.0", b"id", b"D\xff\0", b"\xff", b"\0", b"CURVE", &key],
        ];
        for frames in malformed {
            assert_eq!(ask(&context, frames).0, "300", "{frames:?}");
            let good: &[&[u8]] = &[b"1.0", b"id", b"D", b"", b"", b"CURVE", &key];
            assert_eq!(ask(&context, good).0, "200");
        }
    }

    #[test]
    fn there_is_one_a_context() {
        let context = raw::Context::new().unwrap();
        let _first = Authenticator::start(&context).unwrap();
        assert!(matches!(Authenticator::start(&context), Err(LinkError::Authenticator(_))));
        Authenticator::start(&raw::Context::new().unwrap()).unwrap();
    }

    /// A CURVE server made by hand; says whether a stranger's message arrived in time.
    fn arrives(authenticated: bool, server: &KeyPair, time: Duration) -> bool {
        let context = raw::Context::new().unwrap();
        let authenticator = authenticated.then(|| Authenticator::start(&context).unwrap());
        let _all = authenticator.as_ref().map(|authenticator| {
            authenticator.register(b"D".to_vec(), anybody(), roster(9), log())
        });
        let socket = context.socket(zmq_sys::ZMQ_PULL).unwrap();
        socket.set_int(zmq_sys::ZMQ_CURVE_SERVER, 1).unwrap();
        socket.set(zmq_sys::ZMQ_CURVE_SECRETKEY, server.secret()).unwrap();
        socket.set(zmq_sys::ZMQ_ZAP_DOMAIN, b"D").unwrap();
        socket.set_int(raw::ZAP_ENFORCE_DOMAIN, 1).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let peer = zmq::Context::new().socket(zmq::PUSH).unwrap();
        let keys = zmq::CurveKeyPair::new().unwrap();
        peer.set_curve_serverkey(server.public.as_bytes()).unwrap();
        peer.set_curve_publickey(&keys.public_key).unwrap();
        peer.set_curve_secretkey(&keys.secret_key).unwrap();
        peer.set_linger(0).unwrap();
        peer.connect(&socket.last_endpoint().unwrap()).unwrap();
        peer.send("hello", 0).unwrap();
        let mut items = [Awaited::message(&socket)];
        raw::wait(&mut items, time.as_millis() as i64).unwrap();
        items[0].came()
    }

    #[test]
    fn without_the_authenticator_nobody_is_let_in() {
        let server = certificate::generate().unwrap();
        assert!(arrives(true, &server, Duration::from_secs(10)));
        assert!(!arrives(false, &server, Duration::from_secs(1)));
    }
}
