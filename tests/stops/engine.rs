//! What is asked of the engine: fail-over, and settings that lose lines in the engine itself.

use harness::paths::rsyslog_release;
use harness::{Oracle, SOON, millis, ports::free_endpoint, secs};

use crate::{STOP, peer_at, pusher};

/// Written numbers ask the engine to give up or to fail over.
fn fails_over(more: &str) {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, &format!("action.resumeInterval=\"1\" {more}"));
    let second = site
        .file_action("second.log")
        .replace("action(", "action(action.execOnlyWhenPreviousIsSuspended=\"on\" ");
    let site = site.file_template("second.log", "%msg%\\n").with(&second);
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
    daemon.end().clean().within(STOP);
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
    daemon.end().clean().within(STOP);
    assert!(daemon.logged(&["omrzmq[out]", "77"]), "no word of the 77 spooled lines");
}

#[test]
fn settings_that_lose_lines_are_warned_of() {
    let endpoint = free_endpoint();
    let old = rsyslog_release() < 2608;
    let mut cases = vec![
        ("", "queue"),
        ("queue.type=\"LinkedList\"", "queue.timeoutShutdown"),
        ("queue.type=\"Disk\" queue.filename=\"q\" queue.size=\"100000\"", "checkpointInterval"),
        ("queue.type=\"Disk\" queue.filename=\"q\" queue.checkpointInterval=\"1\"", "queue.size"),
        (
            "queue.type=\"LinkedList\" queue.filename=\"q\" queue.size=\"100000\" \
             queue.timeoutShutdown=\"10000\" queue.saveOnShutdown=\"off\"",
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
        pusher(&endpoint, queue).check().warns(&["omrzmq[out]", word]);
    }
}

#[test]
fn recommended_settings_draw_no_warning() {
    let endpoint = free_endpoint();
    pusher(
        &endpoint,
        "queue.type=\"Disk\" queue.filename=\"q\" queue.size=\"500000\" \
         queue.checkpointInterval=\"1\" queue.timeoutShutdown=\"10000\" \
         queue.timeoutEnqueue=\"2000000\"",
    )
    .check()
    .clean();
}
