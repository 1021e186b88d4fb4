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
use crate::notice::{self, Change, Notice, Notices, Throttle};
use crate::raw::Frame;
use crate::roster::Roster;
use crate::security::{Admission, Security};

/// Connections that are remembered; beyond that the memory begins anew.
const MOST: usize = 4096;

/// The owner of a key that was let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    /// The key in Z85.
    pub(crate) key: String,
    /// The name on its certificate, if it has one.
    pub(crate) name: Option<String>,
}

/// The senders of a socket's messages.
pub(crate) struct Senders {
    security: Arc<Security>,
    roster: Arc<Roster>,
    notices: Arc<dyn Notices>,
    throttle: Throttle,
    admissions: u64,
    /// Most messages come from the one that the last came from.
    last_user: Vec<u8>,
    last: Option<Arc<Sender>>,
    known: HashMap<Vec<u8>, Option<Arc<Sender>>>,
}

impl Senders {
    pub(crate) fn new(
        security: Arc<Security>,
        roster: Arc<Roster>,
        notices: Arc<dyn Notices>,
    ) -> Senders {
        let admissions = security.admissions();
        let (last_user, last, known) = (Vec::new(), None, HashMap::new());
        let throttle = Throttle::default();
        Senders { security, roster, notices, throttle, admissions, last_user, last, known }
    }

    /// None: nobody who is allowed, now.
    pub(crate) fn of(&mut self, message: &Frame) -> Option<Arc<Sender>> {
        let user = message.property(c"User-Id")?.to_bytes();
        let admissions = self.security.admissions();
        if admissions != self.admissions {
            self.admissions = admissions;
            self.last_user.clear();
            self.known.clear();
        }
        if self.last_user != user {
            self.last = match self.known.get(user) {
                Some(sender) => sender.clone(),
                None => self.meet(user, message),
            };
            self.last_user.clear();
            self.last_user.extend_from_slice(user);
        }
        self.last.clone()
    }

    /// The first message of a connection, or the first since the allow list has changed.
    fn meet(&mut self, user: &[u8], message: &Frame) -> Option<Arc<Sender>> {
        let key = key_of_user(user)?;
        if let Some(connection) = message.source() {
            self.roster.proven(connection, key);
        }
        let sender = match self.security.admission(&key) {
            Admission::Anybody => Some(Sender::new(&key, None)),
            Admission::Known(certificate) => Some(Sender::new(&key, Some(certificate.label()))),
            Admission::Refused => {
                self.cut(key, message);
                None
            }
        };
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(user.to_owned(), sender.clone());
        sender
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

impl Sender {
    fn new(key: &PublicKey, name: Option<String>) -> Arc<Sender> {
        Arc::new(Sender { key: key.to_string(), name })
    }
}
