//! Lines that did not come from a publisher that numbers its messages: what is shown and what is told are
//! all lines, and nothing that a peer makes up does any harm.

use std::collections::BTreeMap;
use std::fs;

use harness::feed::syslog_line;
use harness::rzlog::Running;
use harness::{Peer, Proxy, Rzlog, SOON, millis, secs, wait_until};

use crate::metrics::Metrics;
use crate::publisher::{FRAMED, Publisher, TOPIC};

const HOSTS: [&str; 3] = ["web1", "web2", "db1"];

/// With more than one worker for its main queue, rsyslog itself gives up the order.
fn start(more: &str) -> Source {
    let before = format!("{TOPIC}\nmain_queue(queue.workerThreads=\"1\")");
    let action = format!("name=\"out\" {FRAMED} pub.numbered=\"on\" {more}");
    Source { publisher: Publisher::start(&before, &action), said: 0 }
}

/// Lines of each host, each with its number.
struct Source {
    publisher: Publisher,
    said: usize,
}

impl Source {
    fn say(&mut self, count: usize, padding: &str) {
        let mut bytes = String::new();
        for number in self.said..self.said + count {
            for host in HOSTS {
                let line = syslog_line(&format!("k={number}. {padding}"));
                bytes += &line.replace("feeder app:", &format!("{host} app:"));
                bytes.push('\n');
            }
        }
        self.publisher.daemon.feeder().bytes(bytes.as_bytes());
        self.said += count;
    }

    /// Until the last line of each host that was said is shown. One at a time: so none of these is
    /// dropped once the reader has caught up.
    #[track_caller]
    fn until_shown(&mut self, tail: &mut Running) {
        wait_until("the newest lines", secs(30), || {
            assert!(tail.exited().is_none(), "it ended: {}", tail.err());
            self.say(1, "");
            let newest = |host: &str| format!("{host} app: k={}.", self.said - 1);
            let shown = || {
                let out = tail.out();
                HOSTS.iter().all(|host| out.contains(&newest(host))).then_some(())
            };
            harness::wait::try_until(millis(500), shown)
        });
    }
}

/// What is missing between the first and the last line of each host, none of which came twice.
fn missing(out: &str) -> usize {
    let mut seen: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for line in out.lines() {
        let (before, rest) = line.split_once(" app: k=").expect("a line of ours");
        let number = rest.split('.').next().expect("a number").parse().expect("a number");
        seen.entry(before.rsplit(' ').next().expect("a host")).or_default().push(number);
    }
    assert_eq!(seen.len(), HOSTS.len());
    let of = |numbers: &Vec<usize>| {
        assert!(numbers.is_sorted_by(|one, next| one < next), "twice, or in another order");
        numbers[numbers.len() - 1] - numbers[0] + 1 - numbers.len()
    };
    seen.values().map(of).sum()
}

/// The numbers in notices of dropped lines.
fn told(err: &str) -> Vec<usize> {
    let number = |line: &str| {
        let (_, rest) = line.split_once("were dropped before they came here: ")?;
        rest.split(' ').next()?.parse().ok()
    };
    err.lines().filter_map(number).collect()
}

#[test]
fn what_a_slow_reader_sees_and_what_it_is_told_are_all_lines() {
    let _alone = harness::alone();
    let mut source = start("sndhwm=\"10\"");
    let mut tail = source.publisher.tail("--quiet").start();
    source.until_shown(&mut tail);
    assert_eq!(told(&tail.err()), [0; 0], "{}", tail.err());
    tail.signal("STOP");
    let stat = format!("/proc/{}/stat", tail.pid());
    wait_until("it stands still", SOON, || {
        fs::read_to_string(&stat).is_ok_and(|it| it.contains(") T ")).then_some(())
    });
    // more than the kernel and libzmq hold for it
    source.say(2500, &"x".repeat(4000));
    let said = (source.said * HOSTS.len()) as i64;
    source.publisher.daemon.wait_stats("omrzmq", "out", "all sent", |c| c["sent"] == said);
    tail.signal("CONT");
    source.until_shown(&mut tail);
    tail.signal("TERM");
    let ran = tail.wait(SOON).ended(143);
    let (missing, told) = (missing(&ran.out), told(&ran.err));
    assert!(missing > 100, "only {missing} lines were dropped");
    assert_eq!(told.iter().sum::<usize>(), missing, "{}", ran.err);
    assert!(told.len() <= 10, "{}", ran.err);
    let endpoint = &source.publisher.endpoint;
    let gap = format!("gap: lines from {endpoint} were dropped before they came here: ");
    assert!(ran.err.contains(&gap) && ran.err.contains(".app.\""), "{}", ran.err);
}

