//! A full disk at a stop, or one that takes nothing, and what best-effort delivery then keeps.

use std::fs;

use harness::oracle::{number_of, numbered};
use harness::ports::free_endpoint;
use harness::{Oracle, Peer, Rsyslogd, SOON, Site, Small, fail_writes, mend_writes, millis};

use crate::{STOP, ends_without_spool, peer_at, pusher, spooled};

/// A record of such a line finds no room behind the spool's header, in the page that it has.
fn long(number: usize) -> String {
    format!("{} {}", numbered(number), "x".repeat(10_000))
}

/// An action that binds: its workers share a socket, so that a peer that reads nothing is full for all of
/// them. Its queue lets a worker try again until there is room.
fn binding(endpoint: &str, disk: &Small, more: &str) -> Site {
    let action = format!(
        "name=\"out\" endpoints=\"@{endpoint}\" socktype=\"PUSH\" sndhwm=\"10\" linger=\"500\" \
         action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\" queue.type=\"LinkedList\" \
         queue.timeoutShutdown=\"10000\" queue.timeoutActionCompletion=\"10000\" {more}"
    );
    Site::sender("", &action)
        .global("maxMessageSize=\"64k\"")
        .without_work_directory()
        .global(&format!("workDirectory=\"{}\"", disk.path().display()))
}

fn waits(daemon: &mut Rsyslogd, workers: i64) {
    daemon.wait_stats("omrzmq", "out", "commits that wait", |stats| stats["waiting"] == workers);
}

fn narrow_peer(endpoint: &str) -> Peer {
    Peer::new(zmq::PULL).narrow().connected_to(endpoint)
}

/// The spool takes the short lines of one worker, and not the long ones of another, which libzmq has some
/// of: these do not go into it when there is room.
#[test]
fn lines_that_libzmq_took_do_not_go_into_the_spool_though_the_engine_offers_them_again() {
    const LONG: usize = 400;
    let endpoint = free_endpoint();
    let Some(disk) = Small::mount("two workers on a full disk", 8 << 10) else { return };
    // The second worker begins when all long lines are in the queue, and takes them all.
    let workers = format!(
        "queue.workerThreads=\"2\" queue.workerThreadMinimumMessages=\"{LONG}\" \
         queue.dequeueBatchSize=\"1000\" queue.size=\"100000\""
    );
    let site = binding(&endpoint, &disk, &workers);
    let mut daemon = site.start();
    daemon.feed(0..1);
    waits(&mut daemon, 1);
    daemon.feeder().texts((1..=LONG).map(long));
    waits(&mut daemon, 2);
    let peer = narrow_peer(&endpoint);
    daemon.wait_stats("omrzmq", "out", "a batch in part", |stats| {
        stats["waiting"] == 1 && stats["sent"] > 2
    });
    let total = LONG + 6;
    daemon.feed(LONG + 1..total);
    waits(&mut daemon, 2);
    let ballast = disk.fill();
    daemon.terminate();
    daemon.wait_log(&["omrzmq[out]", "cannot be kept for the next start"], SOON);
    fs::remove_file(ballast).expect("ballast");
    let mut received = peer.rest(millis(1_500));
    daemon.wait_end().clean();
    assert!((2..total).contains(&received.len()), "{} lines of {total}", received.len());
    drop(peer);
    let mut daemon = site.start();
    let peer = Peer::new(zmq::PULL).connected_to(&endpoint);
    received.extend(peer.take_all(total - received.len(), SOON));
    daemon.end().clean();
    Oracle::judge(0..total, &received).once();
}

/// 400 of them, that nobody took before the stop.
fn started_with_long_lines_in_its_spool(site: &Site) -> Rsyslogd {
    let mut daemon = site.start();
    daemon.feeder().texts((0..400).map(long));
    waits(&mut daemon, 1);
    daemon.stop().clean();
    site.start()
}

