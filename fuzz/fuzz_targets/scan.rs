//! Any bytes as a configuration of rsyslog's: what is found in it stands there, in order.
#![no_main]

#[allow(dead_code)]
#[path = "../../src/rzlog/conf/scan.rs"]
mod scan;

use libfuzzer_sys::fuzz_target;
use scan::Item;

fuzz_target!(|input: &[u8]| {
    let found = scan::scan(input);
    let mut before = 0;
    for item in &found.items {
        let Item::Statement(statement) = item else { continue };
        assert!(before <= statement.span.start && statement.span.end <= input.len());
        before = statement.span.start;
        let lines = input[..before].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(statement.line, lines + 1);
        let mut at = before;
        for value in statement.parameters.iter().flat_map(|parameter| &parameter.values) {
            assert!(at <= value.inner.start && value.inner.end <= statement.span.end);
            at = value.inner.end;
            assert!(!value.plain || &input[value.inner.clone()] == value.text.as_bytes());
        }
    }
    assert!(found.comments.iter().all(|it| it.start < it.end && it.end <= input.len()));
    assert!(found.comments.is_sorted_by(|one, two| one.end <= two.start));
});
