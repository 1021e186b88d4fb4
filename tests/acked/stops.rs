//! Clean stops of either side, under load, for each queue kind that is safe with the recommended
//! settings.

use std::path::PathBuf;
use std::time::Instant;

use harness::oracle::number_of;
use harness::paths::rsyslog_release;
use harness::ports::free_endpoint;
use harness::skip::skipped;
use harness::sums::end;
use harness::{Keys, Oracle, Proxy, SOON, Site, secs};

use crate::{
    DIRECT, Figures, ONE_WORKER, Progress, action, by_id, disk_lines, feed_meanwhile, input, lines,
    patience, receiver, receiving, rounds, sender, wait_for_all,
};

#[test]
fn receiver_stopped_again_and_again_loses_and_doubles_nothing() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let (rounds, total) = (rounds(), lines());
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sender(&endpoint, "").with(ONE_WORKER).start();
    let feeding = feed_meanwhile(&sender, 0..total);
    let mut progress = Progress::of(&site);
    for round in 0..rounds {
        progress.reaches(total * (2 * round + 1) / (2 * rounds), patience(total));
        receiver.stop().clean().within(secs(2));
        receiver = site.start();
    }
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let case = format!("receiver stopped {rounds} times");
    Figures::of(&case, since, total, &receiver.lines("out.log")).exact();
}

/// Sender and receiver stopped and started in turn, under load: in even rounds the receiver is gone
/// first, so that the sender spools; in odd ones it outlives the sender.
fn stopped_in_turn(case: &str, total: usize, main_queue: &str, queue: &str) {
    let endpoint = free_endpoint();
    let receiving = receiver(&endpoint, DIRECT);
    // What the main queue holds at a stop has to get into the action's: it needs the time.
    let main = format!("main_queue(queue.timeoutShutdown=\"20000\" {main_queue})");
    let sending = sender(&endpoint, queue).with(&main);
    let rounds = rounds();
    let since = Instant::now();
    let mut receiver = receiving.start();
    let mut sender = sending.start();
    let mut progress = Progress::of(&receiving);
    for round in 0..rounds {
        let (begin, end) = (total * round / rounds, total * (round + 1) / rounds);
        let feeding = feed_meanwhile(&sender, begin..end);
        progress.reaches(begin + (end - begin) / 4, patience(total));
        let receiver_first = round % 2 == 0;
        if receiver_first {
            receiver.stop().clean();
        }
        // What imptcp has not taken at the sender's stop was never rsyslog's.
        feeding.join().expect("fed");
        sender.stop().clean();
        if !receiver_first {
            receiver.stop().clean();
        }
        receiver = receiving.start();
        sender = sending.start();
    }
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let case = format!("both stopped {rounds} times, {case}");
    Figures::of(&case, since, total, &receiver.lines("out.log")).all.once();
    assert!(sending.spools().is_empty(), "spools are left: {:?}", sending.spools());
}

#[test]
fn both_stopped_in_turn_with_a_disk_queue() {
    stopped_in_turn(
        "Disk action queue",
        disk_lines(),
        "queue.type=\"LinkedList\" queue.size=\"1000000\"",
        "queue.type=\"Disk\" queue.filename=\"q\" queue.checkpointInterval=\"1\" \
         queue.size=\"1000000\" queue.timeoutEnqueue=\"60000\" queue.timeoutShutdown=\"10000\"",
    );
}

#[test]
fn both_stopped_in_turn_with_a_queue_in_memory_that_has_time_to_drain() {
    stopped_in_turn(
        "LinkedList action queue",
        lines(),
        "queue.type=\"LinkedList\" queue.size=\"1000000\"",
        "queue.type=\"LinkedList\" queue.size=\"1000000\" queue.timeoutShutdown=\"20000\"",
    );
}

#[test]
fn both_stopped_in_turn_with_a_disk_assisted_action_queue() {
    stopped_in_turn(
        "disk-assisted action queue",
        lines(),
        "queue.type=\"LinkedList\" queue.size=\"1000000\"",
        "queue.type=\"LinkedList\" queue.filename=\"q\" queue.saveOnShutdown=\"on\" \
         queue.checkpointInterval=\"1\" queue.syncQueueFiles=\"on\" queue.size=\"1000000\" \
         queue.timeoutEnqueue=\"60000\" queue.timeoutShutdown=\"20000\"",
    );
}

#[test]
fn both_stopped_in_turn_with_a_segmented_disk_queue() {
    if rsyslog_release() < 2608 {
        return skipped("segmentedDisk action queue", "this rsyslog has no such queue");
    }
    stopped_in_turn(
        "segmentedDisk action queue",
        disk_lines(),
        "queue.type=\"LinkedList\" queue.size=\"1000000\"",
        "queue.type=\"segmentedDisk\" queue.filename=\"q\" queue.checkpointInterval=\"1\" \
         queue.syncQueueFiles=\"on\" queue.size=\"1000000\" queue.timeoutEnqueue=\"60000\" \
         queue.timeoutShutdown=\"10000\"",
    );
}

#[test]
fn both_stopped_in_turn_with_two_workers() {
    stopped_in_turn(
        "two workers",
        lines(),
        "queue.type=\"LinkedList\" queue.size=\"1000000\"",
        "queue.type=\"LinkedList\" queue.size=\"1000000\" queue.timeoutShutdown=\"20000\" \
         queue.workerThreads=\"2\" queue.workerThreadMinimumMessages=\"100\"",
    );
}

