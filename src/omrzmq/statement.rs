//! What one `action(type="omrzmq")` statement says, checked: everything that can be known without
//! touching the network.

use crate::engine::{Patience, warnings};
use crate::outlet::Outlet;
use crate::params::ACTION;
use rzmq_host::{Error, Log, Rsyslogd, Values};
use rzmq_link::{Mode, Security, SocketSpec, SocketType};
use rzmq_module::statefile::{digest, file_name};
use rzmq_module::{Credentials, Instance, mistake, unusable};
use std::path::PathBuf;

/// The line and four topics: rsyslog gives an action at most five templates.
const MOST_DYNAMIC_TOPICS: usize = 4;

/// How the action's lines get to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Done when libzmq took the line.
    BestEffort,
    /// Done when the receiver acknowledged it.
    Acked(AckedOptions),
}

/// Settings of acknowledged delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AckedOptions {
    /// Blocks travel packed.
    pub(crate) compress: bool,
    /// Workers begin with different endpoints.
    pub(crate) balance: bool,
    /// Lines carry rsyslog's uuid.
    pub(crate) uuid: bool,
    /// Lines keep the id of their first sender.
    pub(crate) relay: bool,
}

impl AckedOptions {
    /// Templates of the module's own that make the lines' heads, with their formats.
    pub(crate) fn head_templates(self) -> Vec<(&'static str, &'static str)> {
        let uuid = self.uuid.then_some((" omrzmq uuid", "%uuid%"));
        let relay = self.relay.then_some((" omrzmq relay", RELAY_FORMAT));
        uuid.into_iter().chain(relay).collect()
    }
}

/// The line's id, then name and address: of its first sender, and of the one it came from.
const RELAY_FORMAT: &str = "%$!rzmq!id%\t%$!rzmq!origin_peer%\t%$!rzmq!origin_address%\t\
                            %$!rzmq!peer%\t%$!rzmq!address%";

impl Delivery {
    fn of(values: &Values) -> Self {
        if values.text("delivery") != Some("acked") {
            return Self::BestEffort;
        }
        Self::Acked(AckedOptions {
            compress: values.text("compress") == Some("zstd"),
            balance: values.text("target.order") == Some("balance"),
            uuid: values.text("ids") == Some("uuid"),
            relay: values.switch("relay").unwrap_or(false),
        })
    }
}

/// An action's settings.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) endpoints_text: String,
    pub(crate) patience: Patience,
    /// Where refused lines go (acknowledged delivery).
    pub(crate) refused_file: Option<PathBuf>,
    pub(crate) outlet: Outlet,
    pub(crate) delivery: Delivery,
    pub(crate) spec: SocketSpec,
    /// What tells this action's spool from another's.
    pub(crate) identity: String,
    is_named: bool,
    template: String,
}

impl Statement {
    /// The parameters it knows.
    pub(crate) const PARAMS: &'static [rzmq_host::Param] = &ACTION;

    /// Reads the statement; the error lists the mistakes: of the shared parameters, or else of its own.
    pub(crate) fn read(
        rsyslogd: &Rsyslogd,
        module: &Credentials,
        values: &Values,
    ) -> Result<Self, Error> {
        let defaults = rsyslogd.secure_defaults();
        let instance = Instance::read(values, module, SocketType::OUTPUTS, defaults);
        let instance = instance.map_err(unusable)?;
        let mistakes = Self::mistakes(&instance, values);
        if !mistakes.is_empty() {
            return Err(unusable(mistakes));
        }
        if let Delivery::Acked(options) = Delivery::of(values) {
            for (name, format) in options.head_templates() {
                if !rsyslogd.define_template(name, format) {
                    return Err(unusable(vec![format!("the template{name} cannot be defined")]));
                }
            }
        }
        Self::warn(rsyslogd, &instance, values);
        let Instance { mut spec, is_named, endpoints_text, .. } = instance;
        let topics = std::mem::take(&mut spec.topics);
        let [topic_frame, numbered, dynamic] = ["topicframe", "pub.numbered", "dynatopic"]
            .map(|name| values.switch(name).unwrap_or(false));
        Ok(Self {
            identity: identity(&spec, is_named),
            is_named,
            outlet: Outlet::new(spec.socket_type, topics, topic_frame, numbered, dynamic),
            delivery: Delivery::of(values),
            patience: Patience::of(values),
            refused_file: values.text("refusedfile").map(PathBuf::from),
            template: values.text("template").unwrap_or("RSYSLOG_ForwardFormat").to_string(),
            endpoints_text,
            spec,
        })
    }

    fn warn(rsyslogd: &Rsyslogd, instance: &Instance, values: &Values) {
        let spec = &instance.spec;
        let log = Log::instance("omrzmq", &spec.name);
        let waits = !spec.socket_type.publishes() || spec.options.pub_nodrop;
        for warning in warnings(values, waits, rsyslogd.requeues_at_stop()) {
            log.warning(warning);
        }
        instance.tell_of_trust(&log);
        if let Delivery::Acked(_) = Delivery::of(values) {
            if matches!(*spec.security, Security::Plaintext) {
                log.warning(
                    "delivery=\"acked\" without authtype: nothing is encrypted, and a session belongs to \
                     nobody; anybody who can reach the receiver can speak in its name",
                );
            }
            if matches!(&*spec.security, Security::Client { own, .. } if own.paths().is_empty()) {
                log.warning(
                    "delivery=\"acked\" with clientcertpath=\"*\": each start has another key, and a session \
                     belongs to its key, so what a stop leaves in doubt or in the spool goes on in a new \
                     session: lines may arrive twice, under two ids. Name a certificate instead",
                );
            }
            if Patience::of(values) != Patience::Wait {
                log.warning(
                    "delivery=\"acked\" with a written action.resumeRetryCount or sendtimeout: lines that \
                     the engine gives up or hands to another action can arrive all the same. Write \
                     action.resumeRetryCount=\"-1\" to wait instead",
                );
            }
        }
        if !spec.socket_type.publishes() && !spec.topics.is_empty() {
            log.warning(format!(
                "parameter topics: only PUB and RADIO sockets have topics, a {} socket sends the \
                 line alone",
                spec.socket_type.name()
            ));
        }
    }

