//! docs/protocol-vectors.json against this codec: every frame and head is read, compared field by
//! field, and written again byte for byte. tests/peers/acked.py does the same from the page alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rzmq_delivery::{
    Ack, Codec, Data, ErrorCode, ErrorFrame, Frame, Head, Hello, Later, LaterReason, Limits,
    PeerId, Reaction, Receiver, ReceiverLimits, Refused, RefusedReason, SessionId, Welcome, decode,
};
use serde_json::{Value, json};
use std::time::Duration;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol-vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<'a>(vectors: &'a Value, name: &str) -> &'a [Value] {
    let list = vectors[name].as_array().unwrap();
    assert!(!list.is_empty(), "no {name}");
    list
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    assert!(hex.is_ascii() && hex.len() % 2 == 0, "{hex} is not hex");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Lines of a vector: each in hex, or [how often, hex].
fn lines(value: &Value) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for item in value.as_array().unwrap() {
        match item.as_array() {
            Some(pair) => {
                lines.extend(std::iter::repeat_n(bytes(&pair[1]), number(&pair[0]) as usize));
            }
            None => lines.push(bytes(item)),
        }
    }
    lines
}

/// A frame's fields as the vectors write them, and the frame written again.
fn read(frame: &Frame<'_>) -> (Value, Vec<u8>) {
    let mut again = Vec::new();
    let fields = match frame {
        Frame::Skipped => Value::Null,
        Frame::Hello(hello) => {
            hello.encode(&mut again);
            let Hello { lowest, highest, number, session, first, next, software, name } = hello;
            json!({"type": "HELLO", "lowest": lowest, "highest": highest, "hello": number,
                "session": session.to_string(), "first": first, "next": next,
                "software": software, "name": name})
        }
        Frame::Data(data) => {
            data.encode(&mut again);
            data_fields(data)
        }
        Frame::Welcome(welcome) => return (welcome_fields(welcome), again),
        Frame::Ack(ack) => {
            ack.encode(&mut again);
            let Ack { have, window, hello } = ack;
            json!({"type": "ACK", "have": have, "window": window, "hello": hello})
        }
        Frame::Refused(refused) => {
            let entries: Vec<_> = refused.lines().collect();
            Refused::encode(refused.hello, &entries, &mut again);
            let entries: Vec<_> = entries
                .iter()
                .map(|(number, reason, bytes)| match reason {
                    RefusedReason::TooLong => json!([number, 1, bytes]),
                    RefusedReason::Host => json!([number, 2, bytes]),
                    RefusedReason::Other(other) => json!([number, other, bytes]),
                })
                .collect();
            json!({"type": "REFUSED", "hello": refused.hello, "entries": entries})
        }
        Frame::Later(later) => {
            later.encode(&mut again);
            let Later { have, milliseconds, reason, hello } = later;
            let reason = match reason {
                LaterReason::QueueError => 1,
                LaterReason::Stopping => 2,
                LaterReason::Rate => 3,
                LaterReason::Other(other) => *other,
            };
            json!({"type": "LATER", "have": have, "milliseconds": milliseconds, "reason": reason,
                "hello": hello})
        }
        Frame::Error(error) => {
            error.encode(&mut again);
            let ErrorFrame { code, hello, text } = error;
            json!({"type": "ERROR", "code": code_number(*code), "hello": hello, "text": text})
        }
    };
    (fields, again)
}

fn welcome_fields(welcome: &Welcome) -> Value {
    let Welcome { version, meaning, number, session, have, frame, crc, count, limits } = welcome;
    let Limits { window, frame: frame_bytes, lines, expansion } = limits;
    json!({"type": "WELCOME", "version": version, "meaning": meaning, "hello": number,
        "session": session.to_string(), "have": have, "window": window,
        "frame_bytes": frame_bytes, "frame_lines": lines, "expansion": expansion,
        "frame": frame, "crc": crc, "lines": count})
}

/// Without the lines, which are a matter of the receiver.
fn data_fields(data: &Data<'_>) -> Value {
    let mut fields = json!({"type": "DATA", "first": data.first, "resend": data.resend,
        "codec": "raw", "fields": hex(data.fields)});
    if data.codec == Codec::Zstd {
        fields["codec"] = "zstd".into();
        fields["block"] = hex(data.block).into();
    }
    fields
}

fn code_number(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::NoSession => 1,
        ErrorCode::Version => 2,
        ErrorCode::Key => 3,
        ErrorCode::Fenced => 4,
        ErrorCode::Malformed => 5,
        ErrorCode::Content => 6,
        ErrorCode::Gap => 7,
        ErrorCode::Limit => 8,
        ErrorCode::Sessions => 9,
        ErrorCode::Other(other) => other,
    }
}

