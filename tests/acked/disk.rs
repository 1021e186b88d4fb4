//! A disk is full: a small tmpfs under the receiver's queue, its file of marks, or the sender's spool.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Instant;

use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::ports::free_endpoint;
use harness::sums::{add_up, end};
use harness::{Oracle, Peer, Rsyslogd, SOON, Site, Small, fail_writes, secs};

use crate::raw;
use crate::stalls::blocked_behind;
use crate::{
    CHUNK, DIRECT, Figures, Progress, feed_meanwhile, input, receiver, sender, wait_for_all,
};

/// A receiver whose ruleset's queue lies in this folder; `more` are parameters of its input.
pub(crate) fn queue_in(site: Site, folder: &Path, endpoint: &str, more: &str) -> Site {
    let queue = format!(
        "queue.type=\"Disk\" queue.filename=\"r\" queue.spoolDirectory=\"{}\" \
         queue.checkpointInterval=\"1\" queue.maxFileSize=\"64k\" queue.size=\"1000000\" \
         queue.timeoutShutdown=\"10000\"",
        folder.display()
    );
    let file = format!(
        "action(type=\"omfile\" file=\"{}\" template=\"with_id\" flushOnTXEnd=\"on\" asyncWriting=\"off\")",
        site.path("out.log").display()
    );
    site.anew()
        .without_feed()
        .with(&format!("template(name=\"with_id\" type=\"string\" string=\"{}\")", crate::WITH_ID))
        .with("module(load=\"imrzmq\")")
        .with(&format!("ruleset(name=\"remote\" {queue}) {{ {file} }}"))
        .with(&input(endpoint, more))
}

/// The queue's disk is full: the sender is told "later" where the engine says so. The engine leaves a
/// torn record in its file, and with it swallows the first line that it takes after that
/// (docs/guarantees.md): that line alone may be lost, and only where the engine owns up to it.
#[test]
fn queue_on_a_full_disk_makes_the_sender_wait_and_what_the_engine_took_arrives_once_there_is_space()
{
    full_disk_makes_the_sender_wait("");
}

/// The same behind rsyslog's rate limiter, which submits what it lets pass.
#[test]
fn queue_on_a_full_disk_makes_the_sender_wait_with_a_rate_limit_too() {
    full_disk_makes_the_sender_wait("ratelimit.interval=\"1\" ratelimit.burst=\"1000000\"");
}

fn full_disk_makes_the_sender_wait(more: &str) {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let Some(disk) = Small::mount("receiver's disk full", 1024) else { return };
    let site = queue_in(site, disk.path(), &endpoint, more);
    let total = 5_000;
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sender(&endpoint, "").start();
    sender.feed(0..total / 2);
    Progress::of(&site).reaches(total / 2, secs(30));
    let ballast = disk.fill();
    let feeding = feed_meanwhile(&sender, total / 2..total);
    receiver.wait_log(&["imrzmq[in]", "they are not acknowledged and come again"], SOON);
    let first =
        receiver.wait_stats("imrzmq", "in", "failed lines", |stats| stats["failed"] > 0)["failed"];
    let began = Instant::now();
    let later = receiver
        .wait_stats("imrzmq", "in", "more of them", |stats| stats["failed"] >= first + 3)["failed"];
    // the engine frees none of them
    let tries = began.elapsed().as_secs() as i64 + 2;
    assert!(later - first <= tries, "more than a line a second: {later}, {first} before");
    sender.wait_log(&["omrzmq[out]", "the receiver takes nothing now", "QueueError"], SOON);
    fs::remove_file(ballast).expect("ballast");
    feeding.join().expect("fed");
    sender.wait_stats("omrzmq", "out", "all acknowledged", |stats| stats["sent"] == total as i64);
    end(&mut [&mut sender, &mut receiver]);
    let lines = receiver.lines("out.log");
    let figures = Figures::of("disk of the queue full", since, total, &lines);
    figures.by_id.nothing_doubled();
    let swallowed = figures.by_id.lost.len();
    assert!(
        swallowed == 0 || swallowed == 1 && receiver.logged(&["qDeqDisk error"]),
        "expected at most the engine's own loss: {}",
        figures.by_id
    );
}

