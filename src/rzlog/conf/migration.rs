//! From omczmq and imczmq to omrzmq and imrzmq: which bytes of a configuration change, what then behaves
//! differently, and what keeps a module from moving.
//!
//! Parameters keep their names, so hardly anything changes but the modules' names. A module moves with all
//! its statements or not at all: if our module would refuse one of them, or if it cannot be told whom to
//! let in, nothing of that module is touched, and a configuration that was in use stays usable. Everything
//! else stays byte for byte.

use std::collections::HashSet;
use std::ops::Range;

use rzmq_link::{Mode, Security, SecurityError, SocketType, parse_endpoints};

use super::files::Configuration;
use super::finding::Place;
use super::ours;
use super::parties::{Instance, Load, Parties, is_disabled};
use super::scan::{Statement, Value};
use super::tables::{Level, Module, closest, switch};
use super::theirs;
use super::trust::{self, Trust};

/// Numbers of the C modules' statements, with the range that ours take.
const NUMBERS: [(&str, i64, i64); 6] = [
    ("sendhwm", 0, i32::MAX as i64),
    ("heartbeatttl", 0, 6_553_599),
    ("heartbeativl", 0, 86_400_000),
    ("heartbeattimeout", 0, 86_400_000),
    ("connecttimeout", 0, 86_400_000),
    ("sendtimeout", -1, 86_400_000),
];
/// rsyslog gives an action five templates, and one makes the line.
const DYNAMIC_TOPICS_MAX: usize = 4;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Which bytes of the file.
    pub(crate) range: Range<usize>,
    /// What they become.
    pub(crate) text: String,
}

/// Something to know about the move.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Note {
    pub(crate) place: Place,
    /// It keeps its module from moving.
    pub(crate) stops: bool,
    pub(crate) sentence: String,
}

/// A configuration's move.
#[derive(Debug, Default)]
pub(crate) struct Migration {
    /// The changes of each file, in order.
    pub(crate) edits: Vec<Vec<Edit>>,
    /// In order.
    pub(crate) notes: Vec<Note>,
    /// Statements that move.
    pub(crate) moved: usize,
    /// Statements that stay, by the names of their modules.
    pub(crate) stayed: Vec<(&'static str, usize)>,
}

impl Migration {
    pub(crate) fn of(configuration: &Configuration) -> Migration {
        let parties = Parties::of(configuration);
        let mut migration = Migration {
            edits: vec![Vec::new(); configuration.sources.len()],
            ..Migration::default()
        };
        for module in [Module::Omczmq, Module::Imczmq] {
            let mut draft = Draft::default();
            let loads = parties.loads.iter().filter(|load| load.module == module);
            let instances = parties.instances.iter().filter(|instance| instance.module == module);
            loads.clone().for_each(|load| draft.load(load, &parties, configuration));
            instances.clone().for_each(|instance| draft.instance(instance, &parties));
            let statements = loads.count() + instances.count();
            if draft.notes.iter().any(|note| note.stops) {
                draft.notes.retain(|note| note.stops);
                migration.stayed.push((module.name(), statements));
            } else {
                migration.moved += statements;
                if statements > 0 {
                    draft.names(module, configuration);
                }
                for (source, edit) in draft.edits {
                    migration.edits[source].push(edit);
                }
            }
            migration.notes.extend(draft.notes);
        }
        migration.notes.sort_by_key(|note| note.place);
        migration.edits.iter_mut().for_each(|edits| edits.sort_by_key(|edit| edit.range.start));
        migration
    }
}

/// A text with its changes, which are in order and do not overlap.
pub(crate) fn rewritten(text: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut new = Vec::with_capacity(text.len() + 16);
    let mut at = 0;
    for edit in edits {
        new.extend_from_slice(text.get(at..edit.range.start).unwrap_or_default());
        new.extend_from_slice(edit.text.as_bytes());
        at = edit.range.end;
    }
    new.extend_from_slice(text.get(at..).unwrap_or_default());
    new
}

/// The move of one module, in the making.
#[derive(Default)]
struct Draft {
    edits: Vec<(usize, Edit)>,
    notes: Vec<Note>,
    known: HashSet<Note>,
}

impl Draft {
    fn stops(&mut self, place: Place, sentence: impl Into<String>) {
        self.note(place, true, sentence.into());
    }

