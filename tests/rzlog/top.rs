//! `rzlog top`: what stands on its screen, as a terminal shows it, how it ends, and what it prints where
//! there is no terminal.

use harness::ports::free_endpoint;
use harness::rzlog::Running;
use harness::{Peer, Rzlog, SOON, secs, wait_until};

use crate::publisher::Publisher;

const COLUMNS: u16 = 120;
const ROWS: u16 = 30;

/// What a terminal of this size shows.
/// Without a picture that has been begun and not been painted to its end.
fn screen_of(running: &Running, columns: u16, rows: u16) -> vt100::Screen {
    let all = running.out_bytes();
    let last = |sign: &[u8]| all.windows(sign.len()).rposition(|part| part == sign);
    let (begins, ends) = (last(b"\x1b[?2026h"), last(b"\x1b[?2026l"));
    let end = begins.filter(|_| begins > ends).unwrap_or(all.len());
    let mut terminal = vt100::Parser::new(rows, columns, 0);
    terminal.process(&all[..end]);
    terminal.screen().clone()
}

fn screen(running: &Running) -> vt100::Screen {
    screen_of(running, COLUMNS, ROWS)
}

/// The first row with all of these words.
fn row(screen: &vt100::Screen, words: &[&str]) -> Option<(u16, String)> {
    let rows = (0..).zip(screen.rows(0, screen.size().1));
    rows.into_iter().find(|(_, row)| words.iter().all(|word| row.contains(word)))
}

#[track_caller]
fn wait_row(top: &mut Running, words: &[&str]) -> (u16, String) {
    top.wait_for(&format!("a row with {words:?}"), SOON, |top| row(&screen(top), words).is_some());
    row(&screen(top), words).expect("a row")
}

/// The last row is that of notices.
#[track_caller]
fn wait_notice(top: &mut Running, words: &[&str]) {
    top.wait_for(&format!("a notice with {words:?}"), SOON, |top| {
        let last = screen(top).rows(0, COLUMNS).last().unwrap_or_default();
        words.iter().all(|word| last.contains(word))
    });
}

/// The colour of a text in a row, as the number of one of the usual 16.
fn colour(screen: &vt100::Screen, number: u16, text: &str) -> Option<u8> {
    let line = screen.rows(0, COLUMNS).nth(usize::from(number)).unwrap_or_default();
    let column = line.find(text).expect("the text") as u16;
    match screen.cell(number, column).expect("a cell").fgcolor() {
        vt100::Color::Idx(index) => Some(index),
        _ => None,
    }
}

/// Without a publisher, on a terminal.
fn alone() -> Running {
    let line = format!("top {} --plaintext", free_endpoint());
    let mut top = Rzlog::of(&line).start_on_terminal_of(COLUMNS, ROWS);
    wait_row(&mut top, &["rzlog top", "0 of 1 publishers"]);
    assert!(top.has_the_keys() && screen(&top).alternate_screen() && screen(&top).hide_cursor());
    top
}

/// The terminal is as it was.
fn is_given_back(top: &Running) -> bool {
    let screen = screen(top);
    !top.has_the_keys() && !screen.alternate_screen() && !screen.hide_cursor()
}

