//! Who speaks ZeroMQ in a configuration: the modules that it loads, and their inputs and actions.

use std::collections::HashMap;

use super::files::Configuration;
use super::finding::Place;
use super::scan::{Directive, Item, Statement, Value};
use super::tables::Module;

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

/// All of them, in the order in which rsyslog reads them.
#[derive(Debug, Default)]
pub(crate) struct Parties<'a> {
    pub(crate) loads: Vec<Load<'a>>,
    pub(crate) instances: Vec<Instance<'a>>,
    /// `global(compatibility.defaults.secure="strict")`: what lets anybody in is refused by our modules.
    pub(crate) strict: bool,
    /// The first of each module that counts.
    first: HashMap<Module, usize>,
}

impl<'a> Parties<'a> {
    pub(crate) fn of(configuration: &'a Configuration) -> Parties<'a> {
        let mut parties = Parties::default();
        for (number, item) in configuration.items() {
            match item {
                Item::Directive(directive) => parties.loads.extend(mod_load(number, directive)),
                Item::Statement(statement) => parties.add(number, statement),
            }
        }
        let loads = parties.loads.iter().enumerate();
        for (number, load) in loads.filter(|(_, load)| !load.statement.is_some_and(is_disabled)) {
            parties.first.entry(load.module).or_insert(number);
        }
        parties
    }

    fn add(&mut self, number: usize, statement: &'a Statement) {
        let place = Place { source: number, line: statement.line };
        let named = |name| {
            let value = statement.get(name).and_then(|parameter| parameter.value());
            value.filter(|value| !value.evaluated)
        };
        match statement.word.as_str() {
            "module" => {
                let Some(named) = named("load") else { return };
                let Some(module) = Module::loaded_as(&named.text) else { return };
                self.loads.push(Load { module, place, named, statement: Some(statement) });
            }
            word @ ("input" | "action") => {
                let Some(named) = named("type") else { return };
                let Some(module) = Module::of_type(word, &named.text) else { return };
                self.instances.push(Instance { module, place, named, statement });
            }
            "global" if !is_disabled(statement) => {
                if let Some(text) = statement.text("compatibility.defaults.secure") {
                    self.strict = text == "strict";
                }
            }
            _ => {}
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

/// rsyslog passes it over.
pub(crate) fn is_disabled(statement: &Statement) -> bool {
    statement.is_enabled() == Some(false)
}
