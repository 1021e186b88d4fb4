//! What our modules make of a statement, as far as it is about trust, addresses and names. Everything
//! else is said by `rsyslogd -N1`.

use rzmq_link::{Mode, SocketType, parse_endpoints};

use super::finding::{Kind, Place, Report};
use super::links::{Link, leaves_the_host};
use super::parties::{Instance, Load, Parties};
use super::scan::Statement;
use super::tables::{Level, Module, closest, switch};
use super::trust::{self, Trust};

/// Tells of `module(load="…")`.
pub(super) fn of_load(load: &Load<'_>, report: &mut Report<'_>) {
    if let Some(statement) = load.statement {
        unknown_names(load.module, Level::Module, statement, report);
    }
}

/// What a statement trusts in, with what its module says.
pub(super) fn trust<'a>(instance: &Instance<'a>, parties: &Parties<'a>) -> Trust<'a> {
    let module = parties.load(instance.module).and_then(|load| {
        let statement = load.statement?;
        Some(Trust::of(statement, load.place.source))
    });
    Trust::of(instance.statement, instance.place.source).over(module.unwrap_or_default())
}

/// Tells of a statement; the answer is its socket, if it has one.
pub(super) fn of_instance(
    instance: &Instance<'_>,
    parties: &Parties<'_>,
    report: &mut Report<'_>,
) -> Option<Link> {
    let Instance { module, statement, place, .. } = *instance;
    unknown_names(module, Level::Instance, statement, report);
    let trusted = trust(instance, parties);
    let encrypted = trust::judge(&trusted, place, report);
    if parties.strict && (encrypted == Some(false) || trusted.is_open()) {
        let what =
            if trusted.is_open() { "clientcertpath=\"*\" lets any key in" } else { "plaintext" };
        let why = format!("{what}, {}: the statement is not used", trust::STRICT);
        report.tell_at(place, Kind::Broken, why);
    }
    let known = if module.is_output() { SocketType::OUTPUTS } else { SocketType::INPUTS };
    let socket_type = match statement.get("socktype").map(|it| it.text()) {
        None => {
            report.tell(statement.line, Kind::Broken, "socktype is missing");
            None
        }
        Some(None) => {
            depends(statement, "socktype", report);
            None
        }
        Some(Some(text)) => SocketType::parse(text, known).map_or_else(
            |why| {
                let meant = closest(text, known.iter().map(|kind| kind.name()));
                let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
                report.tell(instance.line_of("socktype"), Kind::Broken, format!("{why}{meant}"));
                None
            },
            Some,
        ),
    };
    let line = instance.line_of("endpoints");
    let text = match statement.get("endpoints").map(|it| it.text()) {
        None => {
            report.tell(line, Kind::Broken, "endpoints is missing");
            return None;
        }
        Some(None) => {
            depends(statement, "endpoints", report);
            return None;
        }
        Some(Some(text)) => text,
    };
    let habit = socket_type.map_or(Mode::Bind, SocketType::habit);
    let endpoints = match parse_endpoints(text, habit) {
        Ok(endpoints) => endpoints,
        Err(why) => {
            report.tell(line, Kind::Broken, why.to_string());
            return None;
        }
    };
    let ipv6 = statement.text("ipv6").and_then(switch) == Some(true);
    for endpoint in &endpoints {
        if endpoint.needs_ipv6() && !ipv6 {
            let why = format!("{} needs ipv6=\"on\"", endpoint.address);
            report.tell(line, Kind::Broken, why);
        }
        if encrypted == Some(false) && leaves_the_host(endpoint) {
            let why = format!(
                "{} in plaintext: whoever is on the way reads and writes lines. Write authtype, \
                 servercertpath and clientcertpath",
                endpoint.address
            );
            report.tell(line, Kind::Unsafe, why);
        }
    }
    Some(Link { place: Place { line, ..place }, endpoints, encrypted: encrypted? })
}

/// Tells of a value in backticks.
pub(super) fn depends(statement: &Statement, name: &str, report: &mut Report<'_>) {
    if let Some(parameter) = statement.get(name).filter(|parameter| parameter.is_evaluated()) {
        let unknown = match name {
            "endpoints" => "where it goes, and whether that is safe, is not known",
            _ => "whether it is right is not known",
        };
        let why = format!("{name}=`…` depends on rsyslogd's environment: {unknown}");
        report.tell(parameter.line, Kind::Unread, why);
    }
}

fn unknown_names(module: Module, level: Level, statement: &Statement, report: &mut Report<'_>) {
    for parameter in &statement.parameters {
        if module.knows(level, &parameter.name) {
            continue;
        }
        let meant = module.meant(level, &parameter.name);
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
        let why = format!("{} is not a parameter of {}{meant}", parameter.name, module.name());
        report.tell(parameter.line, Kind::Ignored, why);
    }
}
