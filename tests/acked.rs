//! Acknowledged delivery between two real rsyslogd: nothing lost and nothing doubled, whoever stops
//! or dies meanwhile.
//!
//! Each case exists in a short form that CI runs; RZMQ_ACKED_ROUNDS and RZMQ_ACKED_LINES make it long.

use std::collections::HashSet;
use std::env;

use harness::oracle::{number_of, numbered};
use harness::ports::free_endpoint;
use harness::{Keys, Oracle, Peer, Rsyslogd, SOON, Site, secs};

fn setting(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn rounds() -> usize {
    setting("RZMQ_ACKED_ROUNDS", 3)
}

fn lines() -> usize {
    setting("RZMQ_ACKED_LINES", 30_000)
}

/// Text, id and resend flag of a line.
const WITH_ID: &str = "%$!rzmq!id% %$!rzmq!resend% %msg%\\n";
/// A receiver that has a line in its file before it acknowledges it.
const DIRECT: &str = "queue.type=\"Direct\"";

/// A receiver on `endpoint` with metadata, whose ruleset has this queue.
fn receiver(endpoint: &str, queue: &str) -> Site {
    let site = Site::new().without_feed();
    let file = format!(
        "action(type=\"omfile\" file=\"{}\" template=\"with_id\" flushOnTXEnd=\"on\" asyncWriting=\"off\")",
        site.path("out.log").display()
    );
    site.with("module(load=\"imrzmq\")")
        .with(&format!("template(name=\"with_id\" type=\"string\" string=\"{WITH_ID}\")"))
        .with(&format!("ruleset(name=\"remote\" {queue}) {{ {file} }}"))
        .with(&format!(
            "input(type=\"imrzmq\" name=\"in\" ruleset=\"remote\" socktype=\"ROUTER\" \
             endpoints=\"{endpoint}\" metadata=\"on\")"
        ))
}

fn sender(endpoint: &str, more: &str) -> Site {
    let action = format!(
        "name=\"out\" endpoints=\"{endpoint}\" socktype=\"DEALER\" delivery=\"acked\" \
         action.resumeRetryCount=\"-1\" {more}"
    );
    Site::sender("", &action)
}

/// Waits until every number below `count` is in the file.
fn wait_for_all(receiver: &mut Rsyslogd, count: usize) {
    receiver.wait("all lines in the file", secs(60), |receiver| {
        let seen: HashSet<_> =
            receiver.lines("out.log").iter().filter_map(|line| number_of(line)).collect();
        (seen.len() >= count).then_some(())
    });
}

/// The lines that an archive keeps: the first of each id.
fn by_id(lines: &[String]) -> Vec<String> {
    let mut ids = HashSet::new();
    let first = |line: &&String| ids.insert(line.split(' ').next().unwrap_or_default().to_owned());
    lines.iter().filter(first).cloned().collect()
}

#[test]
fn lines_arrive_once_in_order_with_ids_and_numbers_add_up() {
    let endpoint = free_endpoint();
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let mut sender = sender(&endpoint, "").start();
    sender.feed(0..5000);
    let lines = receiver.wait_lines("out.log", 5000, SOON);
    Oracle::judge(0..5000, &lines).once_in_order();
    let ids: HashSet<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(ids.len(), 5000, "every line has an id of its own");
    assert!(lines.iter().all(|line| line.split(' ').nth(1) == Some("0")), "nothing was sent again");
    sender.wait_stats("omrzmq", "out", "5000 sent", |stats| stats["sent"] == 5000 && stats["resent"] == 0);
    receiver.wait_stats("imrzmq", "in", "5000 submitted", |stats| {
        stats["received"] == 5000 && stats["submitted"] == 5000 && stats["duplicates"] == 0
    });
    sender.stop().clean().within(secs(2));
    receiver.stop().clean().within(secs(2));
}

#[test]
fn over_curve_with_compression_and_two_workers_nothing_is_lost() {
    let endpoint = free_endpoint();
    let (server, client) = (Keys::new("server"), Keys::new("web1"));
    let receiving = receiver(&endpoint, DIRECT).anew();
    let folder = receiving.path("keys");
    let allowed = receiving.path("allowed");
    let server_file = server.write(&folder);
    client.write_public(&allowed);
    let mut receiver = receiving
        .without_feed()
        .receiving(
            &format!(
                "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
                server_file.display(),
                allowed.display()
            ),
            &format!("name=\"in\" socktype=\"ROUTER\" endpoints=\"{endpoint}\""),
        )
        .start();
    let sending = Site::new();
    let keys = sending.path("keys");
    let (own, theirs) = (client.write(&keys), server.write_public(&keys));
    let mut sender = sending
        .sending(
            &format!(
                "authtype=\"CURVECLIENT\" servercertpath=\"{}\" clientcertpath=\"{}\"",
                theirs.display(),
                own.display()
            ),
            &format!(
                "name=\"out\" endpoints=\"{endpoint}\" socktype=\"DEALER\" delivery=\"acked\" \
                 compress=\"zstd\" queue.type=\"LinkedList\" queue.size=\"100000\" \
                 queue.workerThreads=\"2\" queue.timeoutShutdown=\"10000\""
            ),
        )
        .start();
    sender.feed(0..20_000);
    let lines = receiver.wait_lines("out.log", 20_000, secs(30));
    Oracle::judge(0..20_000, &lines).once();
    sender.stop().clean();
    receiver.stop().clean();
}

#[test]
fn receiver_killed_again_and_again_loses_nothing_and_ids_drop_the_doubles() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let mut receiver = site.start();
    let mut sender = sender(&endpoint, "").start();
    let (rounds, total) = (rounds(), lines());
    for round in 0..rounds {
        sender.feed(total * round / rounds..total * (round + 1) / rounds);
        let enough = total * round / rounds + total / rounds / 3;
        receiver.wait_lines("out.log", enough, secs(60));
        receiver.kill9();
        receiver = site.start();
    }
    wait_for_all(&mut receiver, total);
    sender.stop().clean();
    receiver.stop().clean();
    let lines = receiver.lines("out.log");
    let oracle = Oracle::judge(0..total, &lines);
    oracle.nothing_lost();
    let doubled: usize = oracle.doubled.iter().map(|(_, times)| times - 1).sum();
    assert!(doubled <= 128 * rounds, "{doubled} doubled by {rounds} kills: more than a chunk each");
    Oracle::judge(0..total, &by_id(&lines)).once_in_order();
}

