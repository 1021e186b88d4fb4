//! Whether this process may open enough files for a bound `ipc://` path.
//!
//! libzmq's `accept` takes "no file left" (EMFILE) for the network's doing on TCP and tries again; on `ipc://` it
//! does not know that error and ends the process (src/ipc_listener.cpp of libzmq 4.3.4, 4.3.5 and later). Whoever
//! may connect there can bring that about.

use std::fmt;

use rustix::process::{Resource, getrlimit};

use crate::endpoint::{Endpoint, Mode};

/// Connections are closed long before so many files are open (`maxconnections` is 1,000).
const ENOUGH: u64 = 4096;

/// A path that is bound with too few files, as a sentence (`Display`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FewFiles {
    address: String,
    limit: u64,
}

impl fmt::Display for FewFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, limit } = self;
        write!(
            f,
            "{address} is bound, and rsyslogd may open {limit} files: if a peer connects there when none is \
             left, libzmq ends rsyslogd; let it open {ENOUGH} or more (LimitNOFILE= in its unit)"
        )
    }
}

/// Whether one of these is a bound `ipc://` path, and the soft limit of this process's files is low.
pub fn few_files(endpoints: &[Endpoint]) -> Option<FewFiles> {
    few(endpoints, getrlimit(Resource::Nofile).current)
}

/// `limit`: none = any number of files.
fn few(endpoints: &[Endpoint], limit: Option<u64>) -> Option<FewFiles> {
    let limit = limit.filter(|limit| *limit < ENOUGH)?;
    let is_bound_path = |it: &&Endpoint| it.mode == Mode::Bind && it.address.starts_with("ipc://");
    let endpoint = endpoints.iter().find(is_bound_path)?;
    Some(FewFiles { address: endpoint.address.clone(), limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::parse_endpoints;

    #[test]
    fn a_path_that_is_bound_needs_files() {
        let few = |text, limit| few(&parse_endpoints(text, Mode::Bind).unwrap(), limit);
        let told = few("@tcp://*:5140,@ipc:///run/in", Some(1024)).unwrap().to_string();
        assert!(
            told.starts_with("ipc:///run/in is bound, and rsyslogd may open 1024 files"),
            "{told}"
        );
        assert_eq!(few("@ipc:///run/in", Some(ENOUGH)), None);
        assert_eq!(few("@ipc:///run/in", None), None);
        assert_eq!(few(">ipc:///run/in,@tcp://*:5140", Some(1024)), None);
    }
}
