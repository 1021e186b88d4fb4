//! `rzlog check --config`: what is unsafe, broken or ignored in a configuration, with file and line; and
//! that it sees the statements that rsyslogd sees.

mod reading;
mod statements;
mod trust;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::rzlog::Ran;
use harness::{Keys, Rzlog};

/// A folder with a configuration and what it names.
pub struct Host {
    pub folder: tempfile::TempDir,
}

impl Host {
    /// Keys in `keys/` (server, client, exposed, stranger's public half), allowed ones in `allowed/`.
    pub fn new() -> Host {
        let host = Host { folder: tempfile::tempdir().expect("folder") };
        let keys = host.at("keys");
        for name in ["server", "client", "exposed"] {
            Keys::new(name).write(&keys);
        }
        mode(&keys.join("exposed_secret"), 0o644);
        Keys::new("stranger").write_public(&keys);
        fs::create_dir(host.at("allowed")).expect("folder");
        fs::create_dir(host.at("nobody")).expect("folder");
        fs::copy(keys.join("client"), host.at("allowed/client")).expect("a certificate");
        host
    }

    pub fn at(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// With `{k}` for the keys' folder and `{s}` for this one.
    pub fn fill(&self, text: &str) -> String {
        let folder = self.folder.path().display().to_string();
        text.replace("{k}", &format!("{folder}/keys")).replace("{s}", &folder)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, self.fill(text)).expect("written");
    }

    /// Of the file `rsyslog.conf`.
    pub fn check(&self) -> Ran {
        Rzlog::of("check --config rsyslog.conf").in_folder(self.folder.path()).run()
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

/// The findings of a configuration, one a line, without the name of the file.
#[track_caller]
fn finds(host: &Host, text: &str, expected: &[&str]) {
    host.write("rsyslog.conf", text);
    let ran = host.check();
    let found: Vec<_> = ran.out.lines().filter_map(|it| it.strip_prefix("rsyslog.conf:")).collect();
    let expected: Vec<_> = expected.iter().map(|line| host.fill(line)).collect();
    assert_eq!(found, expected, "\n{text}\n{ran:?}");
    let status = match expected.iter().all(|line| line.contains(": not read: ")) {
        _ if expected.is_empty() => 0,
        true => 12,
        false => 11,
    };
    assert_eq!(ran.status, status, "{text}\n{ran:?}");
}

const SERVER: &str = "authtype=\"CURVESERVER\" authenticator=\"on\" servercertpath=\"{k}/server\" \
                      clientcertpath=\"{s}/allowed\"";
const CLIENT: &str =
    "authtype=\"CURVECLIENT\" servercertpath=\"{k}/stranger\" clientcertpath=\"{k}/client\"";