/// The spool's lines wait for a peer that is full. At a stop there is no room for a batch behind them, and
/// the peer reads again: the batch does not go past them.
#[test]
fn batch_that_the_spool_cannot_take_does_not_go_past_its_lines() {
    let endpoint = free_endpoint();
    let Some(disk) = Small::mount("a spool and a full disk", 8 << 10) else { return };
    let site = binding(&endpoint, &disk, "");
    let mut daemon = started_with_long_lines_in_its_spool(&site);
    let peer = narrow_peer(&endpoint);
    daemon.feeder().texts((400..500).map(long));
    waits(&mut daemon, 1);
    daemon.wait_stats("omrzmq", "out", "some of the spool", |stats| stats["resumed"] > 2);
    let ballast = disk.fill();
    daemon.terminate();
    daemon.wait_log(&["omrzmq[out]", "cannot be kept for the next start"], SOON);
    let mut received = peer.rest(millis(1_500));
    fs::remove_file(ballast).expect("ballast");
    daemon.wait_end().clean();
    assert!((2..400).contains(&received.len()), "{} lines of the spool's 400", received.len());
    drop(peer);
    let mut daemon = site.start();
    let peer = Peer::new(zmq::PULL).connected_to(&endpoint);
    received.extend(peer.take_all(500 - received.len(), SOON));
    daemon.end().clean();
    // The engine offers a batch line by line too: when there is room, its lines come in another order.
    Oracle::judge(0..500, &received).once();
    Oracle::judge(0..400, &received[..400]).once_in_order();
}

/// What is sent of the spool cannot be noted: that holds up neither it nor the lines behind it. The line about
/// it comes as one of these, for rsyslogd's own log cannot be written either.
#[test]
fn spool_whose_header_cannot_be_written_is_sent_to_its_end_and_new_lines_behind_it() {
    let endpoint = free_endpoint();
    // What libzmq may hold is not noted at once: a write of 8 KiB, and a few lines.
    let site = pusher(&endpoint, "sndhwm=\"1\"").global("processInternalMessages=\"on\"");
    spooled(&site, 500);
    let mut daemon = site.start();
    daemon.wait_stats("omrzmq", "out", "the spool", |stats| stats["in_spool"] >= 500);
    fail_writes(&daemon);
    let peer = peer_at(&endpoint);
    let (mut received, mut own) = (Vec::new(), Vec::new());
    daemon.feed(500..600);
    let told = |own: &[String]| {
        let words = ["omrzmq[out]", "omrzmq-out.spool", "may be sent again by the next start"];
        own.iter().any(|line| words.iter().all(|word| line.contains(word)))
    };
    while received.len() < 600 || !told(&own) {
        let line = peer.take(1, SOON).pop().expect("a line of 600, and one about the spool");
        if number_of(&line).is_some() { received.push(line) } else { own.push(line) }
    }
    Oracle::judge(0..600, &received).once_in_order();
    daemon.stop().clean().within(STOP);
    drop(peer);
    // All was sent: that there is no file says so, too.
    assert!(site.spools().is_empty(), "spools are left: {:?}", site.spools());
    let mut daemon = site.start();
    let peer = peer_at(&endpoint);
    daemon.feed(600..601);
    let mut taken = std::iter::from_fn(|| peer.take(1, SOON).pop());
    assert_eq!(taken.find_map(|line| number_of(&line)), Some(600));
    ends_without_spool(&site, &mut daemon);
}

/// The disk takes writes again before the stop: what was sent meanwhile is noted then.
#[test]
fn spool_that_is_sent_in_part_on_a_disk_that_heals_sends_the_rest_alone() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "sndhwm=\"1\"").global("maxMessageSize=\"64k\"");
    let mut daemon = started_with_long_lines_in_its_spool(&site);
    daemon.wait_stats("omrzmq", "out", "the spool", |stats| stats["in_spool"] == 400);
    fail_writes(&daemon);
    let peer = Peer::new(zmq::PULL).narrow();
    peer.bind(&endpoint);
    let mut received = peer.take(20, SOON);
    mend_writes(&daemon);
    daemon.terminate();
    daemon.wait_log(&["omrzmq[out]", "lines stay in"], SOON);
    received.extend(peer.rest(millis(1_500)));
    daemon.wait_end().clean();
    assert!((20..400).contains(&received.len()), "{} lines of the spool's 400", received.len());
    drop(peer);
    let mut daemon = site.start();
    let peer = peer_at(&endpoint);
    received.extend(peer.take_all(400 - received.len(), SOON));
    daemon.feed(400..401);
    received.extend(peer.take(1, SOON));
    daemon.end().clean();
    Oracle::judge(0..401, &received).once_in_order();
}
