//! The spool: sent to slow and leaving peers, whose it is, damaged, foreign, impossible.

use std::fs;

use harness::oracle::numbered;
use harness::wait::try_until;
use harness::{Oracle, Peer, Rsyslogd, SOON, Site, Small, millis, ports::free_endpoint, secs};

use crate::{STOP, ends_without_spool, peer_at, pusher, spooled};

const LONG_LINES: &str = "maxMessageSize=\"64k\"";

/// The site's lines 0..`count`, each with so many bytes more, lie in its spool, rsyslogd is stopped.
fn spooled_long(site: &Site, count: usize, bytes: usize) {
    let padding = "x".repeat(bytes);
    let mut daemon = site.start();
    daemon.feeder().texts((0..count).map(|n| format!("{} {padding}", numbered(n))));
    daemon.stop().clean().within(STOP);
}

#[test]
fn peer_that_leaves_while_the_spool_is_sent() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "sndhwm=\"10\"").global(LONG_LINES);
    spooled_long(&site, 400, 20_000);
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
    assert!(found.lost.len() <= 10 + 150, "lost more than a pipe and the kernels hold: {found}");
    ends_without_spool(&site, &mut daemon);
}

/// The peer reads all the while, but slowly.
#[test]
fn stops_while_the_spool_is_sent_lose_and_double_nothing() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "sndhwm=\"50\"");
    spooled_long(&site, 3000, 4_000);
    let peer = Peer::new(zmq::PULL).narrow();
    peer.bind(&endpoint);
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        while let Some(frames) = peer.receive(secs(5)) {
            received.push(String::from_utf8_lossy(&frames[0]).into_owned());
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        received
    });
    for _ in 0..4 {
        let mut daemon = site.start();
        std::thread::sleep(millis(200)); // some of it is sent
        daemon.stop().clean().within(STOP);
    }
    let mut daemon = site.start();
    let received = reader.join().expect("the reader");
    // The peer reads what two connections brought side by side: their order is its own affair.
    Oracle::judge(0..3000, &received).once();
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn kill_while_the_spool_is_sent_loses_nothing() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "sndhwm=\"10\"").global(LONG_LINES);
    spooled_long(&site, 400, 20_000);
    let peer = Peer::new(zmq::PULL).narrow();
    peer.bind(&endpoint);
    let mut daemon = site.start();
    let mut received = peer.take(20, SOON);
    assert_eq!(received.len(), 20, "the spool is being sent");
    daemon.kill9();
    received.extend(peer.rest(millis(300)));
    let mut daemon = site.start();
    received.extend(peer.take(400, secs(5)));
    let found = Oracle::judge(0..400, &received);
    found.nothing_lost();
    // The pipe's ten, one half encoded, one half written, and one that was just taken and not noted yet.
    assert!(found.doubled.len() <= 13, "doubled more than libzmq held: {found}");
    ends_without_spool(&site, &mut daemon);
}

/// The kernel takes nothing more, so that many lines stand between the pipe and the kernel: libzmq writes
/// short ones many at a time.
#[test]
fn kill_while_short_lines_of_the_spool_wait_to_be_written_loses_nothing() {
    const LINES: usize = 30_000;
    let endpoint = free_endpoint();
    // Without heartbeats: the peer's answer to one resets the connection of a process that is gone.
    let site = pusher(&endpoint, "sndhwm=\"10\" heartbeativl=\"0\"");
    spooled_long(&site, LINES, 190);
    let peer = Peer::new(zmq::PULL).narrow();
    peer.bind(&endpoint);
    let mut daemon = site.start();
    // The kernels take nothing more: two reports, a second apart, are the same.
    let stuck = try_until(secs(60), || {
        let stats = daemon.stats();
        let left = stats.history("omrzmq", "out").iter().rev().map(|it| it["in_spool"]);
        let left: Vec<_> = left.take(2).collect();
        (left.len() == 2 && left[0] == left[1] && (1..LINES as i64).contains(&left[0]))
            .then_some(())
    });
    assert!(stuck.is_some(), "the kernels took all of it");
    daemon.kill9();
    let mut received = peer.rest(millis(500));
    let mut daemon = site.start();
    received.extend(peer.take_all(LINES - received.len(), secs(60)));
    let found = Oracle::judge(0..LINES, &received);
    found.nothing_lost();
    // As above, and a write of 8 KiB.
    assert!(found.doubled.len() <= 13 + 8192 / 190, "doubled more than libzmq held: {found}");
    ends_without_spool(&site, &mut daemon);
}