/// With `minfree` the disk never fills: the senders keep their lines while there is little room, and the
/// engine comes to no torn record.
#[test]
fn low_disk_makes_the_sender_wait_before_anything_is_lost() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let Some(disk) = Small::mount("receiver's disk low", 8 << 10) else { return };
    let more = format!("minfree=\"4\" minfree.path=\"{}\"", disk.path().display());
    let site = queue_in(site, disk.path(), &endpoint, &more);
    let total = 5_000;
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sender(&endpoint, "").start();
    sender.feed(0..total / 2);
    Progress::of(&site).reaches(total / 2, secs(30));
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![b'x'; 6 << 20]).expect("ballast");
    let feeding = feed_meanwhile(&sender, total / 2..total);
    receiver.wait_log(&["imrzmq[in]", "MiB are free at", "less than minfree=\"4\""], SOON);
    sender.wait_log(&["omrzmq[out]", "the receiver takes nothing now"], SOON);
    receiver.wait_stats("imrzmq", "in", "told again", |stats| stats["delayed_disk"] >= 2);
    fs::remove_file(ballast).expect("ballast");
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    let counters = receiver
        .wait_stats("imrzmq", "in", "all taken", |stats| stats["submitted"] == total as i64);
    assert_eq!(counters["failed"], 0);
    end(&mut [&mut sender, &mut receiver]);
    Figures::of("disk low", since, total, &receiver.lines("out.log")).exact();
}

/// What `minfree` cannot look at is said at the start, and holds nobody up.
#[test]
fn folder_that_is_not_there_is_told_of_and_lines_are_taken() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let gone = site.path("gone");
    let more = format!("minfree=\"4\" minfree.path=\"{}\"", gone.display());
    let Some(disk) = Small::mount("no such folder", 8 << 10) else { return };
    let mut receiver = queue_in(site, disk.path(), &endpoint, &more).start();
    receiver.wait_log(&["imrzmq[in]", "minfree is not looked at", "gone: No such file"], SOON);
    let mut sender = sender(&endpoint, "").start();
    sender.feed(0..CHUNK);
    wait_for_all(&mut receiver, CHUNK);
    end(&mut [&mut sender, &mut receiver]);
    Oracle::judge(0..CHUNK, &receiver.lines("out.log")).once_in_order();
}

/// A queue that counts its lines to below `queue.maxDiskSpace` makes the sender wait. Beyond that the
/// engine throws lines away and tells nobody (docs/guarantees.md).
#[test]
fn queue_whose_size_is_reached_before_its_disk_space_makes_the_sender_wait() {
    let (endpoint, other) = (free_endpoint(), free_endpoint());
    let queue = "queue.type=\"Disk\" queue.filename=\"r\" queue.maxFileSize=\"64k\" \
                 queue.size=\"1000\" queue.maxDiskSpace=\"2m\"";
    let (site, pipe) = blocked_behind(queue, &endpoint, &other, "");
    let total = 8_000;
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sender(&endpoint, "").start();
    let feeder = sender.feeder();
    let long = "x".repeat(200);
    let texts: Vec<_> = (0..total).map(|number| format!("{} {long}", numbered(number))).collect();
    let feeding = thread::spawn(move || feeder.texts(&texts));
    // longer than a full queue keeps a line (queue.timeoutEnqueue, two seconds)
    sender.wait_stats("omrzmq", "out", "six seconds busy", |stats| stats["wait_busy_ms"] >= 6_000);
    fs::write(&pipe, "go\n").expect("pipe");
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    Figures::of("disk space bounded", since, total, &receiver.lines("out.log")).all.once();
}

/// The marks cannot be written: that is said, delivery goes on, and without a kill nothing doubles. What
/// could not be written is, at a stop, once there is space.
#[test]
fn marks_on_a_full_disk_are_told_of_and_delivery_goes_on() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let Some(disk) = Small::mount("marks on a full disk", 64) else { return };
    let work = disk.path().display().to_string();
    let site = site.without_work_directory().global(&format!("workDirectory=\"{work}\""));
    let since = Instant::now();
    let mut receiver = site.start();
    let peer = Peer::new(zmq::DEALER).connected_to(&endpoint);
    // An input that answers has its file.
    assert_eq!(raw::greet(&peer, 1, raw::session(0)), 0);
    let ballast = disk.fill();
    // More sessions than the file's first page, which is there already, holds marks of.
    const SESSIONS: usize = 200;
    for number in 0..SESSIONS {
        assert_eq!(raw::greet(&peer, number as u32 + 2, raw::session(number)), 0);
        raw::say(&peer, &raw::data(0, &[syslog_line(&numbered(number))]));
        raw::acknowledged(&peer, 1);
    }
    receiver.wait_log(
        &["imrzmq[in]", "imrzmq-in.marks", "if rsyslogd is killed now, lines may arrive twice"],
        SOON,
    );
    // Known as long as it lives, and asked again.
    for number in 0..SESSIONS {
        assert_eq!(raw::greet(&peer, (SESSIONS + number) as u32 + 2, raw::session(number)), 1);
    }
    let mut sender = sender(&endpoint, "").start();
    let total = SESSIONS + 1_000;
    sender.feed(SESSIONS..total);
    wait_for_all(&mut receiver, total);
    fs::remove_file(ballast).expect("ballast");
    end(&mut [&mut sender, &mut receiver]);
    let lines = receiver.lines("out.log");
    Figures::of("disk of the marks full", since, total, &lines).exact();
    let mut receiver = site.start();
    let peer = Peer::new(zmq::DEALER).connected_to(&endpoint);
    for number in 0..SESSIONS {
        assert_eq!(raw::greet(&peer, number as u32 + 1, raw::session(number)), 1);
    }
    end(&mut [&mut receiver]);
}

