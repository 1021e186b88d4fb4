//! The receiver stands still: its process, or its queue.

use std::fs;
use std::thread;
use std::time::Instant;

use harness::oracle::numbered;
use harness::ports::free_endpoint;
use harness::sums::{add_up, end};
use harness::{Oracle, SOON, Site, secs};

use crate::{
    DIRECT, Figures, ONE_WORKER, Progress, feed_meanwhile, input, lines, receiver, receiving,
    sender, wait_for_all,
};

/// Shorter than the heartbeats' time-out, longer than the silence after which a sender asks: the
/// connection lives, and the hello is answered when the receiver goes on.
#[test]
fn receiver_that_stands_still_for_a_while_gets_everything_once() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let total = lines();
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sender(&endpoint, "").with(ONE_WORKER).start();
    sender.feed(0..total / 3);
    Progress::of(&site).reaches(1, SOON);
    receiver.signal("STOP");
    let feeding = feed_meanwhile(&sender, total / 3..total);
    let counters = sender
        .wait_stats("omrzmq", "out", "five seconds waited", |stats| stats["wait_ms"] >= 5_000);
    assert_eq!(counters["connections"], 1, "the connection lives: {counters:?}");
    receiver.signal("CONT");
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let lines = receiver.lines("out.log");
    Figures::of("receiver stands still", since, total, &lines).exact();
}

/// Longer than the heartbeats' time-out: the connection is given up, and a new one settles all.
#[test]
fn receiver_that_stands_still_until_the_connection_is_given_up_gets_everything_once() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let total = lines();
    let since = Instant::now();
    let mut receiver = site.start();
    let heartbeat = "heartbeativl=\"300\" heartbeattimeout=\"900\" heartbeatttl=\"900\"";
    let mut sender = sender(&endpoint, heartbeat).with(ONE_WORKER).start();
    sender.feed(0..total / 3);
    Progress::of(&site).reaches(1, SOON);
    receiver.signal("STOP");
    let feeding = feed_meanwhile(&sender, total / 3..total);
    sender.wait_stats("omrzmq", "out", "no connection", |stats| stats["connections"] == 0);
    sender.wait_stats("omrzmq", "out", "waits for an absent peer", |stats| {
        stats["wait_absent_ms"] >= 500
    });
    receiver.signal("CONT");
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let lines = receiver.lines("out.log");
    Figures::of("receiver stands still, given up", since, total, &lines).exact();
}

/// A receiver whose ruleset writes into a pipe that nobody reads, with a small queue, and another
/// input with a ruleset of its own; `more` are parameters of the first.
pub(crate) fn blocked(endpoint: &str, other: &str, more: &str) -> (Site, std::path::PathBuf) {
    let queue = "queue.type=\"LinkedList\" queue.size=\"300\" queue.timeoutEnqueue=\"60000\"";
    blocked_behind(queue, endpoint, other, more)
}

/// The same with this queue.
pub(crate) fn blocked_behind(
    queue: &str,
    endpoint: &str,
    other: &str,
    more: &str,
) -> (Site, std::path::PathBuf) {
    let site = receiving(DIRECT);
    let pipe = site.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success(), "mkfifo");
    let text = "template(name=\"plain\" type=\"string\" string=\"%$!rzmq!id% 0 %msg%\\n\")";
    // omprog's program takes nothing before a line came through the pipe.
    let program = site.path("slow.sh");
    let out = site.path("out.log");
    let script = format!("read go < {}\nexec cat >> {}\n", pipe.display(), out.display());
    fs::write(&program, script).expect("script");
    let action = format!(
        "action(type=\"omprog\" binary=\"/bin/sh {}\" template=\"plain\" \
         action.resumeRetryCount=\"-1\" closeTimeout=\"500\")",
        program.display()
    );
    let file = format!(
        "action(type=\"omfile\" file=\"{}\" template=\"with_id\")",
        site.path("other.log").display()
    );
    let site = site
        .anew()
        .without_feed()
        .with(&format!("template(name=\"with_id\" type=\"string\" string=\"{}\")", crate::WITH_ID))
        .with(text)
        .with("module(load=\"omprog\")")
        .with("module(load=\"imrzmq\")")
        .with(&format!("ruleset(name=\"remote\" {queue}) {{ {action} }}"))
        .with(&format!("ruleset(name=\"other\") {{ {file} }}"))
        .with(&input(endpoint, more))
        .with(&format!(
            "input(type=\"imrzmq\" name=\"in2\" ruleset=\"other\" socktype=\"ROUTER\" \
             endpoints=\"{other}\" metadata=\"on\")"
        ));
    (site, pipe)
}

/// An action behind a Direct queue takes nothing: rsyslogd ends when it does again, says so meanwhile, and what was
/// not acknowledged comes at the next start.
#[test]
fn stop_beside_a_direct_queue_waits_for_its_action_and_says_so() {
    let (endpoint, other) = (free_endpoint(), free_endpoint());
    let (site, pipe) = blocked_behind(DIRECT, &endpoint, &other, "");
    let total = 5_000;
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sender(&endpoint, "").start();
    let feeding = feed_meanwhile(&sender, 0..total);
    sender.wait_stats("omrzmq", "out", "a receiver that stands still", |stats| {
        stats["wait_busy_ms"] >= 1_000
    });
    receiver.terminate();
    receiver.wait_log(&["imrzmq[in]", "rsyslogd cannot end yet", "Direct queue"], SOON);
    assert!(!receiver.logged(&["imrzmq[in2]", "rsyslogd cannot end yet"]), "it holds nobody up");
    fs::write(&pipe, "go\n").expect("pipe");
    receiver.wait_end().clean();
    let mut receiver = site.start();
    fs::write(&pipe, "go\n").expect("pipe");
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    Figures::of("stop beside a Direct queue", since, total, &receiver.lines("out.log")).all.once();
}