    fn differs(&mut self, place: Place, sentence: impl Into<String>) {
        self.note(place, false, sentence.into());
    }

    fn note(&mut self, place: Place, stops: bool, sentence: String) {
        let note = Note { place, stops, sentence };
        if self.known.insert(note.clone()) {
            self.notes.push(note);
        }
    }

    /// Replaces what stands between a text's quotes by what is made of its meaning.
    fn rewrite(&mut self, place: Place, name: &str, value: &Value, new: String) {
        if value.plain {
            self.replace(place, value, new);
        } else {
            let why =
                format!("{name} is written with escapes, and has to become \"{new}\": by hand");
            self.stops(place, why);
        }
    }

    /// Replaces what stands between a text's quotes.
    fn replace(&mut self, place: Place, value: &Value, new: String) {
        self.edits.push((place.source, Edit { range: value.inner.clone(), text: new }));
    }

    fn load(&mut self, load: &Load<'_>, parties: &Parties<'_>, configuration: &Configuration) {
        let (name, ours) = (load.module.name(), load.module.successor());
        if let Some(other) = parties.load(ours) {
            let (path, line) = (configuration.path(&other.place).display(), other.place.line);
            let why = format!(
                "{} is loaded already, at {path}:{line}, and rsyslog ignores what a second module() says: \
                 bring both together",
                ours.name()
            );
            self.stops(load.place, why);
        }
        let text = load.named.text.as_str();
        let ending = if text.ends_with(".so") { ".so" } else { "" };
        let folder = text.strip_suffix(ending).and_then(|text| text.strip_suffix(name));
        match folder {
            Some(folder) if folder.is_empty() || load.named.plain => {
                self.replace(load.place, load.named, format!("{folder}{}{ending}", ours.name()));
            }
            _ => self.stops(load.place, format!("the path of {name} is written with escapes")),
        }
        let Some(statement) = load.statement.filter(|statement| !is_disabled(statement)) else {
            return;
        };
        self.form(load.module, Level::Module, statement, load.place.source);
        let trust = Trust::of(statement, load.place.source);
        if !parties.instances.iter().any(|instance| instance.module == load.module) {
            self.trust(&trust, load.place);
        }
        self.trust_differs(load.module, &trust);
    }

    fn trust_differs(&mut self, module: Module, trust: &Trust<'_>) {
        let Some(authtype) = trust.authtype else { return };
        let (name, ours) = (module.name(), module.successor().name());
        if !matches!(authtype.text, "CURVESERVER" | "CURVECLIENT") {
            let why = format!(
                "authtype=\"{}\" was plaintext with {name}, and is CURVE with {ours}: the other side needs \
                 it too",
                authtype.text
            );
            self.differs(authtype.place, why);
        }
        let Some(clients) = trust.clientcertpath.filter(|said| said.text != "*") else { return };
        if authtype.text.eq_ignore_ascii_case("CURVESERVER")
            && trust.is_authenticator_on().is_none()
        {
            let why = format!(
                "clientcertpath was not looked at by {name}, as authenticator is not written; {ours} lets \
                 in whose certificate lies in {}, and nobody else",
                clients.text
            );
            self.differs(clients.place, why);
        }
    }

    /// Whom our module would trust, or why it would refuse to say so. The files are not needed for that.
    fn trust(&mut self, trust: &Trust<'_>, place: Place) -> Option<bool> {
        if trust.evaluated {
            self.stops(place, "its trust depends on rsyslogd's environment");
            return None;
        }
        if let Some(said) = trust.authenticator.filter(|said| switch(said.text).is_none()) {
            self.stops(
                said.place,
                format!("authenticator=\"{}\": on or off is possible", said.text),
            );
            return None;
        }
        let place = trust.first().map_or(place, |(_, said)| said.place);
        match Security::from_settings(&trust.settings()) {
            Ok(security) => Some(security.is_curve()),
            // here it is about words alone; `rzlog check --config` looks at the files
            Err(
                SecurityError::Certificate { .. }
                | SecurityError::NobodyAllowed { .. }
                | SecurityError::NoCurve { .. },
            ) => Some(true),
            Err(error) => {
                self.stops(place, error.to_string());
                None
            }
        }
    }

