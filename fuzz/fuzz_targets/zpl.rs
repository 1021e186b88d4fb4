//! Any bytes as ZPL, the text of a certificate, and its values as keys in Z85: what was read is read
//! again as the same when it was written.
#![no_main]

#[path = "../../src/link/z85.rs"]
mod z85;
#[path = "../../src/link/zpl.rs"]
mod zpl;

use libfuzzer_sys::fuzz_target;
use zpl::Property;

fuzz_target!(|input: &[u8]| {
    match zpl::parse(input) {
        Ok(properties) => properties_hold(&properties, input),
        Err(mistake) => {
            assert!(line(input, mistake.line).is_some(), "{} in no line", mistake.reason);
        }
    }
    if let Some(bytes) = input.first_chunk() {
        assert_eq!(z85::decode(&z85::encode(bytes)).as_ref(), Ok(bytes));
    }
    key(input);
});

fn properties_hold(properties: &[Property<'_>], input: &[u8]) {
    // an empty line in front, so that a first name is no byte order mark
    let mut again = b"\n".to_vec();
    for property in properties {
        let own = line(input, property.line).expect("a property of no line");
        assert!(has(own, property.name) && has(own, property.value), "it is from another line");
        key(property.value);
        write(property, &mut again);
    }
    assert!(properties.is_sorted_by(|a, b| a.line < b.line));
    let second = zpl::parse(&again).expect("what was written cannot be read");
    let content = |p: &Property<'_>| (p.section.to_vec(), p.name.to_vec(), p.value.to_vec());
    assert!(second.iter().map(content).eq(properties.iter().map(content)), "another file");
}

fn write(property: &Property<'_>, out: &mut Vec<u8>) {
    if !property.section.is_empty() {
        out.extend_from_slice(property.section);
        out.extend_from_slice(b"\n    ");
    }
    // a value with both quotes stood there without any
    let quote = [b"\"", b"'"].into_iter().find(|quote| !has(property.value, *quote));
    let quote = quote.map_or(&b""[..], |quote| quote);
    out.extend_from_slice(&[property.name, b" = ", quote, property.value, quote, b"\n"].concat());
}

fn key(text: &[u8]) {
    match z85::decode(text) {
        Ok(key) => assert_eq!(z85::encode(&key), text),
        Err(mistake) => assert!(!mistake.to_string().contains(char::is_control)),
    }
}

fn line(text: &[u8], number: usize) -> Option<&[u8]> {
    text.split(|byte| *byte == b'\n').nth(number.checked_sub(1)?)
}

fn has(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}
