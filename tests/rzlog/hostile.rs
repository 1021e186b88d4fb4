//! What a publisher can say to `rzlog tail`: nothing of it forges a terminal, ends the program or fills
//! the memory.

use harness::rzlog::Running;
use harness::{Peer, Rzlog, SOON, secs};

/// A publisher that says any bytes, without keys.
fn publisher() -> (Peer, String) {
    let peer = Peer::new(zmq::XPUB);
    let endpoint = peer.bind_free();
    (peer, endpoint)
}

/// Starts it, and waits for its subscription.
#[track_caller]
fn subscribed(peer: &Peer, endpoint: &str, more: &str, on_terminal: bool) -> Running {
    let rzlog = Rzlog::of(&format!("tail {endpoint} --plaintext {more}"));
    let running = if on_terminal { rzlog.start_on_terminal() } else { rzlog.start() };
    peer.receive(SOON).expect("a subscription");
    running
}

/// Escape sequences, controls of both sets, broken UTF-8, signs that turn the direction of writing.
const HOSTILE: [&[u8]; 10] = [
    b"<13>Nov 24 10:00:00 web1 app: \x1b[2J\x1b[1;1Hroot logged in",
    b"\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07",
    b"one\nrzlog: connected to tcp://evil:1\r\noverwritten\rX",
    b"rzlog: connected to tcp://evil:1",
    b"\x9b31m\x90q\x9c\xc2\x9b2J",
    b"\xff\xfe\x00\x00\x08\x08\x7f\x0e\x0f",
    "\u{202e}drowssap\u{2066}\u{200b}\u{feff}\u{2028}".as_bytes(),
    b"web1.app:@cee:{\"a\":\"\\u001b[2J\",\"b\x1b[2J\":\"\x1b[2J\"}",
    b"<11>1 \x1b[2J \x1b[2J \x1b[2J \x1b[2J - [x y=\"\x1b[2J\"] \x1b[2J",
    b"",
];

#[test]
fn no_line_forges_the_terminal() {
    for more in [
        "",
        "--json",
        "--fields a,text,host,topic",
        "--template {time}|{host}|{program}|{message}|{topic}|{text}|{a}|{pid}",
        "--timestamps",
    ] {
        let (peer, endpoint) = publisher();
        let mut tail = subscribed(&peer, &endpoint, more, true);
        for line in HOSTILE {
            assert!(peer.send(&[b"\x1b[2Jtopic", line], SOON));
            assert!(peer.send(&[line], SOON));
        }
        assert!(peer.send(&[b"the end"], SOON));
        tail.wait_out("the end", SOON);
        // told by another thread than the lines
        let ours = "\x1b[7mrzlog:\x1b[0m";
        let notice = format!("{ours} conn");
        let connected = |out: &str| out.lines().filter(|it| it.starts_with(&notice)).count();
        tail.wait_for("the notice", SOON, |tail| connected(&tail.out()) > 0);
        let out = tail.out();
        // What is ours: colours at the beginning and end of a line, and the terminal's own line breaks.
        for line in out.split("\r\n") {
            let line = line.strip_suffix("\x1b[0m").unwrap_or(line);
            let mut inner = line.strip_prefix(ours).unwrap_or(line);
            for colour in ["\x1b[1;31m", "\x1b[31m", "\x1b[33m", "\x1b[2m"] {
                inner = inner.strip_prefix(colour).unwrap_or(inner);
            }
            let foreign = |sign: char| {
                sign != '\t' && (sign.is_control() || ('\u{202a}'..='\u{2069}').contains(&sign))
            };
            assert!(!inner.contains(foreign), "{more}: {inner:?}");
        }
        assert_eq!(connected(&out), 1, "{more}: {out:?}");
    }
}

#[test]
fn in_a_pipe_a_message_is_one_line() {
    let (peer, endpoint) = publisher();
    let mut tail = subscribed(&peer, &endpoint, "", false);
    for line in HOSTILE {
        assert!(peer.send(&[line], SOON));
    }
    assert!(peer.send(&[b"the end"], SOON));
    let out = tail.wait_out("the end\n", SOON);
    assert_eq!(out.split('\n').count(), HOSTILE.len() + 2, "{out:?}");
}