    fn instance(&mut self, instance: &Instance<'_>, parties: &Parties<'_>) {
        let Instance { module, place, named, statement } = *instance;
        let ours = module.successor();
        self.replace(place, named, ours.name().to_owned());
        if is_disabled(statement) {
            return;
        }
        self.form(module, Level::Instance, statement, place.source);
        let of_its_own = Trust::of(statement, place.source);
        let trust = ours::trust(instance, parties);
        let encrypted = self.trust(&trust, place);
        if parties.strict && (encrypted == Some(false) || trust.is_open()) {
            let what =
                if trust.is_open() { "clientcertpath=\"*\" lets any key in" } else { "plaintext" };
            self.stops(place, format!("{what}, {}", trust::STRICT));
        }
        let own = of_its_own.first();
        if let Some((parameter, said)) =
            own.filter(|_| theirs::is_curve(module, parties) == Some(true))
        {
            let why = format!(
                "{parameter} was ignored here by {}, which goes by what its module() says; {} would go by \
                 it: take out what {}() says of trust, or decide whom it lets in",
                module.name(),
                ours.name(),
                module.word()
            );
            self.stops(said.place, why);
        } else if let Some((parameter, said)) = own {
            let why = format!(
                "{parameter} is understood here by {}, as it was not by {}: CURVE from now on, if it was \
                 plaintext, and the other side needs it too",
                ours.name(),
                module.name()
            );
            self.differs(said.place, why);
        }
        if let Some(parameter) = theirs::with_white_space(instance) {
            let why = format!(
                "{} has white space in it, for which rsyslogd refused the statement of {}; that of {} works",
                parameter.name,
                module.name(),
                ours.name()
            );
            self.differs(Place { line: parameter.line, ..place }, why);
        }
        let socket_type = self.socket_type(instance);
        self.endpoints(instance, socket_type, encrypted);
        self.topics(instance, socket_type);
        if module.is_output() {
            self.action(instance, socket_type);
        }
    }

    /// What every statement of ours is refused for.
    fn form(&mut self, module: Module, level: Level, statement: &Statement, source: usize) {
        let ours = module.successor();
        if !statement.closed {
            let place = Place { source, line: statement.line };
            self.stops(place, "the statement has no closing parenthesis");
        }
        for parameter in statement.repeated() {
            let place = Place { source, line: parameter.line };
            let why = format!("{} is written twice: rsyslogd takes the last one", parameter.name);
            self.stops(place, why);
        }
        if statement.is_enabled().is_none() {
            let place = Place { source, line: statement.line };
            self.stops(place, "whether it is enabled depends on rsyslogd's environment");
        }
        for parameter in &statement.parameters {
            let place = Place { source, line: parameter.line };
            let name = parameter.name.as_str();
            if !ours.knows(level, name) {
                let meant = ours.meant(level, name);
                let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
                self.stops(place, format!("{name} is not a parameter of {}{meant}", ours.name()));
            } else if !module.knows(level, name) && !trust::NAMES.contains(&name) {
                let why = format!(
                    "{name} was unknown to {} and had no effect; {} applies it",
                    module.name(),
                    ours.name()
                );
                self.differs(place, why);
            }
            if parameter.bracketed && ours.has_of_its_own(level, name) {
                let why = format!("{name} is a list in brackets, which {} refuses", module.name());
                self.stops(place, format!("{why}: write one text, with commas"));
            }
            if parameter.text() == Some("") && name != "topics" && !name.contains('.') {
                self.stops(place, format!("{name} is empty"));
            }
        }
    }

