//! Looks after credentials whose files change (credentials.rs): at once when the system tells of it
//! (inotify), every few seconds in any case (a network file system tells nothing), and when asked to
//! (HUP). The connections of a key that is no longer allowed are closed.
//!
//! Owns: one thread a context, started with the first socket that has credentials in files; it ends
//! when the `Watcher` is dropped. Locks: the list of sockets, held to add, remove or copy it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::credential_notice::CredentialNotice;
use crate::error::LinkError;
use crate::notice::{self, Change, Notice, Notices};
use crate::raw;
use crate::roster::Roster;
use crate::security::Security;

const THREAD: &str = "rzmq-keys";
/// The longest time until a change is seen of which the system does not tell.
const LOOK: Duration = Duration::from_secs(2);
/// Unless there is so much to look at that this would be more than one part in so many of the time.
const SHARE: u32 = 10;
/// A change is often one of many: so long after the last of them they are looked at together, and
/// so long after the first in any case.
const SETTLE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// What an administrator does to files and folders. A file that is being written to is looked at
/// when it is closed.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB);

/// One socket's credentials, connections, and whom to tell.
struct Entry {
    security: Arc<Security>,
    roster: Arc<Roster>,
    notices: Arc<dyn Notices>,
}

type Entries = Mutex<Vec<Arc<Entry>>>;

/// The thread that looks.
pub(crate) struct Watcher {
    entries: Arc<Entries>,
    /// A byte makes the thread look; the end of the stream ends it.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// A socket's place in the list; it goes when this is dropped.
pub(crate) struct Watch {
    entry: Arc<Entry>,
    entries: Arc<Entries>,
}

impl Watcher {
    pub(crate) fn start() -> Result<Watcher, LinkError> {
        let failed =
            |error: std::io::Error| LinkError::Thread { thread: THREAD, reason: error.to_string() };
        let (wake, woken) = UnixStream::pair().map_err(failed)?;
        woken.set_nonblocking(true).map_err(failed)?;
        wake.set_nonblocking(true).map_err(failed)?;
        let entries = Arc::new(Entries::default());
        let list = Arc::clone(&entries);
        let thread =
            raw::spawn_without_signals(THREAD, move || watch(&woken, &list)).map_err(failed)?;
        Ok(Watcher { entries, wake: Some(wake), thread: Some(thread) })
    }

    /// Looks after a socket's credentials from now on.
    pub(crate) fn add(
        &self,
        security: Arc<Security>,
        roster: Arc<Roster>,
        notices: Arc<dyn Notices>,
    ) -> Watch {
        let entry = Arc::new(Entry { security, roster, notices });
        lock(&self.entries).push(Arc::clone(&entry));
        // whatever changed since the configuration was read, and whatever is to be watched
        self.look();
        Watch { entry, entries: Arc::clone(&self.entries) }
    }

    /// Looks now.
    pub(crate) fn look(&self) {
        if let Some(mut wake) = self.wake.as_ref() {
            // a full pipe wakes as well as one byte more
            let _ = wake.write(&[1]);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // an Err means that it panicked and is over too
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.entries).retain(|entry| !Arc::ptr_eq(entry, &self.entry));
    }
}

fn lock(entries: &Entries) -> MutexGuard<'_, Vec<Arc<Entry>>> {
    // whoever panicked left a list that is still a list
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch(woken: &UnixStream, entries: &Entries) {
    // without inotify (its limits are the system's) there are the regular looks
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
    let mut pause = LOOK;
    loop {
        if !wait(woken, events.as_ref(), pause) {
            return;
        }
        let began = Instant::now();
        let entries = lock(entries).clone();
        if let Some(events) = &events {
            let paths: BTreeSet<_> =
                entries.iter().flat_map(|entry| entry.security.paths()).collect();
            paths.iter().for_each(|path| watch_path(events, path));
        }
        look(&entries);
        pause = LOOK.max(began.elapsed() * SHARE);
    }
}

/// Waits until there is something to look at, or for the pause; false: the end.
fn wait(woken: &UnixStream, events: Option<&OwnedFd>, pause: Duration) -> bool {
    let mut first: Option<Instant> = None;
    loop {
        let patience = match first {
            None => pause,
            Some(first) if first.elapsed() >= SETTLE.1 => return true,
            Some(_) => SETTLE.0,
        };
        let mut descriptors = vec![PollFd::new(woken, PollFlags::IN)];
        descriptors.extend(events.map(|events| PollFd::new(events, PollFlags::IN)));
        let patience =
            Timespec { tv_sec: patience.as_secs() as _, tv_nsec: patience.subsec_nanos().into() };
        match poll(&mut descriptors, Some(&patience)) {
            Ok(0) => return true,
            Ok(_) => {}
            // a signal, or the system is short of something: the next look is due all the same
            Err(_) => {
                std::thread::sleep(SETTLE.0);
                return true;
            }
        }
        let asked = !descriptors[0].revents().is_empty();
        let mut woken = woken;
        if asked && matches!(woken.read(&mut [0; 64]), Ok(0)) {
            return false;
        }
        if let Some(events) = events {
            drain(events);
        }
        if asked {
            return true;
        }
        first.get_or_insert_with(Instant::now);
    }
}

/// What exactly has happened does not matter: everything is looked at.
fn drain(events: &OwnedFd) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(events.as_fd(), &mut buffer);
    while reader.next().is_ok() {}
}

/// Watches a folder, or the folder that a file is in: a new file often takes an old one's place.
fn watch_path(events: &OwnedFd, path: &Path) {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // where it cannot be watched, there are the regular looks
    let _ = inotify::add_watch(events, folder, EVENTS);
}

fn look(entries: &[Arc<Entry>]) {
    for (index, entry) in entries.iter().enumerate() {
        let same = |other: &&Arc<Entry>| Arc::ptr_eq(&other.security, &entry.security);
        if entries[..index].iter().any(|other| same(&other)) {
            continue;
        }
        let findings = entry.security.refresh();
        let tell = |credentials| {
            notice::give(&*entry.notices, &Notice::Credentials(credentials));
        };
        // first all are closed, then it is told: telling may have to wait
        let closed = findings.removed.into_iter().map(|(key, name)| {
            let sockets = entries[index..].iter().filter(same);
            let closed = sockets.map(|socket| socket.roster.close_all_of(&key)).sum();
            CredentialNotice::Removed { name, key, closed }
        });
        for removed in closed.collect::<Vec<_>>() {
            if let CredentialNotice::Removed { closed, .. } = removed {
                notice::count(&*entry.notices, Change::Cut(closed));
            }
            tell(removed);
        }
        findings.notices.into_iter().for_each(tell);
    }
}
