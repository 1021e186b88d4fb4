//! Rules as they are applied, made of files, and every mistake in them as a sentence that names the file,
//! the line, the rule and what to do.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};
use toml::Spanned;

use super::fields::{Own, Source};
use super::file::{File, MetricText, RuleText};
use crate::duration::duration;
use crate::pick::glob;

/// How long a series stays that nothing was counted in.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// How many series a metric has.
const MAX_SERIES: usize = 1000;
/// Those of the Prometheus libraries, for seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// More in a histogram would be a mistake.
const MAX_BUCKETS: usize = 100;

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RulesError {
    #[error("{path}: {reason}", path = path.display())]
    Read { path: PathBuf, reason: io::Error },
    #[error("{path}: no file in this folder ends with .toml; name a file of rules, or put one there",
        path = path.display())]
    Empty { path: PathBuf },
    /// On HUP: an editor that has not written yet, or a mistake.
    #[error("{path}: there is no rule in it any more; to count nothing, end rzlog metrics", path = path.display())]
    AllGone { path: PathBuf },
    #[error("{path}, line {line}: {what}", path = path.display())]
    Form { path: PathBuf, line: usize, what: String },
    #[error("{path}, line {line}, rule \"{rule}\": {what}", path = path.display())]
    Rule { path: PathBuf, line: usize, rule: String, what: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// What is counted, by whatever rules.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spec {
    pub(super) kind: Kind,
    /// Of the family: a counter's is without `_total`.
    pub(super) name: String,
    pub(super) help: String,
    pub(super) labels: Vec<String>,
    /// Upper bounds, the last one infinite; of a histogram.
    pub(super) buckets: Vec<f64>,
    pub(super) ttl: Duration,
    pub(super) max_series: usize,
}

impl Spec {
    /// As rules and the page write it.
    pub(super) fn shown_name(&self) -> String {
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{suffix}", self.name)
    }

    /// What was counted for one goes on in the other.
    pub(super) fn continues(&self, old: &Spec) -> bool {
        self.kind == old.kind
            && self.name == old.name
            && self.labels == old.labels
            && self.buckets == old.buckets
    }
}

/// What a rule does to a metric.
#[derive(Debug)]
pub(super) struct Count {
    /// The metric's place among all.
    pub(super) metric: usize,
    /// In the order of its labels.
    pub(super) labels: Vec<Source>,
    pub(super) value: Option<Source>,
    pub(super) scale: f64,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) host: Option<Regex>,
    pub(super) program: Option<Regex>,
    pub(super) regex: Option<Regex>,
    pub(super) json: bool,
    pub(super) conditions: Vec<(Source, Regex)>,
    pub(super) counts: Vec<Count>,
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) rules: Vec<Rule>,
    pub(super) specs: Vec<Spec>,
}

impl Rules {
    /// Reads files, and folders of them.
    pub(super) fn read(places: &[PathBuf]) -> Result<Rules, RulesError> {
        let mut rules = Rules::default();
        for path in files(places)? {
            let text = fs::read_to_string(&path);
            let text = text.map_err(|reason| RulesError::Read { path: path.clone(), reason })?;
            rules.add(&path, &text)?;
        }
        Ok(rules)
    }

    /// Adds a file's.
    pub(super) fn add(&mut self, path: &Path, text: &str) -> Result<(), RulesError> {
        let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let file: File = toml::from_str(text).map_err(|error| RulesError::Form {
            path: path.to_owned(),
            line: line(error.span().map_or(0, |span| span.start)),
            what: error.message().to_owned(),
        })?;
        for rule in &file.rule {
            self.add_rule(rule).map_err(|Mistake { at, what }| RulesError::Rule {
                path: path.to_owned(),
                line: line(at),
                rule: rule.name.get_ref().clone(),
                what,
            })?;
        }
        Ok(())
    }

    fn add_rule(&mut self, text: &RuleText) -> Result<(), Mistake> {
        let name = text.name.get_ref();
        if self.rules.iter().any(|rule| rule.name == *name) {
            return Err(Mistake::at(&text.name, "there is another rule of this name; rename one"));
        }
        let regex = text.regex.as_ref().map(expression).transpose()?;
        let scope = Scope { regex: regex.as_ref(), json: text.json };
        let mut conditions = Vec::new();
        for (field, pattern) in &text.conditions {
            let source = scope.source(field).map_err(|what| Mistake::at(pattern, &what))?;
            conditions.push((source, expression(pattern)?));
        }
        let mut counts = Vec::new();
        let all = [
            (Kind::Counter, &text.counter),
            (Kind::Gauge, &text.gauge),
            (Kind::Histogram, &text.histogram),
        ];
        for (kind, metrics) in all {
            for metric in metrics {
                counts.push(self.add_metric(kind, metric, &scope)?);
            }
        }
        if counts.is_empty() {
            let what =
                "it counts nothing; add [[rule.counter]], [[rule.gauge]] or [[rule.histogram]]";
            return Err(Mistake::at(&text.name, what));
        }
        let names = |text: &Option<Spanned<String>>| text.as_ref().map(names).transpose();
        self.rules.push(Rule {
            name: name.clone(),
            host: names(&text.host)?,
            program: names(&text.program)?,
            regex,
            json: text.json,
            conditions,
            counts,
        });
        Ok(())
    }

