//! Calls: the first, those that are made anew, and those that libzmq is to make no more. calls.rs knows which are due.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Socket, look_for, no_interfaces, wait};
use crate::calls::{Anew, Asked};
use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::notice::{self, Notice};
use crate::raw::{Awaited, Errno};
use crate::roster::Called;
use crate::security::Shown;

/// So long libzmq may take to end a call that it was told to forget: a switch of threads or two.
const SETTLE: Duration = Duration::from_millis(10);

impl Socket {
    /// Calls endpoints anew that libzmq has given up (calls.rs), those where nobody is and where other keys
    /// are to be shown now, and those where the server does not hold the key that it is known by, as there is
    /// another certificate of it to try. To be asked now and then.
    ///
    /// What libzmq holds for a peer that is not there (`immediate="off"`) is lost where it is called anew,
    /// which is told. Keys that have changed are therefore shown there only once the old ones have failed.
    ///
    /// It may wait, up to 10 ms for each endpoint that it gives up or calls anew.
    pub fn call_again(&self) {
        if self.called.is_empty() {
            return;
        }
        // libzmq ends a call that it was told to forget only when its socket is looked at
        let _ = self.raw.get_int(zmq_sys::ZMQ_EVENTS);
        let now = Instant::now();
        let asked = Asked {
            now,
            read_until: self.empty.as_ref().map_or(now, Cell::get),
            received: self.received.get(),
            enough: self.rcv_hwm.saturating_mul(self.connections() + self.called.len() as u64),
            holds: self.holds,
            has_another: self.security.has_another(),
        };
        // an address that several of the names may lead to: which of them is up is not known
        let is_written = |it: &str| self.called.iter().any(|(endpoint, _)| endpoint.address == it);
        let is_blind = self.connections() > 0 && !self.peers.calls.are_all(is_written);
        for given_up in self.peers.calls.given_up(asked).iter().filter(|it| is_written(it)) {
            self.forget(given_up);
        }
        for due in self.peers.calls.due(asked) {
            if !is_written(&due) && is_blind {
                self.peers.calls.postpone(&due, now);
            }
            let may_be = |address: &str| {
                address == due || !is_written(&due) && !is_blind && is_one_port(address, &due)
            };
            for (endpoint, index) in self.called.iter().filter(|(it, _)| may_be(&it.address)) {
                let before = self.peers.calls.shown(&endpoint.address);
                let now = self.security.shown(*index, before.as_ref().map_or(0, |it| it.turn));
                let changed =
                    before.zip(now.as_ref()).is_some_and(|(before, now)| !now.is(&before));
                self.call_anew(endpoint, *index, now, changed);
            }
        }
        if !self.security.is_curve() || is_blind {
            return;
        }
        for (endpoint, index) in &self.called {
            let shows = |turn| self.security.shown(*index, turn);
            match self.peers.calls.anew(&endpoint.address, asked, shows) {
                None => {}
                Some(Anew::Changed(shown)) => self.call_anew(endpoint, *index, Some(shown), true),
                Some(Anew::InTurn(shown)) => {
                    self.security.begin_with(shown.turn);
                    self.call_anew(endpoint, *index, Some(shown), false);
                }
            }
        }
    }

    /// Calls an endpoint where nobody is, once more.
    fn call_anew(&self, endpoint: &Endpoint, index: usize, shown: Option<Shown>, changed: bool) {
        let now = Instant::now();
        if look_for(endpoint).is_err() {
            return self.peers.calls.postpone(&endpoint.address, now);
        }
        self.forget(&endpoint.address);
        let before = self.peers.calls.shown(&endpoint.address);
        if self.call(endpoint, index, shown).is_err() {
            if changed {
                // not shown to anybody: the next call says that it has changed
                self.peers.calls.call(&endpoint.address, before, now);
            }
            self.peers.calls.forget(&endpoint.address);
            return self.peers.calls.postpone(&endpoint.address, now);
        }
        let cause = format!("{} {changed}", endpoint.address);
        let told = changed || self.holds;
        let held_back =
            told.then(|| self.throttle.borrow_mut().admit("anew", &cause, now)).flatten();
        if let Some(held_back) = held_back {
            let (endpoint, loses) = (endpoint.address.clone(), self.holds);
            let notice = Notice::CalledAnew { endpoint, changed, loses, held_back };
            notice::give(&*self.notices, &notice);
        }
    }

    /// Tells libzmq to call an endpoint no more.
    fn forget(&self, address: &str) {
        if self.peers.calls.forget(address) {
            return;
        }
        // It would go on for the linger time, as it was told to before.
        let _ = self.raw.set_int(zmq_sys::ZMQ_LINGER, 0);
        let _ = self.raw.disconnect(address);
        let _ = self.raw.set_int(zmq_sys::ZMQ_LINGER, self.linger);
        // Its end takes an answer of ours, without which it would go on as well: nobody may look at an idle
        // socket for a long time.
        let _ = wait(&mut [Awaited::message(&self.raw)], SETTLE);
        if self.holds {
            // what it held was sent, for all that whoever sent it knows
            self.peers.ended.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn call(
        &self,
        endpoint: &Endpoint,
        index: usize,
        shown: Option<Shown>,
    ) -> Result<(), LinkError> {
        let turn = shown.as_ref().map_or(0, |shown| shown.turn);
        // before libzmq can tell what became of it
        self.peers.calls.call(&endpoint.address, shown, Instant::now());
        self.security.show_keys(&self.raw, index, turn)?;
        let failed = |errno: Errno, reason| LinkError::Connect {
            endpoint: endpoint.clone(),
            errno: errno.0,
            reason,
        };
        look_for(endpoint).map_err(|errno| failed(errno, no_interfaces(errno)))?;
        self.raw.connect(&endpoint.address).map_err(|errno| failed(errno, errno.to_string()))
    }
}

/// Whether two addresses have one port.
fn is_one_port(one: &str, other: &str) -> bool {
    match (Called::at(one), Called::at(other)) {
        (Called::Port(one), Called::Port(other)) => one == other,
        _ => false,
    }
}