#[test]
fn three_publishers_on_one_screen() {
    let one = Publisher::with_topics();
    let two = one.another_with_its_keys();
    let three = one.another_with_its_keys();
    let all = [&one, &two, &three].map(|it| it.endpoint.as_str());
    let line = format!("top -e {} {}", all.join(","), one.trust("--"));
    let mut top = Rzlog::of(&line).start_on_terminal_of(COLUMNS, ROWS);
    wait_row(&mut top, &["rzlog top", "3 of 3 publishers"]);
    let grave = "<10>Nov 24 10:00:00 db1 postgres[7]: the disk is full\n";
    top.wait_for("a row of each publisher", SOON, |top| {
        one.says("web1", "nginx", &["GET / 200"]);
        two.daemon.feeder().bytes(grave.as_bytes());
        three.says("mail1", "postfix", &["queued"]);
        let screen = screen(top);
        [
            ["web1", "nginx", "GET / 200"],
            ["db1", "postgres", "the disk is full"],
            ["mail1", "postfix", "queued"],
        ]
        .iter()
        .all(|words| row(&screen, words).is_some())
    });
    let (_, line) = wait_row(&mut top, &["db1", "postgres"]);
    let numbers: Vec<_> = line.split_whitespace().take(4).collect();
    assert_eq!((numbers[0], numbers[2]), (numbers[1], numbers[3]), "all are errors: {line}");
    assert!(numbers[2].parse::<u64>().expect("a number") > 0, "{line}");
    top.types("ooo");
    wait_row(&mut top, &["by host and program, name first"]);
    // down, so that another row is the chosen one
    top.types("\x1b[B");
    top.wait_for("red errors", SOON, |top| {
        let shown = screen(top);
        row(&shown, &["db1", "the disk"])
            .is_some_and(|(number, _)| colour(&shown, number, "the disk is full") == Some(1))
    });
    // by severity and by publisher
    top.types("4");
    wait_row(&mut top, &["crit", "db1 postgres: the disk is full"]);
    wait_row(&mut top, &["notice", ":"]);
    top.types("5");
    for endpoint in all {
        wait_row(&mut top, &[endpoint, "connected"]);
    }
    // one host alone, and its lines
    top.types("2/DB");
    wait_row(&mut top, &["find: DB"]);
    top.types("\r");
    top.wait_for("one row", SOON, |top| {
        let shown = screen(top);
        row(&shown, &["db1"]).is_some() && row(&shown, &["web1"]).is_none()
    });
    top.types("\r");
    top.wait_for("its newest lines", SOON, |top| {
        let shown = screen(top);
        row(&shown, &["rzlog top"]).is_some()
            && row(&shown, &["db1 postgres: the disk is full"]).is_some()
            && row(&shown, &["errors/s", "newest"]).is_none()
    });
    two.says("db1", "cron", &["a job of the same host"]);
    one.says("web1", "nginx", &["of another host"]);
    wait_row(&mut top, &["db1 cron: a job of the same host"]);
    assert!(row(&screen(&top), &["of another host"]).is_none());
    top.types("q\x1b");
    wait_row(&mut top, &["errors/s", "newest"]);
    // a publisher dies: it is told at the bottom and stays told at the top
    let lost = two.endpoint.clone();
    drop(two);
    wait_notice(&mut top, &["gap: the connection to", &lost, "is lost"]);
    wait_row(&mut top, &["rzlog top", "2 of 3 publishers"]);
    wait_row(&mut top, &[&lost, "lost"]);
    top.types("n");
    wait_row(&mut top, &[&format!("connected to {}", one.endpoint)]);
    top.types("q");
    wait_row(&mut top, &["errors/s", "newest"]);
    top.types("q");
    let ended = wait_until("its end", SOON, || top.exited());
    assert!(ended.success() && is_given_back(&top), "{ended:?}");
}

#[test]
fn every_way_out_gives_the_terminal_back() {
    for (keys, signal, status) in [
        ("q", "", 0),
        ("\x03", "", 130),
        ("/\x03", "", 130),
        ("", "INT", 130),
        ("", "TERM", 143),
        ("", "HUP", 129),
    ] {
        let mut top = alone();
        if signal.is_empty() {
            top.types(keys);
        } else {
            top.signal(signal);
        }
        let ended = wait_until("its end", SOON, || top.exited());
        assert_eq!(ended.code(), Some(status), "{keys:?} {signal}");
        assert!(is_given_back(&top), "{keys:?} {signal}: {:?}", top.out());
    }
    let mut top = alone();
    top.hangs_up();
    let ended = wait_until("its end", SOON, || top.exited());
    assert_eq!(ended.code(), Some(129));
}