/// The publisher was there all the time, so its numbers went on.
#[test]
fn what_was_published_while_the_connection_was_lost_is_told() {
    let mut source = start("");
    let proxy = Proxy::before(&source.publisher.endpoint);
    let trust = source.publisher.trust("--");
    let line = format!("tail {} {trust} --quiet", proxy.endpoint());
    let mut tail = Rzlog::of(&line).start();
    source.until_shown(&mut tail);
    proxy.go_away();
    tail.wait_err(&["gap: ", "is lost"], SOON);
    source.say(50, "");
    proxy.come_back();
    tail.wait_err(&["gap: ", "is back after"], SOON);
    source.until_shown(&mut tail);
    tail.signal("TERM");
    let ran = tail.wait(SOON).ended(143);
    let missing = missing(&ran.out);
    assert!(missing >= 50 * HOSTS.len(), "only {missing} lines are missing");
    assert_eq!(told(&ran.err).iter().sum::<usize>(), missing, "{}", ran.err);
}

/// The second frame, as a publisher with this id writes it.
fn number(id: u64, number: u64) -> Vec<u8> {
    [&b"rzn1"[..], &id.to_le_bytes(), &number.to_le_bytes()].concat()
}

/// A publisher without keys, made by hand.
struct Hand {
    peer: Peer,
    endpoint: String,
}

impl Hand {
    fn new() -> Self {
        let peer = Peer::new(zmq::PUB).send_hwm(0);
        let endpoint = peer.bind_free();
        Hand { peer, endpoint }
    }

    fn send(&self, frames: &[&[u8]]) {
        assert!(self.peer.send(frames, SOON));
    }

    fn line(&self, topic: &[u8], second: &[u8]) {
        self.send(&[topic, second, b"<13>1 - web1 app - - - a line"]);
    }

    /// Lines of a topic of its own, until somebody has one.
    #[track_caller]
    fn until(&self, what: &str, came: impl Fn() -> bool) {
        wait_until(what, SOON, || {
            self.send(&[b"warm.up.", b"<13>1 - web1 app - - - warm-up"]);
            came().then_some(())
        });
    }
}

