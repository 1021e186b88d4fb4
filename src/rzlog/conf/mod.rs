//! rsyslog's configuration, as far as it speaks ZeroMQ: what is unsafe, broken or ignored in it, and how it
//! moves from the C modules to ours.
//!
//! `scan` finds statements in a text, `files` the files of a configuration, `parties` our statements and
//! the C modules' in it. `theirs` and `ours` say what the modules make of them, `trust` what is to be said
//! of keys, `links` who reaches whom; `migration` rewrites. No threads, no locks, and nothing is run: what
//! rsyslogd itself makes of a configuration is said by `rsyslogd -N1`.

mod files;
mod finding;
mod links;
mod migration;
mod ours;
mod parties;
mod scan;
mod tables;
mod theirs;
mod trust;

pub(crate) use files::Configuration;
pub(crate) use finding::{Finding, Kind};
pub(crate) use migration::{Migration, rewritten};

use finding::{Findings, Report};
use parties::{Parties, is_disabled};
use scan::Statement;
use tables::{Level, Module};

/// What there is to say of a configuration, in its order.
pub(crate) fn judge(configuration: &Configuration) -> Vec<Finding> {
    let mut findings = Findings::default();
    configuration.findings.iter().for_each(|finding| findings.push(finding.clone()));
    let parties = Parties::of(configuration);
    for load in &parties.loads {
        if load.statement.is_some_and(is_disabled) {
            continue;
        }
        let mut report = Report { source: load.place.source, findings: &mut findings };
        if let Some(statement) = load.statement {
            form(load.module, Level::Module, statement, &mut report);
        }
        if load.module.is_czmq() {
            theirs::of_load(load, &parties, &mut report);
        } else {
            ours::of_load(load, &mut report);
        }
    }
    let is_complete = !findings.list.iter().any(|finding| finding.kind == Kind::Unread);
    let mut links = Vec::new();
    for instance in parties.instances.iter().filter(|instance| !is_disabled(instance.statement)) {
        let mut report = Report { source: instance.place.source, findings: &mut findings };
        let name = instance.module.name();
        if parties.load(instance.module).is_none() && is_complete {
            let why = format!("nothing loads {name}: module(load=\"{name}\") is missing");
            report.tell(instance.place.line, Kind::Broken, why);
        }
        if !instance.statement.closed {
            report.tell(
                instance.place.line,
                Kind::Broken,
                "the statement has no closing parenthesis",
            );
        }
        form(instance.module, Level::Instance, instance.statement, &mut report);
        links.extend(if instance.module.is_czmq() {
            theirs::of_instance(instance, &parties, &mut report)
        } else {
            ours::of_instance(instance, &parties, &mut report)
        });
    }
    links::disagreements(&links, configuration, &mut findings);
    findings.list.sort_by_key(|finding| (finding.place, finding.kind));
    findings.list
}

/// What is wrong with a statement, whichever module it is of.
fn form(module: Module, level: Level, statement: &Statement, report: &mut Report<'_>) {
    for parameter in statement.repeated() {
        let why = format!("{} is written twice: rsyslogd takes the last one", parameter.name);
        report.tell(parameter.line, Kind::Broken, why);
    }
    let lists = statement.parameters.iter().filter(|parameter| parameter.bracketed);
    // ours alone take topics so
    let refused =
        |name: &str| module.has_of_its_own(level, name) && (module.is_czmq() || name != "topics");
    for parameter in lists.filter(|parameter| refused(&parameter.name)) {
        let why = format!(
            "{} is a list in brackets; {} needs one text, with commas if there are several",
            parameter.name,
            module.name()
        );
        report.tell(parameter.line, Kind::Broken, why);
    }
}

/// How many statements of each side there are: of the C modules, and of ours.
pub(crate) fn count(configuration: &Configuration) -> (usize, usize) {
    let parties = Parties::of(configuration);
    let theirs = parties.instances.iter().filter(|instance| instance.module.is_czmq()).count();
    (theirs, parties.instances.len() - theirs)
}
