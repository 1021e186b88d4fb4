//! Of a server: whose handshakes fail too often, and who is held off because of that (door.rs).

use std::net::IpAddr;
use std::os::fd::RawFd;
use std::time::Instant;

use super::Connections;
use crate::door::Held;
use crate::notice::{self, Change, Notice};
use crate::raw::Errno;
use crate::roster::Called;

impl Connections {
    /// The socket listens at an endpoint.
    pub(super) fn listens(&mut self, fd: RawFd, (told, endpoint): (&str, &str)) {
        if let (Some(door), Called::Port(port)) = (&mut self.door, Called::at(told)) {
            if let Err(errno) = door.opened(fd, port) {
                self.without_door(endpoint, errno);
            }
        }
    }

    /// A connection from this address has ended, and never was past its handshake.
    pub(super) fn came_to_nothing(&mut self, address: IpAddr, endpoint: &str, now: Instant) {
        let Some(door) = &mut self.door else { return };
        match door.failed(address, || self.roster.knows(address), now) {
            Ok(None) => {}
            Ok(Some(Held { source, most })) => {
                notice::count(&*self.notices, Change::HeldOff);
                let address = source.to_string();
                let cause = format!("{endpoint} {address}");
                self.tell("held off", &cause, now, |held_back| Notice::HeldOff {
                    endpoint: endpoint.to_owned(),
                    address,
                    most,
                    held_back,
                });
            }
            Err(errno) => self.without_door(endpoint, errno),
        }
    }

    /// Lets those in who have been held off for long enough.
    pub(crate) fn look_at_door(&mut self, now: Instant) {
        let lifted = self.door.as_mut().map(|door| door.lift(now));
        if let Some(Err(errno)) = lifted {
            self.without_door("its endpoints", errno);
        }
    }

    /// The system does not keep anybody off: all goes on as without the limit.
    fn without_door(&self, endpoint: &str, errno: Errno) {
        let (endpoint, reason) = (endpoint.to_owned(), errno.to_string());
        notice::give(&*self.notices, &Notice::NoDoor { endpoint, reason });
    }
}
