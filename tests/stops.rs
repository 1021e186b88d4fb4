//! Lines survive a stop: absent peers, restarts, the spool and what may happen to it, and what the
//! administrator asks of the engine.

use std::fs;

use harness::oracle::numbered;
use harness::paths::rsyslog_release;
use harness::{Oracle, Peer, Rsyslogd, SOON, Site, millis, ports::free_endpoint, secs};

/// rsyslogd stops in this time, whatever its peers do.
const STOP: std::time::Duration = secs(2);

/// A sender with one PUSH action named `out`.
fn pusher(endpoint: &str, more: &str) -> Site {
    Site::sender(
        "",
        &format!("name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUSH\" {more}"),
    )
}

/// The peer that was away.
fn peer_at(endpoint: &str) -> Peer {
    let peer = Peer::new(zmq::PULL);
    peer.bind(endpoint);
    peer
}

/// The site's lines 0..`count` lie in its spool, rsyslogd is stopped.
fn spooled(site: &Site, count: usize) {
    let mut daemon = site.start();
    daemon.feed(0..count);
    daemon.stop().clean().within(STOP);
    assert_eq!(site.spools().len(), 1, "one spool: {:?}", site.spools());
}

/// The spool that is sent is gone once everything is settled and rsyslogd has stopped.
fn ends_without_spool(site: &Site, daemon: &mut Rsyslogd) {
    daemon.stop().clean().within(STOP);
    assert!(
        site.spools().is_empty(),
        "spools are left: {:?}",
        site.spools()
    );
}

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
    assert_eq!(
        counters["sent"], 100,
        "lines of the spool are sent lines: {counters:?}"
    );
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

#[test]
fn peer_that_leaves_while_the_spool_is_sent() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "sndhwm=\"10\"").global("maxMessageSize=\"64k\"");
    let padding = "x".repeat(20_000);
    let mut daemon = site.start();
    daemon
        .feeder()
        .texts((0..400).map(|n| format!("{} {padding}", numbered(n))));
    daemon.stop().clean().within(STOP);
    let narrow = Peer::new(zmq::PULL).narrow();
    narrow.bind(&endpoint);
    let mut daemon = site.start();
    let received = narrow.take(20, SOON);
    assert_eq!(received.len(), 20, "the spool is being sent");
    drop(narrow);
    // Stopped while it waits for the peer that left.
    daemon.stop().clean().within(STOP);
    let mut daemon = site.start();
    let peer = peer_at(&endpoint);
    let rest = peer.take_all(400, secs(3));
    let all: Vec<_> = received.into_iter().chain(rest).collect();
    let found = Oracle::judge(0..400, &all);
    found.nothing_doubled();
    // What libzmq and the kernels held is gone with the peer: the end of "besteffort".
    assert!(
        found.lost.len() <= 10 + 150,
        "lost more than a pipe and the kernels hold: {found}"
    );
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn kill_while_the_spool_is_sent_loses_nothing() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "sndhwm=\"10\"").global("maxMessageSize=\"64k\"");
    let padding = "x".repeat(20_000);
    let mut daemon = site.start();
    daemon
        .feeder()
        .texts((0..400).map(|n| format!("{} {padding}", numbered(n))));
    daemon.stop().clean().within(STOP);
    let peer = Peer::new(zmq::PULL).narrow();
    peer.bind(&endpoint);
    let mut daemon = site.start();
    let mut received = peer.take(20, SOON);
    assert_eq!(received.len(), 20, "the spool is being sent");
    daemon.kill9();
    received.extend(peer.rest(millis(300)));
    let before = received.len();
    let mut daemon = site.start();
    received.extend(peer.take(400, secs(5)));
    let found = Oracle::judge(0..400, &received);
    found.nothing_lost();
    let most = before + 10;
    assert!(
        found.doubled.len() <= most,
        "doubled more than {most} lines: {found}"
    );
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn two_actions_that_would_share_a_spool_are_asked_for_names() {
    let endpoint = free_endpoint();
    let action = format!("action(type=\"omrzmq\" endpoints=\"{endpoint}\" socktype=\"PUSH\")");
    let site = Site::new()
        .add("module(load=\"omrzmq\")")
        .add(&action)
        .add(&action);
    site.check().refuses(&["omrzmq", "name", "spool"]);
    let twins = "action(type=\"omrzmq\" name=\"twin\" endpoints=\"ENDPOINT\" socktype=\"PUSH\")";
    let site = Site::new()
        .add("module(load=\"omrzmq\")")
        .add(&twins.replace("ENDPOINT", &free_endpoint()))
        .add(&twins.replace("ENDPOINT", &free_endpoint()));
    site.check().refuses(&["omrzmq[twin]", "name", "spool"]);
}