/// Its window shows nothing any more, and nobody reads what it writes.
#[test]
fn a_second_signal_gives_a_terminal_back_that_takes_nothing() {
    let mut top = alone();
    top.resizes(300, 100);
    let call = format!("/proc/{}/syscall", top.pid());
    let mut stuck = 0;
    wait_until("a write that waits", SOON, || {
        top.types("\x0c");
        let call = std::fs::read_to_string(&call).expect("what it waits in");
        // write, x86-64's and aarch64's number, to standard output
        let writes = call.starts_with("1 0x1 ") || call.starts_with("64 0x1 ");
        stuck = if writes { stuck + 1 } else { 0 };
        (stuck == 10).then_some(())
    });
    let ended = wait_until("its end", SOON, || {
        top.signal("TERM");
        top.exited()
    });
    assert_eq!(ended.code(), Some(143));
    assert!(!top.has_the_keys());
}

/// As the job of a shell, which sees that it has stopped.
#[test]
fn it_stops_and_goes_on() {
    let line = format!("top {} --plaintext", free_endpoint());
    let mut top = Rzlog::of(&line).under_a_shell().start_on_terminal_of(COLUMNS, ROWS);
    wait_row(&mut top, &["rzlog top", "0 of 1 publishers"]);
    top.types("\x1a");
    top.wait_for("a stop", SOON, |top| top.out().contains("the job has stopped"));
    assert!(is_given_back(&top));
    top.types("\n");
    top.wait_for("the screen again", SOON, |top| {
        let screen = screen(top);
        screen.alternate_screen() && row(&screen, &["rzlog top"]).is_some() && top.has_the_keys()
    });
    top.types("q");
    assert!(wait_until("its end", SOON, || top.exited()).success() && is_given_back(&top));
}

#[test]
fn the_screen_may_become_another_size() {
    let mut top = alone();
    for (columns, rows) in [(60, 12), (20, 4), (8, 2), (200, 50)] {
        top.resizes(columns, rows);
        let title: String = "rzlog top  0 of 1 publishers".chars().take(columns.into()).collect();
        // cut with a sign that it is
        let title = title.get(..usize::from(columns).min(20).saturating_sub(1)).unwrap_or_default();
        top.wait_for(&format!("{columns} columns"), SOON, |top| {
            // what was painted for another size is cleared first
            let all = top.out_bytes();
            let clear = all.windows(4).rposition(|part| part == b"\x1b[2J").unwrap_or(0);
            let mut terminal = vt100::Parser::new(rows, columns, 0);
            terminal.process(&all[clear..]);
            let shown: Vec<_> = terminal.screen().rows(0, columns).collect();
            let keys = rows < 10 || shown[usize::from(rows) - 2].starts_with("enter tail");
            (rows < 2 || shown[0].starts_with(title)) && keys
        });
    }
    top.types("q");
    assert!(wait_until("its end", SOON, || top.exited()).success());
}

#[test]
fn colours_are_not_for_who_does_not_want_them() {
    for (value, expected) in [("", true), ("1", false)] {
        let peer = Peer::new(zmq::XPUB);
        let line = format!("top {} --plaintext", peer.bind_free());
        let rzlog = Rzlog::of(&line).environment("NO_COLOR", value);
        let mut top = rzlog.start_on_terminal_of(COLUMNS, ROWS);
        peer.receive(SOON).expect("a subscription");
        assert!(peer.send(&[b"<11>Nov 24 10:00:00 web1 app: an error"], SOON));
        assert!(peer.send(&[b"<11>Nov 24 10:00:00 web2 app: an error"], SOON));
        wait_row(&mut top, &["web2", "an error"]);
        assert_eq!(top.out().contains("\x1b[38;5;"), expected, "{value}");
    }
}

/// Bytes between which and the picture nothing is that moves a terminal.
const HOSTILE: [&[u8]; 8] = [
    b"<11>Nov 24 10:00:00 \x1b[2Jweb1 a\x1b[Hpp: \x1b[2J\x1b[1;1Hroot logged in",
    b"\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07",
    b"<11>Nov 24 10:00:00 web2 app: one\r\ntwo\ttabs\t\t\t\t\t\t\t\t\t\t\t\tend",
    b"<11>Nov 24 10:00:00 (others) (others): not ours",
    b"<11>1 - \x9b2J \xc2\x9b2J - - - \xff\xfe\x00\x08\x7f",
    "<11>1 - \u{202e}web3 a\u{200b}pp - - - \u{2066}\u{feff}\u{2028}drowssap".as_bytes(),
    "<11>1 - 日本語日本語日本語日本語日本語日本語日本語 ap\u{301}\u{301}\u{301}p - - - 全角"
        .as_bytes(),
    b"",
];

