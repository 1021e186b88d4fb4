//! Whose a message is: on a CURVE server each carries the user id that the authenticator gave its
//! connection (authenticator.rs). What is known of it is looked up once, and again when the allow
//! list has changed, so that nothing is taken from a key that is no longer on it.
//!
//! Owned by a socket, and used by its thread alone.

use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::Arc;
use std::time::Instant;

use crate::authenticator::key_of_user;
use crate::certificate::PublicKey;
use crate::notice::{self, Change, Notice, Notices};
use crate::raw::Frame;
use crate::roster::Roster;
use crate::security::{Admission, Security};
use crate::throttle::Throttle;

/// Connections that are remembered; beyond that the memory begins anew.
const MOST: usize = 4096;

/// The owner of a key that was let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The key in Z85.
    pub(crate) key: String,
    /// The name on its certificate, if it has one.
    pub(crate) name: Option<String>,
}

/// The owners of the keys that a socket's messages came with.
pub(crate) struct Owners {
    security: Arc<Security>,
    roster: Arc<Roster>,
    notices: Arc<dyn Notices>,
    throttle: Throttle,
    admissions: u64,
    /// Most messages come from the one that the last came from.
    last_user: Vec<u8>,
    last: Option<Arc<Owner>>,
    known: HashMap<Vec<u8>, Option<Arc<Owner>>>,
}

impl Owners {
    pub(crate) fn new(
        security: Arc<Security>,
        roster: Arc<Roster>,
        notices: Arc<dyn Notices>,
    ) -> Owners {
        let admissions = security.admissions();
        let (last_user, last, known) = (Vec::new(), None, HashMap::new());
        let throttle = Throttle::of_strangers();
        Owners { security, roster, notices, throttle, admissions, last_user, last, known }
    }

    /// None: nobody who is allowed, now.
    pub(crate) fn of(&mut self, message: &Frame) -> Option<Arc<Owner>> {
        let user = message.property(c"User-Id")?.to_bytes();
        let admissions = self.security.admissions();
        if admissions != self.admissions {
            self.admissions = admissions;
            self.last_user.clear();
            self.known.clear();
        }
        if self.last_user != user {
            let Some(owner) = self.known.get(user) else { return self.meet(user, message) };
            self.last = owner.clone();
            self.last_user.clear();
            self.last_user.extend_from_slice(user);
        }
        self.last.clone()
    }

    /// The first message of a connection, or the first since the allow list has changed.
    fn meet(&mut self, user: &[u8], message: &Frame) -> Option<Arc<Owner>> {
        let key = key_of_user(user)?;
        let is_known = message.source().is_none_or(|fd| self.roster.proven(fd, key));
        let owner = match self.security.admission(&key) {
            Admission::Anybody => Some(Owner::new(&key, None)),
            Admission::Known(certificate) => Some(Owner::new(&key, Some(certificate.label()))),
            Admission::Refused => {
                self.cut(key, message);
                None
            }
        };
        // the next message proves it, once the monitor has told of the connection
        if !is_known && owner.is_some() {
            return owner;
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(user.to_owned(), owner.clone());
        owner
    }

    /// Whoever took the key off the list has closed its connections; one may have been known too late.
    fn cut(&mut self, key: PublicKey, message: &Frame) {
        let closed = self.roster.close_all_of(&key);
        if closed == 0 {
            return;
        }
        notice::count(&*self.notices, Change::Cut(closed));
        if let Some(held_back) = self.throttle.admit("late", &key.to_string(), Instant::now()) {
            let address = message.property(c"Peer-Address").map(CStr::to_string_lossy);
            let address = address.unwrap_or_default().into_owned();
            notice::give(&*self.notices, &Notice::CutLate { address, key, held_back });
        }
    }
}

impl Owner {
    fn new(key: &PublicKey, name: Option<String>) -> Arc<Owner> {
        Arc::new(Owner { key: key.to_string(), name })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::roster::{Called, Limits};
    use crate::security::SecuritySettings;
    use crate::{
        Context, Options, Received, Sent, Socket, SocketSpec, SocketType, parse_endpoints,
    };

    struct Nobody;

    impl Notices for Nobody {
        fn notice(&self, _: &Notice) {}
    }

    fn security(authtype: &str, server: &Path, client: &str) -> Arc<Security> {
        let settings = SecuritySettings {
            authtype: Some(authtype),
            servercertpath: server.to_str(),
            clientcertpath: Some(client),
            ..SecuritySettings::default()
        };
        Arc::new(Security::from_settings(&settings).unwrap())
    }

    fn open(
        context: &Context,
        socket_type: SocketType,
        at: &str,
        security: &Arc<Security>,
    ) -> Socket {
        let spec = SocketSpec {
            name: "test".into(),
            socket_type,
            endpoints: parse_endpoints(at, socket_type.habit()).unwrap(),
            security: Arc::clone(security),
            options: Options::default(),
            topics: Vec::new(),
        };
        context.open(&spec, Arc::new(Nobody)).unwrap()
    }

    /// The monitor tells of the connection only after its first message: the second one proves whose it is,
    /// and no neighbour behind the same address is taken for it any longer.
    #[test]
    fn a_message_that_came_before_the_monitors_word_is_not_the_last_to_prove_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("key");
        let pair = zmq::CurveKeyPair::new().unwrap();
        let public = zmq::z85_encode(&pair.public_key).unwrap();
        let secret = zmq::z85_encode(&pair.secret_key).unwrap();
        let text = format!("curve\n  public-key = \"{public}\"\n  secret-key = \"{secret}\"\n");
        fs::write(&place, text).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
        let server = security("CURVESERVER", &place, "*");
        let client = security("CURVECLIENT", &place, place.to_str().unwrap());
        let context = Context::new(1).unwrap();
        let pull = open(&context, SocketType::Pull, "@tcp://127.0.0.1:*", &server);
        let push = open(&context, SocketType::Push, &pull.bound()[0], &client);
        let receive = || {
            assert!(push.wait_writable(Duration::from_secs(10)).is_ok());
            assert_eq!(push.send(&[b"line".as_slice()]).unwrap(), Sent::Taken);
            assert!(pull.wait_message(Duration::from_secs(10)).unwrap());
            let mut message = Received::new();
            assert!(pull.receive(&mut message).unwrap());
            message
        };

        let handshake = Duration::from_secs(3);
        let limits = Limits { connections: 9, of_one_key: 9, handshake };
        let roster = Arc::new(Roster::new(limits));
        let mut owners = Owners::new(Arc::clone(&server), Arc::clone(&roster), Arc::new(Nobody));
        let (own, neighbour) =
            (PublicKey::from_bytes(pair.public_key), PublicKey::from_bytes([7; 32]));
        let first = receive();
        assert_eq!(owners.of(&first.body).unwrap().key, public);
        let now = Instant::now();
        for key in [neighbour, own] {
            roster.admit("127.0.0.1", key, now).unwrap();
        }
        let fd = first.body.source().unwrap();
        roster.accepted(fd, Called::at(&pull.bound()[0]).peer_of(fd), true, now);
        assert_eq!(owners.of(&receive().body).unwrap().key, public);
        assert_eq!(roster.close_all_of(&neighbour), 0, "a neighbour's end was its own");
        assert_eq!(roster.ended(fd, now).unwrap().key, Some(own));
    }
}