/// Different actions have different spools, also without names.
#[test]
fn actions_without_names_keep_their_lines_apart() {
    let endpoints = [free_endpoint(), free_endpoint()];
    let mut site = Site::new().add("module(load=\"omrzmq\")");
    for endpoint in &endpoints {
        site = site.add(&format!(
            "action(type=\"omrzmq\" endpoints=\"{endpoint}\" socktype=\"PUSH\" \
             queue.type=\"LinkedList\" queue.timeoutShutdown=\"10000\")"
        ));
    }
    let mut daemon = site.start();
    daemon.feed(0..100);
    daemon.stop().clean().within(STOP);
    assert_eq!(site.spools().len(), 2);
    let mut daemon = site.start();
    for endpoint in &endpoints {
        Oracle::judge(0..100, &peer_at(endpoint).take_all(100, SOON)).once_in_order();
    }
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn unclaimed_spool_is_named_with_its_lines_and_kept() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "");
    spooled(&site, 123);
    let spool = site.spools().remove(0);
    let site = site.anew().sending(
        "",
        &format!("name=\"other\" endpoints=\"{endpoint}\" socktype=\"PUSH\""),
    );
    let mut daemon = site.start();
    daemon.wait_log(&["omrzmq", &spool.display().to_string(), "123"], SOON);
    daemon.stop().clean().within(STOP);
    assert!(spool.exists(), "an unclaimed spool was removed");
}

#[test]
fn torn_tail_is_cut_off_with_an_error_and_the_rest_arrives() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "");
    spooled(&site, 100);
    let spool = site.spools().remove(0);
    let bytes = fs::read(&spool).expect("spool");
    fs::write(&spool, &bytes[..bytes.len() - 7]).expect("spool");
    let mut daemon = site.start();
    daemon.wait_log(&["omrzmq[out]", &spool.display().to_string()], SOON);
    let peer = peer_at(&endpoint);
    Oracle::judge(0..99, &peer.take_all(99, SOON)).once_in_order();
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn rubbish_behind_the_spool_is_cut_off_with_an_error_and_everything_arrives() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "");
    spooled(&site, 100);
    let spool = site.spools().remove(0);
    let mut bytes = fs::read(&spool).expect("spool");
    bytes.extend_from_slice(&[0xff; 100]);
    fs::write(&spool, &bytes).expect("spool");
    let mut daemon = site.start();
    daemon.wait_log(&["omrzmq[out]", &spool.display().to_string()], SOON);
    let peer = peer_at(&endpoint);
    Oracle::judge(0..100, &peer.take_all(100, SOON)).once_in_order();
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn foreign_file_in_the_spools_place_is_set_aside() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "");
    let spool = site.work().join("omrzmq-out.spool");
    fs::write(&spool, "dear diary\n").expect("file");
    let mut daemon = site.start();
    daemon.wait_log(&["omrzmq[out]", &spool.display().to_string()], SOON);
    daemon.feed(0..10);
    let peer = peer_at(&endpoint);
    Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
    let kept = fs::read_dir(site.work())
        .expect("work directory")
        .flatten()
        .any(|entry| fs::read(entry.path()).is_ok_and(|bytes| bytes == b"dear diary\n"));
    assert!(kept, "the foreign file is gone");
}

#[test]
fn spool_that_cannot_be_made_is_an_error_at_start() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "");
    fs::create_dir(site.work().join("omrzmq-out.spool")).expect("a folder in its place");
    let mut daemon = site.start();
    daemon.wait_log(&["omrzmq[out]", "omrzmq-out.spool"], SOON);
    // It works all the same while the peer is there.
    let peer = peer_at(&endpoint);
    daemon.feed(0..10);
    Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn no_work_directory_is_an_error_at_start_that_says_what_a_stop_may_lose() {
    let endpoint = free_endpoint();
    let mut daemon = pusher(&endpoint, "").without_work_directory().start();
    daemon.wait_log(&["omrzmq[out]", "workDirectory"], SOON);
    daemon.stop().clean().within(STOP);
}

