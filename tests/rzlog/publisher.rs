//! A rsyslogd with omrzmq that publishes, with CURVE, and what a reader of it has.

use harness::feed::syslog_line;
use harness::ports::free_endpoint;
use harness::rzlog::Running;
use harness::{Keys, Rsyslogd, Rzlog, SOON, Site};

/// Topics as README has them.
pub const TOPIC: &str =
    "template(name=\"topic\" type=\"string\" string=\"%hostname%.%programname%.\")";
/// In a frame of their own.
pub const FRAMED: &str = "topics=\"topic\" dynatopic=\"on\" topicframe=\"on\"";

/// The publisher and the keys.
pub struct Publisher {
    pub daemon: Rsyslogd,
    pub site: Site,
    pub endpoint: String,
    keys: (Keys, Keys),
}

impl Publisher {
    /// With these templates, and parameters of the action.
    pub fn start(templates: &str, action: &str) -> Self {
        let (server, reader) = (Keys::new("loghost"), Keys::new("reader"));
        Self::with_keys(&server, &reader, templates, action)
    }

    /// With a configuration of endpoint and trust (what a statement says of it).
    pub fn configured(configure: impl FnOnce(Site, &str, &str) -> Site) -> Self {
        Self::of(&Keys::new("loghost"), &Keys::new("reader"), configure)
    }

    fn with_keys(server: &Keys, reader: &Keys, templates: &str, action: &str) -> Self {
        Self::of(server, reader, |site, endpoint, trust| {
            let action = format!("socktype=\"PUB\" endpoints=\"{endpoint}\" {action}");
            site.with(templates).sending(trust, &action)
        })
    }

    fn of(server: &Keys, reader: &Keys, configure: impl FnOnce(Site, &str, &str) -> Site) -> Self {
        let (site, endpoint) = (Site::new(), free_endpoint());
        server.write(&site.path("keys"));
        reader.write(&site.path("keys"));
        reader.write_public(&site.path("allowed"));
        let trust = format!(
            "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
            site.path("keys/loghost").display(),
            site.path("allowed").display()
        );
        let site = configure(site, &endpoint, &trust);
        let daemon = site.start();
        Publisher { daemon, site, endpoint, keys: (server.clone(), reader.clone()) }
    }

    /// Another one that the same reader can read with the same certificate.
    pub fn another_with_its_keys(&self) -> Self {
        Self::with_keys(&self.keys.0, &self.keys.1, TOPIC, FRAMED)
    }

    /// One that publishes host and program as its topics.
    pub fn with_topics() -> Self {
        Publisher::start(TOPIC, FRAMED)
    }

    /// The options of trust, with one dash or two.
    pub fn trust(&self, dashes: &str) -> String {
        let keys = self.site.path("keys");
        let keys = keys.display();
        format!("{dashes}servercertpath {keys}/loghost {dashes}clientcertpath {keys}/reader")
    }

    /// `rzlog tail` of it, with more words.
    pub fn tail(&self, more: &str) -> Rzlog {
        Rzlog::of(&format!("tail {} {} {more}", self.endpoint, self.trust("--")))
    }

    /// Lets a host's program say texts.
    pub fn says(&self, host: &str, program: &str, texts: &[&str]) {
        let line = |text: &&str| {
            syslog_line(text).replace("feeder app:", &format!("{host} {program}:")) + "\n"
        };
        let lines: String = texts.iter().map(line).collect();
        self.daemon.feeder().bytes(lines.as_bytes());
    }

    /// The same with the time of now: old lines do not count to `rzlog alert`.
    pub fn says_now(&self, host: &str, program: &str, texts: &[&str]) {
        let now = now();
        let line = |text: &&str| format!("<13>{now} {host} {program}: {text}\n");
        let lines: String = texts.iter().map(line).collect();
        self.daemon.feeder().bytes(lines.as_bytes());
    }

    /// Publishes something until it is shown: a publisher has nothing for who is not there yet.
    #[track_caller]
    pub fn until_shown(&self, running: &mut Running, host: &str, program: &str) {
        running.wait_for("a first line", SOON, |running| {
            self.says(host, program, &["warm-up"]);
            running.out().contains("warm-up")
        });
    }
}

/// The time as a line has it.
pub fn now() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%FT%T+00:00"]).output();
    String::from_utf8(output.expect("date").stdout).expect("a time").trim().to_owned()
}

/// The lines without those of [`Publisher::until_shown`].
pub fn without_warm_up(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.contains("warm-up")).collect()
}
