//! Applies rules to lines.
//!
//! Most lines are of no interest to most rules, and these must cost little. Which rules are for a host and a
//! program is decided once for each pair and kept. Of these, each is asked where they are few: an expression
//! that begins at the line's beginning, or has a word in it, says no at once. Where they are many, one made
//! of all says which to ask.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use regex::bytes::{CaptureLocations, Regex, RegexSet, RegexSetBuilder};
use rzlog_client::Line;
use serde_json::Value;

use super::fields::{Fields, number};
use super::rules::{Count, Rule, Rules};
use super::tally::{END, Tally};

/// Hosts and programs that are kept; then it is begun anew.
const PAIRS: usize = 4096;
/// Sets of rules that are kept: with many patterns, made-up names may choose any of them.
const DISTINCT: usize = 256;
/// Longer names, in bytes, are decided each time: who writes lines may make them up.
const LONGEST_PAIR: usize = 512;
/// Rules from which on one expression made of all is worth it: it costs as much as asking so many.
const MANY: usize = 8;
/// No more of a message is looked at, in bytes: an expression may take time for each.
const LOOKED_AT: usize = 32 << 10;
/// A label's value is not longer, in bytes.
const LONGEST_VALUE: usize = 128;

pub(super) struct Engine {
    rules: Vec<Rule>,
    /// Of each rule's expression.
    locations: Vec<Option<CaptureLocations>>,
    /// By host and program; with one entry alone if no rule asks for these.
    groups: HashMap<Vec<u8>, Rc<Group>>,
    /// Each of them once: hosts and programs are many, rules that are for the same ones few.
    distinct: Vec<Rc<Group>>,
    chooses: bool,
    pair: Vec<u8>,
    key: Vec<u8>,
}

/// The rules for a host and a program.
struct Group {
    /// Their places.
    rules: Vec<usize>,
    /// Which of them have a chance; without it, all have.
    set: Option<RegexSet>,
}

/// A line's JSON, looked at when it is first asked for.
enum Json<'a> {
    Unread(&'a Line<'a>),
    None,
    Broken,
    Value(Value),
}

impl Json<'_> {
    fn read(&mut self) -> &Self {
        if let Json::Unread(line) = self {
            *self = match line.json().map(serde_json::from_slice) {
                None => Json::None,
                Some(Ok(value @ Value::Object(_))) => Json::Value(value),
                Some(_) => Json::Broken,
            };
        }
        self
    }
}