/// A disk that is full at the start: no marks at all, said so; a kill then may double a window.
#[test]
fn marks_that_cannot_be_made_are_an_error_at_the_start() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let Some(disk) = Small::mount("no room for marks", 64) else { return };
    disk.fill();
    let work = disk.path().display().to_string();
    let site = site.without_work_directory().global(&format!("workDirectory=\"{work}\""));
    let mut receiver = site.start();
    receiver.wait_log(&["imrzmq[in]", "no file of marks", "may arrive twice"], SOON);
    let mut sender = sender(&endpoint, "").start();
    sender.feed(0..CHUNK);
    Oracle::judge(0..CHUNK, &receiver.wait_lines("out.log", CHUNK, SOON)).once_in_order();
    end(&mut [&mut sender, &mut receiver]);
}

/// A chunk that the queue does not take comes again: what is discarded of it is counted once.
#[test]
fn what_is_discarded_of_a_chunk_that_comes_again_is_counted_once() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let Some(disk) = Small::mount("counted once", 256) else { return };
    let mut receiver = queue_in(site, disk.path(), &endpoint, "").start();
    let peer = Peer::new(zmq::DEALER).connected_to(&endpoint);
    assert_eq!(raw::greet(&peer, 1, raw::session(0)), 0);
    let ballast = disk.fill();
    let long = "x".repeat(200);
    let text = |number| syslog_line(&format!("{} {long}", numbered(number)));
    let lines =
        |of: std::ops::Range<usize>| of.map(text).chain([String::new()]).collect::<Vec<_>>();
    // as many as the disk still takes, then one that it does not
    let mut chunks = 0;
    let (first, frame) = loop {
        let start = chunks * (CHUNK - 1);
        let first = (chunks * CHUNK) as u64;
        chunks += 1;
        let frame = raw::data(first, &lines(start..start + CHUNK - 1));
        raw::say(&peer, &frame);
        match raw::next(&peer) {
            raw::Answer::Ack { have } => assert_eq!(have, first + CHUNK as u64),
            raw::Answer::Other(raw::LATER) => break (first, frame),
            other => panic!("{other:?}"),
        }
    };
    fs::remove_file(ballast).expect("ballast");
    // the engine may say so once more, and for a second nothing is tried
    let (began, mut hello, mut have) = (Instant::now(), 2, first);
    let again = |hello: u32, have: u64| {
        assert_eq!(raw::greet(&peer, hello, raw::session(0)), have);
        raw::say(&peer, &frame);
    };
    again(hello, have);
    while have < first + CHUNK as u64 {
        match raw::next(&peer) {
            raw::Answer::Ack { have: now } => have = now,
            raw::Answer::Other(raw::LATER) => {
                assert!(began.elapsed() < SOON, "the disk is full for ever");
                hello += 1;
                again(hello, have);
            }
            other => panic!("{other:?}"),
        }
    }
    let counters = receiver.wait_stats("imrzmq", "in", "a failed chunk", |stats| {
        stats["failed"] > 0 && stats["submitted"] as usize == chunks * (CHUNK - 1)
    });
    assert_eq!(counters["discarded_empty"] as usize, chunks);
    end(&mut [&mut receiver]);
}