#[test]
fn no_line_forges_the_screen() {
    let peer = Peer::new(zmq::XPUB);
    let line = format!("top {} --plaintext", peer.bind_free());
    let mut top = Rzlog::of(&line).start_on_terminal_of(COLUMNS, ROWS);
    peer.receive(SOON).expect("a subscription");
    for line in HOSTILE {
        assert!(peer.send(&[line], SOON));
        assert!(peer.send(&[b"\x1b[2Jtopic.\x1b[1;1Hname", line], SOON));
    }
    let long =
        [b"<11>1 - ".as_slice(), &[b'h'; 100_000], b" ", &[b'p'; 100_000], b" - - - text"].concat();
    assert!(peer.send(&[&long], SOON));
    assert!(peer.send(&[b"<11>Nov 24 10:00:00 last app: the end"], SOON));
    for key in ["1", "2", "3", "4", "5", "n", "q", "1", "\r"] {
        top.types(key);
        top.wait_for(&format!("the page of {key}"), SOON, |top| {
            let screen = screen(top);
            // the title stands where it stood, and everything is below it
            screen.rows(0, COLUMNS).next().is_some_and(|row| row.starts_with("rzlog top  1 of 1"))
        });
    }
    top.types("q");
    wait_row(&mut top, &["last", "the end"]);
    wait_row(&mut top, &["\\x28others)", "not ours"]);
    // What was sent to the terminal: our own sequences, and not one sign that moves or hides anything.
    let out = top.out();
    let mut rest = out.as_str();
    while let Some(at) = rest.find(|sign: char| {
        sign.is_control()
            || ('\u{200b}'..='\u{200f}').contains(&sign)
            || ('\u{2028}'..='\u{206f}').contains(&sign)
    }) {
        if "\x1b[".starts_with(&rest[at..]) {
            break; // its rest has not been read
        }
        let sequence =
            rest[at..].strip_prefix("\x1b[").unwrap_or_else(|| panic!("{:?}", &rest[at..]));
        let Some(end) = sequence.find(|sign: char| sign.is_ascii_alphabetic()) else {
            assert!(sequence.len() < 16, "{sequence:?}");
            break;
        };
        let parameters =
            sequence[..end].chars().all(|sign| sign.is_ascii_digit() || ";?".contains(sign));
        assert!(parameters && "mHJKhl".contains(&sequence[end..=end]), "{:?}", &sequence[..=end]);
        rest = &sequence[end + 1..];
    }
}

#[test]
fn names_beyond_the_rows_are_others() {
    let watched = |more: &str| {
        let peer = Peer::new(zmq::XPUB);
        let line = format!("top {} --plaintext {more}", peer.bind_free());
        let top = Rzlog::of(&line).start_on_terminal_of(COLUMNS, ROWS);
        peer.receive(SOON).expect("a subscription");
        (peer, top)
    };
    let (peer, mut top) = watched("--rows 3");
    for number in 0..100 {
        let line = format!("<13>Nov 24 10:00:00 made-up{number} app: text {number}");
        assert!(peer.send(&[line.as_bytes()], SOON));
    }
    let (_, line) = wait_row(&mut top, &["(others)", "97", "text 99"]);
    assert_eq!(line.matches("(others)").count(), 2, "{line}");
    assert!(row(&screen(&top), &["made-up3 "]).is_none());
    // a host that makes up programs takes no rows from another one
    let (peer, mut top) = watched("");
    for number in 0..500 {
        let line = format!("<13>Nov 24 10:00:00 evil app{number}: text {number}");
        assert!(peer.send(&[line.as_bytes()], SOON));
    }
    for _ in 0..2 {
        assert!(peer.send(&[b"<13>Nov 24 10:00:00 honest app: text"], SOON));
    }
    wait_row(&mut top, &["evil", "(others)", "400", "text 499"]);
    let (_, line) = wait_row(&mut top, &["honest"]);
    assert!(line.contains("app") && !line.contains("(others)"), "{line}");
}