#[test]
fn huge_lines_and_deep_json_are_lived_through() {
    let (peer, endpoint) = publisher();
    let mut tail = subscribed(&peer, &endpoint, "--json --severity debug --include .", false);
    let deep = format!("@cee:{}", "[{\"a\":".repeat(100_000));
    let long = vec![b'x'; 1 << 20];
    let many: Vec<&[u8]> = vec![b"frame"; 10_000];
    assert!(peer.send(&[deep.as_bytes()], SOON));
    assert!(peer.send(&[&long], SOON));
    assert!(peer.send(&many, SOON));
    assert!(peer.send(&[b"<13>Nov 24 10:00:00 web1 app: still there"], SOON));
    tail.wait_out("still there", SOON);
    // One that is too long cuts the publisher off, and rzlog comes back.
    assert!(peer.send(&[&vec![b'x'; 2 << 20]], SOON));
    tail.wait_err(&["gap: ", "is lost"], SOON);
    tail.wait_err(&["gap: ", "is back after"], SOON);
    tail.wait_for("lines again", SOON, |tail| {
        peer.send(&[b"<13>Nov 24 10:00:00 web1 app: and on"], SOON);
        tail.out().contains("and on")
    });
    tail.signal("INT");
    tail.wait(SOON).ended(130);
}

/// An expression that is slow on the lines of a flood: they come faster than they are read.
const SLOW: &str = "--include wanted --include a[abc]{30}[bc]{60}";

/// A publisher, and as many lines of letters of no order as are asked for.
fn flooding() -> (Peer, String, impl Fn(&Peer, usize)) {
    let peer = Peer::new(zmq::XPUB).send_hwm(50);
    let endpoint = peer.bind_free();
    let mut state = 7_u32;
    let letter = |_| {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        b"abc"[(state >> 16) as usize % 3]
    };
    let line: Vec<u8> = (0..20_000).map(letter).collect();
    let flood = move |peer: &Peer, lines: usize| {
        for _ in 0..lines {
            peer.send(&[&line], SOON);
        }
    };
    (peer, endpoint, flood)
}

#[test]
fn a_flood_that_does_not_end_holds_no_wanted_line_back() {
    let (peer, endpoint, flood) = flooding();
    let mut tail = subscribed(&peer, &endpoint, SLOW, false);
    flood(&peer, 1000);
    tail.wait_for("a wanted line", secs(60), |tail| {
        for _ in 0..50 {
            peer.send(&[b"wanted"], SOON);
            flood(&peer, 20);
        }
        tail.out().contains("wanted")
    });
}

/// libzmq never again calls who sent too long a line; rzlog does, though another leaves it no pause.
#[test]
fn a_publisher_that_was_cut_off_is_called_again_beside_a_flood() {
    let (loud, loud_endpoint, flood) = flooding();
    let (peer, endpoint) = publisher();
    let both = format!("{loud_endpoint},{endpoint}");
    let mut tail = subscribed(&loud, &both, SLOW, false);
    peer.receive(SOON).expect("a subscription");
    flood(&loud, 1000);
    assert!(peer.send(&[&vec![b'x'; 2 << 20]], SOON));
    tail.wait_for("a wanted line", secs(60), |tail| {
        peer.send(&[b"wanted"], SOON);
        flood(&loud, 50);
        tail.out().contains("wanted")
    });
}

#[test]
fn colours_are_for_terminals_and_for_who_wants_them() {
    let grave = b"<11>Nov 24 10:00:00 web1 app: grave";
    let shown = |more: &str, no_color: Option<&str>, on_terminal: bool| {
        let (peer, endpoint) = publisher();
        let mut rzlog = Rzlog::of(&format!("tail {endpoint} --plaintext --limit 1 {more}"));
        if let Some(value) = no_color {
            rzlog = rzlog.environment("NO_COLOR", value);
        }
        let mut tail = if on_terminal { rzlog.start_on_terminal() } else { rzlog.start() };
        peer.receive(SOON).expect("a subscription");
        assert!(peer.send(&[grave], SOON));
        tail.wait_out("grave", SOON).contains("\x1b[31m")
    };
    assert!(shown("", None, true));
    assert!(shown("", Some(""), true));
    assert!(!shown("", Some("1"), true));
    assert!(!shown("--color never", None, true));
    assert!(!shown("", None, false));
    assert!(shown("--color always", None, false));
}
