//! What was counted: a metric's series by the values of its labels, and what became of everything else.
//!
//! Label values come from lines, and who writes lines may make up any number of them. So a series has a
//! longest value, a metric and all metrics together have a most, and what nothing was counted in for a
//! metric's time to live goes. They may make up numbers, too: none makes a sum infinite, or so large that
//! others add nothing to it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::rules::{Kind, Rules, Spec};

/// Up to it, 2⁵³, each whole number is one of f64: adding 1 makes a difference.
pub(super) const EXACT: f64 = 9_007_199_254_740_992.0;
/// Ends a label's value in a key: no UTF-8 has it.
pub(super) const END: u8 = 0xff;

/// How a series stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Histogram { sum: f64, counts: Box<[u64]> },
}

#[derive(Debug)]
pub(super) struct Series {
    pub(super) value: Value,
    /// When something was last counted, since the beginning.
    seen: Duration,
}

/// A metric and its series, by their labels' values with [`END`] behind each.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) spec: Spec,
    pub(super) series: HashMap<Box<[u8]>, Series>,
    /// Not counted, because there were too many series.
    pub(super) capped: u64,
    /// Series that went.
    pub(super) expired: u64,
    /// Not counted, because the value was no number, or one that cannot be.
    pub(super) broken: u64,
    /// Not counted, because the value was not there.
    pub(super) missing: u64,
}

/// What became of a rule's lines.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Course {
    pub(super) matched: u64,
    /// Lines whose JSON is broken.
    pub(super) broken: u64,
}

/// What became of an endpoint's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stream {
    pub(super) lines: u64,
    pub(super) gaps: u64,
    /// Lines that the publisher dropped, where it numbers them.
    pub(super) missed: u64,
    pub(super) connected: bool,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) metrics: Vec<Metric>,
    /// By the rules' places.
    pub(super) rules: Vec<(String, Course)>,
    pub(super) streams: BTreeMap<String, Stream>,
    /// Lines that no rule matched.
    pub(super) unmatched: u64,
    /// Readings of the rules on HUP.
    pub(super) reloads: u64,
    pub(super) reloads_failed: u64,
    /// Seconds in which lines came without a pause.
    pub(super) busy: u64,
    /// Of all metrics together.
    pub(super) series: usize,
    max_series: usize,
}

impl Tally {
    pub(super) fn new(rules: &Rules, max_series: usize) -> Tally {
        let mut tally = Tally { max_series, ..Tally::default() };
        tally.take_over(rules);
        tally
    }

    /// Goes on with other rules: a metric that is still the same keeps its series.
    pub(super) fn take_over(&mut self, rules: &Rules) {
        let mut old = std::mem::take(&mut self.metrics);
        self.metrics = rules
            .specs
            .iter()
            .map(|spec| match old.iter().position(|it| spec.continues(&it.spec)) {
                Some(at) => Metric { spec: spec.clone(), ..old.swap_remove(at) },
                None => Metric::new(spec.clone()),
            })
            .collect();
        self.series = self.metrics.iter().map(|metric| metric.series.len()).sum();
        let old: HashMap<_, _> = std::mem::take(&mut self.rules).into_iter().collect();
        let course = |name: &String| (name.clone(), old.get(name).copied().unwrap_or_default());
        self.rules = rules.rules.iter().map(|rule| course(&rule.name)).collect();
    }

    /// Counts in the series of these labels' values.
    pub(super) fn count(&mut self, metric: usize, key: &[u8], value: f64, now: Duration) {
        let Some(metric) = self.metrics.get_mut(metric) else { return };
        // a sum only goes up
        let can_be = match metric.spec.kind {
            Kind::Gauge => value.is_finite(),
            Kind::Counter | Kind::Histogram => (0.0..=EXACT).contains(&value),
        };
        if !can_be {
            metric.broken += 1;
            return;
        }
        if let Some(series) = metric.series.get_mut(key) {
            series.count(&metric.spec, value, now);
        } else if metric.series.len() >= metric.spec.max_series || self.series >= self.max_series {
            metric.capped += 1;
        } else {
            let mut series = Series::new(&metric.spec, now);
            series.count(&metric.spec, value, now);
            metric.series.insert(key.into(), series);
            self.series += 1;
        }
    }

    /// Lets go what nothing was counted in.
    pub(super) fn expire(&mut self, now: Duration) {
        for metric in &mut self.metrics {
            let (before, ttl) = (metric.series.len(), metric.spec.ttl);
            metric.series.retain(|_, series| now.saturating_sub(series.seen) < ttl);
            let gone = before - metric.series.len();
            metric.expired += gone as u64;
            self.series -= gone;
        }
    }
}

impl Metric {
    fn new(spec: Spec) -> Metric {
        let series = HashMap::new();
        Metric { spec, series, capped: 0, expired: 0, broken: 0, missing: 0 }
    }
}

