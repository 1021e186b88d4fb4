//! What the C modules make of a statement: what they ignore, what they crash of, whom they let in. Each
//! of it was seen on omczmq and imczmq of 8.2302; tests/faults has most of it as a test, and
//! tests/czmq-expected.txt what Debian's modules do there.

use rzmq_link::{Mode, SocketType, parse_endpoints};

use super::finding::{Kind, Place, Report};
use super::links::{Link, leaves_the_host};
use super::ours;
use super::parties::{Instance, Load, Parties};
use super::scan::{Parameter, Statement};
use super::tables::{self, Level, Module, closest, switch};
use super::trust::{self, Said, Trust};

/// Where their text ends that a topic is copied into.
const TOPIC_MAX: usize = 255;

/// Tells of `module(load="…")`.
pub(super) fn of_load(load: &Load<'_>, parties: &Parties<'_>, report: &mut Report<'_>) {
    let Some(statement) = load.statement else { return };
    let name = load.module.name();
    unknown_names(load.module, Level::Module, statement, report);
    let trust = Trust::of(statement, load.place.source);
    if trust.evaluated {
        report.tell(statement.line, Kind::Unread, "its trust depends on rsyslogd's environment");
        return;
    }
    let Some(authtype) = trust.authtype else {
        if let Some((parameter, said)) = trust.first() {
            let why =
                format!("{parameter} without authtype: {name} speaks plaintext, with everybody");
            report.tell_at(said.place, Kind::Unsafe, why);
        }
        authenticator(load, &trust, parties, report);
        return;
    };
    match authtype.text {
        "CURVESERVER" => server(load, &trust, authtype, report),
        "CURVECLIENT" => client(load, &trust, authtype, report),
        text => report.tell_at(authtype.place, Kind::Unsafe, unknown_authtype(name, text)),
    }
    authenticator(load, &trust, parties, report);
}

fn unknown_authtype(name: &str, text: &str) -> String {
    let known = ["CURVESERVER", "CURVECLIENT"];
    let meant = closest(text, known.into_iter()).map_or(String::new(), |meant| {
        if text.eq_ignore_ascii_case(meant) {
            format!("; it knows {meant} in capitals only")
        } else {
            format!("; did you mean {meant}?")
        }
    });
    format!(
        "authtype=\"{text}\" is not known to {name}, which then speaks plaintext, with everybody{meant}"
    )
}

fn server(load: &Load<'_>, trust: &Trust<'_>, authtype: Said<'_>, report: &mut Report<'_>) {
    match trust.servercertpath {
        Some(said) => trust::of_own("servercertpath", said, report),
        None => no_certificate("servercertpath", authtype.place, report),
    }
    if trust.is_authenticator_on() != Some(true) {
        let place = trust.authenticator.map_or(authtype.place, |said| said.place);
        let why = format!(
            "CURVESERVER without authenticator=\"on\": {} lets any key in, and does not look at \
             clientcertpath",
            load.module.name()
        );
        report.tell_at(place, Kind::Unsafe, why);
        return;
    }
    match trust.clientcertpath {
        Some(said) if said.text == "*" => {
            report.tell_at(said.place, Kind::Unsafe, "clientcertpath=\"*\" lets any key in");
        }
        Some(said) => trust::of_folder(said, report),
        None => {}
    }
}

fn client(load: &Load<'_>, trust: &Trust<'_>, authtype: Said<'_>, report: &mut Report<'_>) {
    match trust.servercertpath {
        Some(said) => trust::of_server(said, report),
        None => no_certificate("servercertpath", authtype.place, report),
    }
    match trust.clientcertpath {
        Some(said) if said.text == "*" => {
            let why = format!(
                "clientcertpath=\"*\" is the name of a file to {}; omrzmq and imrzmq make a fresh key for it",
                load.module.name()
            );
            report.tell_at(said.place, Kind::Broken, why);
        }
        Some(said) => trust::of_own("clientcertpath", said, report),
        None => no_certificate("clientcertpath", authtype.place, report),
    }
}