#[test]
fn names_that_were_seen_are_known_to_completion() {
    let state = tempfile::tempdir().expect("folder");
    let peer = Peer::new(zmq::XPUB);
    let rzlog = Rzlog::of(&format!("top {} --plaintext", peer.bind_free()));
    let rzlog = rzlog.environment("XDG_STATE_HOME", state.path());
    let mut top = rzlog.start_on_terminal_of(COLUMNS, ROWS);
    peer.receive(SOON).expect("a subscription");
    assert!(peer.send(&[b"<13>Nov 24 10:00:00 web1 nginx: text"], SOON));
    wait_row(&mut top, &["web1", "nginx"]);
    top.types("q");
    assert!(wait_until("its end", SOON, || top.exited()).success());
    let seen = std::fs::read_to_string(state.path().join("rzlog/seen")).expect("words");
    assert_eq!(seen.lines().collect::<Vec<_>>(), ["nginx", "web1"]);
}

#[test]
fn without_a_terminal_the_table_is_printed_once_or_not_at_all() {
    let publisher = Publisher::with_topics();
    let line = format!("top {} {}", publisher.endpoint, publisher.trust("--"));
    Rzlog::of(&line).run().ended(1).complains(&[
        "no terminal",
        "--once",
        "--for 10s",
        "rzlog tail",
    ]);
    // the words say which lines, as for tail
    let mut top = Rzlog::of(&format!("{line} web* nginx --by host --for 3s")).start();
    let ended = wait_until("its end", SOON, || {
        publisher.says("web1", "nginx", &["GET / 200"]);
        publisher.says("web1", "cron", &["not asked for"]);
        publisher.says("db1", "nginx", &["not asked for"]);
        top.exited()
    });
    assert_eq!(ended.code(), Some(0), "{}", top.err());
    let out = top.out();
    let rows: Vec<Vec<_>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    let head =
        ["lines/s", "errors/s", "lines", "errors", "host", "ago", "severity_of_newest", "newest"];
    assert_eq!((rows.len(), rows[0].as_slice()), (2, head.as_slice()), "{out}");
    assert!(rows[1][0].parse::<f64>().expect("a rate") > 0.0 && rows[1][2] != "0", "{out}");
    assert_eq!(rows[1][4], "web1", "{out}");
    assert_eq!(rows[1][6..], ["notice", "nginx:", "GET", "/", "200"], "{out}");
    assert!(top.err().contains(&format!("connected to {}", publisher.endpoint)), "{}", top.err());
    let nobody = format!("top {} --plaintext --for 500ms --by publisher", free_endpoint());
    let ran = Rzlog::of(&nobody).run().ended(3);
    assert!(ran.out.contains("not_there_yet"), "{ran:?}");
    ran.complains(&["nobody was there"]);
}

#[test]
fn a_signal_ends_the_count_early_and_the_table_is_printed() {
    let publisher = Publisher::with_topics();
    let line = format!("top {} {} --for 1h", publisher.endpoint, publisher.trust("--"));
    let mut top = Rzlog::of(&line).start();
    top.wait_err(&["connected to"], SOON);
    publisher.says("web1", "nginx", &["may be missed: a subscription takes its time"]);
    top.signal("TERM");
    let ran = top.wait(secs(10)).ended(143);
    assert!(ran.out.starts_with("lines/s  errors/s  lines  errors  host  program"), "{ran:?}");
}

#[test]
fn what_cannot_be_meant_is_said() {
    for (more, words) in [
        ("--by weather", ["--by", "weather"]),
        ("--rows 0", ["--rows", "0"]),
        ("--once --for 3s", ["--once", "--for"]),
    ] {
        let ran = Rzlog::of(&format!("top tcp://127.0.0.1:9 --plaintext {more}")).run().ended(2);
        assert!(words.iter().all(|word| ran.err.contains(word)), "{ran:?}");
    }
    let line = "top tcp://127.0.0.1:9 --plaintext --once --severity loud";
    Rzlog::of(line).run().ended(1).complains(&["severity", "loud"]);
    Rzlog::of("top tcp://127.0.0.1:9 --once").run().ended(1).complains(&["--plaintext"]);
}
