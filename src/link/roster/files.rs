//! How many files the process may have open, of which rsyslogd needs some for itself.

use std::os::fd::RawFd;

/// What rsyslogd needs for its own files, and for connections that libzmq accepts, a hundred and more,
/// before the first of them can be closed.
const RESERVE: u64 = 256;

/// The system gives the lowest number that is free: one that is this high says that few are left of
/// those that the process may have.
pub(super) fn nearly_out_of_files(fd: RawFd) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.is_some_and(|most| u64::try_from(fd).is_ok_and(|fd| fd >= room(most)))
}

/// How many of so many files may be in use before a connection is one too many.
fn room(most: u64) -> u64 {
    let quarter = most / 4;
    most - quarter.max(RESERVE.min(quarter * 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsyslogd_keeps_files_for_itself() {
        for (most, expected) in [(65_536, 49_152), (1_024, 768), (600, 344), (256, 64), (0, 0)] {
            assert_eq!(room(most), expected, "{most}");
        }
    }
}
