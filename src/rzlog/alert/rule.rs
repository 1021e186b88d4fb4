//! One rule: which lines it looks at, how it groups them, and what must be the case for an alert. Made
//! from its text (config.rs); what cannot be meant is an error that names the rule.

use std::borrow::Cow;
use std::collections::BTreeMap;

use regex::{Captures, Regex};
use rzlog_client::{FACILITIES, Line, Severity};

use super::clock::Span;
use super::config::{self, Labels};
use super::text::clean;
use crate::error::Error;
use crate::pick::{severity_in_json, signs};
use crate::show::{Form, Piece, template};

/// No more of a line is looked at, in bytes: an expression may take time for each, and while one does,
/// others' lines are missed.
const LOOKED_AT: usize = 32 << 10;
/// The longest value of a label, in characters.
const LABEL: usize = 200;
/// Lines of an alert that are kept.
const LINES: usize = 20;
/// The most groups a rule may be allowed, and how many it is unless it says so. Who is not watched cannot
/// be missed, so that for silence it is the most.
const MOST_GROUPS: usize = 10_000;
const GROUPS: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) alert: String,
    /// A template.
    pub(crate) summary: String,
    pub(crate) labels: Labels,
    pub(crate) by: Vec<String>,
    pub(crate) hold: Span,
    pub(crate) keep_firing_for: Span,
    pub(crate) at_least: u64,
    pub(crate) lines: usize,
    pub(crate) limit: usize,
    /// Lines that are older, by the time that they say, do not count.
    pub(crate) max_age: Span,
    pub(crate) condition: Condition,
    /// Changes when other lines are meant, or they are counted otherwise: what was counted for another rule
    /// does not count.
    pub(crate) version: u64,
    filter: Filter,
}

#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Threshold { count: u64, window: Span, clear: u64 },
    Baseline { window: Span, past: Span, factor: f64, clear: f64, floor: Option<f64> },
    NewPattern { learn: Span },
    Silent { after: Span, forget: Span },
    Lost,
    Missed { window: Span },
}

#[derive(Debug)]
struct Filter {
    host: Option<Regex>,
    program: Option<Regex>,
    severity: Option<Severity>,
    matches: Vec<Regex>,
    exclude: Vec<Regex>,
}