    fn mistakes(instance: &Instance, values: &Values) -> Vec<String> {
        let Instance { spec, .. } = instance;
        let mut mistakes: Vec<String> = Patience::mistake(values).into_iter().collect();
        if values.is_written("topics") && spec.topics.iter().all(String::is_empty) {
            mistakes.push(mistake("topics", "", "at least one topic that is not empty"));
        }
        if values.switch("dynatopic") == Some(true) {
            let topics = spec.topics.len();
            if topics == 0 {
                mistakes.push(
                    "parameter dynatopic=\"on\" needs topics: the names of the templates that make \
                     the topics"
                        .into(),
                );
            } else if topics > MOST_DYNAMIC_TOPICS {
                mistakes.push(format!(
                    "parameter topics: dynatopic=\"on\" allows {MOST_DYNAMIC_TOPICS} templates at \
                     most, {topics} are written (rsyslog gives an action five in all)"
                ));
            }
        }
        if let (Some(ours), Some(theirs)) = (values.int("sndhwm"), values.int("sendhwm")) {
            if ours != theirs {
                mistakes.push(format!(
                    "parameters sndhwm=\"{ours}\" and sendhwm=\"{theirs}\" are two names for one \
                     setting: write one of them"
                ));
            }
        }
        let connects = spec.endpoints.iter().all(|endpoint| endpoint.mode == Mode::Connect);
        match Delivery::of(values) {
            Delivery::Acked(_) if spec.socket_type != SocketType::Dealer || !connects => {
                mistakes.push(
                    "parameter delivery=\"acked\" needs socktype=\"DEALER\" and endpoints that \
                     connect; the receiver is an imrzmq input with socktype=\"ROUTER\""
                        .into(),
                );
            }
            Delivery::Acked(_) => {}
            Delivery::BestEffort => {
                for name in ["compress", "target.order", "refusedfile", "ids", "relay"] {
                    if values.is_written(name) {
                        mistakes
                            .push(format!("parameter {name} goes with delivery=\"acked\" alone"));
                    }
                }
            }
        }
        if values.switch("pub.nodrop") == Some(true) && spec.socket_type != SocketType::Pub {
            mistakes.push(format!(
                "parameter pub.nodrop=\"on\": only PUB sockets drop, this one is {}",
                spec.socket_type.name()
            ));
        }
        let framed = spec.socket_type == SocketType::Pub
            && values.switch("topicframe") == Some(true)
            && !spec.topics.is_empty();
        if values.switch("pub.numbered") == Some(true) && !framed {
            mistakes.push(
                "parameter pub.numbered=\"on\" needs socktype=\"PUB\", topicframe=\"on\" and topics: the \
                 number has a frame of its own between the topic's and the line's"
                    .into(),
            );
        }
        mistakes
    }

    /// The instance's name.
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// The templates the action asks for, the line's first.
    pub(crate) fn templates(&self) -> Vec<String> {
        let topics = self.outlet.topic_templates().iter().cloned();
        let heads = match self.delivery {
            Delivery::Acked(options) => options.head_templates(),
            Delivery::BestEffort => Vec::new(),
        };
        let heads = heads.into_iter().map(|(name, _)| name.to_string());
        std::iter::once(self.template.clone()).chain(topics).chain(heads).collect()
    }

    /// Whether the action has one socket for all workers, because it binds.
    pub(crate) fn binds(&self) -> bool {
        self.spec.endpoints.iter().any(|endpoint| endpoint.mode == Mode::Bind)
    }

    /// Whether the socket that binds has to be looked after: its key may be replaced, or a peer that it
    /// calls may have to be called again.
    pub(crate) fn has_to_be_kept(&self) -> bool {
        let calls = self.spec.endpoints.iter().any(|endpoint| endpoint.mode == Mode::Connect);
        self.binds() && (self.spec.security.is_curve() || calls)
    }

    /// Whether lines that a stop finds unsent are kept for the next start. A publisher's are not:
    /// its subscribers get what is said while they listen.
    pub(crate) fn spools(&self) -> bool {
        !self.spec.socket_type.publishes()
    }

    /// The file name of the spool in the work directory.
    pub(crate) fn spool_file(&self) -> String {
        file_name("omrzmq", self.is_named.then(|| self.name()), &self.digest(), "spool")
    }

    /// What stands for the identity in the spool.
    pub(crate) fn digest(&self) -> String {
        digest(&self.identity)
    }
}

/// The action's name, else socket type, endpoints and the files of the server's key.
fn identity(spec: &SocketSpec, is_named: bool) -> String {
    if is_named {
        return format!("name {}", spec.name);
    }
    let endpoints: Vec<_> = spec.endpoints.iter().map(ToString::to_string).collect();
    let server = match &*spec.security {
        // the files, not the keys in them: those are replaced, and the spool stays this action's
        Security::Client { servers, .. } => format!("{:?}", servers.paths()),
        Security::Plaintext | Security::Server { .. } => String::new(),
    };
    format!("{} {} {server}", spec.socket_type.name(), endpoints.join(","))
}
