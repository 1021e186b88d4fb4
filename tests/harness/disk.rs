//! Disks that are full, or take nothing at all.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;

use crate::rsyslogd::Rsyslogd;
use crate::skip::skipped;

/// A small file system of its own, unmounted on drop.
pub struct Small {
    at: TempDir,
}

impl Small {
    /// Mounts one of so many KiB; `None`, and a word about it, where this machine does not let us.
    pub fn mount(test: &str, kib: usize) -> Option<Self> {
        let at = tempfile::Builder::new().prefix("rzmq-small-").tempdir().expect("mount point");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(at.path())
            .status();
        if status.is_ok_and(|status| status.success()) {
            return Some(Small { at });
        }
        skipped(test, "this machine does not let us mount a tmpfs");
        None
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.at.path()
    }

    /// Fills what is left; the answer is the file that does.
    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::options().create(true).append(true).open(&path).expect("ballast");
        for piece in [4096, 1] {
            while file.write_all(&vec![b'x'; piece]).is_ok() {}
        }
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// From now on no write to a file gets anywhere; rsyslogd ignores the signal that says so.
pub fn fail_writes(daemon: &Rsyslogd) {
    limit_writes(daemon, Some(0));
}

/// And now it does again.
pub fn mend_writes(daemon: &Rsyslogd) {
    limit_writes(daemon, None);
}

fn limit_writes(daemon: &Rsyslogd, current: Option<u64>) {
    let pid = Pid::from_raw(daemon.pid() as i32);
    let limit = Rlimit { current, maximum: None };
    prlimit(pid, Resource::Fsize, limit).expect("the limit of a child");
}
