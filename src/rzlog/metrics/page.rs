//! What was counted as Prometheus reads it: OpenMetrics, written by its own library.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::rules::{Kind, Spec};
use super::shared::Shared;
use super::tally::{END, EXACT, Metric, Series, Tally, Value};

/// The page.
pub(super) fn render(registry: &Registry) -> String {
    let mut text = String::new();
    // a String takes everything; what a broken page would lack is its end, which Prometheus misses
    let _ = encode(&mut text, registry);
    text
}

/// Renders what stands in here.
pub(super) fn registry(shared: Shared) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(shared)));
    registry
}

struct Page(Shared);

impl fmt::Debug for Page {
    fn fmt(&self, form: &mut fmt::Formatter<'_>) -> fmt::Result {
        form.write_str("Page")
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tally = self.0.lock();
        for metric in &tally.metrics {
            show(metric, &mut encoder)?;
        }
        show_own(&tally, &mut encoder)
    }
}

fn show(metric: &Metric, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let spec = &metric.spec;
    let kind = match spec.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let mut encoder = encoder.encode_descriptor(&spec.name, &help(&spec.help), None, kind)?;
    let mut series: Vec<_> = metric.series.iter().collect();
    series.sort_by_key(|(key, _)| *key);
    for (key, series) in series {
        let labels = labels(spec, key);
        show_series(spec, series, encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

fn show_series(spec: &Spec, series: &Series, mut encoder: MetricEncoder<'_>) -> fmt::Result {
    match &series.value {
        Value::Number(number) if spec.kind == Kind::Gauge => match whole(*number) {
            Some(whole) => encoder.encode_gauge(&whole),
            None => encoder.encode_gauge(number),
        },
        Value::Number(number) => show_counter(*number, encoder),
        Value::Histogram { sum, counts } => {
            let buckets = spec.buckets.iter().copied().zip(counts.iter().copied());
            let buckets: Vec<_> = buckets.collect();
            let count = counts.iter().sum();
            encoder.encode_histogram::<NoLabelSet>(*sum, count, &buckets, None)
        }
    }
}

fn show_counter(number: f64, mut encoder: MetricEncoder<'_>) -> fmt::Result {
    match whole(number).and_then(|whole| u64::try_from(whole).ok()) {
        Some(whole) => encoder.encode_counter::<NoLabelSet, _, u64>(&whole, None),
        None => encoder.encode_counter::<NoLabelSet, _, u64>(&number, None),
    }
}

/// Without a fraction it is written without one.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn labels<'a>(spec: &'a Spec, key: &'a [u8]) -> Vec<(&'a str, &'a str)> {
    let values = key.split(|byte| *byte == END);
    let values = values.map(|value| std::str::from_utf8(value).unwrap_or_default());
    spec.labels.iter().map(String::as_str).zip(values).collect()
}

/// The library writes it as it is.
fn help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

/// What rzlog says of itself. docs/rzlog.md has the table.
fn show_own(tally: &Tally, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut own = Own { encoder };
    let streams: Vec<_> = tally.streams.iter().map(|(name, it)| (name.as_str(), it)).collect();
    let rules: Vec<_> = tally.rules.iter().map(|(name, it)| (name.as_str(), it)).collect();
    let metrics: Vec<_> = tally.metrics.iter().map(|it| (it.spec.shown_name(), it)).collect();
    let metrics: Vec<_> = metrics.iter().map(|(name, it)| (name.as_str(), *it)).collect();

    own.counters("lines", "Lines received", "endpoint", &streams, |it| it.lines)?;
    let help = "Connections lost; what was published until they were back is missing";
    own.counters("stream_gaps", help, "endpoint", &streams, |it| it.gaps)?;
    let help = "Lines that were dropped before they came here; of publishers that number them";
    own.counters("stream_missed_lines", help, "endpoint", &streams, |it| it.missed)?;
    let help = "Whether the publisher is there";
    own.gauges("stream_connected", help, "endpoint", &streams, |it| u64::from(it.connected))?;
    let help = "Seconds in which lines came without a pause; a publisher drops what is not taken";
    own.counter("busy_seconds", help, tally.busy)?;
    own.counter("lines_unmatched", "Lines that no rule matched", tally.unmatched)?;
    own.counters("rule_lines", "Lines that the rule matched", "rule", &rules, |it| it.matched)?;
    let help = "Lines for the rule whose JSON is broken";
    own.counters("rule_lines_broken", help, "rule", &rules, |it| it.broken)?;
    own.gauges("metric_series", "Series", "metric", &metrics, |it| it.series.len() as u64)?;
    let help = "Not counted, because there are too many series";
    own.counters("metric_capped", help, "metric", &metrics, |it| it.capped)?;
    let help = "Series forgotten, because nothing was counted in them";
    own.counters("metric_expired", help, "metric", &metrics, |it| it.expired)?;
    let help = "Not counted, because the value is no number that can be";
    own.counters("metric_broken", help, "metric", &metrics, |it| it.broken)?;
    let help = "Not counted, because there is no value";
    own.counters("metric_missing", help, "metric", &metrics, |it| it.missing)?;
    let help = "Rules read on HUP; after a failure the old ones are in use";
    let reloads = [("ok", &tally.reloads), ("failed", &tally.reloads_failed)];
    own.counters("reloads", help, "result", &reloads, |it| *it)
}

struct Own<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
}

impl Own<'_, '_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let name = format!("rzlog_{name}");
        let kind = MetricType::Counter;
        let mut encoder = self.encoder.encode_descriptor(&name, help, None, kind)?;
        encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters<T>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        rows: &[(&str, &T)],
        value: fn(&T) -> u64,
    ) -> fmt::Result {
        self.rows(name, help, MetricType::Counter, label, rows, |row, mut encoder| {
            encoder.encode_counter::<NoLabelSet, _, u64>(&value(row), None)
        })
    }

    fn gauges<T>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        rows: &[(&str, &T)],
        value: fn(&T) -> u64,
    ) -> fmt::Result {
        self.rows(name, help, MetricType::Gauge, label, rows, |row, mut encoder| {
            encoder.encode_gauge(&value(row))
        })
    }

    fn rows<T>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        label: &str,
        rows: &[(&str, &T)],
        show: impl Fn(&T, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let name = format!("rzlog_{name}");
        let mut encoder = self.encoder.encode_descriptor(&name, help, None, kind)?;
        for (of, row) in rows {
            show(row, encoder.encode_family(&[(label, *of)])?)?;
        }
        Ok(())
    }
}
