//! More than the queue takes, or more than the administrator wants.

use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::{Oracle, Peer, Rsyslogd, SOON, Site, millis, ports::free_endpoint, secs};

use crate::pull;

#[test]
fn full_queue_holds_the_sender_back() {
    let endpoint = free_endpoint();
    let site = Site::new().receiving_in_ruleset(
        "queue.type=\"LinkedList\" queue.size=\"200\" queue.timeoutEnqueue=\"0\" \
         queue.dequeueBatchSize=\"20\" queue.dequeueSlowdown=\"300\"",
        &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""),
    );
    let mut daemon = site.start();
    let peers = [Peer::push(&endpoint), Peer::push(&endpoint)];
    for part in 0..20 {
        for (which, peer) in peers.iter().enumerate() {
            let start = part * 200 + which * 100;
            peer.send_numbers(start..start + 100);
        }
    }
    let lines = daemon.wait_lines("out.log", 4000, secs(30));
    Oracle::judge(0..4000, &lines).once();
}

/// A stop does not wait for a full queue, and loses nothing that was submitted before.
#[test]
fn stop_with_a_full_queue_is_quick() {
    let endpoint = free_endpoint();
    let site = Site::new().receiving_in_ruleset(
        "queue.type=\"LinkedList\" queue.size=\"100\" queue.dequeueBatchSize=\"1\" \
         queue.dequeueSlowdown=\"500000\"",
        &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""),
    );
    let mut daemon = site.start();
    let peer = Peer::push(&endpoint);
    for number in 0..2000 {
        let line = syslog_line(&numbered(number));
        if !peer.send(&[line.as_bytes()], millis(300)) {
            break;
        }
    }
    let ending = daemon.stop();
    ending.clean();
    // rsyslog itself waits up to queue.timeoutShutdown and timeoutActionCompletion.
    ending.within(secs(4));
}

#[test]
fn flow_control_can_be_chosen() {
    for kind in ["full", "light", "no", "FULL"] {
        let endpoint = free_endpoint();
        let site = pull(&endpoint, &format!("flowcontrol=\"{kind}\""));
        site.check().clean();
        let mut daemon = site.start();
        let _peer = Peer::push(&endpoint).with_numbers(0..10);
        let lines = daemon.wait_lines("out.log", 10, SOON);
        Oracle::judge(0..10, &lines).once_in_order();
    }
}

#[test]
fn rate_limit_lets_the_burst_pass_and_counts_the_rest() {
    let endpoint = free_endpoint();
    let more = "ratelimit.interval=\"300\" ratelimit.burst=\"50\"";
    let mut daemon = pull(&endpoint, more).start();
    let _peer = Peer::push(&endpoint).with_numbers(0..500);
    let counters = daemon.wait_stats("imrzmq", "in", "all 500", |c| c["received"] == 500);
    assert_eq!(counters["discarded_ratelimit"], 450, "{counters:?}");
    let lines = daemon.wait_lines("out.log", 50, SOON);
    let lines: Vec<_> = lines.iter().filter(|line| line.contains("n=")).collect();
    Oracle::judge(0..50, &lines).once_in_order();
}

/// What the limiter itself says of repetitions, and what follows it, goes where the input's lines go.
#[test]
fn repeated_lines_are_told_of_in_the_inputs_own_ruleset() {
    let endpoint = free_endpoint();
    let input = format!(
        "name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" ratelimit.interval=\"300\" \
         ratelimit.burst=\"1000\""
    );
    let site = Site::new().with("$RepeatedMsgReduction on").receiving_in_ruleset("", &input);
    let mut daemon = site.file("default.log", "%msg%\\n").start();
    let peer = Peer::push(&endpoint);
    let received = |daemon: &mut Rsyslogd, count| {
        daemon.wait_stats("imrzmq", "in", "lines received", |c| c["received"] == count);
    };
    for _ in 0..4 {
        assert!(peer.send(&[b"<13>Nov 24 10:00:00 web1 app: the same"], SOON));
    }
    received(&mut daemon, 4);
    assert!(peer.send(&[b"<13>Nov 24 10:00:00 web1 app: another"], SOON));
    let lines = daemon.wait_lines("out.log", 3, SOON);
    assert_eq!(lines, [" the same", " message repeated 3 times: [ the same]", " another"]);
    daemon.stop();
    let others = daemon.lines("default.log");
    assert!(
        !others.iter().any(|line| line.contains("another") || line.contains("same")),
        "{others:?}"
    );
}

/// One that has gone wild loses its own lines alone.
#[test]
fn rate_limit_of_each_sender_is_its_own() {
    let endpoint = free_endpoint();
    let more = "ratelimit.perpeer.interval=\"3600\" ratelimit.perpeer.burst=\"50\"";
    let mut daemon = pull(&endpoint, more).start();
    let from = |address: &str| {
        let peer = Peer::new(zmq::PUSH);
        peer.connect(&endpoint.replace("tcp://", &format!("tcp://{address}:0;")));
        peer
    };
    let (wild, calm) = (from("127.0.0.7"), from("127.0.0.8"));
    wild.send_numbers(1_000..1_500);
    calm.send_numbers(0..50);
    let counters = daemon.wait_stats("imrzmq", "in", "all", |c| c["received"] == 550);
    assert_eq!(counters["discarded_ratelimit"], 450, "{counters:?}");
    assert_eq!(counters["submitted"], 100, "{counters:?}");
    daemon.wait_log(&["imrzmq[in]", "127.0.0.7 sends more lines than ratelimit.perpeer"], SOON);
    let lines = daemon.wait_lines("out.log", 100, SOON);
    let of = |numbers: std::ops::Range<usize>| {
        let of: Vec<_> = lines
            .iter()
            .filter(|line| {
                harness::oracle::number_of(line).is_some_and(|number| numbers.contains(&number))
            })
            .collect();
        Oracle::judge(numbers, &of).once_in_order();
    };
    of(0..50);
    of(1_000..1_050);
}

/// A policy of the core by its name, where the release has such objects; an error where not.
#[test]
fn rate_limit_by_the_name_of_a_policy() {
    let endpoint = free_endpoint();
    let policy = "ratelimit(name=\"ours\" interval=\"300\" burst=\"50\")";
    if harness::paths::rsyslog_release() < 2608 {
        let check = pull(&endpoint, "ratelimit.name=\"ours\"").check();
        check.says(&["imrzmq[in]", "has no ratelimit() objects"]);
        return;
    }
    let check = pull(&endpoint, "ratelimit.name=\"theirs\"").check();
    check.says(&["imrzmq[in]", "there is no ratelimit(name=\"theirs\")"]);
    let site = Site::new().with(policy).receiving(
        "",
        &format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" ratelimit.name=\"ours\""),
    );
    let mut daemon = site.start();
    let _peer = Peer::push(&endpoint).with_numbers(0..500);
    let counters = daemon.wait_stats("imrzmq", "in", "all 500", |c| c["received"] == 500);
    assert_eq!(counters["discarded_ratelimit"], 450, "{counters:?}");
}