/// Best-effort lines that come in front of an acknowledged frame are submitted without it: what the queue
/// answers to them is said, and counted, of them alone.
#[test]
fn error_about_best_effort_lines_is_none_about_the_frame_behind_them() {
    const FRAME: usize = 3;
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let Some(disk) = Small::mount("best effort before a frame", 256) else { return };
    let mut receiver = queue_in(site, disk.path(), &endpoint, "").start();
    let peer = Peer::new(zmq::DEALER).connected_to(&endpoint);
    assert_eq!(raw::greet(&peer, 1, raw::session(0)), 0);
    disk.fill();
    let text = |number| syslog_line(&format!("{} {}", numbered(number), "x".repeat(500)));
    let answers = |count: usize| format!("to a batch of {count} lines; it may not");
    // of the frame a single line is tried, a second after the best-effort ones
    let is_told = |receiver: &Rsyslogd| {
        receiver.logged(&[&answers(2)])
            && receiver.logged(&[&answers(1), "they are not acknowledged and come again"])
    };
    let mut have = 0;
    for hello in 2.. {
        assert!(hello < 50, "the queue takes all, or says nothing: {}", receiver.log());
        // what arrives while it stands still is read at once
        receiver.signal("STOP");
        for number in 0..2 {
            raw::say(&peer, text(number).as_bytes());
        }
        raw::say(&peer, &raw::data(have, &(2..2 + FRAME).map(text).collect::<Vec<_>>()));
        receiver.signal("CONT");
        match raw::next(&peer) {
            raw::Answer::Ack { have: now } => have = now,
            raw::Answer::Other(raw::LATER) if is_told(&receiver) => break,
            raw::Answer::Other(raw::LATER) => {
                assert_eq!(raw::greet(&peer, hello, raw::session(0)), have);
            }
            other => panic!("{other:?}"),
        }
    }
    let own = receiver.wait_log(&[&answers(2)], SOON);
    assert!(!own.contains("not acknowledged"), "{own}");
    assert!(!receiver.logged(&[&answers(2 + FRAME)]), "{}", receiver.log());
    receiver.wait_stats("imrzmq", "in", "both", |stats| stats["failed"] >= 3);
    add_up(&mut [&mut receiver]);
    receiver.kill9();
}

/// The spool cannot be written when the stop wants to: the lines go back to the engine. When there is
/// room again before rsyslogd has ended, they go into the spool after all, and arrive once.
#[test]
fn spool_on_a_full_disk_takes_the_lines_once_there_is_room() {
    let endpoint = free_endpoint();
    let Some(disk) = Small::mount("spool on a full disk", 1024) else { return };
    let work = disk.path().display().to_string();
    let more = "linger=\"0\" action.resumeInterval=\"1\" queue.type=\"LinkedList\" \
                queue.timeoutShutdown=\"10000\"";
    let site = sender(&endpoint, more)
        .without_work_directory()
        .global(&format!("workDirectory=\"{work}\""));
    let mut sender = site.start();
    sender.feed(0..100);
    sender.wait_stats("omrzmq", "out", "a commit that waits", |stats| stats["waiting"] == 1);
    let ballast = disk.fill();
    sender.terminate();
    sender.wait_log(&["omrzmq[out]", "cannot be kept for the next start"], SOON);
    fs::remove_file(ballast).expect("ballast");
    sender.wait_end().clean();
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let mut sender = site.start();
    Oracle::judge(0..100, &receiver.wait_lines("out.log", 100, SOON)).once();
    end(&mut [&mut sender, &mut receiver]);
}

/// What is settled of the spool cannot be noted: the spool is sent to its end all the same, new lines go on
/// behind it, and when nothing was ever noted, the next start sends it again under the same numbers.
#[test]
fn spool_whose_header_cannot_be_written_is_sent_to_its_end() {
    let endpoint = free_endpoint();
    let total = 1_000;
    let sending = sender(&endpoint, "linger=\"0\"").with(
        "main_queue(queue.workerThreads=\"1\" queue.dequeueBatchSize=\"4\" \
         queue.timeoutShutdown=\"10000\")",
    );
    let mut sender = sending.start();
    sender.feed(0..total);
    sender.wait_stats("core.queue", "main Q", "all lines in the queue", |stats| {
        stats["enqueued"] as usize >= total
    });
    sender.stop().clean();
    let mut sender = sending.start();
    sender.wait_stats("omrzmq", "out", "the spool", |stats| stats["in_spool"] as usize == total);
    fail_writes(&sender);
    let mut receiver = receiver(&endpoint, DIRECT).start();
    receiver.wait_lines("out.log", total, SOON);
    sender.feed(total..total + 100);
    receiver.wait_lines("out.log", total + 100, SOON);
    sender.kill9();
    let mut sender = sending.start();
    sender.wait_stats("omrzmq", "out", "an empty spool", |stats| {
        stats["in_spool"] == 0 && stats["resumed"] as usize == total
    });
    end(&mut [&mut sender, &mut receiver]);
    Oracle::judge(0..total + 100, &receiver.lines("out.log")).once();
    assert!(sending.spools().is_empty(), "spools are left: {:?}", sending.spools());
}

