//! Where things are: the repository, the modules it built, the rsyslogd under test.
//!
//! That is the machine's own, or the one that `RSYSLOGD` names, such as that of another release that
//! `scripts/release` has unpacked. Its modules are looked for in the same file system.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The repository: this package's folder is `tests/` in it.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// `make build` leaves the modules here; `RZMQ_TEST_MODULES` names another folder.
pub fn modules() -> PathBuf {
    match std::env::var_os("RZMQ_TEST_MODULES") {
        Some(folder) => folder.into(),
        None => repository().join("target/modules"),
    }
}

/// The modules with panics on demand built in.
pub fn fault_modules() -> PathBuf {
    match std::env::var_os("RZMQ_TEST_FAULT_MODULES") {
        Some(folder) => folder.into(),
        None => repository().join("target/fault-modules"),
    }
}

/// The command line; `make build` leaves it here, `RZMQ_TEST_RZLOG` names another one.
pub fn rzlog() -> PathBuf {
    match std::env::var_os("RZMQ_TEST_RZLOG") {
        Some(program) => program.into(),
        None => repository().join("target/release/rzlog"),
    }
}

/// Where packages put the daemon, seen from the top of their file system.
const DAEMON: &str = "usr/sbin/rsyslogd";

/// The daemon: `RSYSLOGD`, else where packages put it.
pub fn rsyslogd() -> PathBuf {
    match std::env::var_os("RSYSLOGD") {
        Some(program) => program.into(),
        None => Path::new("/").join(DAEMON),
    }
}

/// The file system that the daemon was unpacked into, if it is not the machine's own.
pub fn unpacked_release() -> Option<PathBuf> {
    let daemon = rsyslogd();
    let top = daemon.ends_with(DAEMON).then(|| daemon.ancestors().nth(3)).flatten()?;
    (top != Path::new("/")).then(|| top.to_owned())
}

/// The distribution's own modules. `-M` replaces the path, so this folder is always named with it.
pub fn stock_modules() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let top = unpacked_release().unwrap_or_else(|| "/".into());
        let mut folders = vec![top.join("usr/lib/rsyslog"), top.join("usr/lib64/rsyslog")];
        if let Ok(entries) = std::fs::read_dir(top.join("usr/lib")) {
            folders.extend(entries.flatten().map(|entry| entry.path().join("rsyslog")));
        }
        folders.into_iter().find(|folder| folder.join("lmnet.so").exists()).unwrap_or_else(|| {
            panic!("no rsyslog module folder below {}: is rsyslog installed?", top.display())
        })
    })
}

/// The folders of the distribution's modules. Some of the machine's own release are unpacked here and
/// not installed; scripts/setup says why.
fn stock_folders() -> Vec<PathBuf> {
    let mut folders = vec![stock_modules().to_owned()];
    if unpacked_release().is_none() {
        folders.push(repository().join("target/stock-modules"));
    }
    folders
}

/// Whether rsyslogd would find this module of the distribution.
pub fn has_stock_module(name: &str) -> bool {
    let file = format!("{name}.so");
    stock_folders().iter().any(|folder| folder.join(&file).exists())
}

/// What `-M` gets, with ours in this folder.
pub fn module_path(ours: &Path) -> String {
    let folders = stock_folders().into_iter().chain([ours.to_owned()]);
    let folders = folders.filter(|folder| folder.exists());
    folders.map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":")
}

/// Modules for a rsyslogd with another message layout than distributions have.
pub fn foreign_modules() -> PathBuf {
    repository().join("target/foreign-modules")
}

/// The release of the daemon under test as one number: 8.2302.0 is 2302.
pub fn rsyslog_release() -> u32 {
    static RELEASE: OnceLock<u32> = OnceLock::new();
    *RELEASE.get_or_init(|| {
        let output = Command::new(rsyslogd()).arg("-v").output().expect("rsyslogd -v does not run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace()
            .nth(1)
            .and_then(|version| version.split('.').nth(1))
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("rsyslogd -v printed no release: {text}"))
    })
}