fn no_certificate(parameter: &str, place: Place, report: &mut Report<'_>) {
    let why = format!("authtype without {parameter} makes rsyslogd abort");
    report.tell_at(place, Kind::Broken, why);
}

fn authenticator(
    load: &Load<'_>,
    trust: &Trust<'_>,
    parties: &Parties<'_>,
    report: &mut Report<'_>,
) {
    let Some(said) = trust.authenticator else { return };
    if switch(said.text) != Some(true) {
        return;
    }
    if trust.clientcertpath.is_none() {
        let why = "authenticator=\"on\" without clientcertpath crashes rsyslogd";
        return report.tell_at(said.place, Kind::Broken, why);
    }
    let is_on = |module| {
        parties.load(module).and_then(|other| {
            let statement = other.statement?;
            Trust::of(statement, other.place.source).is_authenticator_on()
        }) == Some(true)
    };
    if is_on(Module::Omczmq) && is_on(Module::Imczmq) {
        let why = "authenticator=\"on\" on both modules makes rsyslogd abort at the start";
        report.tell_at(said.place, Kind::Broken, why);
    } else if load.module == Module::Omczmq {
        let why = "authenticator=\"on\": rsyslogd with omczmq does not end on SIGTERM";
        report.tell_at(said.place, Kind::Broken, why);
    }
}

/// What a module's sockets speak: whether it is CURVE.
pub(super) fn is_curve(module: Module, parties: &Parties<'_>) -> Option<bool> {
    let load = parties.load(module)?;
    let Some(statement) = load.statement else { return Some(false) };
    let trust = Trust::of(statement, load.place.source);
    if trust.evaluated {
        return None;
    }
    Some(trust.authtype.is_some_and(|said| matches!(said.text, "CURVESERVER" | "CURVECLIENT")))
}

/// Tells of a statement; the answer is its socket, if it has one.
pub(super) fn of_instance(
    instance: &Instance<'_>,
    parties: &Parties<'_>,
    report: &mut Report<'_>,
) -> Option<Link> {
    let Instance { module, statement, .. } = *instance;
    unknown_names(module, Level::Instance, statement, report);
    if let Some(parameter) = with_white_space(instance) {
        let why =
            format!("{} has white space in it: rsyslogd refuses the statement", parameter.name);
        report.tell(parameter.line, Kind::Broken, why);
    }
    let curve = is_curve(module, parties);
    let told = trust_of_its_own(instance, curve, report);
    let socket_type = socket_type(instance, report);
    if module.is_output() {
        of_action(instance, socket_type, report);
    } else {
        of_input(instance, socket_type, report);
    }
    let endpoints = statement.get("endpoints");
    let Some(text) = endpoints.and_then(|parameter| parameter.text()) else {
        if endpoints.is_none() {
            report.tell(statement.line, Kind::Broken, "endpoints is missing");
        }
        ours::depends(statement, "endpoints", report);
        return None;
    };
    let line = instance.line_of("endpoints");
    let habit = socket_type.map_or(Mode::Bind, SocketType::habit);
    // any port is written differently; see migration.rs
    let endpoints = match parse_endpoints(&text.replace(":!", ":*"), habit) {
        Ok(endpoints) => endpoints,
        Err(why) => {
            let what = if module.is_output() {
                "nothing is sent"
            } else {
                "with it, no input of imczmq works, and rsyslogd runs on"
            };
            report.tell(line, Kind::Broken, format!("{why}; {what}"));
            return None;
        }
    };
    if curve == Some(false) && !told {
        for endpoint in endpoints.iter().filter(|endpoint| leaves_the_host(endpoint)) {
            let why = format!(
                "{} in plaintext: whoever is on the way reads and writes lines",
                endpoint.address
            );
            report.tell(line, Kind::Unsafe, why);
        }
    }
    Some(Link {
        place: Place { source: instance.place.source, line },
        endpoints,
        encrypted: curve?,
    })
}