/// What a line is to a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fit<'a> {
    No,
    /// It counts among all lines of the group, for a share, and no more.
    Rest(Vec<(&'a str, String)>),
    Yes(Vec<(&'a str, String)>),
}

impl Rule {
    pub(crate) fn new(text: &config::Rule) -> Result<Rule, Error> {
        let wrong = |what: String| Error::Usage(format!("rule {}: {what}", text.alert));
        if !is_name(&text.alert) {
            let alert = &text.alert;
            return Err(Error::Usage(format!(
                "alert = \"{alert}\": a name has letters, digits and _ in it, as AuthenticationBurst"
            )));
        }
        let condition = condition(text).map_err(wrong)?;
        let by = match (&text.by, &condition) {
            (Some(by), _) => by.clone(),
            (None, Condition::NewPattern { .. }) => vec!["program".into()],
            (None, Condition::Lost | Condition::Missed { .. }) => vec!["endpoint".into()],
            (None, _) => vec!["host".into()],
        };
        let filter = filter(text).map_err(wrong)?;
        check_by(&by, &condition, &filter).map_err(wrong)?;
        for label in text.labels.keys() {
            let taken = label == "alertname" || label == "pattern" || by.contains(label);
            if !is_name(label) || taken {
                return Err(wrong(format!("labels.{label}: the name is taken, or is none")));
            }
        }
        check_summary(text, &by, &condition).map_err(wrong)?;
        let usual = match &condition {
            Condition::Silent { .. } => MOST_GROUPS,
            _ => GROUPS,
        };
        let limit = text.limit.unwrap_or(usual);
        if limit == 0 || limit > MOST_GROUPS || text.lines > LINES {
            return Err(wrong(format!("limit is 1 to {MOST_GROUPS}, lines 0 to {LINES}")));
        }
        let keep = match &condition {
            Condition::Silent { .. } | Condition::Lost => Span(0),
            Condition::NewPattern { .. } => Span::minutes(60),
            _ => Span::minutes(5),
        };
        let version = version(text, &by, &condition);
        Ok(Rule {
            alert: text.alert.clone(),
            summary: text.summary.clone().unwrap_or_default(),
            labels: text.labels.clone(),
            by,
            hold: text.hold,
            keep_firing_for: text.keep_firing_for.unwrap_or(keep),
            at_least: at_least(text, &condition),
            lines: text.lines,
            limit,
            max_age: text.max_age,
            condition,
            version,
            filter,
        })
    }

    /// Looks at a line.
    pub(crate) fn fit(&self, line: &Line<'_>, endpoint: &str) -> Fit<'_> {
        let filter = &self.filter;
        let named = |wish: &Option<Regex>, name: Option<&[u8]>| {
            wish.as_ref().is_none_or(|wish| name.is_some_and(|name| wish.is_match(&signs(name))))
        };
        if matches!(self.condition, Condition::Lost | Condition::Missed { .. })
            || !named(&filter.host, line.host)
            || !named(&filter.program, line.program)
            || filter.exclude.iter().any(|exclude| exclude.is_match(&head(line.text)))
        {
            return Fit::No;
        }
        let share = matches!(self.condition, Condition::Baseline { floor: Some(_), .. });
        let grave = filter.severity.is_none_or(|least| {
            let severity = line.severity.or_else(|| severity_in_json(line));
            severity.is_some_and(|severity| severity <= least)
        });
        if !grave && !share {
            return Fit::No;
        }
        let message = head(line.message);
        let found = match filter.matches.as_slice() {
            [] => Some(None),
            all => all.iter().find(|it| it.is_match(&message)).map(Some),
        };
        match found {
            Some(found) if grave => {
                let named = |label: &String| {
                    found.is_some_and(|it| it.capture_names().flatten().any(|name| name == label))
                };
                let captures = found.filter(|_| self.by.iter().any(named));
                let captures = captures.and_then(|found| found.captures(&message));
                Fit::Yes(self.labels_of(line, endpoint, captures.as_ref()))
            }
            _ if share => Fit::Rest(self.labels_of(line, endpoint, None)),
            _ => Fit::No,
        }
    }

    fn labels_of(
        &self,
        line: &Line<'_>,
        endpoint: &str,
        captures: Option<&Captures<'_>>,
    ) -> Vec<(&str, String)> {
        let value = |label: &str| -> String {
            if let Some(found) = captures.and_then(|captures| captures.name(label)) {
                return clean(found.as_str().as_bytes(), LABEL);
            }
            match label {
                "host" => clean(line.host.unwrap_or_default(), LABEL),
                "program" => clean(line.program.unwrap_or_default(), LABEL),
                "severity" => line.severity.map(Severity::name).unwrap_or_default().into(),
                "facility" => {
                    let number = line.facility.map(usize::from);
                    (*number.and_then(|it| FACILITIES.get(it)).unwrap_or(&"")).into()
                }
                "endpoint" => endpoint.into(),
                _ => String::new(),
            }
        };
        self.by.iter().map(|label| (label.as_str(), value(label))).collect()
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|sign: char| sign.is_ascii_alphabetic() || sign == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn check_by(by: &[String], condition: &Condition, filter: &Filter) -> Result<(), String> {
    let known = ["host", "program", "severity", "facility", "endpoint"];
    for label in by {
        let captured = |regex: &Regex| regex.capture_names().flatten().any(|it| it == label);
        let fits = match condition {
            Condition::Lost | Condition::Missed { .. } => label == "endpoint",
            _ if known.contains(&label.as_str()) => true,
            // lines that do not match have nothing captured, and count in the share
            Condition::Baseline { floor: Some(_), .. } => false,
            _ => !filter.matches.is_empty() && filter.matches.iter().all(captured),
        };
        if !fits {
            return Err(format!(
                "by = \"{label}\": possible are host, program, severity, facility, endpoint, and \
                 names that each expression of match captures, (?<name>…), but for a share; \
                 endpoint alone for lost and missed"
            ));
        }
    }
    Ok(())
}

fn check_summary(text: &config::Rule, by: &[String], condition: &Condition) -> Result<(), String> {
    let summary = text.summary.as_deref().unwrap_or_default();
    let Form::Template(pieces) = template(summary).map_err(|error| error.to_string())? else {
        return Ok(());
    };
    let own = ["alertname", "status", "labels", "what", "since", "count", "more"];
    let is_new = matches!(condition, Condition::NewPattern { .. });
    let known = |name: &String| {
        own.contains(&name.as_str())
            || by.contains(name)
            || text.labels.contains_key(name)
            || (is_new && name == "pattern")
    };
    for piece in pieces {
        match piece {
            Piece::Field(name) if !known(&name) => {
                return Err(format!(
                    "summary: there is no {{{name}}}; possible are {}, and the alert's labels",
                    own.join(", ")
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What has to be counted before anything is told.
fn at_least(text: &config::Rule, condition: &Condition) -> u64 {
    match condition {
        Condition::Threshold { count, .. } => text.at_least.unwrap_or(0).max(*count),
        Condition::Baseline { .. } => text.at_least.unwrap_or(30),
        Condition::Silent { .. } => text.at_least.unwrap_or(10),
        Condition::NewPattern { .. } => text.at_least.unwrap_or(1),
        Condition::Lost => 0,
        Condition::Missed { .. } => text.missed.as_ref().map_or(1, |missed| missed.count),
    }
}

/// A number for what is counted: lines, groups and windows. Texts, limits and times of an alert may be changed
/// without losing what was learnt. Its labels may not: by them it is told.
fn version(text: &config::Rule, by: &[String], condition: &Condition) -> u64 {
    let windows = match condition {
        Condition::Threshold { window, .. } => ("threshold", window.0, 0),
        Condition::Baseline { window, past, floor: None, .. } => ("baseline", window.0, past.0),
        Condition::Baseline { window, past, floor: Some(_), .. } => ("share", window.0, past.0),
        Condition::NewPattern { .. } => ("new_pattern", 0, 0),
        Condition::Silent { .. } => ("silent", 0, 0),
        Condition::Lost => ("lost", 0, 0),
        Condition::Missed { window } => ("missed", window.0, 0),
    };
    let counted = (
        (&text.host, &text.program, &text.severity),
        (&text.r#match.0, &text.exclude.0),
        (by, windows, &text.labels),
    );
    hash(serde_json::to_vec(&counted).unwrap_or_default().as_slice())
}

fn condition(text: &config::Rule) -> Result<Condition, String> {
    let given = [
        text.threshold.is_some(),
        text.baseline.is_some(),
        text.new_pattern.is_some(),
        text.silent.is_some(),
        text.lost.is_some(),
        text.missed.is_some(),
    ];
    if given.into_iter().filter(|given| *given).count() > 1 {
        return Err(
            "one of threshold, baseline, new_pattern, silent, lost and missed is possible".into()
        );
    }
    let second = Span::seconds(1);
    if let Some(baseline) = &text.baseline {
        let config::Baseline { window, past, factor, clear, share, floor } = baseline.clone();
        // half of what is too much above the usual
        let clear = clear.unwrap_or(1.0 + (factor - 1.0) / 2.0);
        if window < second || past.0 < window.0.saturating_mul(4) {
            return Err("baseline: past is at least four windows of a second or more".into());
        }
        if !(factor.is_finite() && 1.0 <= clear && clear < factor) {
            return Err("baseline: factor is more than clear, and clear 1 or more".into());
        }
        if !share && floor.is_some() {
            return Err("baseline: floor needs share = true".into());
        }
        let floor = share.then(|| floor.unwrap_or(0.01));
        if floor.is_some_and(|floor| !(0.0..1.0).contains(&floor)) {
            return Err("baseline: floor is a share, such as 0.01".into());
        }
        return Ok(Condition::Baseline { window, past, factor, clear, floor });
    }
    if let Some(pattern) = &text.new_pattern {
        return Ok(Condition::NewPattern { learn: pattern.learn });
    }
    if let Some(config::Silent { after, forget }) = text.silent.clone() {
        if after < second || forget <= after {
            return Err("silent: after is a second or more, and forget more than that".into());
        }
        return Ok(Condition::Silent { after, forget });
    }
    if text.lost.is_some() {
        return Ok(Condition::Lost);
    }
    if let Some(config::Missed { count, window }) = text.missed.clone() {
        if count == 0 || window < second {
            return Err("missed: count is 1 or more, and window 1s or more".into());
        }
        return Ok(Condition::Missed { window });
    }
    let (count, window, clear) = match text.threshold.clone() {
        Some(it) => (it.count, it.window, it.clear),
        None => (text.at_least.unwrap_or(1), Span::minutes(1), None),
    };
    let clear = clear.unwrap_or(count / 2);
    if count == 0 || clear >= count || window < second {
        return Err(
            "threshold: count is 1 or more, clear less than count, window 1s or more".into()
        );
    }
    Ok(Condition::Threshold { count, window, clear })
}

fn filter(text: &config::Rule) -> Result<Filter, String> {
    let severity = text.severity.as_deref().map(|name| {
        Severity::from_name(name).ok_or_else(|| {
            let names = "emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7";
            format!("severity = \"{name}\": possible are {names}")
        })
    });
    Ok(Filter {
        host: text.host.as_deref().map(names).transpose()?,
        program: text.program.as_deref().map(names).transpose()?,
        severity: severity.transpose()?,
        matches: expressions("match", &text.r#match.0)?,
        exclude: expressions("exclude", &text.exclude.0)?,
    })
}

/// As much of a line as is looked at.
fn head(bytes: &[u8]) -> Cow<'_, str> {
    signs(bytes.get(..LOOKED_AT).unwrap_or(bytes))
}

fn expressions(what: &str, texts: &[String]) -> Result<Vec<Regex>, String> {
    let one = |text: &String| {
        Regex::new(text).map_err(|error| {
            // the lines before the last one draw a picture
            let why = error.to_string();
            format!("{what} = \"{text}\": {}", why.lines().last().unwrap_or_default())
        })
    };
    texts.iter().map(one).collect()
}

/// Names or patterns with `*` and `?`, with commas between them, as one expression.
fn names(text: &str) -> Result<Regex, String> {
    let one = |pattern: &str| -> String {
        let sign = |sign: char| match sign {
            '*' => "(?s:.)*".to_owned(),
            '?' => "(?s:.)".to_owned(),
            _ => regex::escape(&sign.to_string()),
        };
        pattern.trim().chars().map(sign).collect()
    };
    let all = text.split(',').map(one).collect::<Vec<_>>().join("|");
    Regex::new(&format!("^(?:{all})$")).map_err(|error| format!("\"{text}\": {error}"))
}

/// Whether labels have what is asked for: names or patterns, as in a rule's host.
#[derive(Debug)]
pub(crate) struct Matcher(Vec<(String, Regex)>);

impl Matcher {
    pub(crate) fn new(wish: &BTreeMap<String, String>) -> Result<Matcher, Error> {
        let one = |(label, text): (&String, &String)| {
            names(text).map(|regex| (label.clone(), regex)).map_err(Error::Usage)
        };
        wish.iter().map(one).collect::<Result<_, _>>().map(Matcher)
    }

    /// A label that is missing is empty.
    pub(crate) fn fits(&self, labels: &Labels) -> bool {
        let value = |label| labels.get(label).map_or("", String::as_str);
        self.0.iter().all(|(label, regex)| regex.is_match(value(label)))
    }
}

/// FNV-1a: the same in every run.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<Rule, String> {
        let text =
            toml::from_str(&format!("alert = \"A\"\n{text}")).map_err(|it| it.to_string())?;
        Rule::new(&text).map_err(|error| error.to_string())
    }

    fn fit(rule: &Rule, text: &str) -> String {
        match rule.fit(&Line::parse(None, text.as_bytes()), "tcp://a:1") {
            Fit::No => "no".into(),
            Fit::Rest(labels) => format!("rest {labels:?}"),
            Fit::Yes(labels) => format!("yes {labels:?}"),
        }
    }

    #[test]
    fn lines_are_chosen_and_grouped() {
        let ssh = rule(
            "host = \"web*,db1\"\nprogram = \"sshd\"\nby = [\"host\", \"source\"]\n\
             match = ['Failed .* from (?<source>\\S+)', 'refused (?<source>\\S+)']\nexclude = 'test'",
        )
        .unwrap();
        let yes = "yes [(\"host\", \"web1\"), (\"source\", \"10.0.0.1\")]";
        for (text, expected) in [
            ("<38>Nov 24 10:00:00 web1 sshd[1]: Failed password from 10.0.0.1 port 1", yes),
            ("<38>Nov 24 10:00:00 web1 sshd[1]: refused 10.0.0.1", yes),
            ("<38>Nov 24 10:00:00 mail sshd[1]: refused 10.0.0.1", "no"),
            ("<38>Nov 24 10:00:00 web1 sshd-session: refused 10.0.0.1", "no"),
            ("<38>Nov 24 10:00:00 web1 sshd: refused test", "no"),
            ("<38>Nov 24 10:00:00 web1 sshd: fine", "no"),
            ("refused 10.0.0.1", "no"),
        ] {
            assert_eq!(fit(&ssh, text), expected, "{text}");
        }
        let share = rule(
            "severity = \"err\"\nbaseline = { window = \"5m\", past = \"1h\", factor = 3, share = true }",
        )
        .unwrap();
        let web1 = "[(\"host\", \"web1\")]";
        assert_eq!(fit(&share, "<11>Nov 24 10:00:00 web1 a: x"), format!("yes {web1}"));
        assert_eq!(fit(&share, "<14>Nov 24 10:00:00 web1 a: x"), format!("rest {web1}"));
    }

    #[test]
    fn a_byte_that_is_no_utf_8_hides_no_line() {
        let rule = rule(
            "host = \"web*\"\nprogram = \"s??d\"\nby = [\"source\"]\nexclude = 'STÖ.UNG'\n\
             match = '(?i)für .* from (?<source>\\S+)'",
        )
        .unwrap();
        let fits = |text: &[u8]| match rule.fit(&Line::parse(None, text), "tcp://a:1") {
            Fit::Yes(labels) => labels[0].1.clone(),
            _ => "no".into(),
        };
        let line = |host: &[u8], program: &[u8], text: &[u8]| {
            [b"<38>Nov 24 10:00:00 ", host, b" ", program, b": ", text].concat()
        };
        let text = "Für a from b".as_bytes();
        assert_eq!(fits(&line(b"web1", b"sshd", text)), "b");
        assert_eq!(fits(&line(b"web\xff", b"s\xffhd", text)), "b");
        assert_eq!(fits(&line(b"web1", b"sshd", b"F\xc3\x9cR \xff from b")), "b");
        assert_eq!(fits(&line(b"web1", b"sshd", b"f\xc3\xbcr \xe2 from \xe2b")), "\u{fffd}b");
        assert_eq!(fits(&line(b"web1", b"sshd", b"f\xc3\xbcr a from b ST\xc3\x96\xffUNG")), "no");
    }

    #[test]
    fn of_a_long_line_the_beginning_is_looked_at() {
        let rule = rule("match = 'bad (?<what>\\S+)'\nexclude = 'fine'\nby = [\"what\"]").unwrap();
        let line = |padding: usize, end: &str| {
            format!("<13>Nov 24 10:00:00 web1 app: bad disk {}{end}", "x".repeat(padding))
        };
        let yes = "yes [(\"what\", \"disk\")]";
        assert_eq!(fit(&rule, &line(1000, " fine")), "no");
        assert_eq!(fit(&rule, &line(LOOKED_AT, " fine")), yes);
        let late = line(LOOKED_AT, " bad luck").replace("bad disk", "");
        assert_eq!(fit(&rule, &late), "no");
    }

    #[test]
    fn what_cannot_be_meant_names_the_rule_and_why() {
        for (text, words) in [
            ("threshold = { count = 0, window = \"5m\" }", "count is 1 or more"),
            ("threshold = { count = 5, window = \"5m\", clear = 5 }", "clear less than count"),
            ("silent = { after = \"5m\" }\nlost = {}", "one of"),
            ("missed = { count = 0, window = \"5m\" }", "missed: count"),
            ("by = [\"host\"]\nmissed = { count = 1, window = \"5m\" }", "endpoint alone"),
            ("match = '(open'", "match = \"(open\": error: unclosed group"),
            ("match = 'a'\nby = [\"source\"]", "by = \"source\""),
            ("severity = \"loud\"", "severity = \"loud\""),
            ("labels = { host = \"x\" }", "labels.host"),
            ("baseline = { window = \"5m\", past = \"6m\", factor = 3 }", "four windows"),
            ("baseline = { window = \"5m\", past = \"1h\", factor = 1 }", "factor is more"),
            ("summary = \"{open\"", "template"),
            ("summary = \"{hsot} is down\"", "summary: there is no {hsot}"),
            ("summary = \"{pattern}\"", "no {pattern}"),
        ] {
            let error = rule(text).err().unwrap_or_default();
            assert!(error.starts_with("rule A: ") && error.contains(words), "{text}: {error}");
        }
        assert!(rule("windw = 1").err().unwrap().contains("windw"));
        assert!(rule("for = \"10 years\"").is_err());
    }

    #[test]
    fn what_is_counted_makes_the_version_and_nothing_else() {
        let text = "match = 'a'\nthreshold = { count = 5, window = \"5m\" }\n";
        let version = |text: &str| rule(text).unwrap().version;
        for same in [
            "summary = \"x\"",
            "lines = 1",
            "limit = 7",
            "for = \"1m\"",
            "keep_firing_for = \"1m\"",
            "max_age = \"1h\"",
            "at_least = 9",
        ] {
            assert_eq!(version(text), version(&format!("{text}{same}")), "{same}");
        }
        assert_eq!(version(text), version(&text.replace("count = 5", "count = 6")));
        for (other, by) in [
            (text.replace("'a'", "'b'"), ""),
            (text.replace("5m", "6m"), ""),
            (text.to_owned(), "by = [\"program\"]"),
            (text.to_owned(), "exclude = 'x'"),
            (text.to_owned(), "labels = { severity = \"critical\" }"),
        ] {
            assert_ne!(version(text), version(&format!("{other}{by}")), "{other}{by}");
        }
    }

    #[test]
    fn matchers_know_patterns_and_missing_labels() {
        let labels = Labels::from([("host".into(), "web1".into())]);
        for (label, text, expected) in [
            ("host", "web*", true),
            ("host", "db*", false),
            ("other", "", true),
            ("other", "x", false),
        ] {
            let matcher = Matcher::new(&Labels::from([(label.into(), text.into())])).unwrap();
            assert_eq!(matcher.fits(&labels), expected, "{label} {text}");
        }
    }
}