#[test]
fn receiver_stopped_again_and_again_loses_and_doubles_nothing() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let mut receiver = site.start();
    let mut sender = sender(&endpoint, "").start();
    let (rounds, total) = (rounds(), lines());
    for round in 0..rounds {
        sender.feed(total * round / rounds..total * (round + 1) / rounds);
        let enough = total * round / rounds + total / rounds / 3;
        receiver.wait_lines("out.log", enough, secs(60));
        receiver.stop().clean();
        receiver = site.start();
    }
    wait_for_all(&mut receiver, total);
    sender.stop().clean();
    receiver.stop().clean();
    Oracle::judge(0..total, &receiver.lines("out.log")).once_in_order();
}

/// Sender and receiver stopped and started in turn, under load.
fn stopped_in_turn(main_queue: &str, queue: &str) {
    let endpoint = free_endpoint();
    let receiving = receiver(&endpoint, DIRECT);
    // What the main queue holds at a stop has to get into the action's: it needs the time.
    let main = format!("main_queue(queue.timeoutShutdown=\"20000\" {main_queue})");
    let sending = sender(&endpoint, queue).with(&main);
    let mut receiver = receiving.start();
    let mut sender = sending.start();
    let (rounds, total) = (rounds(), lines());
    for round in 0..rounds {
        sender.feed(total * round / rounds..total * (round + 1) / rounds);
        let enough = total * round / rounds + total / rounds / 4;
        receiver.wait_lines("out.log", enough, secs(60));
        sender.stop().clean();
        receiver.stop().clean();
        receiver = receiving.start();
        sender = sending.start();
    }
    wait_for_all(&mut receiver, total);
    sender.stop().clean();
    receiver.stop().clean();
    Oracle::judge(0..total, &receiver.lines("out.log")).once();
    assert!(sending.spools().is_empty(), "spools are left: {:?}", sending.spools());
}

#[test]
fn both_stopped_in_turn_with_a_disk_queue() {
    stopped_in_turn(
        "queue.type=\"LinkedList\"",
        "queue.type=\"Disk\" queue.filename=\"q\" queue.checkpointInterval=\"1\" \
         queue.size=\"1000000\" queue.timeoutEnqueue=\"60000\" queue.timeoutShutdown=\"10000\"",
    );
}

#[test]
fn both_stopped_in_turn_with_a_queue_in_memory_that_has_time_to_drain() {
    stopped_in_turn(
        "queue.type=\"LinkedList\"",
        "queue.type=\"LinkedList\" queue.size=\"1000000\" queue.timeoutShutdown=\"20000\"",
    );
}

#[test]
fn both_stopped_in_turn_with_a_disk_main_queue_and_a_direct_action() {
    stopped_in_turn(
        "queue.type=\"Disk\" queue.filename=\"m\" queue.checkpointInterval=\"1\" \
         queue.timeoutEnqueue=\"60000\" queue.size=\"1000000\"",
        "",
    );
}

#[test]
fn both_stopped_in_turn_with_a_disk_assisted_main_queue_and_a_direct_action() {
    stopped_in_turn(
        "queue.type=\"LinkedList\" queue.filename=\"m\" queue.saveOnShutdown=\"on\" \
         queue.timeoutEnqueue=\"60000\" queue.size=\"1000000\"",
        "",
    );
}