/// Trust that is written where the C modules have none. Answers whether that makes the link plaintext.
fn trust_of_its_own(instance: &Instance<'_>, curve: Option<bool>, report: &mut Report<'_>) -> bool {
    let trust = Trust::of(instance.statement, instance.place.source);
    let Some((parameter, said)) = trust.first() else { return false };
    let (name, word) = (instance.module.name(), instance.module.word());
    if curve == Some(true) {
        let why = format!(
            "{parameter} is not a parameter of {name}'s {word}(): what module(load=\"{name}\" …) says \
             counts"
        );
        report.tell_at(said.place, Kind::Ignored, why);
        return false;
    }
    let why = format!(
        "{parameter} is not a parameter of {name}'s {word}(): it speaks plaintext, with everybody. \
         {name} has it on module(load=\"{name}\" …) only; {} on both",
        instance.module.successor().name()
    );
    report.tell_at(said.place, Kind::Unsafe, why);
    true
}

fn unknown_names(module: Module, level: Level, statement: &Statement, report: &mut Report<'_>) {
    for parameter in &statement.parameters {
        let name = parameter.name.as_str();
        if module.knows(level, name) || (level == Level::Instance && trust::NAMES.contains(&name)) {
            continue;
        }
        let ours = module.successor();
        let hint = if ours.knows(level, name) {
            format!("; {} has it", ours.name())
        } else {
            module
                .meant(level, name)
                .map_or(String::new(), |meant| format!("; did you mean {meant}?"))
        };
        let why = format!("{name} is not a parameter of {}{hint}", module.name());
        report.tell(parameter.line, Kind::Ignored, why);
    }
}

fn socket_type(instance: &Instance<'_>, report: &mut Report<'_>) -> Option<SocketType> {
    let Instance { module, statement, .. } = *instance;
    let line = instance.line_of("socktype");
    let Some(parameter) = statement.get("socktype") else {
        report.tell(line, Kind::Broken, "socktype is missing");
        return None;
    };
    let Some(text) = parameter.text() else {
        ours::depends(statement, "socktype", report);
        return None;
    };
    let known = if module.is_output() { SocketType::OUTPUTS } else { SocketType::INPUTS };
    let found = known.iter().copied().find(|kind| kind.name() == text);
    match found {
        Some(kind) if kind.is_draft() && !rzmq_link::has_drafts() => {
            let why =
                format!("socktype {text} needs libzmq's draft API, which is not in libzmq here");
            report.tell(line, Kind::Broken, why);
        }
        Some(_) => {}
        None => {
            let meant = closest(text, known.iter().map(|kind| kind.name()));
            let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
            let what = if module.is_output() {
                "rsyslogd aborts at the first line"
            } else {
                "rsyslogd aborts at the start"
            };
            let why =
                format!("socktype=\"{text}\" is not known to {}: {what}{meant}", module.name());
            report.tell(line, Kind::Broken, why);
        }
    }
    found
}

/// A value that has to be one word, and is not.
pub(super) fn with_white_space<'a>(instance: &Instance<'a>) -> Option<&'a Parameter> {
    instance.statement.parameters.iter().find(|parameter| {
        instance.module.has_of_its_own(Level::Instance, &parameter.name)
            && parameter.text().is_some_and(|text| text.contains(char::is_whitespace))
    })
}