#[test]
fn whatever_numbers_a_peer_makes_up_they_are_summed_up_and_harmless() {
    let hand = Hand::new();
    let line = format!("tail {} --plaintext --everything --quiet", hand.endpoint);
    let mut tail = Rzlog::of(&line).start();
    hand.until("a line", || tail.out().contains("warm-up"));
    // no numbers
    for second in [&b""[..], b"rzn1", b"rzn2aaaaaaaabbbbbbbb", b"rzn1aaaaaaaabbbbbbbbb"] {
        hand.line(b"a.", second);
    }
    hand.send(&[b"a.", &number(1, 1), b"another frame", b"<13>1 - web1 app - - - four"]);
    hand.send(&[b"a.", &number(1, 9), b"another frame", b"<13>1 - web1 app - - - four"]);
    // no gaps
    for next in [5, 6, 6, 3, 7] {
        hand.line(b"a.", &number(1, next));
    }
    hand.line(b"a.", &number(2, u64::MAX));
    hand.line(b"a.", &number(2, 1));
    hand.line(b"b.", &number(1, 70));
    // gaps: of 2,000 topics one each, and one whose name would clear the screen
    for topic in 0..2000 {
        let topic = format!("t{topic}.");
        hand.line(topic.as_bytes(), &number(1, 1));
        hand.line(topic.as_bytes(), &number(1, 4));
    }
    let hostile = b"evil\x1b[2J\n\xe2\x80\xae.";
    hand.line(hostile, &number(1, 1));
    hand.line(hostile, &number(1, 8));
    hand.send(&[b"z.", b"<13>1 - web1 app - - - the last"]);
    tail.wait_out("the last", SOON);
    let all = 2000 * 2 + 6;
    tail.wait_for("all of them", SOON, |it| told(&it.err()).iter().sum::<usize>() == all);
    assert!(told(&tail.err()).len() <= 5, "{}", tail.err());
    // as many as there can be
    hand.line(hostile, &number(3, 1));
    hand.line(hostile, &number(3, u64::MAX));
    let most = (u64::MAX - 2).to_string();
    tail.wait_err(&["gap: ", &most, r#"of topic "evil\u{1b}[2J\n\u{202e}.""#], SOON);
    let harmless = |byte: u8| byte == b'\n' || (b' '..=b'~').contains(&byte);
    assert!(tail.err().bytes().all(harmless), "{}", tail.err());
    tail.signal("TERM");
    tail.wait(SOON).ended(143);
}

/// Sends pairs of messages with two missing between them until this has come. Each pair has an id of its
/// own: who hears the second alone sees no gap.
#[track_caller]
fn gaps_until(hand: &Hand, what: &str, mut came: impl FnMut() -> bool) {
    let mut id = 0;
    wait_until(what, secs(20), || {
        id += 1;
        hand.line(b"web1.app.", &number(id, 1));
        hand.line(b"web1.app.", &number(id, 4));
        came().then_some(())
    });
}

#[test]
fn metrics_count_missed_lines() {
    let hand = Hand::new();
    let rule = "[[rule]]\nname = \"x\"\n[[rule.counter]]\nname = \"x_total\"\n";
    let metrics = Metrics::start(rule, &format!("{} --plaintext", hand.endpoint));
    let name = format!("rzlog_stream_missed_lines_total{{endpoint=\"{}\"}}", hand.endpoint);
    assert!(metrics.page().contains(&format!("{name} 0")));
    gaps_until(&hand, "lines that are missed", || metrics.number(&name) >= 4.0);
    wait_until("the same in the notices", SOON, || {
        let told: usize = told(&metrics.running.err()).iter().sum();
        (metrics.number(&name) as usize == told && told % 2 == 0).then_some(())
    });
}

#[test]
fn top_counts_missed_lines() {
    let hand = Hand::new();
    let line = format!("top {} --plaintext --by publisher --for 3s", hand.endpoint);
    let mut top = Rzlog::of(&line).start();
    gaps_until(&hand, "its end", || top.exited().is_some());
    let ran = top.wait(SOON).ended(0);
    let [head, row] = ran.out.lines().collect::<Vec<_>>()[..] else { panic!("{ran:?}") };
    let at = head.split_whitespace().position(|title| title == "missed").expect("a column");
    let missed: usize = row.split_whitespace().nth(at).expect("a number").parse().expect("one");
    assert!(missed > 0, "{ran:?}");
    assert_eq!(told(&ran.err).iter().sum::<usize>(), missed, "{ran:?}");
}

#[test]
fn alert_tells_of_missed_lines() {
    let hand = Hand::new();
    let folder = tempfile::tempdir().expect("folder");
    let text = "[route]\nreceiver = \"ops\"\ngroup_wait = \"0s\"\n[[receivers]]\nname = \"ops\"\n\
        command = { arguments = [\"sh\", \"-c\", \"cat >> notices\"] }\n[[rules]]\nalert = \
        \"LinesMissed\"\nmissed = { count = 3, window = \"5m\" }\n";
    fs::write(folder.path().join("alert.toml"), text).expect("written");
    let line = format!("alert {} --plaintext --rules alert.toml --state s --quiet", hand.endpoint);
    let alert = Rzlog::of(&line).in_folder(folder.path()).start();
    gaps_until(&hand, "a notice", || {
        let notices = fs::read_to_string(folder.path().join("notices")).unwrap_or_default();
        notices.contains("were dropped before they came here") && notices.contains(&hand.endpoint)
    });
    assert!(told(&alert.err()).iter().sum::<usize>() >= 3, "{}", alert.err());
}
