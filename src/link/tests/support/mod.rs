//! What the stories share: keys in files, a log of notices, and waiting for conditions.

#![allow(dead_code)] // each test program uses its part

#[path = "../../../../tests/harness/ports.rs"]
mod ports;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rzmq_link::{
    Allowed, Context, Notice, Notices, Options, Received, Security, SecuritySettings, Sent, Socket,
    SocketSpec, SocketType, parse_endpoints,
};
use tempfile::TempDir;

/// Long enough for anything that happens at all.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `condition` holds; fails with `what` if it never does.
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    within(PATIENCE, what, condition);
}

/// The same, with a time that is promised.
#[track_caller]
pub fn within(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < time, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Collects notices.
#[derive(Default)]
pub struct Log(Mutex<Vec<Notice>>);

impl Notices for Log {
    fn notice(&self, notice: &Notice) {
        self.0.lock().unwrap().push(notice.clone());
    }
}

impl Log {
    pub fn new() -> Arc<Log> {
        Arc::default()
    }

    pub fn sentences(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    pub fn wait_for(&self, part: &str) -> String {
        let start = Instant::now();
        loop {
            let sentences = self.sentences();
            if let Some(found) = sentences.iter().find(|sentence| sentence.contains(part)) {
                return found.clone();
            }
            assert!(start.elapsed() < PATIENCE, "no notice with {part:?} in {sentences:#?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A folder of certificates, written as czmq writes them.
pub struct Keys(TempDir);

impl Keys {
    pub fn new(names: &[&str]) -> Keys {
        let keys = Keys(tempfile::tempdir().unwrap());
        for name in names {
            let pair = zmq::CurveKeyPair::new().unwrap();
            let public = format!(
                "metadata\n    name = \"{name}\"\ncurve\n    public-key = \"{}\"\n",
                zmq::z85_encode(&pair.public_key).unwrap()
            );
            let secret =
                format!("    secret-key = \"{}\"\n", zmq::z85_encode(&pair.secret_key).unwrap());
            fs::write(keys.path(name), &public).unwrap();
            let path = keys.path(&format!("{name}_secret"));
            fs::write(&path, public + &secret).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        keys
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, authtype: &str, server: &str, client: &str) -> Arc<Security> {
        let full = |name: &str| match name {
            "*" => name.to_owned(),
            name if name.contains(',') => name.to_owned(),
            name => self.path(name).display().to_string(),
        };
        let (server, client) = (full(server), full(client));
        let settings = SecuritySettings {
            authtype: Some(authtype),
            servercertpath: Some(&server),
            clientcertpath: Some(&client),
            ..SecuritySettings::default()
        };
        Arc::new(Security::from_settings(&settings).unwrap())
    }

    /// A server with the key "server" that allows these.
    pub fn server(&self, allowed: &[&str]) -> Arc<Security> {
        let directory = self.path(&format!("allowed {}", allowed.join(" ")));
        fs::create_dir_all(&directory).unwrap();
        for name in allowed {
            fs::copy(self.path(name), directory.join(name)).unwrap();
        }
        self.read("CURVESERVER", "server", directory.file_name().unwrap().to_str().unwrap())
    }

    /// A server with these keys that allows whoever is in a folder.
    pub fn server_with(&self, own: &str, folder: &str) -> Arc<Security> {
        self.read("CURVESERVER", own, folder)
    }

    /// A server with the key "server" that allows anybody with a key.
    pub fn server_for_all(&self) -> Arc<Security> {
        let security = self.read("CURVESERVER", "server", "*");
        assert!(matches!(*security, Security::Server { allowed: Allowed::Any, .. }));
        security
    }

    /// A client of the server with the key `server`.
    pub fn client(&self, server: &str, own: &str) -> Arc<Security> {
        self.read("CURVECLIENT", server, own)
    }
}

pub fn plaintext() -> Arc<Security> {
    Arc::new(Security::Plaintext)
}

/// An endpoint to bind now and, once it is free again, a second time. A port that the kernel picks does
/// not serve there: between the two another connection may get it.
pub fn lasting() -> String {
    format!("@{}", ports::free_endpoint())
}

/// What to open, with handshakes short enough for a test.
pub fn spec(kind: SocketType, endpoints: &str, security: &Arc<Security>) -> SocketSpec {
    SocketSpec {
        name: "test".into(),
        socket_type: kind,
        endpoints: parse_endpoints(endpoints, kind.habit()).unwrap(),
        security: Arc::clone(security),
        options: Options {
            handshake_ivl: Duration::from_millis(1000),
            reconnect_ivl: Duration::from_millis(20),
            reconnect_ivl_max: Duration::from_millis(40),
            ..Options::default()
        },
        topics: Vec::new(),
    }
}

pub fn context() -> Context {
    Context::new(1).unwrap()
}

/// Opens a socket whose notices nobody reads.
#[track_caller]
pub fn open(context: &Context, spec: &SocketSpec) -> Socket {
    context.open(spec, Log::new()).unwrap()
}

/// Opens where another socket was bound before: libzmq closes a listener a while after its socket.
#[track_caller]
pub fn open_again(context: &Context, spec: &SocketSpec, log: &Arc<Log>) -> Socket {
    let mut opened = None;
    until("the address is free", || {
        opened = context.open(spec, log.clone()).ok();
        opened.is_some()
    });
    opened.unwrap()
}

/// Sends, waiting for a peer.
#[track_caller]
pub fn send(socket: &Socket, frames: &[&[u8]]) {
    let start = Instant::now();
    while socket.send(frames).unwrap() == Sent::Full {
        assert!(start.elapsed() < PATIENCE, "nobody takes the message");
        socket.wait_writable(Duration::from_millis(100)).unwrap();
    }
}

/// The next message, or none within the time.
pub fn receive_within(socket: &Socket, time: Duration) -> Option<Received> {
    let (quiet, _alive) = UnixStream::pair().unwrap();
    let start = Instant::now();
    let mut message = Received::new();
    loop {
        if socket.receive(&mut message).unwrap() {
            return Some(message);
        }
        let left = time.checked_sub(start.elapsed())?;
        socket.wait_readable(&quiet, left).unwrap();
    }
}

#[track_caller]
pub fn receive(socket: &Socket) -> Received {
    receive_within(socket, PATIENCE).expect("no message came")
}
