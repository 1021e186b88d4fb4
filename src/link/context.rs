//! A module's ZeroMQ context: opens sockets, and keeps the threads that serve them.
//!
//! Made at activation, never while rsyslogd reads its configuration: it starts threads, and
//! rsyslogd forks in between.
//!
//! Owns: libzmq's context with its I/O threads, the monitor and the teller of notices (from the first
//! socket on), the authenticator (from the first CURVE server on) and the watcher of credentials (from the first
//! CURVE socket on). All end with the last of the context
//! and its sockets; that waits no longer than the sockets' linger times. Locks: one, held
//! while the threads are started.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::authenticator::{Authenticator, Registration};
use crate::connections::{Followed, Peers, Role};
use crate::endpoint::Mode;
use crate::error::LinkError;
use crate::monitor::Monitor;
use crate::notice::Notices;
use crate::options::refused;
use crate::owner::Owners;
use crate::raw::{self, Errno};
use crate::roster::{Limits, Roster};
use crate::security::Security;
use crate::socket::{Socket, Trust};
use crate::spec::SocketSpec;
use crate::teller::Teller;
use crate::watcher::Watcher;
use crate::written::Written;

/// As many as a context may have. Each of ours takes three, with both ends of its monitor's pair; libzmq's
/// own limit of 1023 would be met by 341. It reserves some bytes for each.
const SOCKETS_MAX: i32 = 3 * 8192;

/// Opens sockets. One a module.
pub struct Context {
    shared: Arc<Shared>,
}

/// What the context and its sockets share. Fields are dropped in this order: the threads
/// close their sockets before the context can end.
pub(crate) struct Shared {
    threads: Mutex<Threads>,
    raw: Arc<raw::Context>,
}

#[derive(Default)]
struct Threads {
    monitor: Option<Monitor>,
    authenticator: Option<Authenticator>,
    watcher: Option<Watcher>,
    // the others tell it what they have to say until they end
    teller: Option<Teller>,
}

impl Context {
    /// A context whose messages are moved by this many threads of libzmq's. It starts none
    /// before the first socket.
    pub fn new(io_threads: i32) -> Result<Context, LinkError> {
        if !(1..=64).contains(&io_threads) {
            return Err(LinkError::IoThreads(io_threads));
        }
        let failed = |errno: Errno| LinkError::Context(errno.to_string());
        let raw = raw::Context::new().map_err(failed)?;
        raw.set_io_threads(io_threads).map_err(failed)?;
        raw.set_max_sockets(SOCKETS_MAX).map_err(failed)?;
        Ok(Context { shared: Arc::new(Shared { threads: Mutex::default(), raw }) })
    }

    /// Looks after credentials now, instead of within seconds: files have changed.
    pub fn look_at_credentials(&self) {
        if let Some(watcher) = &self.shared.threads().watcher {
            watcher.look();
        }
    }

    /// Opens a socket: all its binds and connects work, or there is no socket.
    pub fn open(&self, spec: &SocketSpec, notices: Arc<dyn Notices>) -> Result<Socket, LinkError> {
        spec.check()?;
        let shared = &self.shared;
        let notices = shared.teller(notices)?;
        let kind = spec.socket_type;
        let raw = shared.raw.socket(kind.number()).map_err(|errno| LinkError::Socket {
            socket_type: kind.name(),
            reason: errno.to_string(),
        })?;
        spec.options.apply(&raw, kind, spec.security.is_curve())?;
        let roster = Arc::new(Roster::new(Limits {
            connections: spec.options.max_connections,
            of_one_key: spec.options.max_connections_per_key,
            handshake: spec.options.handshake_ivl,
        }));
        let trust = shared.trust(&raw, spec, &roster, &notices)?;
        let peers = shared.watch(&raw, spec, roster, Arc::clone(&notices))?;
        // from here on the monitor is stopped when the socket is dropped
        let mut socket = Socket::new(Arc::clone(shared), raw, spec, (peers, trust), notices);
        socket.subscribe(&spec.topics)?;
        for mode in [Mode::Bind, Mode::Connect] {
            let endpoints = spec.endpoints.iter().enumerate();
            for (index, endpoint) in endpoints.filter(|(_, endpoint)| endpoint.mode == mode) {
                socket.attach(endpoint, index)?;
            }
        }
        Ok(socket)
    }
}

