//! impstats' file as numbers: the values of each counter, by origin and name, report by report.

use std::collections::BTreeMap;
use std::path::Path;

/// One object's counters.
pub type Counters = BTreeMap<String, i64>;

/// All objects, with the reports of each in order.
#[derive(Debug, Default, Clone)]
pub struct Stats {
    objects: BTreeMap<(String, String), Vec<Counters>>,
}

impl Stats {
    /// Reads impstats' JSON lines; a line that is still being written is left out.
    pub fn read(path: &Path) -> Self {
        let mut stats = Stats::default();
        let text = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        for line in text.lines() {
            let Some(json) = line
                .find('{')
                .and_then(|start| serde_json::from_str::<serde_json::Value>(&line[start..]).ok())
            else {
                continue;
            };
            let word = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
            let counters = json
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), number(value)?)))
                .collect();
            stats.objects.entry((word("origin"), word("name"))).or_default().push(counters);
        }
        stats
    }

    /// The counters of one object in its latest report.
    pub fn get(&self, origin: &str, name: &str) -> Option<&Counters> {
        self.history(origin, name).last()
    }

    /// The counters of one object, report by report.
    pub fn history(&self, origin: &str, name: &str) -> &[Counters] {
        self.objects.get(&(origin.to_owned(), name.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// Reports that have come whole.
    pub fn reports(&self) -> usize {
        self.objects.values().map(Vec::len).min().unwrap_or(0)
    }

    /// One counter; a counter that is not there is no number.
    pub fn value(&self, origin: &str, name: &str, counter: &str) -> Option<i64> {
        self.get(origin, name)?.get(counter).copied()
    }

    /// Names of the objects of an origin.
    pub fn names(&self, origin: &str) -> Vec<String> {
        self.objects.keys().filter(|(o, _)| o == origin).map(|(_, name)| name.clone()).collect()
    }
}

/// impstats writes numbers, or numbers as text.
fn number(value: &serde_json::Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
