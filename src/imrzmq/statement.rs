//! What one `input(type="imrzmq")` statement says, checked: everything that can be known without
//! touching the network.

use crate::params::INPUT;
use crate::peer_rate::PeerLimit;
use rzmq_host::{Error, FlowControl, Log, RateLimit, Rsyslogd, Ruleset, Values};
use rzmq_link::{Allowed, Security, SocketSpec, SocketType};
use rzmq_module::statefile::{digest, file_name};
use rzmq_module::{Credentials, Instance, unusable};
use std::path::PathBuf;
use std::time::Duration;

/// An input's settings.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) spec: SocketSpec,
    pub(crate) flow: FlowControl,
    pub(crate) limit: Option<RateLimit>,
    /// For each sender.
    pub(crate) peer_limit: Option<PeerLimit>,
    /// Sessions of acknowledged delivery, in all and of one key.
    pub(crate) sessions: (usize, usize),
    /// MiB that are to stay free, and where; not written: in the work directory.
    pub(crate) least_free: Option<(u64, Option<PathBuf>)>,
    pub(crate) metadata: bool,
    /// Senders may say whose line it was first.
    pub(crate) trusts_relays: bool,
    /// Senders speak for the host that their certificate names, and for no other.
    pub(crate) enforces_host: bool,
    /// Lines may be parsed as they come in.
    pub(crate) parses_early: bool,
    /// Found in `find_names`, once the configuration is whole.
    pub(crate) ruleset: Option<Ruleset>,
    ruleset_name: Option<String>,
    is_named: bool,
    endpoints_text: String,
}

impl Statement {
    /// The parameters it knows.
    pub(crate) const PARAMS: &'static [rzmq_host::Param] = &INPUT;

    /// Reads the statement; the error lists the mistakes: of the shared parameters, or else of its own.
    pub(crate) fn read(
        rsyslogd: &Rsyslogd,
        module: &Credentials,
        values: &Values,
    ) -> Result<Self, Error> {
        let defaults = rsyslogd.secure_defaults();
        let instance = Instance::read(values, module, SocketType::INPUTS, defaults);
        let instance = instance.map_err(unusable)?;
        let mistakes = Self::mistakes(&instance.spec, values);
        if !mistakes.is_empty() {
            return Err(unusable(mistakes));
        }
        Self::warn(&instance, values);
        let Instance { mut spec, is_named, endpoints_text, .. } = instance;
        match spec.socket_type {
            // The empty prefix: everything. The C module received nothing, without a word.
            SocketType::Sub if spec.topics.is_empty() => spec.topics.push(String::new()),
            SocketType::Sub | SocketType::Dish => {}
            _ => spec.topics.clear(),
        }
        let count = |name, standard| {
            values.number(name).and_then(|count| usize::try_from(count).ok()).unwrap_or(standard)
        };
        Ok(Self {
            spec,
            flow: match values.text("flowcontrol") {
                Some("light") => FlowControl::Light,
                Some("no") => FlowControl::No,
                _ => FlowControl::Full,
            },
            limit: limit(values),
            peer_limit: peer_limit(values),
            sessions: (count("maxsessions", 65_536), count("maxsessionsperkey", 1024)),
            least_free: values
                .number("minfree")
                .filter(|mib| *mib > 0)
                .map(|mib| (mib.unsigned_abs(), values.text("minfree.path").map(PathBuf::from))),
            metadata: values.switch("metadata").unwrap_or(false),
            trusts_relays: values.switch("trustrelays").unwrap_or(false),
            enforces_host: values.switch("enforcehost").unwrap_or(false),
            parses_early: values.switch("earlyparse").unwrap_or(true),
            ruleset: None,
            ruleset_name: values.text("ruleset").map(str::to_string),
            is_named,
            endpoints_text,
        })
    }

    fn mistakes(spec: &SocketSpec, values: &Values) -> Vec<String> {
        let mut mistakes = Vec::new();
        if values.switch("enforcehost") == Some(true) {
            let trusts_relays = values.switch("trustrelays") == Some(true);
            mistakes = contradictions_of_enforcehost(&spec.security, trusts_relays);
        }
        let lines_and_policy = ["ratelimit.interval", "ratelimit.burst"]
            .into_iter()
            .find(|name| values.is_written(name) && values.is_written("ratelimit.name"));
        if let Some(name) = lines_and_policy {
            mistakes.push(format!(
                "parameters ratelimit.name and {name} contradict each other: write one of them"
            ));
        }
        mistakes
    }

