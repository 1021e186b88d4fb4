//! Parameters that imrzmq and omrzmq have in common, and what they mean to the link.

use crate::Credentials;
use crate::security::{Remark, idle_key, judge};
use rzmq_host::{Error, Kind, Log, Param, ParamError, SecureDefaults, Values};
use rzmq_link::{Allowed, Mode, Options, Security, SocketSpec, SocketType, parse_endpoints};
use std::sync::Arc;
use std::time::Duration;

/// A day in milliseconds: longer waits are mistakes.
const DAY_MS: i64 = 86_400_000;

const fn text(name: &'static str, help: &'static str) -> Param {
    Param { name, kind: Kind::Text, default: "", required: false, help }
}

const fn required(name: &'static str, help: &'static str) -> Param {
    Param { name, kind: Kind::Text, default: "", required: true, help }
}

const fn switch(name: &'static str, default: &'static str, help: &'static str) -> Param {
    Param { name, kind: Kind::Switch, default, required: false, help }
}

const fn number(
    name: &'static str,
    range: (i64, i64),
    default: &'static str,
    help: &'static str,
) -> Param {
    Param { name, kind: Kind::Number(range.0, range.1), default, required: false, help }
}

/// Who may talk to whom; on `module(load=…)` as the default of its instances, and on each instance.
pub const SECURITY: [Param; 5] = [
    Param {
        name: "authtype",
        kind: Kind::Choice(&["CURVESERVER", "CURVECLIENT"]),
        default: "",
        required: false,
        help: "`CURVESERVER`: this side has the key that peers must know, and a list of keys it lets \
               in. `CURVECLIENT`: this side knows the server's key and shows its own. Not written: \
               plaintext, and then none of the four parameters below may be written either.",
    },
    switch(
        "authenticator",
        "on with CURVESERVER",
        "Accepted for configurations of the C modules; `authtype=\"CURVESERVER\"` implies it. \
         `off` beside CURVESERVER is an error unless `clientcertpath=\"*\"`.",
    ),
    text(
        "servercertpath",
        "Server: the file of its own certificate (NAME_secret is used if it exists, else NAME); two with a \
         comma between them are one for each of two endpoints, in their order. Client: the file of the \
         server's public certificate; of two with a comma between them either is accepted, while a key is \
         replaced or where two receivers have a key each. Read again when it changes.",
    ),
    text(
        "clientcertpath",
        "Server: the folder with the public certificates of the clients it lets in, or `*` for any \
         key; a certificate that comes or goes takes effect at once. Client: the file of its own certificate, or `*` for a fresh key at each start (only \
         for servers that let any key in).",
    ),
    text(
        "allowednames",
        "Server with a folder in `clientcertpath`: lets in only those whose certificate there has one of \
         these names (its `name`, else the file's), separated by commas, in any case of letters; `*` in \
         one stands for any characters: `web*.example.com,archive`. Not written: all.",
    ),
];

/// Parameters of `module(load=…)`.
pub const MODULE: [Param; 6] = [
    number("iothreads", (1, 64), "1", "Threads in which libzmq encrypts, sends and receives."),
    SECURITY[0],
    SECURITY[1],
    SECURITY[2],
    SECURITY[3],
    SECURITY[4],
];