/// The queue behind one input is full: its sender waits and counts, nothing is sent again, and the
/// other input's sender does not notice.
#[test]
fn full_queue_makes_its_sender_wait_and_nobody_else() {
    let (endpoint, other) = (free_endpoint(), free_endpoint());
    let (site, pipe) = blocked(&endpoint, &other, "");
    let total = 20_000;
    let since = Instant::now();
    let mut receiver = site.start();
    let mut waiting = sender(&endpoint, "").start();
    let mut free = sender(&other, "").start();
    let feeding = feed_meanwhile(&waiting, 0..total);
    waiting
        .wait_stats("omrzmq", "out", "two seconds waited", |stats| stats["wait_busy_ms"] >= 2_000);
    // The other input's lines arrive as if nothing were.
    let began = Instant::now();
    free.feed(0..2_000);
    Oracle::judge(0..2_000, &receiver.wait_lines("other.log", 2_000, SOON)).once_in_order();
    assert!(began.elapsed() < secs(5), "the other input took {:?}", began.elapsed());
    let counters = waiting
        .wait_stats("omrzmq", "out", "six seconds busy", |stats| stats["wait_busy_ms"] >= 6_000);
    assert!(
        !waiting.logged(&["does not answer the hello"]),
        "a stuck receiver is told of as one that does not know the protocol"
    );
    assert_eq!(counters["resent"], 0, "sent again: {counters:?}");
    assert_eq!(counters["wait_absent_ms"], 0, "the peer is there: {counters:?}");
    fs::write(&pipe, "go\n").expect("pipe");
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    let counters =
        waiting.wait_stats("omrzmq", "out", "all sent", |stats| stats["sent"] == total as i64);
    assert_eq!(counters["resent"], 0, "sent again: {counters:?}");
    end(&mut [&mut waiting, &mut free, &mut receiver]);
    Figures::of("queue full", since, total, &receiver.lines("out.log")).all.once();
}

/// A sender that is stopped while the receiver is stuck stops in time, and its lines come later. In time is
/// two seconds, beside what the same lines take another on their way into a spool: one that has no grace.
#[test]
fn sender_stops_in_time_while_the_receiver_is_stuck_and_its_spool_settles_the_rest() {
    let (endpoint, other) = (free_endpoint(), free_endpoint());
    let (site, pipe) = blocked(&endpoint, &other, "");
    let total = 5_000;
    let since = Instant::now();
    let mut receiver = site.start();
    let start = |endpoint: &str, more: &str| {
        let site = sender(endpoint, more).with("main_queue(queue.timeoutShutdown=\"10000\")");
        let sender = site.start();
        sender.feed(0..total);
        (site, sender)
    };
    let (sending, mut sender) = start(&endpoint, "");
    let (_site, mut hasty) = start(&free_endpoint(), "linger=\"0\"");
    for sender in [&mut sender, &mut hasty] {
        sender.wait_stats("omrzmq", "out", "a second waited", |stats| stats["wait_ms"] >= 1_000);
    }
    add_up(&mut [&mut sender, &mut hasty]);
    let (ending, at_once) = thread::scope(|scope| {
        let hasty = scope.spawn(|| hasty.stop());
        (sender.stop(), hasty.join().expect("stopped"))
    });
    ending.clean().within(at_once.clean().took + secs(2));
    let mut sender = sending.start();
    fs::write(&pipe, "go\n").expect("pipe");
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    assert!(sending.spools().is_empty(), "spools are left: {:?}", sending.spools());
    let lines = receiver.lines("out.log");
    Figures::of("stopped while the receiver is stuck", since, total, &lines).all.once();
}

/// As many frames are in flight at the stop as the window holds, and the stuck receiver has them all:
/// it knows more of the session than the next start takes from its spool at once.
#[test]
fn sender_that_stops_with_many_frames_in_flight_knows_them_again() {
    let (endpoint, other) = (free_endpoint(), free_endpoint());
    let (site, pipe) = blocked(&endpoint, &other, "maxmsgsize=\"65536\"");
    let site = site.global("maxMessageSize=\"256k\"");
    let total = 600;
    let since = Instant::now();
    let sending = sender(&endpoint, "")
        .global("maxMessageSize=\"256k\"")
        .with("main_queue(queue.timeoutShutdown=\"10000\" queue.workerThreads=\"1\")");
    let mut sender = sending.start();
    // Each fills a frame of this receiver; a hundred fit into its window.
    let texts: Vec<_> =
        (0..total).map(|number| format!("{} {}", numbered(number), "x".repeat(40_000))).collect();
    sender.feeder().texts(&texts);
    let mut receiver = site.start();
    sender
        .wait_stats("omrzmq", "out", "two seconds waited", |stats| stats["wait_busy_ms"] >= 2_000);
    let sent = sender.stats().value("omrzmq", "out", "sent").expect("sent");
    sender.end().clean();
    fs::write(&pipe, "go\n").expect("pipe");
    receiver
        .wait_stats("imrzmq", "in", "what was in flight", |stats| stats["submitted"] >= sent + 100);
    let mut sender = sending.start();
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let lines = receiver.lines("out.log");
    Figures::of("stopped with many frames in flight", since, total, &lines).all.once();
}