/// With two peers no line is known to be gone before all are: one may wait at the peer that reads nothing.
#[test]
fn kill_while_the_spool_goes_to_two_peers_loses_nothing() {
    const LINES: usize = 20_000;
    let (slow, quick) = (free_endpoint(), free_endpoint());
    let site = pusher(&format!("{slow},{quick}"), "sndhwm=\"10\"").global(LONG_LINES);
    spooled_long(&site, LINES, 2_000);
    let idle = Peer::new(zmq::PULL).narrow();
    idle.bind(&slow);
    let peer = Peer::new(zmq::PULL).narrow();
    peer.bind(&quick);
    let mut daemon = site.start();
    let mut received = peer.take(12_000, secs(60));
    assert_eq!(received.len(), 12_000, "the spool is being sent");
    daemon.kill9();
    received.extend(idle.rest(millis(500)));
    received.extend(peer.rest(millis(500)));
    let mut daemon = site.start();
    let reader = std::thread::spawn(move || idle.take_all(LINES, secs(2)));
    received.extend(peer.take_all(LINES, secs(2)));
    received.extend(reader.join().expect("the other reader"));
    Oracle::judge(0..LINES, &received).nothing_lost();
    ends_without_spool(&site, &mut daemon);
}

/// The spool has frames of many lines, and the action sends them line by line: a stop in the middle of one.
#[test]
fn frames_of_an_action_that_was_acknowledged_go_on_where_a_stop_found_them() {
    let endpoint = free_endpoint();
    let action = format!("name=\"out\" endpoints=\"{endpoint}\" socktype=\"DEALER\" sndhwm=\"10\"");
    let site = Site::sender("", &format!("{action} delivery=\"acked\"")).global(LONG_LINES);
    spooled_long(&site, 400, 20_000);
    let site = site.anew().global(LONG_LINES).sending("", &action);
    let peer = Peer::new(zmq::ROUTER).narrow();
    peer.bind(&endpoint);
    let mut received = Vec::new();
    for _ in 0..2 {
        let mut daemon = site.start();
        received.extend(peer.take(30, SOON));
        daemon.terminate();
        daemon.wait_log(&["omrzmq[out]", "lines stay in"], SOON);
        // What libzmq holds has the linger time to go.
        received.extend(peer.rest(millis(500)));
        daemon.wait_end().clean();
    }
    assert!((60..400).contains(&received.len()), "{} lines of the spool's 400", received.len());
    let mut daemon = site.start();
    received.extend(peer.take_all(400 - received.len(), SOON));
    Oracle::judge(0..400, &received).once_in_order();
    ends_without_spool(&site, &mut daemon);
}

#[test]
fn two_actions_that_would_share_a_spool_are_asked_for_names() {
    let endpoint = free_endpoint();
    let action = format!("action(type=\"omrzmq\" endpoints=\"{endpoint}\" socktype=\"PUSH\")");
    let site = Site::new().with("module(load=\"omrzmq\")").with(&action).with(&action);
    site.check().refuses(&["omrzmq", "name", "spool"]);
    let twins = "action(type=\"omrzmq\" name=\"twin\" endpoints=\"ENDPOINT\" socktype=\"PUSH\")";
    let site = Site::new()
        .with("module(load=\"omrzmq\")")
        .with(&twins.replace("ENDPOINT", &free_endpoint()))
        .with(&twins.replace("ENDPOINT", &free_endpoint()));
    site.check().refuses(&["omrzmq[twin]", "name", "spool"]);
}

