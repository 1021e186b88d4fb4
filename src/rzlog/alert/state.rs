//! The file that outlives the process: what fires, what was told, what is still to be told, and what the
//! rules have learnt. Written as a whole beside itself and renamed, 0600, because lines stand in it. Who
//! uses it holds a lock on a file beside it. Where there is no room or no right to write, alerts go on without.
//!
//! Thread: one writes and waits for the disk, one state at a time.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;

use super::core::Kept;
use crate::error::Error;

pub(crate) struct StateFile {
    path: PathBuf,
    /// Where none could be had, nobody else can write either.
    _lock: Option<File>,
}

/// A disk that takes longer is not waited for.
const LATE: Duration = Duration::from_secs(10);

/// Writes the state in a thread of its own.
pub(crate) struct Keeper {
    to_write: Sender<Vec<u8>>,
    written: Receiver<Result<(), Error>>,
    /// It is being written.
    since: Option<Instant>,
}

/// Where it is if nobody says so: systemd's folder for it, else XDG_STATE_HOME.
fn usual() -> Result<PathBuf, Error> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/state"));
    let folder = absolute("STATE_DIRECTORY")
        .or_else(|| Some(absolute("XDG_STATE_HOME").or_else(home)?.join("rzlog")));
    let folder = folder.ok_or_else(|| {
        Error::Usage("--state FILE is needed: neither HOME nor XDG_STATE_HOME is set".into())
    })?;
    Ok(folder.join("alert.json"))
}

impl StateFile {
    /// Nobody else may use it. A sentence where that cannot be seen to: the file cannot be written.
    pub(crate) fn open(path: Option<&Path>) -> Result<(StateFile, Option<String>), Error> {
        let path = path.map_or_else(usual, |path| Ok(path.to_owned()))?;
        let (lock, told) = match lock(&path) {
            Ok(lock) => (Some(lock), None),
            Err(Error::File { path, reason }) => {
                (None, Some(format!("{}: {reason}; {WITHOUT}", path.display())))
            }
            Err(error) => return Err(error),
        };
        Ok((StateFile { path, _lock: lock }, told))
    }

    /// What is in it. One that cannot be used is put aside, with a sentence: who watches must not stand still.
    pub(crate) fn load(&self) -> (Kept, Option<String>) {
        let path = self.path.display();
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return (Kept::default(), None);
            }
            Err(error) => {
                return (Kept::default(), Some(format!("{path}: {error}; all begins anew")));
            }
        };
        let (why, kept) = match serde_json::from_slice::<Kept>(&bytes) {
            Ok(kept) if !kept.is_foreign() => return (kept, None),
            Ok(_) => ("of another version".to_owned(), "foreign"),
            Err(why) => (format!("damaged ({why})"), "damaged"),
        };
        let aside = beside(&self.path, kept);
        let kept = match fs::rename(&self.path, &aside) {
            Ok(()) => format!("it is kept as {}", aside.display()),
            Err(error) => format!("it cannot be kept ({error})"),
        };
        (Kept::default(), Some(format!("{path} is {why}; {kept}, and all begins anew")))
    }

    fn save(&self, bytes: &[u8]) -> Result<(), Error> {
        let new = beside(&self.path, "new");
        let write = || {
            // one that a kill left may have other rights
            let _ = fs::remove_file(&new);
            let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
            let mut file = options?;
            file.write_all(bytes)?;
            file.sync_data()?;
            fs::rename(&new, &self.path)?;
            match self.path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_data(),
                _ => Ok(()),
            }
        };
        write().map_err(Error::file(&self.path))
    }
}

/// What it means that nothing can be written.
pub(crate) const WITHOUT: &str = "alerts go on, and are forgotten by a restart";

fn lock(path: &Path) -> Result<File, Error> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder).map_err(Error::file(folder))?;
    }
    let lock_path = beside(path, "lock");
    let mut options = OpenOptions::new();
    let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
    // where nothing can be written, one that is there will do
    let lock = lock.or_else(|error| File::open(&lock_path).map_err(|_| error));
    let lock = lock.map_err(Error::file(&lock_path))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => {
            let path = path.display();
            Err(Error::Usage(format!(
                "{path}: another rzlog alert uses it; name another --state FILE"
            )))
        }
        Err(error) => Err(Error::File { path: lock_path, reason: error.into() }),
    }
}

impl Keeper {
    pub(crate) fn start(file: StateFile) -> Result<Keeper, Error> {
        let (to_write, states) = channel::<Vec<u8>>();
        let (done, written) = channel();
        let work = move || {
            for state in states {
                if done.send(file.save(&state)).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("rzlog-state".into()).spawn(work);
        thread.map_err(|error| Error::Usage(format!("no thread for the state: {error}")))?;
        Ok(Keeper { to_write, written, since: None })
    }

    /// The state before this one is written.
    pub(crate) fn is_idle(&self) -> bool {
        self.since.is_none()
    }

    /// The disk hangs.
    pub(crate) fn is_late(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= LATE)
    }

    /// Has this state written, when it is idle. The time it takes here is that of making the text.
    pub(crate) fn write(&mut self, state: &impl Serialize) -> Result<(), Error> {
        let bytes = serde_json::to_vec(state)
            .map_err(|error| Error::Usage(format!("the state: {error}")))?;
        if self.to_write.send(bytes).is_ok() {
            self.since = Some(Instant::now());
        }
        Ok(())
    }

    /// How the last one went, if it is done within this time.
    pub(crate) fn written(&mut self, patience: Duration) -> Option<Result<(), Error>> {
        self.since?;
        let result = self.written.recv_timeout(patience).ok()?;
        self.since = None;
        Some(result)
    }
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::super::core::Core;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_one_users_and_one_process_and_a_damaged_one_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/alert.json");
        let (state, told) = StateFile::open(Some(&path)).unwrap();
        assert!(told.is_none() && StateFile::open(Some(&path)).is_err());
        assert!(state.load().1.is_none());
        state.save(b"{}").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let told = state.load().1.unwrap_or_default();
        assert!(told.contains("alert.json.damaged"), "{told}");
        assert!(!path.exists() && beside(&path, "damaged").exists());
        let config =
            toml::from_str("[[receivers]]\nname = \"a\"\ncommand = { arguments = [\"a\"] }");
        let core = Core::new(&config.unwrap(), Kept::default(), 0).unwrap();
        let newer =
            serde_json::to_string(&core.keep(0)).unwrap().replace("\"version\":1", "\"version\":9");
        state.save(newer.as_bytes()).unwrap();
        let told = state.load().1.unwrap_or_default();
        assert!(told.contains("another version") && told.contains("alert.json.foreign"), "{told}");
    }

    #[test]
    fn where_nothing_can_be_written_alerts_go_on_without() {
        let folder = tempfile::tempdir().unwrap();
        let no_folder = folder.path().join("file");
        fs::write(&no_folder, "").unwrap();
        let (state, told) = StateFile::open(Some(&no_folder.join("alert.json"))).unwrap();
        assert!(told.unwrap_or_default().contains("alerts go on"));
        assert!(state.load().1.is_some());
        let mut keeper = Keeper::start(state).unwrap();
        keeper.write(&serde_json::json!({})).unwrap();
        assert!(!keeper.is_idle() && !keeper.is_late());
        assert!(keeper.written(Duration::from_secs(60)).is_some_and(|it| it.is_err()));
        assert!(keeper.is_idle() && keeper.written(Duration::ZERO).is_none());
    }
}