/// Parameters of every `input()` and `action()` statement.
pub const INSTANCE: [Param; 25] = [
    required(
        "endpoints",
        "One or more addresses, separated by commas: `tcp://HOST:PORT`, `tcp://*:PORT`, \
         `tcp://[::1]:PORT`, `tcp://SOURCE:PORT;HOST:PORT`, `ipc://PATH`. `@` in front means bind, \
         `>` connect, none the socket's habit (PUB, PULL, ROUTER bind; PUSH, DEALER, SUB connect).",
    ),
    text(
        "name",
        "The instance's name in log lines and counters, and in the file names of the spool (omrzmq) and \
         the marks (imrzmq). Default: its endpoints.",
    ),
    Param {
        name: "topics",
        kind: Kind::List,
        default: "",
        required: false,
        help: "An array or a comma-separated list. imrzmq: the prefixes a SUB socket subscribes to \
               (not written: everything), the groups a DISH socket joins. omrzmq: the topics under \
               which a PUB socket publishes each line, the groups of a RADIO socket.",
    },
    SECURITY[0],
    SECURITY[1],
    SECURITY[2],
    SECURITY[3],
    SECURITY[4],
    switch("ipv6", "off", "Host names may also mean IPv6 addresses, and `*` binds to both."),
    switch("tcpkeepalive", "the system's", "TCP keep-alive probes."),
    number("tcpkeepaliveidle", (1, 32_767), "the system's", "Seconds of silence before a probe."),
    number("tcpkeepaliveintvl", (1, 32_767), "the system's", "Seconds between probes."),
    number("tcpkeepalivecnt", (1, 127), "the system's", "Unanswered probes that end a connection."),
    number(
        "heartbeativl",
        (0, DAY_MS),
        "5000",
        "Milliseconds between ZeroMQ heartbeats; 0 = none.",
    ),
    number(
        "heartbeattimeout",
        (0, DAY_MS),
        "15000",
        "Milliseconds without an answer after which a connection is given up.",
    ),
    number(
        "heartbeatttl",
        (0, 6_553_599),
        "15000",
        "Milliseconds after which the peer gives the connection up when no heartbeat reaches it; \
         0 = it is not asked to.",
    ),
    number(
        "connecttimeout",
        (0, DAY_MS),
        "0",
        "Milliseconds for a TCP connection to come about; 0 = the system's.",
    ),
    number("reconnectivl", (1, DAY_MS), "100", "Milliseconds before the first new attempt."),
    number(
        "reconnectivlmax",
        (0, DAY_MS),
        "2000",
        "The wait doubles with each attempt up to this many milliseconds; 0 = it does not grow.",
    ),
    number(
        "handshakeivl",
        (100, 60_000),
        "3000",
        "Milliseconds that a peer has for its handshake. A client that was refused tries again after as \
         long.",
    ),
    number(
        "maxconnections",
        (1, 1_000_000),
        "1000",
        "Connections that a bound socket takes; more are closed at once, logged and counted. The files \
         that rsyslogd may have open, without a reserve for itself, are a limit too.",
    ),
    number(
        "maxconnectionsperkey",
        (1, 1_000_000),
        "250",
        "Of these, connections with one key (where the keys are in a folder).",
    ),
    number(
        "maxfailuresperaddress",
        (0, 1_000_000),
        "50",
        "Handshakes of one address that may fail within a second at an input or action that binds with CURVE; \
         ten times as many where somebody is connected from it (and the keys are in a folder), and of a network of \
         IPv6 (/64). After more, the system overlooks new calls from there for a second, which is logged and \
         counted; connections stay. 0 = any number.",
    ),
    Param {
        name: "maxmsgsize",
        kind: Kind::Size(1, i32::MAX as i64),
        default: "16m",
        required: false,
        help: "The longest frame in bytes that is accepted; a peer that sends a longer one is \
               disconnected. Acknowledged delivery takes no line above 16 MiB, whatever is written here.",
    },
    number(
        "linger",
        (0, 60_000),
        "500",
        "Milliseconds given at a stop to what is on its way; omrzmq then spools the rest.",
    ),
];

/// What an instance's shared parameters say.
#[derive(Debug)]
pub struct Instance {
    /// Its socket; the spec's name is the instance's in log lines and counters.
    pub spec: SocketSpec,
    /// Whether the name was written, and is not just its endpoints.
    pub is_named: bool,
    /// The endpoints as they are written.
    pub endpoints_text: String,
    /// What can be used, and may not be what is meant.
    remarks: Vec<Remark>,
}

