//! What was counted as Prometheus reads it: OpenMetrics, written by its own library.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::rules::{Kind, Spec};
use super::shared::Shared;
use super::tally::{END, Metric, Series, Tally, Value};

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
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
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

type Rows<'a> = Vec<(Vec<(&'static str, &'a str)>, u64)>;

/// What rzlog says of itself. docs/rzlog.md has the table.
fn show_own(tally: &Tally, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = |name: &str, help: &str, kind: MetricType, rows: Rows<'_>| {
        let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in rows {
            let mut encoder = encoder.encode_family(&labels)?;
            match kind {
                MetricType::Gauge => encoder.encode_gauge(&value)?,
                _ => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
            }
        }
        Ok::<(), fmt::Error>(())
    };
    let streams = |value: fn(&super::tally::Stream) -> u64| -> Rows<'_> {
        let rows = tally.streams.iter();
        rows.map(|(endpoint, stream)| (vec![("endpoint", endpoint.as_str())], value(stream))).collect()
    };
    let rules = |value: fn(&super::tally::Course) -> u64| -> Rows<'_> {
        let rows = tally.rules.iter();
        rows.map(|(rule, course)| (vec![("rule", rule.as_str())], value(course))).collect()
    };
    let metrics = |value: fn(&Metric) -> u64| -> Rows<'_> {
        let rows = tally.metrics.iter();
        rows.map(|metric| (vec![("metric", metric.spec.name.as_str())], value(metric))).collect()
    };
    let one = |value: u64| -> Rows<'_> { vec![(Vec::new(), value)] };
    let (counter, gauge) = (MetricType::Counter, MetricType::Gauge);
    family("rzlog_lines", "Lines received", counter, streams(|it| it.lines))?;
    family("rzlog_stream_gaps", "Connections that were lost; what was published until they were back is missing", counter, streams(|it| it.gaps))?;
    family("rzlog_stream_connected", "Whether the publisher is there", gauge, streams(|it| u64::from(it.connected)))?;
    family("rzlog_busy_seconds", "Seconds in which lines came without a pause; a publisher drops what is not taken", counter, one(tally.busy))?;
    family("rzlog_lines_unmatched", "Lines that no rule matched", counter, one(tally.unmatched))?;
    family("rzlog_rule_lines", "Lines that the rule matched", counter, rules(|it| it.matched))?;
    family("rzlog_rule_lines_broken", "Lines for the rule whose JSON is broken", counter, rules(|it| it.broken))?;
    family("rzlog_metric_series", "Series of the metric", gauge, metrics(|it| it.series.len() as u64))?;
    family("rzlog_metric_capped", "Not counted, because there are too many series", counter, metrics(|it| it.capped))?;
    family("rzlog_metric_expired", "Series that were forgotten, because nothing was counted in them", counter, metrics(|it| it.expired))?;
    family("rzlog_metric_broken", "Not counted, because the value is no number that can be", counter, metrics(|it| it.broken))?;
    family("rzlog_metric_missing", "Not counted, because there is no value", counter, metrics(|it| it.missing))?;
    let result = |ok, failed| vec![(vec![("result", "ok")], ok), (vec![("result", "failed")], failed)];
    family("rzlog_reloads", "Rules read on HUP; failed ones leave the old in use", counter, result(tally.reloads, tally.reloads_failed))
}