#[test]
fn both_stopped_in_turn_with_a_main_queue_in_memory_and_a_direct_action() {
    stopped_in_turn(
        "LinkedList main queue",
        lines(),
        "queue.type=\"LinkedList\" queue.size=\"1000000\"",
        "",
    );
}

#[test]
fn both_stopped_in_turn_with_a_disk_main_queue_and_a_direct_action() {
    stopped_in_turn(
        "Disk main queue",
        lines(),
        "queue.type=\"Disk\" queue.filename=\"m\" queue.checkpointInterval=\"1\" \
         queue.timeoutEnqueue=\"60000\" queue.size=\"1000000\"",
        "",
    );
}

#[test]
fn both_stopped_in_turn_with_a_disk_assisted_main_queue_and_a_direct_action() {
    stopped_in_turn(
        "disk-assisted main queue",
        lines(),
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
    sender.end().clean().within(secs(2));
    for _ in 0..3 {
        let mut sender = sending.start();
        sender.stop().clean().within(secs(2));
    }
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let mut sender = sending.start();
    sender.feed(500..600);
    let lines = receiver.wait_lines("out.log", 600, SOON);
    Oracle::judge(0..600, &lines).once_in_order();
    end(&mut [&mut sender, &mut receiver]);
    assert!(sending.spools().is_empty(), "spools are left: {:?}", sending.spools());
}

/// A spool of more frames than are in flight at once, nobody there, and a worker whose first commit comes
/// when the keeper has given up: another action holds it until its own, longer grace is over.
#[test]
fn first_commit_after_the_grace_takes_no_number_of_a_line_in_the_spool() {
    let endpoint = free_endpoint();
    let held = format!(
        "action(type=\"omrzmq\" name=\"held\" endpoints=\"{}\" socktype=\"DEALER\" \
         delivery=\"acked\" action.resumeRetryCount=\"-1\" linger=\"1000\")",
        free_endpoint()
    );
    let queue = "main_queue(queue.workerThreads=\"1\" queue.dequeueBatchSize=\"4\" \
                 queue.timeoutShutdown=\"10000\")";
    let sending = Site::new()
        .with(queue)
        .with("module(load=\"omrzmq\")")
        .with(&held)
        .with(&format!("action(type=\"omrzmq\" {})", action(&endpoint, "linger=\"0\"")));
    for numbers in [0..500, 500..600] {
        let mut sender = sending.start();
        let count = numbers.len() as i64;
        sender.feed(numbers);
        sender.wait_stats("core.queue", "main Q", "all lines in the queue", |stats| {
            stats["enqueued"] == count
        });
        sender.stop().clean();
    }
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let mut sender = sending.start();
    sender.wait_stats("omrzmq", "out", "an empty spool", |stats| stats["in_spool"] == 0);
    let lines = receiver.wait_lines("out.log", 600, SOON);
    Oracle::judge(0..600, &lines).once_in_order();
    end(&mut [&mut sender, &mut receiver]);
}

/// A session belongs to its key: what a stop left in doubt goes on in another session under another
/// key, and an archive cannot see that it has it already. What was settled does not come again.
#[test]
fn a_new_key_doubles_what_was_in_doubt_under_other_ids() {
    let endpoint = free_endpoint();
    let server = Keys::new("server");
    let site = receiving(DIRECT);
    let trust = |authtype: &str, own: PathBuf| {
        let own = own.display();
        format!("authtype=\"{authtype}\" servercertpath=\"{own}\" clientcertpath=\"*\"")
    };
    let as_server = trust("CURVESERVER", server.write(&site.path("keys")));
    let module = format!("module(load=\"imrzmq\" {as_server})");
    let mut receiver = site.with(&module).with(&input(&endpoint, "")).start();
    let proxy = Proxy::before(&endpoint);
    let sending = Site::new();
    let module = trust("CURVECLIENT", server.write_public(&sending.path("keys")));
    let sending = sending.sending(&module, &action(&proxy.endpoint(), "")).with(ONE_WORKER);
    sending.check().warns(&["omrzmq[out]", "clientcertpath=\"*\"", "two ids"]);
    let mut sender = sending.start();
    sender.feed(0..10);
    receiver.wait_lines("out.log", 10, SOON);
    sender.wait_stats("omrzmq", "out", "settled", |stats| stats["sent"] == 10);
    // The lines get through, and their acknowledgement is under way when the sender stops.
    proxy.delay(secs(3));
    sender.feed(10..60);
    receiver.wait_lines("out.log", 60, SOON);
    sender.stop().clean();
    proxy.cut();
    sender = sending.start();
    sender.wait_log(&["omrzmq[out]", "the session", "is lost (Key)"], SOON);
    let twice = receiver.wait_lines("out.log", 110, SOON);
    sender.wait_stats("omrzmq", "out", "an empty spool", |stats| stats["in_spool"] == 0);
    sender.stop().clean();
    sender = sending.start();
    sender.feed(60..100);
    let lines = receiver.wait_lines("out.log", 150, SOON);
    assert_eq!(by_id(&twice).len(), 110, "the doubles have ids of their own");
    let mut seen: Vec<_> = lines.iter().filter_map(|line| number_of(line)).collect();
    seen.sort_unstable();
    let mut expected: Vec<_> = (0..100).chain(10..60).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected, "only what was in doubt came twice");
    end(&mut [&mut sender, &mut receiver]);
}