impl Shared {
    fn threads(&self) -> std::sync::MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to these notices for threads that must not wait.
    fn teller(&self, notices: Arc<dyn Notices>) -> Result<Arc<dyn Notices>, LinkError> {
        let mut threads = self.threads();
        let teller = match &mut threads.teller {
            Some(running) => running,
            none => none.insert(Teller::start()?),
        };
        Ok(teller.queued(notices))
    }

    /// Makes a socket one of CURVE, and lets the threads know of it.
    fn trust(
        &self,
        socket: &raw::Socket,
        spec: &SocketSpec,
        roster: &Arc<Roster>,
        notices: &Arc<dyn Notices>,
    ) -> Result<Trust, LinkError> {
        let security = &spec.security;
        let turn = security.turn();
        let mut trust = Trust { keys: security.keys(turn), turn, ..Trust::default() };
        if !security.is_curve() {
            return Ok(trust);
        }
        if !raw::has(c"curve") {
            return Err(LinkError::NoCurve(crate::version_text()));
        }
        security.show_keys(socket, 0, turn)?;
        if let Security::Server { .. } = &**security {
            let domain = domain(&spec.name);
            let set = |option, value| {
                socket.set_int(option, value).map_err(refused("authtype", "CURVESERVER"))
            };
            socket
                .set(zmq_sys::ZMQ_ZAP_DOMAIN, &domain)
                .map_err(refused("ZMQ_ZAP_DOMAIN", &spec.name))?;
            set(raw::ZAP_ENFORCE_DOMAIN, 1)?;
            set(zmq_sys::ZMQ_CURVE_SERVER, 1)?;
            trust.roster = Some(Arc::clone(roster));
            trust.registration = Some(self.register(domain, security, roster, notices)?);
            let owners = Owners::new(security.clone(), roster.clone(), notices.clone());
            trust.owners = Some(RefCell::new(owners));
        }
        let mut threads = self.threads();
        let watcher = match &mut threads.watcher {
            Some(running) => running,
            none => none.insert(Watcher::start()?),
        };
        let watch = watcher.add(security.clone(), roster.clone(), Arc::clone(notices));
        trust.watch = Some(watch);
        Ok(trust)
    }

    fn register(
        &self,
        domain: Vec<u8>,
        security: &Arc<Security>,
        roster: &Arc<Roster>,
        notices: &Arc<dyn Notices>,
    ) -> Result<Registration, LinkError> {
        let mut threads = self.threads();
        let authenticator = match &mut threads.authenticator {
            Some(running) => running,
            none => none.insert(Authenticator::start(&self.raw)?),
        };
        let notices = Arc::clone(notices);
        Ok(authenticator.register(domain, security.clone(), roster.clone(), notices))
    }

    fn watch(
        &self,
        socket: &raw::Socket,
        spec: &SocketSpec,
        roster: Arc<Roster>,
        notices: Arc<dyn Notices>,
    ) -> Result<Arc<Peers>, LinkError> {
        let role = match &*spec.security {
            Security::Plaintext => Role::Plain,
            Security::Server { .. } => Role::Server,
            Security::Client { own, servers } => Role::Client {
                key: own.pair().public,
                server: servers.current().map(|server| server.path).unwrap_or_default(),
            },
        };
        let mut threads = self.threads();
        let monitor = match &mut threads.monitor {
            Some(running) => running,
            none => none.insert(Monitor::start()?),
        };
        let peers = Arc::new(Peers::new(spec.options.reconnect_ivl_max));
        let followed = Followed {
            role,
            security: Arc::clone(&spec.security),
            roster,
            notices,
            peers: Arc::clone(&peers),
            written: Written::new(spec.endpoints.iter().map(|it| it.address.clone())),
            handshake_ivl: spec.options.handshake_ivl,
            most_failures: spec.options.max_failures_per_address,
        };
        let watched = monitor.watch(&self.raw, socket, followed);
        watched.map_err(|errno| LinkError::Socket {
            socket_type: spec.socket_type.name(),
            reason: format!("its monitor: {errno}"),
        })?;
        Ok(peers)
    }
}

/// A name no other socket of this process has: two sockets of one instance (a listener that
/// is being closed and the one that replaces it) have lists of their own.
fn domain(name: &str) -> Vec<u8> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut domain = format!("rzmq.{}.", NUMBER.fetch_add(1, Ordering::Relaxed)).into_bytes();
    // libzmq compares 255 bytes at most
    domain.extend(name.bytes().take(200));
    domain
}