impl Instance {
    /// Reads the parameters that both modules share, credentials included (`module` has the defaults
    /// of those); the error lists every mistake.
    pub fn read(
        values: &Values,
        module: &Credentials,
        allowed: &[SocketType],
        defaults: SecureDefaults,
    ) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let security = Credentials::read(values).over(module).security();
        let security = security.map_err(|why| mistakes.push(why)).ok();
        let judged = security.as_ref().map_or(Ok(None), |it| judge(it, defaults));
        let lets_anybody_in = judged.unwrap_or_else(|why| {
            mistakes.push(why);
            None
        });
        let mut remarks: Vec<Remark> = lets_anybody_in.into_iter().collect();
        let endpoints_text = values.text("endpoints").unwrap_or_default().to_string();
        let written_type = values.text("socktype").unwrap_or_default();
        let socket_type = SocketType::parse(written_type, allowed);
        let socket_type = socket_type.map_err(|why| mistakes.push(format!("parameter {why}"))).ok();
        let habit = socket_type.map_or(Mode::Bind, SocketType::habit);
        let endpoints = parse_endpoints(&endpoints_text, habit).unwrap_or_else(|why| {
            mistakes.push(format!("parameter endpoints: {why}"));
            Vec::new()
        });
        let (Some(socket_type), Some(security), true) =
            (socket_type, security, mistakes.is_empty())
        else {
            return Err(mistakes);
        };
        remarks.extend(idle_key(&security, endpoints.len()).map(Remark::Warning));
        let spec = SocketSpec {
            name: values.text("name").unwrap_or(&endpoints_text).to_string(),
            socket_type,
            endpoints,
            security: Arc::new(security),
            options: options(values),
            topics: values.list("topics").unwrap_or_default().to_vec(),
        };
        spec.check().map_err(|why| vec![why.to_string()])?;
        Ok(Self { spec, is_named: values.is_written("name"), endpoints_text, remarks })
    }

    /// Tells of what is trusted that the administrator may not have meant.
    pub fn tell_of_trust(&self, log: &Log) {
        for remark in &self.remarks {
            match remark {
                Remark::Warning(sentence) => log.warning(sentence),
                Remark::Error(sentence) => log.error(sentence),
            }
        }
        if let Security::Server { allowed: Allowed::Folder(list), .. } = &*self.spec.security {
            for why in list.broken() {
                log.error(format!("not allowed in: {why}"));
            }
            list.several_names().iter().for_each(|why| log.warning(why));
        }
    }
}

/// The error of a statement that has mistakes.
pub fn unusable(mut mistakes: Vec<String>) -> Error {
    mistakes.push("this statement is not used; nothing falls back to plaintext".to_string());
    Error::from_list(mistakes)
}

fn options(values: &Values) -> Options {
    let standard = Options::default();
    let time = |name, standard: Duration| {
        values.number(name).map_or(standard, |ms| Duration::from_millis(ms.unsigned_abs()))
    };
    let count = |name, standard| {
        values.number(name).and_then(|count| usize::try_from(count).ok()).unwrap_or(standard)
    };
    Options {
        ipv6: values.switch("ipv6").unwrap_or(standard.ipv6),
        tcp_keepalive: values.switch("tcpkeepalive"),
        tcp_keepalive_idle: values.int("tcpkeepaliveidle"),
        tcp_keepalive_intvl: values.int("tcpkeepaliveintvl"),
        tcp_keepalive_cnt: values.int("tcpkeepalivecnt"),
        heartbeat_ivl: time("heartbeativl", standard.heartbeat_ivl),
        heartbeat_timeout: time("heartbeattimeout", standard.heartbeat_timeout),
        heartbeat_ttl: time("heartbeatttl", standard.heartbeat_ttl),
        connect_timeout: time("connecttimeout", standard.connect_timeout),
        reconnect_ivl: time("reconnectivl", standard.reconnect_ivl),
        reconnect_ivl_max: time("reconnectivlmax", standard.reconnect_ivl_max),
        handshake_ivl: time("handshakeivl", standard.handshake_ivl),
        max_connections: count("maxconnections", standard.max_connections),
        max_connections_per_key: count("maxconnectionsperkey", standard.max_connections_per_key),
        max_failures_per_address: count("maxfailuresperaddress", standard.max_failures_per_address),
        maxmsgsize: values.number("maxmsgsize").map_or(standard.maxmsgsize, i64::unsigned_abs),
        linger: time("linger", standard.linger),
        snd_hwm: values.int("sndhwm").or(values.int("sendhwm")).unwrap_or(standard.snd_hwm),
        rcv_hwm: values.int("rcvhwm").unwrap_or(standard.rcv_hwm),
        immediate: values.switch("immediate").unwrap_or(standard.immediate),
        pub_nodrop: values.switch("pub.nodrop").unwrap_or(standard.pub_nodrop),
    }
}

/// The parameter `socktype` of a module that knows these types.
pub const fn socket_type(words: &'static [&'static str], help: &'static str) -> Param {
    Param { name: "socktype", kind: Kind::Choice(words), default: "", required: true, help }
}

/// The mistake of a value that a table's range could not catch.
pub fn mistake(name: &str, value: &str, allowed: &str) -> String {
    ParamError::new(name, value, allowed).to_string()
}