    fn add_metric(
        &mut self,
        kind: Kind,
        text: &MetricText,
        scope: &Scope<'_>,
    ) -> Result<Count, Mistake> {
        let name = text.name.get_ref();
        let fault =
            |what: String| Mistake::at(&text.name, &format!("{} {name}: {what}", kind.name()));
        // what is left of _total, too
        if !is_name(family(kind, name), true) {
            return Err(fault("a name has letters, digits, _ and :, and no digit in front".into()));
        }
        if name.starts_with("rzlog_") {
            return Err(fault("names with rzlog_ in front are rzlog's own; choose another".into()));
        }
        let mut labels: Vec<(String, Source)> = Vec::new();
        for label in &text.labels {
            let (label, source) = self.label(label, kind, scope)?;
            if labels.iter().any(|(other, _)| *other == label) {
                return Err(fault(format!("label {label} is there twice")));
            }
            labels.push((label, source));
        }
        let value = match &text.value {
            Some(value) => {
                Some(scope.source(value.get_ref()).map_err(|what| Mistake::at(value, &what))?)
            }
            None if kind == Kind::Counter => None,
            None => {
                return Err(fault("value = \"…\" is missing: the field with the number".into()));
            }
        };
        let scale = match &text.scale {
            Some(scale) if !scale.get_ref().is_finite() => {
                return Err(Mistake::at(scale, "scale: a finite number is needed"));
            }
            scale => scale.as_ref().map_or(1.0, |scale| *scale.get_ref()),
        };
        let (labels, sources) = labels.into_iter().unzip();
        let spec = Spec {
            kind,
            name: family(kind, name).to_owned(),
            help: text.help.clone(),
            labels,
            buckets: buckets(kind, text)?,
            ttl: match &text.ttl {
                Some(ttl) => duration(ttl.get_ref()).map_err(|what| {
                    Mistake::at(ttl, &format!("ttl \"{}\": {what}", ttl.get_ref()))
                })?,
                None => TTL,
            },
            max_series: text.max_series.unwrap_or(MAX_SERIES),
        };
        Ok(Count { metric: self.place(spec).map_err(fault)?, labels: sources, value, scale })
    }

    fn label(
        &self,
        text: &Spanned<String>,
        kind: Kind,
        scope: &Scope<'_>,
    ) -> Result<(String, Source), Mistake> {
        let (label, field) =
            text.get_ref().split_once('=').unwrap_or((text.get_ref(), text.get_ref()));
        let (label, field) = (label.trim(), field.trim());
        if !is_name(label, false) || label.starts_with("__") {
            let what = format!(
                "label \"{label}\": a name has letters, digits and _, and neither a digit nor __ in \
                 front; write \"name={field}\""
            );
            return Err(Mistake::at(text, &what));
        }
        if kind == Kind::Histogram && label == "le" {
            return Err(Mistake::at(text, "label le is the histogram's own; rename it"));
        }
        let source = scope.source(field).map_err(|what| Mistake::at(text, &what))?;
        Ok((label.to_owned(), source))
    }

    /// The metric's place among all; several rules may count in one.
    fn place(&mut self, spec: Spec) -> Result<usize, String> {
        if let Some(at) = self.specs.iter().position(|other| other.name == spec.name) {
            if !spec.continues(&self.specs[at]) {
                return Err(
                    "another rule has it with another kind, other labels (or another order of \
                            them) or other buckets; make them alike, or rename one"
                        .into(),
                );
            }
            return Ok(at);
        }
        let own: HashSet<_> = shown_names(&spec).into_iter().collect();
        let other = self.specs.iter().find(|it| shown_names(it).iter().any(|it| own.contains(it)));
        if let Some(other) = other {
            return Err(format!("its lines would look like those of {}; rename one", other.name));
        }
        self.specs.push(spec);
        Ok(self.specs.len() - 1)
    }
}

/// A mistake and its place in the file.
struct Mistake {
    at: usize,
    what: String,
}

impl Mistake {
    fn at<T>(place: &Spanned<T>, what: &str) -> Mistake {
        Mistake { at: place.span().start, what: what.to_owned() }
    }
}

