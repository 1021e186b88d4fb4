//! What a publisher that numbers its messages drops for an input that is too slow: counted, and told in
//! the log.

use std::fs;

use harness::oracle::{number_of, numbered};
use harness::{Peer, Rsyslogd, SOON, Site, millis, ports::free_endpoint, secs, wait_until};

/// A SUB of this.
fn sub(endpoint: &str, more: &str) -> Site {
    let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"SUB\" {more}");
    // With more than one worker for its main queue, rsyslog itself gives up the order.
    Site::receiver("", &input).with("main_queue(queue.workerThreads=\"1\")").without_feed()
}

/// What a rsyslogd that has ended said of dropped lines: among its lines, or what a stop left for standard
/// error.
fn own_lines(receiver: &Rsyslogd) -> Vec<String> {
    let mut lines = receiver.lines("out.log");
    lines.extend(receiver.log().lines().map(str::to_owned));
    lines.retain(|line| line.contains("imrzmq[in]: gap: lines from 127.0.0.1 were dropped"));
    lines
}

/// The numbers in these.
fn told(lines: &[String]) -> i64 {
    let number = |line: &String| {
        let (_, rest) = line.split_once("before they came here: ")?;
        rest.split(' ').next()?.parse::<i64>().ok()
    };
    lines.iter().filter_map(number).sum()
}

#[test]
fn lines_that_a_publisher_drops_are_counted_to_the_line() {
    let _alone = harness::alone();
    let endpoint = free_endpoint();
    let action = format!(
        "name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUB\" topics=\"a.\" topicframe=\"on\" \
         pub.numbered=\"on\" sndhwm=\"10\""
    );
    let sending = Site::sender("", &action).with("main_queue(queue.workerThreads=\"1\")");
    let mut sender = sending.start();
    let receiving = sub(&endpoint, "rcvhwm=\"10\"");
    let mut receiver = receiving.start();
    let mut said = 0;
    // One at a time: none of these is dropped where nothing waits for the receiver.
    let until_arrived = |sender: &Rsyslogd, said: &mut usize| {
        wait_until("the newest line", secs(30), || {
            sender.feed(*said..*said + 1);
            *said += 1;
            let newest = numbered(*said - 1);
            let arrived = || {
                let lines = receiving.lines("out.log");
                lines.iter().rev().take(5).any(|line| line.contains(&newest)).then_some(())
            };
            harness::wait::try_until(millis(500), arrived)
        });
    };
    until_arrived(&sender, &mut said);
    receiver.signal("STOP");
    let stat = format!("/proc/{}/stat", receiver.pid());
    wait_until("it stands still", SOON, || {
        fs::read_to_string(&stat).is_ok_and(|it| it.contains(") T ")).then_some(())
    });
    let padding = "x".repeat(4000);
    sender.feeder().texts((said..said + 6000).map(|n| format!("{} {padding}", numbered(n))));
    said += 6000;
    sender.wait_stats("omrzmq", "out", "all sent", |c| c["sent"] == said as i64);
    receiver.signal("CONT");
    until_arrived(&sender, &mut said);
    let lines = receiving.lines("out.log");
    let numbers: Vec<_> = lines.iter().filter_map(|line| number_of(line)).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "twice, or in another order");
    let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
    let missing = (last - first + 1 - numbers.len()) as i64;
    assert!(missing > 100, "only {missing} lines were dropped");
    let counters =
        receiver.wait_stats("imrzmq", "in", "what is missing", |c| c["missed"] == missing);
    assert_eq!(counters["received"], numbers.len() as i64, "{counters:?}");
    harness::sums::add_up(&mut [&mut sender, &mut receiver]);
    // what is summed up for the next time is told at the stop
    receiver.stop().clean();
    let lines = own_lines(&receiver);
    assert!(lines.iter().all(|line| line.contains("of topic \"a.\"")), "{lines:?}");
    assert_eq!(told(&lines), missing, "{lines:?}");
    sender.stop().clean();
}

#[test]
fn numbers_that_are_none_and_lines_that_are_discarded_are_no_gaps() {
    let endpoint = free_endpoint();
    let mut receiver = sub(&endpoint, "topics=\"a.,b.\"").start();
    let peer = Peer::new(zmq::PUB);
    peer.bind(&endpoint);
    let number =
        |id: u64, number: u64| [&b"rzn1"[..], &id.to_le_bytes(), &number.to_le_bytes()].concat();
    let send = |topic: &str, second: &[u8], line: &str| {
        assert!(peer.send(&[topic.as_bytes(), second, line.as_bytes()], SOON));
    };
    receiver.wait("a line", SOON, |receiver| {
        send("a.", b"no number", "<13>Nov 24 10:00:00 h a: warm-up");
        receiver.lines("out.log").iter().any(|line| line.contains("warm-up")).then_some(())
    });
    let line = "<13>Nov 24 10:00:00 h a: a line";
    send("a.", &number(1, 1), line);
    // empty, and counted as such
    send("a.", &number(1, 2), "");
    send("a.", &number(1, 3), line);
    send("a.", &number(2, 70), line);
    send("b.", &number(1, 70), line);
    send("c.", &number(1, 90), line);
    send("a.", &number(1, 2), line);
    send("b.", &number(1, 71), "<13>Nov 24 10:00:00 h a: the last");
    receiver.wait("the last", SOON, |receiver| {
        receiver.lines("out.log").iter().any(|line| line.contains("the last")).then_some(())
    });
    harness::sums::add_up(&mut [&mut receiver]);
    let counters = receiver.stats().get("imrzmq", "in").cloned().expect("counters");
    assert_eq!((counters["missed"], counters["discarded_empty"]), (0, 1), "{counters:?}");
    // two of one topic and one of another, in one line of the log at the stop at the latest
    send("a.", &number(1, 6), line);
    send("b.", &number(1, 73), line);
    receiver.wait_stats("imrzmq", "in", "what is missing", |c| c["missed"] == 3);
    receiver.stop().clean();
    let lines = own_lines(&receiver);
    assert_eq!(told(&lines), 3, "{lines:?}");
}
