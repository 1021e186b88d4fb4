//! `rsyslogd -N1`: what it says of a configuration.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::paths;
use crate::site::Site;
use crate::wait::try_until;

/// The answer of `rsyslogd -N1`.
pub struct Check {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said.
    pub text: String,
    config: String,
}

impl Check {
    /// Runs it; one that does not end is killed.
    pub(crate) fn run(site: &Site) -> Self {
        site.need_modules();
        let config = site.write_config();
        let log = site.path("check.err");
        let file = std::fs::File::create(&log).expect("log of the check");
        let mut child = Command::new(paths::rsyslogd())
            .args(["-N1", "-f"])
            .arg(&config)
            .args(["-M", &site.module_path()])
            .envs(site.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("log of the check"))
            .stderr(file)
            .spawn()
            .expect("rsyslogd does not run");
        let status = try_until(Duration::from_secs(20), || child.try_wait().expect("rsyslogd"));
        let status = status.unwrap_or_else(|| {
            let _ = child.kill();
            child.wait().expect("rsyslogd")
        });
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
        Check { status, text, config: site.config() }
    }

    /// The configuration is fine: exit status 0 and no word about it.
    #[track_caller]
    pub fn clean(&self) {
        assert!(
            self.status.success() && self.complaints().is_empty(),
            "expected -N1 to find nothing: {self}"
        );
    }

    /// The configuration can be used; there may be warnings.
    #[track_caller]
    pub fn accepts(&self) {
        let harmless = [": warning: ", ": Note: "];
        let errors = self.complaints().into_iter();
        let errors = errors.filter(|line| !harmless.iter().any(|word| line.contains(word)));
        assert!(
            self.status.success() && errors.count() == 0,
            "expected -N1 to accept this: {self}"
        );
    }

    /// The configuration can be used, but there are words about it that contain all of `words`.
    #[track_caller]
    pub fn warns(&self, words: &[&str]) {
        assert!(self.status.success(), "expected a warning and exit status 0: {self}");
        self.says(words);
    }

    /// The configuration is refused, by a line that contains all of `words`.
    #[track_caller]
    pub fn refuses(&self, words: &[&str]) {
        assert!(self.status.signal().is_none(), "-N1 was killed: {self}");
        assert!(!self.status.success(), "expected -N1 to refuse this: {self}");
        self.says(words);
    }

    /// Some line contains all of `words`.
    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        assert!(
            self.complaints().iter().any(|line| words.iter().all(|word| line.contains(word))),
            "expected a line of -N1 with all of {words:?}: {self}"
        );
    }

    /// The lines that are about the configuration.
    pub fn complaints(&self) -> Vec<&str> {
        complaints(&self.text)
    }
}

/// The lines of `rsyslogd -N1` that are about this configuration. The last two phrases are what 8.2608 and
/// later, and our modules there, say of each one that does not ask for their new defaults.
pub fn complaints(text: &str) -> Vec<&str> {
    let of_every_configuration = [
        "config validation run",
        "End of config validation",
        "insecure default in use: global(abortOnUncleanConfig=",
        "global(compatibility.defaults.secure=\"strict\") makes this an error",
    ];
    text.lines()
        .filter(|line| !of_every_configuration.iter().any(|phrase| line.contains(phrase)))
        .filter(|line| !line.trim().is_empty())
        .collect()
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}\nThe configuration was:\n{}", self.status, self.text, self.config)
    }
}