/// The spool's name is made from `name`: it must stay in the work directory.
#[test]
fn name_with_slashes_does_not_leave_the_work_directory() {
    let endpoint = free_endpoint();
    let site = Site::sender(
        "",
        &format!("name=\"../../escaped\" endpoints=\"{endpoint}\" socktype=\"PUSH\""),
    );
    let check = site.check();
    if !check.status.success() {
        check.refuses(&["omrzmq", "name"]);
        return;
    }
    spooled(&site, 10);
    let mut daemon = site.start();
    Oracle::judge(0..10, &peer_at(&endpoint).take_all(10, SOON)).once_in_order();
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn second_daemon_with_the_same_spool_is_told() {
    let endpoint = free_endpoint();
    let first = pusher(&endpoint, "");
    let mut daemon = first.start();
    daemon.feed(0..1);
    let work = first.work().display().to_string();
    let second = Site::new()
        .without_work_directory()
        .global(&format!("workDirectory=\"{work}\""))
        .sending(
            "",
            &format!("name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUSH\""),
        );
    let mut other = second.start();
    other.wait_log(&["omrzmq[out]", "omrzmq-out.spool"], SOON);
    other.stop().clean().within(STOP);
    daemon.stop().clean().within(STOP);
}

/// Written numbers ask the engine to give up or to fail over.
fn fails_over(more: &str) {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, &format!("action.resumeInterval=\"1\" {more}"));
    let second = site.file_action("second.log").replace(
        "action(",
        "action(action.execOnlyWhenPreviousIsSuspended=\"on\" ",
    );
    let site = site.file_template("second.log", "%msg%\\n").add(&second);
    let mut daemon = site.start();
    daemon.feed(0..1);
    // The engine asks twice or three times before it gives up, up to five seconds each.
    daemon.wait_lines("second.log", 1, secs(20));
    daemon.feed(1..50);
    let lines = daemon.wait_lines("second.log", 50, secs(20));
    Oracle::judge(0..50, &lines).once_in_order();
    // Back to the first once its peer is there.
    let peer = peer_at(&endpoint);
    let mut next = 50;
    daemon.wait("a line for the peer", SOON, |daemon| {
        daemon.feed(next..next + 1);
        next += 1;
        peer.receive(millis(300))
    });
    daemon.stop().clean().within(STOP);
}

#[test]
fn written_retry_count_and_timeout_mean_suspend_and_fail_over() {
    fails_over("action.resumeRetryCount=\"0\" sendtimeout=\"200\"");
}

#[test]
fn written_timeout_alone_means_suspend_and_fail_over() {
    fails_over("sendtimeout=\"200\"");
}

#[test]
fn written_retry_count_alone_gives_up_after_five_seconds() {
    fails_over("action.resumeRetryCount=\"0\"");
}

#[test]
fn suspensions_are_counted() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "sendtimeout=\"100\" action.resumeInterval=\"1\"");
    let mut daemon = site.start();
    daemon.feed(0..1);
    daemon.wait_stats("omrzmq", "out", "suspended", |c| c["suspended"] >= 1);
}

/// A pure wait is told in the counters, too.
#[test]
fn waits_are_counted_and_logged() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "");
    let mut daemon = site.start();
    daemon.feed(0..1);
    daemon.wait_log(&["omrzmq[out]", &endpoint], SOON);
    daemon.wait_stats("omrzmq", "out", "a wait that grows", |c| {
        c["waits"] >= 1 && c["wait_ms"] >= 1000 && c["connections"] == 0
    });
    let peer = peer_at(&endpoint);
    Oracle::judge(0..1, &peer.take_all(1, SOON)).once();
    daemon.wait_stats("omrzmq", "out", "connections=1", |c| c["connections"] == 1);
}

#[test]
fn what_the_stop_spooled_is_counted_in_the_log() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "");
    let mut daemon = site.start();
    daemon.feed(0..77);
    daemon.stop().clean().within(STOP);
    assert!(
        daemon.logged(&["omrzmq[out]", "77"]),
        "no word of the 77 spooled lines"
    );
}

#[test]
fn settings_that_lose_lines_are_warned_of() {
    let endpoint = free_endpoint();
    let old = rsyslog_release() < 2608;
    let mut cases = vec![
        ("", "queue"),
        ("queue.type=\"LinkedList\"", "queue.timeoutShutdown"),
        (
            "queue.type=\"Disk\" queue.filename=\"q\" queue.size=\"100000\"",
            "checkpointInterval",
        ),
        (
            "queue.type=\"Disk\" queue.filename=\"q\" queue.checkpointInterval=\"1\"",
            "queue.size",
        ),
        (
            "queue.type=\"LinkedList\" queue.filename=\"q\" queue.size=\"100000\" \
             queue.timeoutShutdown=\"10000\"",
            "queue.saveOnShutdown",
        ),
    ];
    if old {
        cases.push((
            "queue.type=\"LinkedList\" queue.filename=\"q\" queue.size=\"100000\" \
             queue.saveOnShutdown=\"on\"",
            "queue.timeoutShutdown",
        ));
    }
    for (queue, word) in cases {
        pusher(&endpoint, queue)
            .check()
            .warns(&["omrzmq[out]", word]);
    }
}

#[test]
fn recommended_settings_draw_no_warning() {
    let endpoint = free_endpoint();
    pusher(
        &endpoint,
        "queue.type=\"Disk\" queue.filename=\"q\" queue.size=\"1000000\" \
         queue.checkpointInterval=\"1\" queue.timeoutShutdown=\"10000\" \
         queue.timeoutEnqueue=\"2000000\"",
    )
    .check()
    .clean();
}
