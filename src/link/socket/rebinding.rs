//! Endpoints that are bound anew, as their keys have changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Socket, look_for};
use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::raw::Errno;
use crate::roster::Called;

/// How long an address that was given up may go on being taken.
const REBIND: Duration = Duration::from_secs(2);
/// In a folder like this, as /tmp is, each one's files are his own.
const STICKY: u32 = 0o1000;

impl Socket {
    /// Whether keys that endpoints were bound with have changed: [`Socket::rebind`].
    pub fn is_bound_with_old_keys(&self) -> bool {
        !self.bound.is_empty() && self.trust.keys != self.security.keys(self.trust.turn)
    }

    /// Binds anew with the keys that its credentials have now. Its peers are cut once, and come
    /// back; what has arrived from them can be received still. It waits until libzmq has given an address up,
    /// up to 2 seconds for each.
    ///
    /// # Errors
    /// [`LinkError::NoRightToRebind`]: nothing has changed, and the old keys stay. Any other: an
    /// address is lost, and the socket is good for nothing but to be dropped.
    pub fn rebind(&mut self) -> Result<(), LinkError> {
        self.trust.keys = self.security.keys(self.trust.turn);
        let mut bound = self.bound.iter().zip(&self.bound_as);
        if let Some((address, _)) = bound.find(|(at, (as_it, _))| !self.may_bind_again(at, as_it)) {
            return Err(LinkError::NoRightToRebind(address.clone()));
        }
        for (address, (endpoint, index)) in self.bound.iter().zip(&self.bound_as) {
            self.security.show_keys(&self.raw, *index, self.trust.turn)?;
            let failed = |errno: Errno| LinkError::Rebind {
                address: address.clone(),
                reason: errno.to_string(),
            };
            self.raw.unbind(address).map_err(failed)?;
            let again = again(endpoint, address);
            let given_up = Instant::now();
            while let Err(errno) = self.raw.bind(&again) {
                // libzmq closes the old one in a thread of its own
                if errno.0 != libc::EADDRINUSE || given_up.elapsed() > REBIND {
                    return Err(failed(errno));
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        // libzmq lets one live on whose messages have not all been received
        if let Some(roster) = &self.trust.roster {
            roster.close_accepted();
        }
        Ok(())
    }

    /// The right may be gone with the privileges: to a low port, to a socket file's folder, to ask for
    /// the host's addresses.
    fn may_bind_again(&self, address: &str, endpoint: &Endpoint) -> bool {
        let again = again(endpoint, address);
        match Called::at(&again) {
            _ if look_for(endpoint).is_err() => false,
            // The system says so before it says that the address is taken, which it is.
            Called::Port(_) => {
                self.raw.bind(&again).map_or_else(|errno| errno.0 != libc::EACCES, |()| true)
            }
            // libzmq would not say that it could not remove the old one
            Called::File(path) => path.starts_with('@') || may_be_replaced(Path::new(path)),
            Called::Other => true,
        }
    }
}

/// Whether this process may put another socket file in the place of this one.
fn may_be_replaced(file: &Path) -> bool {
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let needed = Access::WRITE_OK | Access::EXEC_OK;
    // a folder that is gone is no matter of rights
    if let Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM | rustix::io::Errno::ROFS) =
        accessat(CWD, folder, needed, AtFlags::EACCESS)
    {
        return false;
    }
    let (Ok(folder), Ok(file)) = (folder.metadata(), file.symlink_metadata()) else { return true };
    let own = rustix::process::geteuid().as_raw();
    let is_sticky = folder.mode() & STICKY != 0;
    !is_sticky || own == 0 || [folder.uid(), file.uid()].contains(&own)
}

/// The address at which an endpoint that was bound at `address` is bound again. `*` stays what it is: any
/// other is looked for among the interfaces, for which there may be no right.
fn again(endpoint: &Endpoint, address: &str) -> String {
    match address.rsplit_once(':') {
        Some((_, port)) if endpoint.is_any() => format!("tcp://*:{port}"),
        _ => address.to_owned(),
    }
}