impl Series {
    fn new(spec: &Spec, seen: Duration) -> Series {
        let value = match spec.kind {
            Kind::Counter | Kind::Gauge => Value::Number(0.0),
            Kind::Histogram => {
                Value::Histogram { sum: 0.0, counts: vec![0; spec.buckets.len()].into() }
            }
        };
        Series { value, seen }
    }

    fn count(&mut self, spec: &Spec, value: f64, now: Duration) {
        self.seen = now;
        match &mut self.value {
            Value::Number(number) if spec.kind == Kind::Gauge => *number = value,
            Value::Number(number) => {
                // as after a restart, which Prometheus understands
                let full = *number + value > EXACT;
                *number = if full { value } else { *number + value };
            }
            Value::Histogram { sum, counts } => {
                if *sum + value > EXACT {
                    (*sum, *counts) = (0.0, vec![0; counts.len()].into());
                }
                *sum += value;
                let bucket = spec.buckets.partition_point(|bound| *bound < value);
                if let Some(count) = counts.get_mut(bucket) {
                    *count += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn rules(text: &str) -> Rules {
        let mut rules = Rules::default();
        rules.add(Path::new("x.toml"), text).unwrap();
        rules
    }

    fn counter(name: &str, more: &str) -> String {
        let rule = format!("[[rule]]\nname = \"{name}\"\n[[rule.counter]]\nname = \"{name}\"\n");
        format!("{rule}labels = [\"host\"]\n{more}\n")
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn there_is_a_most_of_series_and_the_old_ones_go_on() {
        let text = counter("a", "max_series = 2") + &counter("b", "");
        let mut tally = Tally::new(&rules(&text), 3);
        for key in [b"1", b"2", b"3", b"1"] {
            tally.count(0, key, 1.0, seconds(0));
        }
        for key in [b"1", b"2", b"1"] {
            tally.count(1, key, 1.0, seconds(0));
        }
        let of = |at: usize| (tally.metrics[at].series.len(), tally.metrics[at].capped);
        assert_eq!((of(0), of(1), tally.series), ((2, 1), (1, 1), 3));
        assert_eq!(tally.metrics[0].series[&b"1"[..]].value, Value::Number(2.0));
    }

    #[test]
    fn no_value_makes_a_sum_that_others_add_nothing_to() {
        let more = "value = \"pid\"\nlabels = [\"host\"]\n";
        let text = counter("c", "value = \"pid\"")
            + &format!("[[rule.gauge]]\nname = \"g\"\n{more}")
            + &format!("[[rule.histogram]]\nname = \"h\"\n{more}buckets = [1]\n");
        let mut tally = Tally::new(&rules(&text), 10);
        for metric in 0..3 {
            for value in [1e300, f64::MAX, f64::INFINITY, f64::NAN, -1.0, EXACT * 2.0, EXACT, 2.0] {
                tally.count(metric, b"x", value, seconds(0));
            }
        }
        let of = |at: usize| {
            let metric: &Metric = &tally.metrics[at];
            (metric.broken, metric.series[&b"x"[..]].value.clone())
        };
        // begun anew
        assert_eq!(of(0), (6, Value::Number(2.0)));
        // it shows what was last
        assert_eq!(of(1), (2, Value::Number(2.0)));
        assert_eq!(of(2), (6, Value::Histogram { sum: 2.0, counts: vec![0, 1].into() }));
        tally.count(0, b"x", EXACT - 2.0, seconds(0));
        assert_eq!(tally.metrics[0].series[&b"x"[..]].value, Value::Number(EXACT));
    }

    #[test]
    fn what_is_not_counted_in_goes_and_makes_room() {
        let text = counter("a", "ttl = \"10s\"\nmax_series = 2");
        let mut tally = Tally::new(&rules(&text), 10);
        tally.count(0, b"old", 1.0, seconds(0));
        tally.count(0, b"used", 1.0, seconds(0));
        tally.count(0, b"used", 1.0, seconds(5));
        tally.expire(seconds(10));
        assert_eq!((tally.series, tally.metrics[0].expired), (1, 1));
        tally.count(0, b"new", 1.0, seconds(10));
        assert_eq!((tally.metrics[0].series.len(), tally.metrics[0].capped), (2, 0));
    }

    #[test]
    fn what_is_the_same_in_other_rules_goes_on() {
        let mut tally = Tally::new(&rules(&(counter("a", "") + &counter("b", ""))), 10);
        tally.count(0, b"x", 1.0, seconds(0));
        tally.count(1, b"x", 1.0, seconds(0));
        tally.rules[0].1.matched = 7;
        // a is another now, b is the first, c is new
        let a = counter("a", "").replace("[\"host\"]", "[\"program\"]");
        let text = counter("b", "ttl = \"1h\"") + &a + &counter("c", "");
        tally.take_over(&rules(&text));
        let sizes: Vec<_> = tally.metrics.iter().map(|metric| metric.series.len()).collect();
        assert_eq!((sizes, tally.series), (vec![1, 0, 0], 1));
        assert_eq!(tally.metrics[0].spec.ttl, seconds(3600));
        assert_eq!((tally.rules[0].1.matched, tally.rules[1].1.matched), (0, 7));
    }
}