    fn socket_type(&mut self, instance: &Instance<'_>) -> Option<SocketType> {
        let known =
            if instance.module.is_output() { SocketType::OUTPUTS } else { SocketType::INPUTS };
        let place = Place { line: instance.line_of("socktype"), ..instance.place };
        let Some(parameter) = instance.statement.get("socktype") else {
            self.stops(place, "socktype is missing");
            return None;
        };
        let text = parameter.text()?;
        match SocketType::parse(text, known) {
            Ok(kind) => {
                if kind.name() != text {
                    let why = format!(
                        "socktype=\"{text}\" did not work with {}; it does with {}",
                        instance.module.name(),
                        instance.module.successor().name()
                    );
                    self.differs(place, why);
                }
                Some(kind)
            }
            Err(why) => {
                let meant = closest(text, known.iter().map(|kind| kind.name()));
                let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
                self.stops(place, format!("{why}{meant}"));
                None
            }
        }
    }

    fn endpoints(
        &mut self,
        instance: &Instance<'_>,
        socket_type: Option<SocketType>,
        encrypted: Option<bool>,
    ) {
        let place = Place { line: instance.line_of("endpoints"), ..instance.place };
        let Some(parameter) = instance.statement.get("endpoints") else {
            return self.stops(place, "endpoints is missing");
        };
        if parameter.is_evaluated() {
            let why =
                "endpoints=`…` depends on rsyslogd's environment: it is left, and not looked at";
            return self.differs(place, why);
        }
        let Some(value) = parameter.value() else { return };
        // czmq's other sign for any free port
        let mut text = value.text.clone();
        while let Some(at) = any_port(&text) {
            text.replace_range(at..=at, "*");
        }
        let habit = socket_type.map_or(Mode::Bind, SocketType::habit);
        match parse_endpoints(&text, habit) {
            Ok(endpoints) => {
                let ipv6 = instance.statement.text("ipv6").and_then(switch) == Some(true);
                for endpoint in endpoints {
                    if endpoint.needs_ipv6() && !ipv6 {
                        self.stops(place, format!("{} needs ipv6=\"on\"", endpoint.address));
                    }
                    if !endpoint.has_connections() && encrypted == Some(true) {
                        self.stops(place, format!("there is no CURVE over {}", endpoint.address));
                    }
                }
            }
            Err(why) => return self.stops(place, why.to_string()),
        }
        if text != value.text {
            self.rewrite(place, "endpoints", value, text);
        }
    }

    fn topics(&mut self, instance: &Instance<'_>, socket_type: Option<SocketType>) {
        let place = Place { line: instance.line_of("topics"), ..instance.place };
        let parameter = instance.statement.get("topics");
        let topics = theirs::topics(instance.statement);
        if socket_type == Some(SocketType::Sub) && topics.is_empty() {
            if !parameter.is_some_and(|parameter| parameter.is_evaluated()) {
                let why = "a SUB without topics received nothing with imczmq; it receives everything with imrzmq";
                self.differs(place, why);
            }
            return;
        }
        let value = parameter.and_then(|parameter| parameter.value()).filter(|it| !it.evaluated);
        let Some(value) = value else { return };
        if topics.iter().all(|topic| topic.trim().is_empty()) {
            return self.stops(place, "topics is empty");
        }
        if let Some(shorter) = value.text.strip_suffix(',') {
            // to ours it would be one topic more, the empty one
            self.rewrite(place, "topics", value, shorter.to_owned());
        }
    }