/// Different actions have different spools, also without names.
#[test]
fn actions_without_names_keep_their_lines_apart() {
    let endpoints = [free_endpoint(), free_endpoint()];
    let mut site = Site::new().with("module(load=\"omrzmq\")");
    for endpoint in &endpoints {
        site = site.with(&format!(
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
    let site = site
        .anew()
        .sending("", &format!("name=\"other\" endpoints=\"{endpoint}\" socktype=\"PUSH\""));
    let mut daemon = site.start();
    daemon.wait_log(&["omrzmq", &spool.display().to_string(), "123"], SOON);
    daemon.end().clean().within(STOP);
    assert!(spool.exists(), "an unclaimed spool was removed");
}

/// A peer moves, the action keeps its name: its lines follow.
#[test]
fn spool_of_a_named_action_goes_to_its_new_endpoint() {
    let site = pusher(&free_endpoint(), "");
    spooled(&site, 100);
    let moved = free_endpoint();
    let site =
        site.anew().sending("", &format!("name=\"out\" endpoints=\"{moved}\" socktype=\"DEALER\""));
    let mut daemon = site.start();
    let peer = Peer::new(zmq::ROUTER);
    peer.bind(&moved);
    Oracle::judge(0..100, &peer.take_all(100, SOON)).once_in_order();
    ends_without_spool(&site, &mut daemon);
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
    daemon.end().clean().within(STOP);
}

/// Somebody tidied up the work directory: before anything was in the spool, and again when there was.
#[test]
fn spool_that_was_removed_while_rsyslogd_ran_is_made_anew() {
    let endpoint = free_endpoint();
    let site = pusher(&endpoint, "");
    let tidied_up = |daemon: &mut Rsyslogd| {
        daemon.wait_stats("omrzmq", "out", "lines that wait", |stats| stats["waiting"] == 1);
        for spool in site.spools() {
            fs::remove_file(spool).expect("a spool to remove");
        }
    };
    for round in 0..3 {
        let mut daemon = site.start();
        daemon.feed(round * 100..(round + 1) * 100);
        tidied_up(&mut daemon);
        daemon.stop().clean().within(STOP);
        assert_eq!(site.spools().len(), 1, "a spool: {:?}", site.spools());
    }
    let mut daemon = site.start();
    Oracle::judge(0..300, &peer_at(&endpoint).take_all(300, SOON)).once_in_order();
    ends_without_spool(&site, &mut daemon);
    // nothing is left to be removed
    let mut daemon = site.start();
    daemon.feed(300..301);
    tidied_up(&mut daemon);
    Oracle::judge(300..301, &peer_at(&endpoint).take_all(1, SOON)).once();
    daemon.stop().clean().within(STOP);
    assert!(!daemon.log().contains("error"), "{}", daemon.log());
}

/// The disk was full at the start, and is not at the stop.
#[test]
fn spool_that_could_not_be_made_at_the_start_is_made_at_the_stop() {
    let endpoint = free_endpoint();
    let Some(disk) = Small::mount("a full disk at the start", 64) else { return };
    let site = pusher(&endpoint, "")
        .without_work_directory()
        .global(&format!("workDirectory=\"{}\"", disk.path().display()));
    let ballast = disk.fill();
    let mut daemon = site.start();
    daemon.wait_log(&["omrzmq[out]", "no spool", "omrzmq-out.spool"], SOON);
    fs::remove_file(ballast).expect("ballast");
    daemon.feed(0..100);
    daemon.stop().clean().within(STOP);
    let mut daemon = site.start();
    Oracle::judge(0..100, &peer_at(&endpoint).take_all(100, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn no_work_directory_is_an_error_at_start_that_says_what_a_stop_may_lose() {
    let endpoint = free_endpoint();
    let mut daemon = pusher(&endpoint, "").without_work_directory().start();
    daemon.wait_log(&["omrzmq[out]", "workDirectory"], SOON);
    daemon.end().clean().within(STOP);
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
        .sending("", &format!("name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUSH\""));
    let mut other = second.start();
    other.wait_log(&["omrzmq[out]", "omrzmq-out.spool"], SOON);
    other.stop().clean().within(STOP);
    daemon.end().clean().within(STOP);
}
