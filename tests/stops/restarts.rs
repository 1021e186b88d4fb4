//! Peers that are away, restarts, stops under load: everything arrives, nothing twice.

use harness::{Oracle, Peer, SOON, Site, millis, ports::free_endpoint, secs};

use crate::{STOP, ends_without_spool, peer_at, pusher, spooled};

fn peer_appears_after_three_seconds(more: &str) {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, more);
    let mut daemon = site.start();
    daemon.feed(0..1500);
    std::thread::sleep(secs(3)); // part of the case
    let peer = peer_at(&endpoint);
    Oracle::judge(0..1500, &peer.take_all(1500, SOON)).once_in_order();
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn peer_that_appears_after_three_seconds_gets_everything_once() {
    peer_appears_after_three_seconds("action.resumeRetryCount=\"-1\"");
}

#[test]
fn also_without_a_written_retry_count() {
    peer_appears_after_three_seconds("");
}

#[test]
fn also_behind_an_action_queue() {
    peer_appears_after_three_seconds("queue.type=\"LinkedList\" queue.size=\"10000\"");
}

#[test]
fn also_with_a_send_timeout_and_endless_retries() {
    peer_appears_after_three_seconds("sendtimeout=\"100\" action.resumeRetryCount=\"-1\"");
}

/// Stopped and started ten times with no new line between.
fn ten_restarts(more: &str) {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, more);
    let mut daemon = site.start();
    daemon.feed(0..500);
    for _ in 0..10 {
        daemon.stop().clean().within(STOP);
        daemon = site.start();
    }
    let peer = peer_at(&endpoint);
    Oracle::judge(0..500, &peer.take_all(500, SOON)).once();
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn ten_restarts_with_a_disk_assisted_action_queue() {
    ten_restarts(
        "queue.type=\"LinkedList\" queue.filename=\"q\" queue.saveOnShutdown=\"on\" \
         queue.timeoutShutdown=\"10000\"",
    );
}

#[test]
fn ten_restarts_with_a_disk_action_queue() {
    ten_restarts("queue.type=\"Disk\" queue.filename=\"q\" queue.checkpointInterval=\"1\"");
}

#[test]
fn ten_restarts_with_a_direct_action() {
    ten_restarts("");
}

#[test]
fn new_lines_between_restarts_come_behind_the_spooled_ones() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "");
    let mut daemon = site.start();
    for run in 0..5 {
        daemon.feed(run * 100..(run + 1) * 100);
        daemon.stop().clean().within(STOP);
        daemon = site.start();
    }
    daemon.feed(500..600);
    let peer = peer_at(&endpoint);
    Oracle::judge(0..600, &peer.take_all(600, SOON)).once_in_order();
    ends_without_spool(&site, &mut daemon);
}

/// rsyslog makes a worker with the first line only; the spool must not wait for one.
#[test]
fn spool_is_sent_without_any_new_line() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "");
    spooled(&site, 100);
    let peer = peer_at(&endpoint);
    let mut daemon = site.start();
    Oracle::judge(0..100, &peer.take_all(100, SOON)).once_in_order();
    let counters = daemon.wait_stats("omrzmq", "out", "resumed=100", |c| c["resumed"] == 100);
    assert_eq!(counters["sent"], 100, "lines of the spool are sent lines: {counters:?}");
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn several_workers_lose_and_double_nothing() {
    let endpoint = free_endpoint();
    let site = pusher(
        &endpoint,
        "queue.type=\"LinkedList\" queue.workerThreads=\"4\" queue.size=\"100000\" \
         queue.workerThreadMinimumMessages=\"50\" queue.dequeueBatchSize=\"20\" \
         queue.timeoutShutdown=\"10000\"",
    );
    let mut daemon = site.start();
    daemon.feed(0..2000);
    daemon.stop().clean().within(STOP);
    let mut daemon = site.start();
    daemon.feed(2000..4000);
    let peer = peer_at(&endpoint);
    Oracle::judge(0..4000, &peer.take_all(4000, SOON)).once();
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn dealer_spools_as_well() {
    let endpoint = free_endpoint();
    let site = Site::sender("", &format!("endpoints=\"{endpoint}\" socktype=\"DEALER\""));
    spooled(&site, 100);
    let mut daemon = site.start();
    let peer = Peer::new(zmq::ROUTER);
    peer.bind(&endpoint);
    Oracle::judge(0..100, &peer.take_all(100, SOON)).once_in_order();
    ends_without_spool(&site, &mut daemon);
}

/// The peer is there, but reads slowly: what libzmq took is flushed within `linger`.
#[test]
fn stop_under_load_loses_and_doubles_nothing() {
    let endpoint = free_endpoint();
    let peer = peer_at(&endpoint);
    let site = pusher(&endpoint, "");
    let mut daemon = site.start();
    daemon.feed(0..5000);
    daemon.terminate();
    let mut received = peer.take(5000, millis(1500));
    daemon.wait_end().clean();
    received.extend(peer.rest(millis(200)));
    let mut daemon = site.start();
    received.extend(peer.take(5000 - received.len().min(5000), SOON));
    received.extend(peer.rest(millis(200)));
    Oracle::judge(0..5000, &received).once_in_order();
    ends_without_spool(&site, &mut daemon);
}