/// What fields can be found in.
struct Scope<'a> {
    regex: Option<&'a Regex>,
    json: bool,
}

impl Scope<'_> {
    fn groups(&self) -> impl Iterator<Item = (usize, &str)> {
        let names = self.regex.into_iter().flat_map(Regex::capture_names).enumerate();
        names.filter_map(|(index, name)| Some((index, name?)))
    }

    fn source(&self, field: &str) -> Result<Source, String> {
        let own = Own::from_name(field);
        if let Some((index, _)) = self.groups().find(|(_, name)| *name == field) {
            return Ok(Source::Capture(index));
        }
        match own {
            own if self.json => Ok(Source::Json(field.to_owned(), own)),
            Some(own) => Ok(Source::Own(own)),
            None => {
                let groups: Vec<_> = self.groups().map(|(_, name)| name).collect();
                let groups = match groups.as_slice() {
                    [] => "none".to_owned(),
                    groups => groups.join(", "),
                };
                Err(format!(
                    "there is no field \"{field}\". The named groups of the regex, (?P<name>…), are: \
                     {groups}; a line has {} itself, and with json = true its JSON's",
                    Own::NAMES
                ))
            }
        }
    }
}

fn files(places: &[PathBuf]) -> Result<Vec<PathBuf>, RulesError> {
    let mut found = Vec::new();
    for place in places {
        if !place.is_dir() {
            found.push(place.clone());
            continue;
        }
        let read = |reason| RulesError::Read { path: place.clone(), reason };
        let mut here = Vec::new();
        for entry in fs::read_dir(place).map_err(read)? {
            here.push(entry.map_err(read)?.path());
        }
        here.retain(|path| path.extension().is_some_and(|it| it == "toml"));
        if here.is_empty() {
            return Err(RulesError::Empty { path: place.clone() });
        }
        here.sort();
        found.extend(here);
    }
    Ok(found)
}

/// Without Unicode's classes: lines are bytes in any encoding, and this is faster.
fn expression(pattern: &Spanned<String>) -> Result<Regex, Mistake> {
    let text = pattern.get_ref();
    RegexBuilder::new(text).unicode(false).build().map_err(|error| {
        // the lines before the last one draw a picture
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Mistake::at(pattern, &format!("regex '{text}': {why}"))
    })
}

/// Names or patterns, with commas between them.
fn names(list: &Spanned<String>) -> Result<Regex, Mistake> {
    let all: Vec<_> = list.get_ref().split(',').map(|name| glob(name.trim())).collect();
    let regex = RegexBuilder::new(&format!("^(?:{})$", all.join("|"))).unicode(false).build();
    regex.map_err(|error| Mistake::at(list, &format!("\"{}\": {error}", list.get_ref())))
}

fn is_name(name: &str, colons: bool) -> bool {
    let fits = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || colons && sign == ':';
    !name.is_empty()
        && name.chars().all(fits)
        && !name.starts_with(|sign: char| sign.is_ascii_digit())
}

fn family(kind: Kind, name: &str) -> &str {
    match kind {
        Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
        Kind::Gauge | Kind::Histogram => name,
    }
}

/// The family's name, and those that stand in front of its numbers, or might: OpenMetrics keeps `_created`.
fn shown_names(spec: &Spec) -> Vec<String> {
    let suffixes: &[&str] = match spec.kind {
        Kind::Counter => &["", "_total", "_created"],
        Kind::Gauge => &[""],
        Kind::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
    };
    suffixes.iter().map(|suffix| format!("{}{suffix}", spec.name)).collect()
}