impl Engine {
    pub(super) fn new(rules: Rules) -> Engine {
        let rules = rules.rules;
        let locations = |rule: &Rule| rule.regex.as_ref().map(Regex::capture_locations);
        Engine {
            locations: rules.iter().map(locations).collect(),
            groups: HashMap::new(),
            distinct: Vec::new(),
            chooses: rules.iter().any(|rule| rule.host.is_some() || rule.program.is_some()),
            rules,
            pair: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Counts a line; whether a rule matched.
    pub(super) fn count(
        &mut self,
        line: &Line<'_>,
        endpoint: &str,
        now: Duration,
        tally: &mut Tally,
    ) -> bool {
        let mut json = Json::Unread(line);
        let message = &line.message[..line.message.len().min(LOOKED_AT)];
        let line = &Line { message, ..*line };
        let group = self.group(line);
        let mut any = false;
        match &group.set {
            Some(set) => {
                for place in &set.matches(line.message) {
                    let Some(rule) = group.rules.get(place) else { continue };
                    any |= self.apply(*rule, line, endpoint, now, &mut json, tally);
                }
            }
            None => {
                for rule in &group.rules {
                    any |= self.apply(*rule, line, endpoint, now, &mut json, tally);
                }
            }
        }
        if !any {
            tally.unmatched += 1;
        }
        any
    }

    fn group(&mut self, line: &Line<'_>) -> Rc<Group> {
        self.pair.clear();
        if self.chooses {
            self.pair.extend_from_slice(line.host.unwrap_or_default());
            // neither name has a blank in it
            self.pair.push(b' ');
            self.pair.extend_from_slice(line.program.unwrap_or_default());
        }
        if let Some(group) = self.groups.get(&self.pair) {
            return Rc::clone(group);
        }
        let fits = |pattern: &Option<Regex>, name: Option<&[u8]>| {
            pattern.as_ref().is_none_or(|it| it.is_match(name.unwrap_or_default()))
        };
        let meant = |rule: &Rule| fits(&rule.host, line.host) && fits(&rule.program, line.program);
        let rules: Vec<_> = (0..self.rules.len()).filter(|at| meant(&self.rules[*at])).collect();
        let known = self.distinct.iter().find(|group| group.rules == rules).map(Rc::clone);
        let group = known.unwrap_or_else(|| {
            if self.distinct.len() >= DISTINCT {
                self.distinct.clear();
                self.groups.clear();
            }
            let group = Rc::new(Group { set: self.set(&rules), rules });
            self.distinct.push(Rc::clone(&group));
            group
        });
        if self.pair.len() <= LONGEST_PAIR {
            if self.groups.len() >= PAIRS {
                self.groups.clear();
            }
            self.groups.insert(self.pair.clone(), Rc::clone(&group));
        }
        group
    }

    fn set(&self, rules: &[usize]) -> Option<RegexSet> {
        if rules.len() < MANY {
            return None;
        }
        // one without an expression always has a chance
        let patterns = rules
            .iter()
            .map(|at| self.rules[*at].regex.as_ref().map_or("", |regex| regex.as_str()));
        // each was built before; all together may be too large, and then each is asked
        RegexSetBuilder::new(patterns).unicode(false).build().ok()
    }

    fn apply(
        &mut self,
        at: usize,
        line: &Line<'_>,
        endpoint: &str,
        now: Duration,
        json: &mut Json<'_>,
        tally: &mut Tally,
    ) -> bool {
        let (rule, locations) = (&self.rules[at], &mut self.locations[at]);
        if let (Some(regex), Some(locations)) = (&rule.regex, locations.as_mut()) {
            if regex.captures_read(locations, line.message).is_none() {
                return false;
            }
        }
        let json = match rule.json.then(|| json.read()) {
            None => None,
            Some(Json::Value(value)) => Some(value),
            Some(Json::Broken) => {
                tally.rules[at].1.broken += 1;
                return false;
            }
            Some(Json::None | Json::Unread(_)) => return false,
        };
        let fields = Fields { line, endpoint, json, captures: locations.as_ref() };
        let holds = |(source, regex): &(_, Regex)| {
            fields.find(source).is_some_and(|text| regex.is_match(&text))
        };
        if !rule.conditions.iter().all(holds) {
            return false;
        }
        tally.rules[at].1.matched += 1;
        for count in &rule.counts {
            add(count, &fields, now, &mut self.key, tally);
        }
        true
    }
}

fn add(count: &Count, fields: &Fields<'_>, now: Duration, key: &mut Vec<u8>, tally: &mut Tally) {
    let value = match &count.value {
        None => 1.0,
        Some(source) => {
            let found = fields.find(source);
            let metric = &mut tally.metrics[count.metric];
            match found.as_deref().map(number) {
                Some(Some(number)) => number,
                Some(None) => return metric.broken += 1,
                None => return metric.missing += 1,
            }
        }
    };
    key.clear();
    for label in &count.labels {
        if let Some(text) = fields.find(label) {
            push_value(&text, key);
        }
        key.push(END);
    }
    tally.count(count.metric, key, value * count.scale, now);
}

/// As text, and not too long.
fn push_value(text: &[u8], key: &mut Vec<u8>) {
    let start = key.len();
    let text = &text[..text.len().min(LONGEST_VALUE)];
    for chunk in text.utf8_chunks() {
        key.extend_from_slice(chunk.valid().as_bytes());
        // half a sign at the end is the cut's
        if !chunk.invalid().is_empty() && key.len() - start + 3 <= LONGEST_VALUE {
            key.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{page, shared::Shared};
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    /// The numbers on the page after these lines, rzlog's own only if they are not 0.
    fn counted(rules: &str, lines: &[&[u8]]) -> Vec<String> {
        let mut compiled = Rules::default();
        compiled.add(Path::new("rules.toml"), rules).unwrap();
        let mut tally = Tally::new(&compiled, 10);
        let mut engine = Engine::new(compiled);
        for line in lines {
            engine.count(&Line::parse(None, line), "here", Duration::ZERO, &mut tally);
        }
        let text = page::render(&page::registry(Shared::new(tally)));
        assert!(text.ends_with("# EOF\n"));
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter(|line| !(line.starts_with("rzlog_") && line.ends_with(" 0")));
        let plain = |line: &&str| {
            !line.starts_with("rzlog_rule_lines_total") && !line.starts_with("rzlog_metric_series")
        };
        lines.filter(plain).map(str::to_owned).collect()
    }

    #[test]
    fn captures_and_what_a_line_says_of_itself() {
        let rules = r#"
            [[rule]]
            name = "took"
            host = "web*"
            program = "app,job-?"
            regex = 'took (?P<ms>[0-9.]+|long) ms(?: in (?P<place>[a-z]+))?'
            [[rule.counter]]
            name = "took_total"
            labels = ["host", "where=place", "severity"]
            [[rule.gauge]]
            name = "took_last_seconds"
            value = "ms"
            scale = 0.001
            [[rule.histogram]]
            name = "took_ms"
            value = "ms"
            buckets = [1, 10]
        "#;
        let lines: [&[u8]; 6] = [
            b"<13>Nov 24 10:00:00 web1 app: took 1 ms in db",
            b"<11>Nov 24 10:00:00 web2 job-1: it took 500 ms",
            b"<11>Nov 24 10:00:00 web2 job-1: it took long ms",
            b"<11>Nov 24 10:00:00 web2 job-10: took 1 ms",
            b"<11>Nov 24 10:00:00 db1 app: took 1 ms",
            b"took 1 ms",
        ];
        let expected = [
            "took_total{host=\"web1\",where=\"db\",severity=\"notice\"} 1",
            "took_total{host=\"web2\",where=\"\",severity=\"err\"} 2",
            "took_last_seconds 0.5",
            "took_ms_sum 501.0",
            "took_ms_count 2",
            "took_ms_bucket{le=\"1.0\"} 1",
            "took_ms_bucket{le=\"10.0\"} 1",
            "took_ms_bucket{le=\"+Inf\"} 2",
            "rzlog_lines_unmatched_total 3",
            "rzlog_metric_broken_total{metric=\"took_last_seconds\"} 1",
            "rzlog_metric_broken_total{metric=\"took_ms\"} 1",
        ];
        assert_eq!(counted(rules, &lines), expected);
    }

    #[test]
    fn json_is_counted_and_broken_json_is_told() {
        let rules = r#"
            [[rule]]
            name = "requests"
            json = true
            where = { "http.status" = '^5', level = 'err' }
            [[rule.counter]]
            name = "bytes_total"
            labels = ["status=http.status", "host"]
            value = "http.bytes"
        "#;
        let long = format!(
            "{{\"pad\":\"{}\",\"http\":{{\"status\":503,\"bytes\":1}},\"level\":\"err\"}}",
            "x".repeat(100_000)
        );
        let deep = format!("@cee:{}", "{\"a\":".repeat(100_000));
        let lines: [&[u8]; 9] = [
            b"web1.app:@cee:{\"http\":{\"status\":500,\"bytes\":1.5},\"level\":\"error\"}",
            b"web1.app:@cee:{\"http\":{\"status\":\"500\",\"bytes\":\"2\"},\"level\":\"err\",\"host\":\"x\"}",
            b"{\"http.status\":500,\"http\":{\"bytes\":[1]},\"level\":\"err\"}",
            b"{\"http.status\":500,\"http.bytes\":-1,\"level\":\"err\"}",
            b"{\"http.status\":200,\"level\":\"err\"}",
            long.as_bytes(),
            deep.as_bytes(),
            b"{\"http.status\":500,",
            b"no JSON",
        ];
        let expected = [
            "bytes_total{status=\"500\",host=\"web1\"} 1.5",
            "bytes_total{status=\"500\",host=\"x\"} 2",
            "bytes_total{status=\"503\",host=\"\"} 1",
            "rzlog_lines_unmatched_total 4",
            "rzlog_rule_lines_broken_total{rule=\"requests\"} 2",
            "rzlog_metric_broken_total{metric=\"bytes_total\"} 1",
            "rzlog_metric_missing_total{metric=\"bytes_total\"} 1",
        ];
        let mut counted = counted(rules, &lines);
        counted.sort_by_key(|line| line.starts_with("rzlog_"));
        assert_eq!(counted, expected);
    }

    #[test]
    fn many_rules_count_as_few_do() {
        let rule = |at: usize| {
            format!(
                "[[rule]]\nname = \"{at}\"\nregex = 'word{at}$'\n[[rule.counter]]\nname = \"c{at}\"\n"
            )
        };
        let mut rules: String = (0..MANY * 2).map(rule).collect();
        rules += "[[rule]]\nname = \"all\"\n[[rule.counter]]\nname = \"lines\"\n";
        let counted = counted(&rules, &[b"word3", b"a word15", b"word3 and more"]);
        assert_eq!(
            counted,
            ["c3_total 1", "c15_total 1", "lines_total 3"].map(String::from).as_slice()
        );
    }

    #[test]
    fn made_up_hosts_neither_fill_the_memory_nor_miss_their_rules() {
        let mut rules = Rules::default();
        let text = "[[rule]]\nname = \"r\"\nhost = \"web*\"\n[[rule.counter]]\nname = \"c\"\n";
        rules.add(Path::new("rules.toml"), text).unwrap();
        let mut tally = Tally::new(&rules, 10);
        let mut engine = Engine::new(rules);
        for at in 0..PAIRS * 2 + 1 {
            let long = if at == 7 { "x".repeat(100_000) } else { String::new() };
            let text = format!("<13>Nov 24 10:00:00 web{long}{at} app: x");
            let line = Line::parse(None, text.as_bytes());
            assert!(engine.count(&line, "", Duration::ZERO, &mut tally), "{at}");
        }
        assert!(engine.groups.len() <= PAIRS && engine.distinct.len() == 1);
        assert!(engine.groups.keys().all(|pair| pair.len() <= LONGEST_PAIR));
    }

    #[test]
    fn made_up_programs_do_not_choose_more_sets_of_rules_than_are_kept() {
        let rule = |sign: char| {
            format!(
                "[[rule]]\nname = \"{sign}\"\nprogram = \"*{sign}*\"\n[[rule.counter]]\nname = \"{sign}\"\n"
            )
        };
        let signs: Vec<char> = ('a'..='j').collect();
        let text: String = signs.iter().copied().map(rule).collect();
        let mut rules = Rules::default();
        rules.add(Path::new("rules.toml"), &text).unwrap();
        let mut tally = Tally::new(&rules, 100);
        let mut engine = Engine::new(rules);
        for at in 1..1_usize << signs.len() {
            let chosen = signs.iter().enumerate().filter(|(bit, _)| at >> bit & 1 == 1);
            let program: String = chosen.map(|(_, sign)| *sign).collect();
            let text = format!("<13>Nov 24 10:00:00 web1 {program}: x");
            assert!(engine.count(
                &Line::parse(None, text.as_bytes()),
                "",
                Duration::ZERO,
                &mut tally
            ));
            assert!(engine.distinct.len() <= DISTINCT);
        }
        // each sign is in half of the names
        assert!(tally.rules.iter().all(|(_, course)| course.matched == 512));
    }

    proptest! {
        /// Whatever stands in a line, a series is one line of the page, and its labels are text.
        #[test]
        fn no_line_breaks_out_of_its_label(text: Vec<u8>) {
            let rules = "[[rule]]\nname = \"r\"\nregex = '^x(?P<all>(?s:.*))'\n[[rule.counter]]\n\
                name = \"c\"\nlabels = [\"all\"]\n";
            let line = [b"x", text.as_slice()].concat();
            // what looks like a topic in front is none of the text
            prop_assume!(Line::parse(None, &line).text == line);
            let counted = counted(rules, &[&line]);
            prop_assert_eq!(counted.len(), 1);
            let value = counted[0].strip_prefix("c_total{all=\"").and_then(|it| it.strip_suffix("\"} 1"));
            let value = value.ok_or_else(|| TestCaseError::fail(counted[0].clone()))?;
            // what is quoted in there is escaped
            let plain = value.replace("\\\\", "").replace("\\\"", "").replace("\\n", "");
            prop_assert!(!plain.contains(['"', '\\', '\n']), "{}", value);
            prop_assert!(value.len() <= 2 * LONGEST_VALUE);
        }
    }
}