    fn warn(instance: &Instance, values: &Values) {
        let spec = &instance.spec;
        let log = Log::instance("imrzmq", &spec.name);
        instance.tell_of_trust(&log);
        if !matches!(spec.socket_type, SocketType::Sub | SocketType::Dish)
            && !spec.topics.is_empty()
        {
            log.warning(format!(
                "parameter topics: only SUB and DISH sockets have topics, this {} socket receives \
                 everything",
                spec.socket_type.name()
            ));
        }
        if spec.socket_type == SocketType::Router
            && matches!(values.text("flowcontrol"), Some("light" | "no"))
        {
            log.warning(
                "parameter flowcontrol: a queue that is full throws lines away that acknowledged senders \
                 were told are safe; write \"full\"",
            );
        }
        if let Some(name) = idle_minfree(spec.socket_type, values) {
            log.warning(format!(
                "parameter {name} does nothing: minfree holds back acknowledged senders of a ROUTER socket"
            ));
        }
    }

    /// What stands for this input in its file of marks.
    pub(crate) fn digest(&self) -> String {
        let name = if self.is_named { &self.spec.name } else { &self.endpoints_text };
        digest(&format!("{} {name}", if self.is_named { "name" } else { "endpoints" }))
    }

    /// The file name of the marks in the work directory; only a ROUTER has any.
    pub(crate) fn marks_file(&self) -> Option<String> {
        let name = self.is_named.then_some(self.spec.name.as_str());
        let router = self.spec.socket_type == SocketType::Router;
        router.then(|| file_name("imrzmq", name, &self.digest(), "marks"))
    }

    /// The instance's log.
    pub(crate) fn log(&self) -> Log {
        Log::instance("imrzmq", &self.spec.name)
    }

    /// Finds what it names, now that the whole configuration is known.
    pub(crate) fn find_names(&mut self, rsyslogd: &Rsyslogd) {
        if let Some(Err(why)) = self.limit.as_ref().map(|limit| limit.check(rsyslogd, "imrzmq")) {
            self.log().error(format!("{why}; this input does not work"));
        }
        let Some(name) = &self.ruleset_name else {
            return;
        };
        self.ruleset = Ruleset::find(rsyslogd, name);
        if self.ruleset.is_none() {
            self.log().error(format!(
                "parameter ruleset=\"{name}\": there is no such ruleset; the lines go to the default \
                 one, so that none is lost"
            ));
        }
    }
}

/// A written parameter of free space that nothing asks for.
fn idle_minfree(socket_type: SocketType, values: &Values) -> Option<&'static str> {
    let looks =
        socket_type == SocketType::Router && values.number("minfree").is_some_and(|mib| mib > 0);
    let idle = |name: &&str| values.is_written(name) && values.number("minfree") != Some(0);
    if looks { None } else { ["minfree", "minfree.path"].into_iter().find(idle) }
}

/// What keeps `enforcehost` from saying who sent a line.
fn contradictions_of_enforcehost(security: &Security, trusts_relays: bool) -> Vec<String> {
    let mut mistakes = Vec::new();
    let needs = "parameter enforcehost=\"on\" needs authtype=\"CURVESERVER\" and a folder of \
                 certificates in clientcertpath";
    match security {
        Security::Server { allowed: Allowed::Folder(_), .. } => {}
        Security::Server { allowed: Allowed::Any, .. } => mistakes.push(format!(
            "{needs}, not \"*\": a key of which there is no certificate is no host's"
        )),
        Security::Plaintext | Security::Client { .. } => mistakes
            .push(format!("{needs}: a sender is known by the certificate of the key it shows")),
    }
    if trusts_relays {
        mistakes.push(
            "parameters enforcehost=\"on\" and trustrelays=\"on\" contradict each other: a relay \
             passes on lines of other hosts, under its own certificate"
                .to_string(),
        );
    }
    mistakes
}

/// Of all senders together.
fn limit(values: &Values) -> Option<RateLimit> {
    if let Some(policy) = values.text("ratelimit.name") {
        return Some(RateLimit::Policy(policy.to_owned()));
    }
    let seconds = values.number("ratelimit.interval").unwrap_or(0);
    let lines = values.number("ratelimit.burst").unwrap_or(10_000);
    (seconds > 0).then(|| RateLimit::Lines {
        interval: u32::try_from(seconds).unwrap_or(u32::MAX),
        burst: u32::try_from(lines).unwrap_or(u32::MAX),
    })
}

fn peer_limit(values: &Values) -> Option<PeerLimit> {
    let seconds = values.number("ratelimit.perpeer.interval").unwrap_or(0);
    let lines = values.number("ratelimit.perpeer.burst").unwrap_or(10_000);
    (seconds > 0).then(|| PeerLimit {
        interval: Duration::from_secs(seconds.unsigned_abs()),
        burst: u32::try_from(lines).unwrap_or(u32::MAX),
    })
}