fn buckets(kind: Kind, text: &MetricText) -> Result<Vec<f64>, Mistake> {
    let mut bounds = match (&text.buckets, kind) {
        (None, Kind::Histogram) => BUCKETS.to_vec(),
        (None, _) => return Ok(Vec::new()),
        (Some(buckets), Kind::Histogram) => {
            let bounds = buckets.get_ref();
            let rise = bounds.windows(2).all(|pair| pair[0] < pair[1]);
            let counts = |bound: &f64| bound.is_finite() && *bound >= 0.0;
            if !rise || !bounds.iter().all(counts) || bounds.len() > MAX_BUCKETS {
                let what = format!(
                    "buckets: up to {MAX_BUCKETS} finite numbers from 0 on, each above the last"
                );
                return Err(Mistake::at(buckets, &what));
            }
            bounds.clone()
        }
        (Some(buckets), _) => {
            return Err(Mistake::at(buckets, "buckets are a histogram's; remove them"));
        }
    };
    bounds.push(f64::INFINITY);
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        Rules::default().add(Path::new("x.toml"), text).unwrap_err().to_string()
    }

    const COUNTER: &str = "[[rule.counter]]\nname = \"c_total\"\n";

    #[test]
    fn mistakes_name_file_line_rule_and_what_to_do() {
        let rule = |more: &str| format!("[[rule]]\nname = \"r\"\n{more}");
        for (text, expected) in [
            ("rule = 1".to_owned(), vec!["x.toml, line 1: ", "invalid type"]),
            (rule("regexp = 'x'\n"), vec!["x.toml, line 3: ", "`regexp`", "`regex`"]),
            (rule("regex = 1\n"), vec!["line 3"]),
            ("[[rule]]\nhost = \"a\"\n".to_owned(), vec!["line 1", "missing field `name`"]),
            (rule(""), vec!["x.toml, line 2, rule \"r\": it counts nothing", "[[rule.counter]]"]),
            (
                rule(&format!("regex = '(a'\n{COUNTER}")),
                vec!["line 3, rule \"r\": regex '(a': unclosed group"],
            ),
            (
                rule(&format!("where = {{ host = '[' }}\n{COUNTER}")),
                vec!["line 3", "unclosed character class"],
            ),
            (
                rule(&format!("regex = '(?P<user>x)'\n{COUNTER}labels = [\"usr\"]\n")),
                vec!["line 6, rule \"r\": there is no field \"usr\"", "are: user;", "json = true"],
            ),
            (rule(&format!("{COUNTER}labels = [\"a-b=host\"]\n")), vec!["line 5", "\"a-b\""]),
            (rule(&format!("{COUNTER}labels = [\"__a=host\"]\n")), vec!["line 5", "\"__a\""]),
            (
                rule(&format!("{COUNTER}labels = [\"host\", \"host\"]\n")),
                vec!["host is there twice"],
            ),
            (rule(&format!("{COUNTER}buckets = [1]\n")), vec!["line 5", "a histogram's; remove"]),
            (rule(&format!("{COUNTER}ttl = \"1 week\"\n")), vec!["line 5", "ttl \"1 week\""]),
            (rule("[[rule.gauge]]\nname = \"g\"\n"), vec!["line 4", "gauge g: value = "]),
            (rule("[[rule.counter]]\nname = \"5xx\"\n"), vec!["line 4", "no digit in front"]),
            (
                rule("[[rule.counter]]\nname = \"_total\"\n"),
                vec!["line 4", "counter _total: a name"],
            ),
            (rule("[[rule.counter]]\nname = \"rzlog_x\"\n"), vec!["rzlog's own"]),
            (
                rule("[[rule.histogram]]\nname = \"h\"\nvalue = \"pid\"\nlabels = [\"le=host\"]\n"),
                vec!["line 6", "label le"],
            ),
            (
                rule("[[rule.histogram]]\nname = \"h\"\nvalue = \"pid\"\nbuckets = [2, 1]\n"),
                vec!["line 6", "each above the last"],
            ),
            (
                rule("[[rule.histogram]]\nname = \"h\"\nvalue = \"pid\"\nbuckets = [-1, 1]\n"),
                vec!["line 6", "from 0 on"],
            ),
            (
                rule(&format!("{COUNTER}[[rule]]\nname = \"r\"\n{COUNTER}")),
                vec!["line 6", "another rule of this name"],
            ),
            (
                rule(&format!("{COUNTER}[[rule]]\nname = \"s\"\n{COUNTER}labels = [\"host\"]\n")),
                vec!["line 8, rule \"s\": counter c_total", "other labels"],
            ),
            (
                rule(
                    "[[rule.counter]]\nname = \"h_sum\"\n[[rule.histogram]]\nname = \"h\"\nvalue = \"pid\"\n",
                ),
                vec!["line 6", "look like those of h_sum"],
            ),
            (
                rule(&format!("{COUNTER}[[rule.gauge]]\nname = \"c_created\"\nvalue = \"pid\"\n")),
                vec!["line 6", "look like those of c"],
            ),
        ] {
            let told = mistake(&text);
            assert!(
                expected.iter().all(|part| told.contains(part)),
                "{text}\n{told}\n{expected:?}"
            );
        }
    }

    #[test]
    fn several_rules_may_count_in_one_metric() {
        let mut rules = Rules::default();
        let text = format!("[[rule]]\nname = \"r\"\n{COUNTER}[[rule]]\nname = \"s\"\n{COUNTER}");
        rules.add(Path::new("x.toml"), &text).unwrap();
        assert_eq!((rules.rules.len(), rules.specs.len()), (2, 1));
        // in another file, too
        let error = rules.add(Path::new("y.toml"), &text).unwrap_err().to_string();
        assert!(error.contains("y.toml") && error.contains("another rule"), "{error}");
    }
}
