//! Bad input: `rsyslogd -N1` finds every mistake in a parameter or a certificate, names the
//! instance, the parameter, the value and what is allowed, and nothing falls back to plaintext.

mod secure;
mod trust;
mod values;

use harness::{Check, Site};

/// One configuration with an instance for each mistake, and one that is fine.
struct Mistakes {
    site: Site,
    module: &'static str,
    statement: &'static str,
    cases: Vec<(String, Vec<String>)>,
}

impl Mistakes {
    fn new(module: &'static str, statement: &'static str) -> Self {
        let site = Site::new().with(&format!("module(load=\"{module}\")"));
        // A configuration without any good action would be refused for that alone.
        let site = site.file("out.log", "%msg%\\n");
        Mistakes { site, module, statement, cases: Vec::new() }
    }

    /// An instance with these parameters; its error line must have all of these words.
    fn add(&mut self, parameters: &str, words: &[&str]) {
        let name = format!("case-{}", self.cases.len());
        let (module, statement) = (self.module, self.statement);
        let named = match parameters.contains("name=") {
            true => String::new(),
            false => format!("name=\"{name}\""),
        };
        let part = format!("{statement}(type=\"{module}\" {named} {parameters})");
        let site = std::mem::take(&mut self.site);
        self.site = site.with(&part);
        let mut expected: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        expected.push(match named.is_empty() {
            true => format!("{module}["),
            false => format!("{module}[{name}]"),
        });
        self.cases.push((part, expected));
    }

    /// Runs the check; each case must have its line.
    fn judge(self) -> Check {
        let check = self.site.check();
        let mut missing = Vec::new();
        for (part, words) in &self.cases {
            let found = check
                .complaints()
                .iter()
                .any(|line| words.iter().all(|word| line.contains(word.as_str())));
            if !found {
                missing.push(format!("{part}\n    no line with all of {words:?}"));
            }
        }
        check.refuses(&[]);
        assert!(
            missing.is_empty(),
            "{} of {} mistakes are not named:\n{}\nrsyslogd said:\n{}",
            missing.len(),
            self.cases.len(),
            missing.join("\n"),
            check.text
        );
        check
    }
}