#[test]
fn peer_away_at_the_stop_the_spool_goes_first_under_the_same_ids() {
    let endpoint = free_endpoint();
    let sending = sender(&endpoint, "");
    for _ in 0..3 {
        let mut sender = sending.start();
        sender.stop().clean().within(secs(2));
    }
    let mut sender = sending.start();
    sender.feed(0..500);
    sender.stop().clean().within(secs(2));
    for _ in 0..3 {
        let mut sender = sending.start();
        sender.stop().clean().within(secs(2));
    }
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let mut sender = sending.start();
    sender.feed(500..600);
    let lines = receiver.wait_lines("out.log", 600, SOON);
    Oracle::judge(0..600, &lines).once_in_order();
    sender.stop().clean();
    assert!(sending.spools().is_empty(), "spools are left: {:?}", sending.spools());
    receiver.stop().clean();
}

#[test]
fn second_receiver_takes_over_when_the_first_dies() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let (first_site, second_site) = (receiver(&one, DIRECT), receiver(&two, DIRECT));
    let mut first = first_site.start();
    let mut second = second_site.start();
    let mut sender = sender(&format!("{one},{two}"), "").start();
    sender.feed(0..2000);
    first.wait_lines("out.log", 2000, SOON);
    first.kill9();
    sender.feed(2000..4000);
    second.wait_lines("out.log", 2000, secs(8));
    sender.wait_log(&["going on with", &two], SOON);
    let mut all = first.lines("out.log");
    all.extend(second.lines("out.log"));
    Oracle::judge(0..4000, &by_id(&all)).once();
    sender.stop().clean();
    second.stop().clean();
}

#[test]
fn best_effort_and_acknowledged_senders_share_a_router() {
    let endpoint = free_endpoint();
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let mut acked = sender(&endpoint, "").start();
    let plain = Site::sender("", &format!("endpoints=\"{endpoint}\" socktype=\"DEALER\""));
    let mut plain = plain.start();
    acked.feed(0..1000);
    plain.feed(1000..2000);
    let peer = Peer::new(zmq::DEALER);
    peer.connect(&endpoint);
    peer.send_texts((2000..2100).map(|number| format!("<13>Nov 24 10:00:00 h p: {}", numbered(number))));
    let lines = receiver.wait_lines("out.log", 2100, SOON);
    Oracle::judge(0..2100, &lines).once();
    acked.stop().clean();
    plain.stop().clean();
    receiver.stop().clean();
}

#[test]
fn a_peer_that_does_not_speak_the_protocol_is_named() {
    let endpoint = free_endpoint();
    let silent = Peer::new(zmq::ROUTER);
    silent.bind(&endpoint);
    let mut sender = sender(&endpoint, "").start();
    sender.feed(0..10);
    sender.wait_log(&["omrzmq[out]", "does not answer the hello", &endpoint], secs(15));
    sender.stop().clean().within(secs(2));
}

#[test]
fn a_foreign_or_damaged_file_of_marks_is_never_trusted() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    std::fs::write(site.path("work/imrzmq-in.marks"), b"not ours at all").unwrap();
    let mut receiver = site.start();
    receiver.wait_log(&["imrzmq[in]", "not this input's", ".foreign-"], SOON);
    let mut sender = sender(&endpoint, "").start();
    sender.feed(0..100);
    Oracle::judge(0..100, &receiver.wait_lines("out.log", 100, SOON)).once_in_order();
    receiver.stop().clean();
    let marks = site.path("work/imrzmq-in.marks");
    let mut bytes = std::fs::read(&marks).unwrap();
    bytes[64 + 20] ^= 0xff;
    std::fs::write(&marks, bytes).unwrap();
    let mut receiver = site.start();
    receiver.wait_log(&["imrzmq[in]", "damaged"], SOON);
    sender.feed(100..200);
    let lines = receiver.wait_lines("out.log", 200, SOON);
    Oracle::judge(0..200, &lines).once();
    sender.stop().clean();
    receiver.stop().clean();
}

#[test]
fn settings_that_do_not_fit_are_refused_and_risky_ones_are_warned_of() {
    let action = |more: &str| {
        Site::sender("", &format!("name=\"out\" endpoints=\"tcp://127.0.0.1:5140\" {more}")).check()
    };
    action("socktype=\"PUSH\" delivery=\"acked\"").refuses(&["omrzmq[out]", "delivery", "DEALER"]);
    action("socktype=\"DEALER\" compress=\"zstd\"").refuses(&["omrzmq[out]", "compress", "acked"]);
    action("socktype=\"DEALER\" delivery=\"ack\"").refuses(&["delivery=\"ack\"", "besteffort, acked"]);
    action("socktype=\"DEALER\" delivery=\"acked\"").warns(&["omrzmq[out]", "without authtype"]);
    action("socktype=\"DEALER\" delivery=\"acked\" sendtimeout=\"100\"")
        .warns(&["omrzmq[out]", "arrive all the same"]);
}