/// The spool cannot take what is in flight at the stop: it stays in flight, and the receiver, which stood
/// still, acknowledges it before rsyslogd has ended.
#[test]
fn batch_in_flight_that_the_spool_cannot_take_arrives_once() {
    let endpoint = free_endpoint();
    let Some(disk) = Small::mount("batch in flight on a full disk", 1024) else { return };
    let work = disk.path().display().to_string();
    let more = "linger=\"0\" action.resumeInterval=\"1\" queue.type=\"LinkedList\" \
                queue.timeoutShutdown=\"10000\" queue.timeoutActionCompletion=\"10000\"";
    let sending = sender(&endpoint, more)
        .without_work_directory()
        .global(&format!("workDirectory=\"{work}\""));
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let mut sender = sending.start();
    sender.feed(0..100);
    receiver.wait_lines("out.log", 100, SOON);
    receiver.signal("STOP");
    // The smallest record finds no room behind the spool's header, in the page that it has.
    let long = |number| format!("{} {}", numbered(number), "x".repeat(5_000));
    sender.feeder().texts((100..200).map(long));
    sender.wait_stats("omrzmq", "out", "a commit that waits", |stats| stats["waiting"] == 1);
    let ballast = disk.fill();
    sender.terminate();
    sender.wait_log(&["omrzmq[out]", "cannot be kept for the next start"], SOON);
    receiver.signal("CONT");
    sender.wait_end().clean();
    fs::remove_file(ballast).expect("ballast");
    let mut sender = sending.start();
    receiver.wait_lines("out.log", 200, SOON);
    sender.feed(200..300);
    wait_for_all(&mut receiver, 300);
    end(&mut [&mut sender, &mut receiver]);
    let lines = receiver.lines("out.log");
    Oracle::judge(0..300, &lines).nothing_doubled();
}

/// The spool is torn and the disk is full: what is whole is sent, and no start leaves a file behind.
#[test]
fn torn_spool_on_a_full_disk_is_sent_as_far_as_it_is_whole() {
    let endpoint = free_endpoint();
    let Some(disk) = Small::mount("torn spool on a full disk", 1024) else { return };
    let work = disk.path().display().to_string();
    let sending = sender(&endpoint, "linger=\"0\"")
        .without_work_directory()
        .global(&format!("workDirectory=\"{work}\""));
    let mut sender = sending.start();
    sender.feed(0..100);
    sender.wait_stats("omrzmq", "out", "a commit that waits", |stats| stats["waiting"] == 1);
    sender.stop().clean();
    let spool = disk.path().join("omrzmq-out.spool");
    File::options().append(true).open(&spool).expect("spool").write_all(b"torn").expect("tail");
    let ballast = disk.fill();
    let files = || fs::read_dir(disk.path()).expect("folder").count();
    let before = files();
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let mut sender = sending.start();
    sender.wait_log(&["omrzmq[out]", "damaged at its end", "cannot be kept elsewhere"], SOON);
    sender.feed(100..200);
    let lines = receiver.wait_lines("out.log", 200, SOON);
    Oracle::judge(0..200, &lines).once_in_order();
    sender.stop().clean();
    assert_eq!(files(), before, "no half copy is left");
    fs::remove_file(ballast).expect("ballast");
    let mut sender = sending.start();
    end(&mut [&mut sender, &mut receiver]);
    assert!(!spool.exists(), "there is room for its damaged end elsewhere");
}

/// Somebody else's file has the name of the spool, and the disk is full: there is no spool yet, and still it is told
/// where that file is kept.
#[test]
fn file_that_is_set_aside_is_named_on_a_full_disk_too() {
    let endpoint = free_endpoint();
    let Some(disk) = Small::mount("a foreign spool on a full disk", 1024) else { return };
    let work = disk.path().display().to_string();
    let sending = sender(&endpoint, "linger=\"0\"")
        .without_work_directory()
        .global(&format!("workDirectory=\"{work}\""));
    let text = "somebody else's";
    fs::write(disk.path().join("omrzmq-out.spool"), text).expect("a file");
    let ballast = disk.fill();
    let mut sender = sending.start();
    let kept = "omrzmq-out.spool.foreign-";
    sender.wait_log(&["omrzmq[out]", "no spool", "cannot be written", "it is kept as", kept], SOON);
    fs::remove_file(ballast).expect("ballast");
    sender.stop().clean();
    let files = fs::read_dir(disk.path()).expect("folder").map(|file| file.expect("file").path());
    let kept: Vec<_> = files.filter(|path| path.to_string_lossy().contains(kept)).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(fs::read_to_string(&kept[0]).expect("kept"), text);
}
