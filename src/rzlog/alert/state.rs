//! The file that outlives the process: what fires, what was told, what is still to be told, and what the
//! rules have learnt. Written as a whole beside itself and renamed, 0600, because lines stand in it. Who
//! uses it holds a lock on a file beside it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use super::core::Kept;
use crate::error::Error;

pub(crate) struct StateFile {
    path: PathBuf,
    _lock: File,
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
    /// Nobody else may use it.
    pub(crate) fn open(path: Option<&Path>) -> Result<StateFile, Error> {
        let path = path.map_or_else(usual, |path| Ok(path.to_owned()))?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(folder).map_err(Error::file(folder))?;
        }
        let lock_path = beside(&path, "lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(Error::file(&lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let path = path.display();
            Error::Usage(format!("{path}: another rzlog alert uses it; name another --state FILE"))
        })?;
        Ok(StateFile { path, _lock: lock })
    }

    /// What is in it. A damaged one is put aside, with a sentence: who watches must not stand still.
    pub(crate) fn load(&self) -> Result<(Kept, Option<String>), Error> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((Kept::default(), None));
            }
            Err(error) => return Err(Error::file(&self.path)(error)),
        };
        match serde_json::from_slice(&bytes) {
            Ok(kept) => Ok((kept, None)),
            Err(why) => {
                let aside = beside(&self.path, "damaged");
                fs::rename(&self.path, &aside).map_err(Error::file(&self.path))?;
                let (path, aside) = (self.path.display(), aside.display());
                let told = format!(
                    "{path} is damaged ({why}); it is kept as {aside}, and all begins anew"
                );
                Ok((Kept::default(), Some(told)))
            }
        }
    }

    pub(crate) fn save(&self, state: &impl Serialize) -> Result<(), Error> {
        let bytes = serde_json::to_vec(state)
            .map_err(|error| Error::Usage(format!("{}: {error}", self.path.display())))?;
        let new = beside(&self.path, "new");
        let write = || {
            // one that a kill left may have other rights
            let _ = fs::remove_file(&new);
            let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
            let mut file = options?;
            file.write_all(&bytes)?;
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

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_one_users_and_one_process_and_a_damaged_one_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/alert.json");
        let state = StateFile::open(Some(&path)).unwrap();
        assert!(StateFile::open(Some(&path)).is_err());
        assert!(state.load().unwrap().1.is_none());
        state.save(&serde_json::json!({})).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let told = state.load().unwrap().1.unwrap_or_default();
        assert!(told.contains("alert.json.damaged"), "{told}");
        assert!(!path.exists() && beside(&path, "damaged").exists());
    }
}