/// What a receiver makes of the frame: its lines, or the code of its ERROR. If it is DATA, it is in
/// the frame's session, which begins at the frame's first line.
fn received(frame: &[u8]) -> Result<Vec<Vec<u8>>, u16> {
    let mut receiver = Receiver::new("", ReceiverLimits::default(), []);
    let (now, peer) = (Duration::from_secs(1), PeerId(1));
    let first = match decode(frame) {
        Ok(Frame::Data(data)) => data.first,
        _ => 0,
    };
    let mut hello = Vec::new();
    let greeting = Hello {
        lowest: 1,
        highest: 1,
        number: 1,
        session: SessionId([7; 16]),
        first,
        next: first,
        software: "",
        name: "",
    };
    greeting.encode(&mut hello);
    assert!(matches!(receiver.receive(now, peer, None, &hello), Reaction::Reply(_)));
    match receiver.receive(now, peer, None, frame) {
        Reaction::Nothing | Reaction::Reply(_) => Ok(Vec::new()),
        Reaction::Wrong(code, _, reply) => {
            let Ok(Frame::Error(error)) = decode(&reply) else { panic!("no ERROR: {reply:?}") };
            assert_eq!((error.code, error.hello), (code, 1));
            Err(code_number(code))
        }
        Reaction::Lines(mut incoming) => {
            let mut lines = Vec::new();
            while let Some((number, block)) = incoming.chunk(100) {
                assert_eq!(number, first + lines.len() as u64);
                lines.extend(block.lines().map(<[u8]>::to_vec));
            }
            Ok(lines)
        }
    }
}

#[test]
fn every_frame_is_read_and_written_as_the_vectors_say() {
    for vector in list(&vectors(), "frames") {
        let name = vector["name"].as_str().unwrap();
        let frame = bytes(&vector["hex"]);
        let to_receiver = vector["to"] == "receiver";
        if let Some(error) = vector["error"].as_u64() {
            let wrong = match decode(&frame) {
                _ if to_receiver => received(&frame).expect_err(name).into(),
                // A sender answers no ERROR; that only senders send it is its own business.
                Ok(Frame::Hello(_) | Frame::Data(_)) | Err(_) => 5,
                Ok(frame) => panic!("{name}: taken as {frame:?}"),
            };
            assert_eq!(wrong, error, "{name}");
            continue;
        }
        let decoded = decode(&frame).unwrap_or_else(|why| panic!("{name}: {why}"));
        let (fields, mut again) = read(&decoded);
        let mut wanted = vector["frame"].clone();
        if let Some(lines_wanted) = wanted
            .as_object_mut()
            .and_then(|data| data.remove("lines"))
            .filter(|lines| lines.is_array())
        {
            assert_eq!(received(&frame), Ok(lines(&lines_wanted)), "{name}");
        }
        if let Frame::Welcome(welcome) = &decoded {
            // The lines of WELCOME are a number; its software is nobody's business but the log's.
            wanted["lines"] = vector["frame"]["lines"].clone();
            let software = wanted.as_object_mut().unwrap().remove("software").unwrap();
            welcome.encode(software.as_str().unwrap(), &mut again);
        }
        assert_eq!(fields, wanted, "{name}");
        if decoded != Frame::Skipped {
            let written = vector.get("written").unwrap_or(&vector["hex"]);
            assert_eq!(hex(&again), written.as_str().unwrap(), "{name}");
        }
        if to_receiver {
            assert!(received(&frame).is_ok(), "{name}");
        }
    }
}

#[test]
fn every_head_is_read_and_written_as_the_vectors_say() {
    for vector in list(&vectors(), "heads") {
        let name = vector["name"].as_str().unwrap();
        let line = bytes(&vector["hex"]);
        let entry = |name: &str| vector["head"][name].as_str().unwrap_or_default();
        let head = Head {
            uuid: entry("uuid"),
            origin_id: entry("origin_id"),
            origin_name: entry("origin_name"),
            origin_address: entry("origin_address"),
        };
        let text = bytes(&vector["text"]);
        assert_eq!(Head::split(&line), (head, text.as_slice()), "{name}");
        let mut again = Vec::new();
        head.encode(&text, &mut again);
        let written = vector.get("written").unwrap_or(&vector["hex"]);
        assert_eq!(hex(&again), written.as_str().unwrap(), "{name}");
    }
}