    fn action(&mut self, instance: &Instance<'_>, socket_type: Option<SocketType>) {
        let statement = instance.statement;
        let place = |name| Place { line: instance.line_of(name), ..instance.place };
        for (name, least, most) in NUMBERS {
            let Some(text) = statement.text(name) else { continue };
            if !text.trim().parse::<i64>().is_ok_and(|number| (least..=most).contains(&number)) {
                self.stops(
                    place(name),
                    format!("{name}=\"{text}\": a whole number from {least} to {most} is possible"),
                );
            }
        }
        for name in ["topicframe", "dynatopic"] {
            let text = statement.text(name).filter(|text| switch(text).is_none());
            if let Some(text) = text {
                self.stops(place(name), format!("{name}=\"{text}\": on or off is possible"));
            }
        }
        let topics = theirs::topics(statement).len();
        if statement.text("dynatopic").and_then(switch) == Some(true) {
            if topics == 0 && statement.get("topics").is_none() {
                self.stops(place("dynatopic"), "dynatopic=\"on\" needs topics");
            } else if topics > DYNAMIC_TOPICS_MAX {
                let why = format!("dynatopic=\"on\" allows {DYNAMIC_TOPICS_MAX} topics at most");
                self.stops(place("topics"), why);
            }
        }
        if let (Some(one), Some(two)) = (statement.text("sndhwm"), statement.text("sendhwm")) {
            if one != two {
                self.stops(place("sndhwm"), "sndhwm and sendhwm are two names for one setting");
            }
        }
        let is_framed = statement.text("topicframe").and_then(switch);
        let publishes = socket_type.is_some_and(SocketType::publishes);
        if publishes && topics > 0 && is_framed == Some(false) {
            let why = "topicframe=\"off\" was two frames with omczmq, nearly always; with omrzmq it is one, the \
                       topic in front of the line. If subscribers rely on two, write \"on\"";
            self.differs(place("topicframe"), why);
        }
        for (name, why) in [
            (
                "sendhwm",
                "sendhwm was the time-out of omczmq, in milliseconds, and what waited longer was thrown away; \
                 from now on it is the high-water mark, and without sendtimeout the action waits for its peer",
            ),
            ("heartbeativl", "heartbeativl was never applied by omczmq; omrzmq applies it"),
            ("heartbeattimeout", "heartbeattimeout was never applied by omczmq; omrzmq applies it"),
            ("heartbeatttl", "heartbeatttl was never applied by omczmq; omrzmq applies it"),
            (
                "connecttimeout",
                "connecttimeout made omczmq reject the action; with omrzmq it works",
            ),
        ] {
            if statement.get(name).is_some() {
                self.differs(place(name), why);
            }
        }
    }

    /// Where else the module is named: filters and templates may have the name of its lines' input.
    fn names(&mut self, module: Module, configuration: &Configuration) {
        let name = module.name().as_bytes();
        for (number, source) in configuration.sources.iter().enumerate() {
            let text = source.text.as_slice();
            let edits = self.edits.iter().filter(|(of, _)| *of == number);
            let mut edits: Vec<_> = edits.map(|(_, edit)| edit.range.clone()).collect();
            edits.sort_by_key(|range| range.start);
            let mut line = 1;
            for at in 0..text.len().saturating_sub(name.len() - 1) {
                if text[at] == b'\n' {
                    line += 1;
                }
                let end = at + name.len();
                let is_named = text[at..end].eq_ignore_ascii_case(name)
                    && !at.checked_sub(1).is_some_and(|before| is_of_a_word(text[before]))
                    && !text.get(end).is_some_and(|byte| is_of_a_word(*byte));
                let within = |ranges: &[Range<usize>]| {
                    let before = ranges.partition_point(|range| range.start <= at);
                    before > 0 && end <= ranges[before - 1].end
                };
                if !is_named || within(&source.scan.comments) || within(&edits) {
                    continue;
                }
                let ours = module.successor().name();
                let why = format!(
                    "{} is named here, too, and left: what comes through {ours} is called {ours}",
                    module.name()
                );
                self.differs(Place { source: number, line }, why);
            }
        }
    }
}

/// What may be within a path or a longer name.
fn is_of_a_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/')
}

/// Where a `!` stands for any free port.
fn any_port(text: &str) -> Option<usize> {
    let at = text
        .find(":!,")
        .or_else(|| text.trim_end().ends_with(":!").then(|| text.rfind(":!")).flatten())?;
    Some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn any_port_is_found_at_the_end_of_an_endpoint_only() {
        assert_eq!(any_port("tcp://*:!"), Some(8));
        assert_eq!(any_port("tcp://*:!,tcp://*:1"), Some(8));
        assert_eq!(any_port("tcp://*:1,tcp://*:! "), Some(18));
        assert_eq!(any_port("tcp://*:![60000-]"), None);
    }

    proptest! {
        #[test]
        fn without_changes_every_text_stays(text: Vec<u8>) {
            prop_assert_eq!(rewritten(&text, &[]), text);
        }
    }
}
