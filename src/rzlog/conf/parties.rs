//! Who speaks ZeroMQ in a configuration: the modules that it loads, and their inputs and actions.

use std::collections::HashMap;

use super::files::{Configuration, Source};
use super::finding::Place;
use super::scan::{Directive, Statement, Value};
use super::tables::{Module, switch};

/// `module(load="…")` or `$ModLoad`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) module: Module,
    pub(crate) place: Place,
    /// The text that names it.
    pub(crate) named: &'a Value,
    /// None for `$ModLoad`.
    pub(crate) statement: Option<&'a Statement>,
}

/// `input(type="…")` or `action(type="…")`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instance<'a> {
    pub(crate) module: Module,
    pub(crate) place: Place,
    /// The text that names its type.
    pub(crate) named: &'a Value,
    pub(crate) statement: &'a Statement,
}

impl Instance<'_> {
    /// Where a parameter stands; the statement, if it is not written.
    pub(crate) fn line_of(&self, name: &str) -> usize {
        self.statement.get(name).map_or(self.statement.line, |parameter| parameter.line)
    }
}

/// All of them, in order.
#[derive(Debug, Default)]
pub(crate) struct Parties<'a> {
    pub(crate) loads: Vec<Load<'a>>,
    pub(crate) instances: Vec<Instance<'a>>,
    /// The first of each module.
    first: HashMap<Module, usize>,
}

impl<'a> Parties<'a> {
    pub(crate) fn of(configuration: &'a Configuration) -> Parties<'a> {
        let mut parties = Parties::default();
        for (number, source) in configuration.sources.iter().enumerate() {
            parties.add(number, source);
        }
        for (number, load) in parties.loads.iter().enumerate() {
            parties.first.entry(load.module).or_insert(number);
        }
        parties
    }

    fn add(&mut self, number: usize, source: &'a Source) {
        for directive in source.directives() {
            self.loads.extend(mod_load(number, directive));
        }
        for statement in source.statements() {
            let place = Place { source: number, line: statement.line };
            let named = |name| statement.get(name).and_then(|parameter| parameter.value());
            match statement.word.as_str() {
                "module" => {
                    let named = named("load").filter(|value| !value.evaluated);
                    let Some(named) = named else { continue };
                    let Some(module) = Module::loaded_as(&named.text) else { continue };
                    self.loads.push(Load { module, place, named, statement: Some(statement) });
                }
                word @ ("input" | "action") => {
                    let named = named("type").filter(|value| !value.evaluated);
                    let Some(named) = named else { continue };
                    let Some(module) = Module::of_type(word, &named.text) else { continue };
                    self.instances.push(Instance { module, place, named, statement });
                }
                _ => {}
            }
        }
    }

    /// How a module is loaded. rsyslog ignores what loads it again.
    pub(crate) fn load(&self, module: Module) -> Option<&Load<'a>> {
        self.first.get(&module).and_then(|first| self.loads.get(*first))
    }
}

fn mod_load(source: usize, directive: &Directive) -> Option<Load<'_>> {
    let named = directive.argument.as_ref().filter(|_| directive.name == "modload")?;
    let place = Place { source, line: directive.line };
    Some(Load { module: Module::loaded_as(&named.text)?, place, named, statement: None })
}

/// `config.enabled="off"`: rsyslog passes it over.
pub(crate) fn is_disabled(statement: &Statement) -> bool {
    statement.text("config.enabled").and_then(switch) == Some(false)
}
