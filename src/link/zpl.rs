//! ZPL, the text format of CURVE certificates (ZeroMQ RFC 4), as far as czmq's
//! `zcert_save` and pyzmq's `zmq.auth` write it: sections without indentation, properties
//! indented below them, `#` for comments, values in double or single quotes or bare.
//!
//! Works on bytes: a certificate's `name` may be in any encoding.

/// One `name = value` of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Property<'a> {
    /// Counted from 1.
    pub line: usize,
    /// The line without indentation above; empty at the top of the file.
    pub section: &'a [u8],
    /// The part before the `=`.
    pub name: &'a [u8],
    /// The part after it, without its quotes.
    pub value: &'a [u8],
}

/// A line that is no ZPL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// All properties of a file, in order.
pub fn parse(text: &[u8]) -> Result<Vec<Property<'_>>, Mistake> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut section: &[u8] = &[];
    let mut properties = Vec::new();
    for (index, content) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = index + 1;
        let indented = content.first().is_some_and(u8::is_ascii_whitespace);
        let content = content.trim_ascii();
        if content.is_empty() || content[0] == b'#' {
            continue;
        }
        let end = content
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'#'))
            .unwrap_or(content.len());
        let (name, rest) = content.split_at(end);
        let rest = rest.trim_ascii_start();
        match rest.first() {
            None | Some(b'#') => {
                if !indented {
                    section = name;
                }
            }
            Some(b'=') if !name.is_empty() => {
                if !indented {
                    section = &[];
                }
                let value = value(&rest[1..]).map_err(|reason| Mistake { line, reason })?;
                properties.push(Property { line, section, name, value });
            }
            Some(_) => {
                let reason = "is not a section, nor name = \"value\", nor a # comment";
                return Err(Mistake { line, reason });
            }
        }
    }
    Ok(properties)
}

fn value(text: &[u8]) -> Result<&[u8], &'static str> {
    let text = text.trim_ascii_start();
    match text.split_first() {
        Some((quote @ (b'"' | b'\''), rest)) => {
            let end = rest
                .iter()
                .position(|byte| byte == quote)
                .ok_or("has a quote that is not closed")?;
            match rest[end + 1..].trim_ascii_start().first() {
                None | Some(b'#') => Ok(&rest[..end]),
                Some(_) => Err("goes on after its closing quote"),
            }
        }
        _ => {
            let end = text.iter().position(|byte| *byte == b'#').unwrap_or(text.len());
            Ok(text[..end].trim_ascii_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<String> {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        parse(text.as_bytes())
            .unwrap()
            .iter()
            .map(|p| {
                let (section, name) = (text_of(p.section), text_of(p.name));
                format!("{}:{section}/{name}={}", p.line, text_of(p.value))
            })
            .collect()
    }

    #[test]
    fn sections_properties_comments_and_quotes() {
        let text = "# a comment\n\nmetadata # another\n    name = \"A # b\"  # third\r\n\
                    \tmail='x\"y'\ncurve\r\n  public-key = bare value # c\n    nested\ntop = 1\n x=";
        assert_eq!(
            shown(text),
            [
                "4:metadata/name=A # b",
                "5:metadata/mail=x\"y",
                "7:curve/public-key=bare value",
                "9:/top=1",
                "10:/x="
            ]
        );
    }

    #[test]
    fn mistakes_have_a_line() {
        for (text, line, part) in [
            ("curve\n    key = \"open\n", 2, "not closed"),
            ("curve\n    key = \"a\" b\n", 2, "after its closing quote"),
            ("-----BEGIN PRIVATE KEY-----", 1, "is not a section"),
            ("\n\n= value", 3, "is not a section"),
        ] {
            let mistake = parse(text.as_bytes()).unwrap_err();
            assert_eq!(mistake.line, line, "{text}");
            assert!(mistake.reason.contains(part), "{text}: {}", mistake.reason);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text: Vec<u8>) {
            let _ = parse(&text);
        }

        #[test]
        fn nearly_zpl_is_read_or_refused(text in "([ #=\"'\\r\\na-c]|curve)*") {
            let _ = parse(text.as_bytes());
        }
    }
}
