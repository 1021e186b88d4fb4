//! Any bytes as a published line, with a topic or without: every part lies within the text or the topic,
//! and its JSON is the end of the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rzlog_client::Line;

fuzz_target!(|input: (Option<&[u8]>, &[u8])| {
    let (topic, text) = input;
    let line = Line::parse(topic, text);
    let within = |part: &[u8], whole: &[u8]| {
        let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
        whole.start <= part.start && part.end <= whole.end
    };
    let parts = [line.topic, line.time, line.host, line.program, line.pid, Some(line.message)];
    for part in parts.into_iter().flatten() {
        assert!(within(part, text) || topic.is_some_and(|topic| within(part, topic)));
    }
    assert!(text.starts_with(line.text) && text.len() - line.text.len() <= 2);
    if let Some(json) = line.json() {
        assert!(line.text.ends_with(json));
    }
    assert_eq!(line.severity.is_some(), line.facility.is_some());
});
