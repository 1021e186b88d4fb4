//! The form of a file of rules, as TOML has it; docs/rzlog.md explains it. What it means, and whether it
//! can be meant, is rules.rs's.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) rule: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleText {
    pub(super) name: Spanned<String>,
    pub(super) host: Option<Spanned<String>>,
    pub(super) program: Option<Spanned<String>>,
    pub(super) regex: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) json: bool,
    /// Fields, and what is to be found in them.
    #[serde(default, rename = "where")]
    pub(super) conditions: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) counter: Vec<MetricText>,
    #[serde(default)]
    pub(super) gauge: Vec<MetricText>,
    #[serde(default)]
    pub(super) histogram: Vec<MetricText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricText {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) help: String,
    /// `field`, or `label=field`.
    #[serde(default)]
    pub(super) labels: Vec<Spanned<String>>,
    pub(super) value: Option<Spanned<String>>,
    /// What the value is multiplied by.
    pub(super) scale: Option<Spanned<f64>>,
    pub(super) buckets: Option<Spanned<Vec<f64>>>,
    pub(super) ttl: Option<Spanned<String>>,
    pub(super) max_series: Option<usize>,
}
