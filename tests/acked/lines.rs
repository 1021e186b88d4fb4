//! The plain case, who else shares the socket, and what the configuration may say.

use std::collections::HashSet;

use harness::oracle::numbered;
use harness::ports::free_endpoint;
use harness::sums::end;
use harness::{Keys, Oracle, Peer, SOON, Site, secs};

use crate::{DIRECT, curve_receiver, curve_sender, receiver, sender};

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
    sender.wait_stats("omrzmq", "out", "5000 sent", |stats| {
        stats["sent"] == 5000 && stats["resent"] == 0
    });
    receiver.wait_stats("imrzmq", "in", "5000 submitted", |stats| {
        stats["received"] == 5000 && stats["submitted"] == 5000 && stats["duplicates"] == 0
    });
    sender.end().clean().within(secs(2));
    receiver.end().clean().within(secs(2));
}

#[test]
fn over_curve_with_compression_and_two_workers_nothing_is_lost() {
    let endpoint = free_endpoint();
    let (server, client) = (Keys::new("server"), Keys::new("web1"));
    let mut receiver = curve_receiver(&endpoint, DIRECT, &server, &[&client]).start();
    let queue = "compress=\"zstd\" queue.type=\"LinkedList\" queue.size=\"100000\" \
                 queue.workerThreads=\"2\" queue.timeoutShutdown=\"10000\"";
    let mut sender = curve_sender(&endpoint, queue, &client, &server).start();
    sender.feed(0..20_000);
    let lines = receiver.wait_lines("out.log", 20_000, secs(30));
    Oracle::judge(0..20_000, &lines).once();
    end(&mut [&mut sender, &mut receiver]);
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
    peer.send_texts(
        (2000..2100).map(|number| format!("<13>Nov 24 10:00:00 h p: {}", numbered(number))),
    );
    let lines = receiver.wait_lines("out.log", 2100, SOON);
    Oracle::judge(0..2100, &lines).once();
    end(&mut [&mut acked, &mut plain]);
    receiver.end().clean();
}

#[test]
fn a_peer_that_does_not_speak_the_protocol_is_named() {
    let endpoint = free_endpoint();
    let silent = Peer::new(zmq::ROUTER);
    silent.bind(&endpoint);
    let mut sender = sender(&endpoint, "").start();
    sender.feed(0..10);
    sender.wait_log(&["omrzmq[out]", "does not answer the hello", &endpoint], secs(15));
    sender.end().clean().within(secs(2));
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
    receiver.end().clean();
    let marks = site.path("work/imrzmq-in.marks");
    let mut bytes = std::fs::read(&marks).unwrap();
    bytes[64 + 20] ^= 0xff;
    std::fs::write(&marks, bytes).unwrap();
    let mut receiver = site.start();
    receiver.wait_log(&["imrzmq[in]", "damaged"], SOON);
    sender.feed(100..200);
    let lines = receiver.wait_lines("out.log", 200, SOON);
    Oracle::judge(0..200, &lines).once();
    receiver.end().clean();
    // longer than memory
    let marks = std::fs::File::options().write(true).open(marks).unwrap();
    marks.set_len(1 << 40).unwrap();
    let mut receiver = site.start();
    receiver.wait_log(&["imrzmq[in]", "marks are damaged"], SOON);
    assert!(marks.metadata().unwrap().len() < 100 << 20);
    sender.feed(200..300);
    let lines = receiver.wait_lines("out.log", 300, SOON);
    Oracle::judge(0..300, &lines).once();
    end(&mut [&mut sender, &mut receiver]);
}

#[test]
fn settings_that_do_not_fit_are_refused_and_risky_ones_are_warned_of() {
    let action = |more: &str| {
        Site::sender("", &format!("name=\"out\" endpoints=\"tcp://127.0.0.1:5140\" {more}")).check()
    };
    action("socktype=\"PUSH\" delivery=\"acked\"").refuses(&["omrzmq[out]", "delivery", "DEALER"]);
    action("socktype=\"DEALER\" compress=\"zstd\"").refuses(&["omrzmq[out]", "compress", "acked"]);
    action("socktype=\"DEALER\" delivery=\"ack\"")
        .refuses(&["delivery=\"ack\"", "besteffort, acked"]);
    action("socktype=\"DEALER\" delivery=\"acked\"").warns(&["omrzmq[out]", "without authtype"]);
    action("socktype=\"DEALER\" delivery=\"acked\" sendtimeout=\"100\"")
        .warns(&["omrzmq[out]", "arrive all the same"]);
}
