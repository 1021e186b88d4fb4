//! Where things are: the repository, the modules it built, the machine's rsyslogd.

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

/// The distribution's own modules. `-M` replaces the path, so this folder is always named with it.
pub fn stock_modules() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let mut folders = vec![PathBuf::from("/usr/lib/rsyslog"), "/usr/lib64/rsyslog".into()];
        if let Ok(entries) = std::fs::read_dir("/usr/lib") {
            folders.extend(entries.flatten().map(|entry| entry.path().join("rsyslog")));
        }
        folders
            .into_iter()
            .find(|folder| folder.join("lmnet.so").exists())
            .expect("no rsyslog module folder below /usr/lib: is rsyslog installed?")
    })
}

/// Modules of the distribution that are unpacked here and not installed; scripts/setup says why.
fn unpacked_modules() -> PathBuf {
    repository().join("target/stock-modules")
}

/// Whether rsyslogd would find this module of the distribution.
pub fn has_stock_module(name: &str) -> bool {
    let file = format!("{name}.so");
    [stock_modules().to_owned(), unpacked_modules()].iter().any(|it| it.join(&file).exists())
}

/// What `-M` gets, with ours in this folder.
pub fn module_path(ours: &Path) -> String {
    let folders = [stock_modules().to_owned(), unpacked_modules(), ours.to_owned()];
    let folders = folders.iter().filter(|folder| folder.exists());
    folders.map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":")
}

/// The daemon: `RSYSLOGD`, else where packages put it.
pub fn rsyslogd() -> PathBuf {
    match std::env::var_os("RSYSLOGD") {
        Some(program) => program.into(),
        None => "/usr/sbin/rsyslogd".into(),
    }
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