fn of_action(instance: &Instance<'_>, socket_type: Option<SocketType>, report: &mut Report<'_>) {
    let statement = instance.statement;
    ours::depends(statement, "topics", report);
    let mut tell = |name: &str, kind, why: &str| {
        if statement.get(name).is_some() {
            report.tell(instance.line_of(name), kind, why);
        }
    };
    tell("template", Kind::Broken, "template makes rsyslogd crash at each stop (freed twice)");
    let why = "connecttimeout makes omczmq reject the action: nothing is sent";
    tell("connecttimeout", Kind::Broken, why);
    for name in ["heartbeativl", "heartbeattimeout", "heartbeatttl"] {
        // omczmq takes heartbeatttl for another heartbeattimeout, and wants all three
        tell(name, Kind::Ignored, &format!("{name}: omczmq never applies heartbeats"));
    }
    // what is no number is 0, at which nothing waits
    let hwm = statement.text("sendhwm").map(|text| text.parse::<i64>().unwrap_or(0));
    if statement.get("sendtimeout").is_some() {
        tell(
            "sendhwm",
            Kind::Ignored,
            "sendhwm: omczmq takes it for sendtimeout, and that is written, too",
        );
    } else if hwm.is_some_and(|milliseconds| milliseconds >= 0) {
        let why = "sendhwm: omczmq takes it for sendtimeout, in milliseconds, and not for a high-water mark: \
                   each time the action is suspended, what the socket holds is thrown away, and counts as sent";
        tell("sendhwm", Kind::Broken, why);
    }
    let written = statement.text("sendtimeout").and_then(|text| text.parse::<i64>().ok());
    if written.is_some_and(|milliseconds| milliseconds >= 0) {
        let why = "sendtimeout: each time the action is suspended, what the socket holds is thrown away, \
                   and counts as sent";
        tell("sendtimeout", Kind::Broken, why);
    }
    for name in tables::NUMBERS_CZMQ {
        let text = statement.text(name).filter(|text| text.parse::<i64>().is_err());
        if let Some(text) = text {
            tell(name, Kind::Ignored, &format!("{name}=\"{text}\" is no number: it means 0"));
        }
    }
    let publishes = socket_type.is_none_or(SocketType::publishes);
    let topics = topics(statement);
    let topics_evaluated = statement.get("topics").is_some_and(|it| it.is_evaluated());
    for name in ["topics", "topicframe", "dynatopic"] {
        if !publishes {
            tell(name, Kind::Ignored, &format!("{name}: only PUB sockets have topics"));
        }
    }
    let dynamic = statement.text("dynatopic").and_then(switch) == Some(true);
    if dynamic && topics.is_empty() && !topics_evaluated {
        tell(
            "dynatopic",
            Kind::Broken,
            "dynatopic without topics makes rsyslogd crash, with -N1 too",
        );
    }
    if dynamic && topics.len() > 4 {
        tell(
            "topics",
            Kind::Broken,
            "more than four topics with dynatopic: rsyslogd refuses the action",
        );
    }
    if topics.iter().any(|topic| topic.len() > TOPIC_MAX) {
        tell("topics", Kind::Broken, "a topic of more than 255 bytes makes rsyslogd crash");
    }
    let framed = statement.text("topicframe").and_then(switch);
    if publishes && framed == Some(false) && !topics.is_empty() {
        let why = "topicframe=\"off\": omczmq sends two frames all the same, nearly always";
        tell("topicframe", Kind::Ignored, why);
    }
}

fn of_input(instance: &Instance<'_>, socket_type: Option<SocketType>, report: &mut Report<'_>) {
    let statement = instance.statement;
    let line = instance.line_of("topics");
    if statement.get("ruleset").is_some() {
        let why = "ruleset makes rsyslogd crash at each stop";
        report.tell(instance.line_of("ruleset"), Kind::Broken, why);
    }
    let topics = topics(statement);
    let evaluated = statement.get("topics").is_some_and(|it| it.is_evaluated());
    let subscribes = matches!(socket_type, Some(SocketType::Sub | SocketType::Dish));
    if subscribes && topics.is_empty() && !evaluated {
        report.tell(line, Kind::Broken, "a SUB without topics receives nothing, without a word");
    }
    if socket_type.is_some() && !subscribes && !topics.is_empty() {
        report.tell(line, Kind::Ignored, "topics: only SUB sockets have topics");
    }
    ours::depends(statement, "topics", report);
    if topics.iter().any(|topic| topic.len() > TOPIC_MAX) {
        report.tell(line, Kind::Broken, "a topic of more than 255 bytes makes rsyslogd crash");
    }
}

/// The topics as the C modules take them apart.
pub(super) fn topics(statement: &Statement) -> Vec<&str> {
    let Some(text) = statement.text("topics") else { return Vec::new() };
    // a comma at the end begins no topic
    let text = text.strip_suffix(',').unwrap_or(text);
    if text.is_empty() { Vec::new() } else { text.split(',').collect() }
}
