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
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::certificate::PublicKey;
use crate::credential_notice::CredentialNotice;
use crate::credentials::Renamed;
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
        Watcher::looking_every(LOOK)
    }

    fn looking_every(pause: Duration) -> Result<Watcher, LinkError> {
        let failed =
            |error: std::io::Error| LinkError::Thread { thread: THREAD, reason: error.to_string() };
        let (wake, woken) = UnixStream::pair().map_err(failed)?;
        woken.set_nonblocking(true).map_err(failed)?;
        wake.set_nonblocking(true).map_err(failed)?;
        let entries = Arc::new(Entries::default());
        let list = Arc::clone(&entries);
        let thread = raw::spawn_without_signals(THREAD, move || watch(&woken, &list, pause))
            .map_err(failed)?;
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

fn watch(woken: &UnixStream, entries: &Entries, shortest: Duration) {
    // without inotify (its limits are the system's) there are the regular looks
    let mut folders = Folders::new();
    let mut pause = shortest;
    let mut told = false;
    loop {
        if !wait(woken, folders.as_ref().ok().map(|it| &it.events), pause) {
            return;
        }
        let began = Instant::now();
        let entries = lock(entries).clone();
        let paths = entries.iter().flat_map(|entry| entry.security.paths()).collect();
        let watched = folders.as_mut().map_or_else(|why| Err(*why), |it| it.follow(&paths));
        if let (Err(why), Some(entry), false) = (watched, entries.first(), told) {
            told = true;
            let why = raw::Errno(why.raw_os_error()).to_string();
            let unwatched = CredentialNotice::Unwatched { why };
            notice::give(&*entry.notices, &Notice::Credentials(unwatched));
        }
        look(&entries);
        pause = shortest.max(began.elapsed() * SHARE);
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

/// The folders that the system tells of.
struct Folders {
    events: OwnedFd,
    /// The system's numbers of what is watched now.
    watched: BTreeSet<i32>,
}

impl Folders {
    fn new() -> Result<Folders, Errno> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Folders { events, watched: BTreeSet::new() })
    }

    /// Watches the folders of these files and folders, and nothing else any more. A path names another folder
    /// than before when a link in it has been changed. An error: the system watches no more.
    fn follow(&mut self, paths: &BTreeSet<PathBuf>) -> Result<(), Errno> {
        let (mut now, mut full) = (BTreeSet::new(), Ok(()));
        for folder in paths.iter().flat_map(|path| folders_of(path)) {
            match inotify::add_watch(&self.events, folder, EVENTS) {
                Ok(number) => drop(now.insert(number)),
                Err(why @ (Errno::NOSPC | Errno::NOMEM)) => full = Err(why),
                // it is not there, or not for us: there are the regular looks
                Err(_) => {}
            }
        }
        for gone in self.watched.difference(&now) {
            // an error: with the folder its watch has gone, too
            let _ = inotify::remove_watch(&self.events, *gone);
        }
        self.watched = now;
        full
    }
}

/// A folder, or the folder that a file is in: a new file often takes an old one's place. Where that folder is
/// a link, the one that the link is in, too: another link may take its place.
fn folders_of(path: &Path) -> Vec<&Path> {
    // without a slash at its end, which would name what a link leads to
    let path = path.components().as_path();
    let folder = if path.is_dir() { path } else { parent(path) };
    match folder.is_symlink() {
        true => vec![folder, parent(folder)],
        false => vec![folder],
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
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
        let close = |key: &PublicKey| {
            let sockets = entries[index..].iter().filter(same);
            sockets.map(|socket| socket.roster.close_all_of(key)).sum::<usize>()
        };
        let mut closed: Vec<_> = findings
            .removed
            .into_iter()
            .map(|(key, name)| {
                let closed = close(&key);
                (closed, CredentialNotice::Removed { name, key, closed })
            })
            .collect();
        // one replaced by another is cut, be it the key or the name that is another
        closed.extend(findings.renamed.into_iter().map(|Renamed { key, before, now }| {
            let (closed, name) = (close(&key), now.label());
            (closed, CredentialNotice::Renamed { key, name, before, file: now.path, closed })
        }));
        for (closed, notice) in closed {
            notice::count(&*entry.notices, Change::Cut(closed));
            tell(notice);
        }
        findings.notices.into_iter().for_each(tell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::generate;
    use crate::certificate_file::{Existing, write_pair, write_public};
    use crate::roster::Limits;
    use crate::security::SecuritySettings;
    use std::fs;
    use std::os::unix::fs::symlink;

    const PATIENCE: Duration = Duration::from_secs(30);
    const NEVER: Duration = Duration::from_secs(3600);

    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    impl Notices for Log {
        fn notice(&self, notice: &Notice) {
            self.0.lock().unwrap().push(notice.to_string());
        }
    }

    impl Log {
        #[track_caller]
        fn wait_for(&self, part: &str) {
            let start = Instant::now();
            while !self.0.lock().unwrap().iter().any(|it| it.contains(part)) {
                assert!(start.elapsed() < PATIENCE, "no {part:?} in {:?}", self.0.lock().unwrap());
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    fn write(path: &Path, name: &str) {
        let metadata = vec![("name".to_owned(), name.to_owned())];
        let key = generate().unwrap().public;
        write_public(path, &key, &metadata, Existing::Replace).unwrap();
    }

    /// A server whose folder of allowed certificates holds a link to a file that lies elsewhere, where the
    /// system tells of nothing; and that file.
    fn server_with_a_link(folder: &Path) -> (Arc<Security>, PathBuf) {
        let [keys, allowed, elsewhere] = ["keys", "allowed", "elsewhere"].map(|it| folder.join(it));
        for new in [&keys, &allowed, &elsewhere] {
            fs::create_dir(new).unwrap();
        }
        let own = keys.join("server");
        write_pair(&own, &generate().unwrap(), &Vec::new(), Existing::Keep).unwrap();
        let target = elsewhere.join("web");
        write(&target, "old");
        symlink(&target, allowed.join("web")).unwrap();
        let settings = SecuritySettings {
            authtype: Some("CURVESERVER"),
            servercertpath: own.to_str(),
            clientcertpath: allowed.to_str(),
            ..SecuritySettings::default()
        };
        (Arc::new(Security::from_settings(&settings).unwrap()), target)
    }

    fn watched(watcher: &Watcher, security: Arc<Security>) -> (Watch, Arc<Log>) {
        let limits = Limits { connections: 1, of_one_key: 1, handshake: PATIENCE };
        let log = Arc::<Log>::default();
        let watch = watcher.add(security, Arc::new(Roster::new(limits)), log.clone());
        (watch, log)
    }

    #[test]
    fn what_the_system_does_not_tell_of_is_seen_when_asked_to_look() {
        let folder = tempfile::tempdir().unwrap();
        let (security, target) = server_with_a_link(folder.path());
        let watcher = Watcher::looking_every(NEVER).unwrap();
        let (_watch, log) = watched(&watcher, security);
        // the first may be seen by the look at what is new to the watcher
        for (old, new) in [("old", "new"), ("new", "newer")] {
            write(&target, new);
            watcher.look();
            log.wait_for(&format!("no longer allowed: {old},"));
            log.wait_for(&format!("allowed from now on: {new},"));
        }
    }

    #[test]
    fn what_the_system_does_not_tell_of_is_seen_by_the_regular_look() {
        let folder = tempfile::tempdir().unwrap();
        let (security, target) = server_with_a_link(folder.path());
        let watcher = Watcher::looking_every(Duration::from_millis(10)).unwrap();
        let (_watch, log) = watched(&watcher, security);
        for (old, new) in [("old", "new"), ("new", "newer")] {
            write(&target, new);
            log.wait_for(&format!("no longer allowed: {old},"));
            log.wait_for(&format!("allowed from now on: {new},"));
        }
    }

    #[test]
    fn a_link_that_leads_to_another_folder_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        for new in ["links", "one", "two"] {
            fs::create_dir(place(new)).unwrap();
        }
        let link = place("links").join("current");
        symlink(place("one"), &link).unwrap();
        let mut folders = Folders::new().unwrap();
        let is_told = |folders: &Folders| {
            let mut descriptors = [PollFd::new(&folders.events, PollFlags::IN)];
            let told = poll(&mut descriptors, Some(&Timespec::default())).unwrap() > 0;
            drain(&folders.events);
            told
        };
        // of a folder, with and without a slash at its end, and of a file in it
        for path in [link.clone(), link.join(""), link.join("server")] {
            let paths = BTreeSet::from([path]);
            folders.follow(&paths).unwrap();
            drain(&folders.events);
            fs::write(place("one").join("a"), "").unwrap();
            assert!(is_told(&folders), "{paths:?}");
            symlink(place("two"), place("links").join("next")).unwrap();
            fs::rename(place("links").join("next"), &link).unwrap();
            assert!(is_told(&folders), "the link was changed: {paths:?}");
            folders.follow(&paths).unwrap();
            drain(&folders.events);
            fs::write(place("one").join("b"), "").unwrap();
            assert!(!is_told(&folders), "of a folder that is left: {paths:?}");
            fs::write(place("two").join("a"), "").unwrap();
            assert!(is_told(&folders), "{paths:?}");
            fs::remove_file(&link).unwrap();
            symlink(place("one"), &link).unwrap();
        }
    }
}
