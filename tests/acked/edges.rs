//! Limits and wishes: lines too long for the receiver, marks that are gone, an engine that gives up.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Instant;

use harness::feed::syslog_line;
use harness::oracle::{number_of, numbered};
use harness::ports::free_endpoint;
use harness::sums::end;
use harness::{Dice, Keys, Oracle, Peer, Proxy, SOON, Site, millis, secs};

use crate::raw::Said;
use crate::{
    DIRECT, Figures, ONE_WORKER, Progress, curve_receiver_with, curve_sender, cut_torn_line,
    feed_meanwhile, input, raw, receiver, receiving, sender, wait_for_all,
};

/// The receiver takes frames of 64 KiB: longer lines are refused by number, the rest goes on, and the
/// first frames, made before its limits were known, are made anew.
#[test]
fn lines_too_long_for_the_receiver_are_refused_and_the_rest_goes_on() {
    let endpoint = free_endpoint();
    let site = receiving(DIRECT)
        .global("maxMessageSize=\"256k\"")
        .with("module(load=\"imrzmq\")")
        .with(&input(&endpoint, "maxmsgsize=\"65536\""));
    let sending = Site::new().global("maxMessageSize=\"256k\"");
    let refused = sending.path("refused.log");
    let action = crate::action(&endpoint, &format!("refusedfile=\"{}\"", refused.display()));
    let mut sender = sending.with(ONE_WORKER).sending("", &action).start();
    // Fed while nobody is there, so that they are packed before the receiver is known.
    let texts: Vec<_> = (0..3_000)
        .map(|number| match number % 100 {
            50 => format!("{} {}", numbered(number), "x".repeat(100_000)),
            _ => format!("{} {}", numbered(number), "y".repeat(200)),
        })
        .collect();
    sender.feeder().texts(&texts);
    let mut receiver = site.start();
    let lines = receiver.wait_lines("out.log", 2_970, secs(20));
    let short: Vec<_> = (0..3_000).filter(|number| number % 100 != 50).collect();
    let seen: Vec<_> = lines.iter().filter_map(|line| harness::oracle::number_of(line)).collect();
    assert!(seen == short, "{} short lines once and in order, {} came", short.len(), seen.len());
    sender.wait_stats("omrzmq", "out", "30 lines refused", |stats| stats["refused"] == 30);
    let kept = fs::read_to_string(&refused).expect("refused lines");
    assert_eq!(kept.matches("xxxxx\n").count(), 30, "each refused line is in the file");
    end(&mut [&mut sender, &mut receiver]);
}

/// What a receiver that is away now took at most says nothing of the next one. Nobody reads the pipe that the
/// refused lines go to, and rsyslogd stops all the same.
#[test]
fn a_long_line_is_refused_by_the_present_receiver_alone_and_a_pipe_holds_nobody_up() {
    let endpoint = free_endpoint();
    let site = |limit: &str| {
        receiving(DIRECT)
            .global("maxMessageSize=\"256k\"")
            .with("module(load=\"imrzmq\")")
            .with(&input(&endpoint, limit))
    };
    let sending = Site::new().global("maxMessageSize=\"256k\"");
    let refused = sending.path("refused.pipe");
    let made = Command::new("mkfifo").arg(&refused).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    let action = crate::action(&endpoint, &format!("refusedfile=\"{}\"", refused.display()));
    let mut sender = sending.with(ONE_WORKER).sending("", &action).start();
    let long = |number| format!("{} {}", numbered(number), "x".repeat(100_000));
    let narrow = site("maxmsgsize=\"65536\"");
    let mut receiver = narrow.start();
    sender.feeder().texts([numbered(0), long(1), numbered(2)]);
    let lines = receiver.wait_lines("out.log", 2, SOON);
    assert_eq!(lines.iter().filter_map(|line| number_of(line)).collect::<Vec<_>>(), [0, 2]);
    sender.wait_log(&["omrzmq[out]", "refusedfile", "cannot be written"], SOON);
    receiver.stop().clean();
    sender.feeder().texts([numbered(3), long(4), numbered(5)]);
    sender.wait_stats("omrzmq", "out", "lines that wait", |stats| stats["waiting"] == 1);
    let wide = site("maxmsgsize=\"1m\"");
    let mut receiver = wide.start();
    let lines = receiver.wait_lines("out.log", 3, SOON);
    assert_eq!(lines.iter().filter_map(|line| number_of(line)).collect::<Vec<_>>(), [3, 4, 5]);
    receiver.stop().clean();
    // nor of one that is there again before the next line comes
    let mut receiver = narrow.start();
    sender.feed(6..7);
    receiver.wait_lines("out.log", 3, SOON);
    receiver.stop().clean();
    let mut receiver = wide.start();
    sender.wait_stats("omrzmq", "out", "a new connection", |stats| stats["connections"] == 1);
    sender.feeder().texts([long(7)]);
    receiver.wait_lines("out.log", 4, SOON);
    receiver.stop().clean();
    // once it is known, a long line here and there holds up none
    let mut receiver = narrow.start();
    sender.feed(8..9);
    receiver.wait_lines("out.log", 4, SOON);
    let strewn =
        (9..209).map(|number| if number % 10 == 0 { long(number) } else { numbered(number) });
    sender.feeder().texts(strewn);
    let lines = receiver.wait_lines("out.log", 184, SOON);
    let short: Vec<_> =
        [0, 2, 6, 8].into_iter().chain((9..209).filter(|it| it % 10 != 0)).collect();
    assert_eq!(lines.iter().filter_map(|line| number_of(line)).collect::<Vec<_>>(), short);
    let counters = sender.wait_stats("omrzmq", "out", "all settled", |stats| stats["sent"] == 209);
    assert_eq!((counters["refused"], counters["wait_busy_ms"] / 5_000), (21, 0), "{counters:?}");
    sender.stop().clean().within(secs(2));
    receiver.stop().clean();
}

/// Frames are filled to the receiver's limit, and lines have every length about it: with CURVE, what
/// travels is longer than both.
#[test]
fn frames_at_the_limit_pass_with_curve() {
    let endpoint = free_endpoint();
    let (server, client) = (Keys::new("server"), Keys::new("client"));
    let limit = "maxmsgsize=\"65536\"";
    let site = curve_receiver_with(&endpoint, DIRECT, &server, &[&client], limit);
    let mut receiver = site.global("maxMessageSize=\"256k\"").start();
    let sending = curve_sender(&endpoint, "", &client, &server).with(ONE_WORKER);
    let mut sender = sending.global("maxMessageSize=\"256k\"").start();
    let mut dice = Dice(1);
    let packed = (0..20_000).map(|number| (number, 100 + dice.roll(150)));
    // What stands before the text is shorter than the longer part of these.
    let long = (0..200).map(|more| (20_000 + more, 65_301 + more));
    let text = |(number, length)| format!("{:x<length$}", format!("{} ", numbered(number)));
    let texts: Vec<_> = packed.chain(long).map(text).collect();
    sender.feeder().texts(&texts);
    let counters =
        sender.wait_stats("omrzmq", "out", "all settled", |stats| stats["sent"] == 20_200);
    assert!((1..200).contains(&counters["refused"]), "lines on both sides: {counters:?}");
    let taken = 20_200 - counters["refused"] as usize;
    let lines = receiver.wait_lines("out.log", taken, secs(20));
    Oracle::judge(0..taken, &lines).once_in_order();
    assert_eq!(counters["resent"], 0, "no connection was cut");
    end(&mut [&mut sender, &mut receiver]);
}

/// A killed receiver that has also lost its marks: what it had acknowledged does not come again, for
/// the sender knows; what was in doubt may.
#[test]
fn receiver_that_lost_its_marks_loses_no_line() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let total = 20_000;
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sender(&endpoint, "").with(ONE_WORKER).start();
    let feeding = feed_meanwhile(&sender, 0..total);
    let mut progress = Progress::of(&site);
    let marks = site.path("work/imrzmq-in.marks");
    for part in [1, 2] {
        progress.reaches(total * part / 4, SOON);
        // The first may have come so far that the second, just started, has not made them yet.
        harness::wait_until("marks", SOON, || marks.exists().then_some(()));
        receiver.kill9();
        cut_torn_line(&site);
        fs::remove_file(&marks).expect("marks");
        receiver = site.start();
    }
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let lines = receiver.lines("out.log");
    // What is not acknowledged is a window at the most; here a batch of the main queue.
    Figures::of("marks lost, twice", since, total, &lines).once_by_id(2 * 4_096);
}

/// The engine was asked to give up after a time: the lines that it offers again while they are in
/// flight are recognised.
#[test]
fn lines_offered_again_after_suspended_are_not_sent_twice() {
    let endpoint = free_endpoint();
    let proxy = Proxy::before(&endpoint);
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let action = format!(
        "name=\"out\" endpoints=\"{}\" socktype=\"DEALER\" delivery=\"acked\" sendtimeout=\"200\" \
         action.resumeRetryCount=\"1000\" action.resumeInterval=\"1\"",
        proxy.endpoint()
    );
    let mut sender = Site::sender("", &action).with(ONE_WORKER).start();
    sender.feed(0..10);
    receiver.wait_lines("out.log", 10, SOON);
    proxy.stall();
    sender.feed(10..60);
    // Equal lines are as many lines as there are.
    sender.feeder().texts(["twin", "twin", "twin"]);
    sender.wait_stats("omrzmq", "out", "suspended", |stats| stats["suspended"] >= 1);
    proxy.come_back();
    sender.feed(60..100);
    let lines = receiver.wait_lines("out.log", 103, secs(20));
    let (twins, numbers): (Vec<String>, Vec<String>) =
        lines.into_iter().partition(|line| line.ends_with("twin"));
    assert_eq!(twins.len(), 3, "{twins:?}");
    Oracle::judge(0..100, &numbers).once();
    end(&mut [&mut sender, &mut receiver]);
}

/// A batch is settled while the engine has it and will offer it again, and then its session is lost: it is
/// over, and lines that come later go on in another one.
#[test]
fn batch_that_was_settled_before_it_is_offered_again_is_over_though_its_session_is_lost() {
    let peer = Peer::new(zmq::ROUTER);
    let endpoint = peer.bind_free();
    let action = format!(
        "name=\"out\" endpoints=\"{endpoint}\" socktype=\"DEALER\" delivery=\"acked\" sendtimeout=\"200\" \
         action.resumeRetryCount=\"1000\" action.resumeInterval=\"1\""
    );
    let mut sender = Site::sender("", &action).with(ONE_WORKER).start();
    sender.feed(0..3);
    let mut taken = BTreeMap::new();
    let (mut hello, mut session, mut lost) = (0, raw::session(0), false);
    let began = Instant::now();
    while taken.len() < 3 + 10 {
        assert!(began.elapsed() < secs(30), "{} lines: {}", taken.len(), sender.log());
        let suspended = sender.stats().value("omrzmq", "out", "suspended");
        if !lost && !taken.is_empty() && suspended > Some(0) {
            // all of it is settled, and nothing else is in the session that ends here
            for answer in [raw::ack(taken.len() as u64, hello), raw::error(raw::CONTENT, hello)] {
                assert!(peer.send(&[&id_of(&taken), &answer], SOON), "the sender is gone");
            }
            sender.wait_log(&["omrzmq[out]", "is lost (Content)"], SOON);
            lost = true;
            sender.feed(3..13);
        }
        let Some(frames) = peer.receive(millis(50)) else { continue };
        let [id, frame] = &frames[..] else { panic!("{frames:?}") };
        match raw::said(frame) {
            Said::Hello { number, session: of } => {
                (hello, session) = (number, of);
                let welcome = raw::welcome_of(frame).expect("a hello");
                assert!(peer.send(&[id, &welcome], SOON), "the sender is gone");
            }
            Said::Data { first, lines } => {
                let have = first + lines.len() as u64;
                let numbers = (first..).map(|number| (session, number));
                taken.extend(numbers.zip(lines.into_iter().map(|line| (id.clone(), line))));
                // the first batch waits until the engine is told so
                if lost {
                    assert!(peer.send(&[id, &raw::ack(have, hello)], SOON), "the sender is gone");
                }
            }
        }
    }
    let lines: Vec<_> = taken.values().map(|(_, line)| line).collect();
    Oracle::judge(0..13, &lines).once();
    sender.wait_stats("omrzmq", "out", "all settled", |stats| stats["sent"] == 13);
    sender.stop().clean();
}

/// The routing id of who sent these.
fn id_of(taken: &BTreeMap<(raw::Session, u64), (Vec<u8>, String)>) -> Vec<u8> {
    taken.values().next().map(|(id, _)| id.clone()).expect("a line")
}

/// One file of marks has one input.
#[test]
fn two_inputs_of_one_name_are_told_of() {
    let endpoints = [free_endpoint(), free_endpoint()];
    let site = receiving(DIRECT)
        .with("module(load=\"imrzmq\")")
        .with(&input(&endpoints[0], ""))
        .with(&input(&endpoints[1], ""));
    let check = site.check();
    if !check.status.success() {
        check.refuses(&["imrzmq", "in"]);
        return;
    }
    let mut receiver = site.start();
    receiver.wait_log(&["imrzmq[in]", "imrzmq-in.marks", "locked"], SOON);
    receiver.end().clean();
}

/// A receiver that serves other frames of its socket in turn: a window of large frames of one sender
/// does not hold up another's single lines.
#[test]
fn busy_sender_does_not_starve_another_on_the_same_socket() {
    let endpoint = free_endpoint();
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let mut busy = sender(&endpoint, "").start();
    let mut other = sender(&endpoint, "").start();
    let feeding = feed_meanwhile(&busy, 1_000..60_000);
    let path = receiver.path("out.log");
    let mut slowest = secs(0);
    for number in 0..20 {
        let text = numbered(number);
        let began = Instant::now();
        other.feeder().bytes(format!("{}\n", syslog_line(&text)).as_bytes());
        receiver.wait("the other's line", SOON, |_| {
            let bytes = fs::read(&path).unwrap_or_default();
            let tail = &bytes[bytes.len().saturating_sub(4 << 20)..];
            String::from_utf8_lossy(tail).contains(&text).then_some(())
        });
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < secs(2), "a single line took {slowest:?} beside a busy sender");
    feeding.join().expect("fed");
    let total = 59_000 + 20;
    receiver.wait_lines("out.log", total, secs(60));
    end(&mut [&mut busy, &mut other]);
    receiver.end().clean();
}

/// Who hands over more than it may waits, and loses nothing.
#[test]
fn sender_over_its_rate_waits() {
    let endpoint = free_endpoint();
    let more = "ratelimit.perpeer.interval=\"1\" ratelimit.perpeer.burst=\"100\"";
    let site = receiving(DIRECT).global("processInternalMessages=\"on\"");
    let internal = site.path("internal.log").display().to_string();
    let site = site
        .with(&format!("action(type=\"omfile\" file=\"{internal}\")"))
        .with("module(load=\"imrzmq\")")
        .with(&input(&endpoint, more));
    let mut receiver = site.start();
    let mut sender = sender(&endpoint, "").with(ONE_WORKER).start();
    sender.feed(0..450);
    let lines = receiver.wait_lines("out.log", 450, SOON);
    Oracle::judge(0..450, &lines).once_in_order();
    let counters = receiver.wait_stats("imrzmq", "in", "told to wait", |stats| {
        stats["delayed_ratelimit"] >= 1 && stats["submitted"] == 450
    });
    assert_eq!(counters["discarded_ratelimit"], 0);
    sender.wait_log(&["omrzmq[out]", "the receiver takes nothing now: Rate"], SOON);
    let told = "imrzmq[in]: 127.0.0.1 has more lines than ratelimit.perpeer lets through";
    harness::wait_until("a line about it", SOON, || {
        site.lines("internal.log").iter().any(|line| line.contains(told)).then_some(())
    });
    end(&mut [&mut sender, &mut receiver]);
}

#[test]
fn sessions_of_one_key_are_limited_and_others_get_theirs() {
    let endpoint = free_endpoint();
    let (server, good, greedy) = (Keys::new("server"), Keys::new("good"), Keys::new("greedy"));
    let few = "maxsessionsperkey=\"3\"";
    let site = curve_receiver_with(&endpoint, DIRECT, &server, &[&good, &greedy], few);
    let mut receiver = site.start();
    let peer = Peer::new(zmq::DEALER).curve_client(&greedy, &server).connected_to(&endpoint);
    for number in 0..3 {
        assert_eq!(raw::greet(&peer, number as u32 + 1, raw::session(number)), 0);
    }
    raw::refused(&peer, &raw::hello(4, raw::session(4)), raw::SESSIONS);
    receiver.wait_log(&["imrzmq[in]", "greedy", "gets no session", "maxsessionsperkey"], SOON);
    receiver.wait_stats("imrzmq", "in", "refused", |stats| stats["sessions_refused"] == 1);
    let mut sender = curve_sender(&endpoint, "", &good, &server).start();
    sender.feed(0..10);
    Oracle::judge(0..10, &receiver.wait_lines("out.log", 10, SOON)).once_in_order();
    end(&mut [&mut sender, &mut receiver]);
}

/// With a main queue of type Direct, rsyslogd's own messages are committed by its main thread, which
/// must not wait: without a peer they go into the spool, and the keeper sends them. Peers that come and
/// go meanwhile leave nothing there.
#[test]
fn messages_of_the_main_thread_go_by_the_spool_and_none_stays_there() {
    let endpoint = free_endpoint();
    let proxy = Proxy::before(&endpoint);
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let own = "processInternalMessages=\"on\"";
    let site = Site::new().global(own).with("main_queue(queue.type=\"Direct\")");
    let site = site.file("own.log", "%msg%\\n");
    let mut sender = site.sending("", &crate::action(&proxy.endpoint(), "linger=\"0\"")).start();
    let hups = |lines: &[String]| lines.iter().filter(|line| line.contains("HUPed")).count();
    for round in 1..=20 {
        match round % 4 {
            1 => proxy.go_away(),
            3 => proxy.come_back(),
            _ => {}
        }
        sender.hup();
        sender.wait("the message about a HUP", SOON, |sender| {
            (hups(&sender.lines("own.log")) == round).then_some(())
        });
    }
    proxy.come_back();
    receiver.wait("all messages about HUPs", SOON, |receiver| {
        (hups(&receiver.lines("out.log")) >= 20).then_some(())
    });
    let counters = sender.wait_stats("omrzmq", "out", "an empty spool", |stats| {
        stats["in_spool"] == 0 && stats["waiting"] == 0
    });
    assert!(counters["spooled"] > 0, "some went by the spool: {counters:?}");
    sender.feed(0..100);
    receiver.wait("the lines that follow", SOON, |receiver| {
        Oracle::judge(0..100, &receiver.lines("out.log")).lost.is_empty().then_some(())
    });
    let lines = receiver.lines("out.log");
    assert_eq!(hups(&lines), 20, "each once");
    let fed: Vec<_> = lines.iter().filter(|line| number_of(line).is_some()).collect();
    Oracle::judge(0..100, &fed).once_in_order();
    end(&mut [&mut sender, &mut receiver]);
}

/// The same without a spool: the line is rsyslog's again, which asks whether the peer takes lines.
/// When it does, that is the answer.
#[test]
fn main_thread_without_a_spool_goes_on_when_the_peer_is_back() {
    let endpoint = free_endpoint();
    let proxy = Proxy::before(&endpoint);
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let own = "processInternalMessages=\"on\"";
    let site = Site::new().global(own).with("main_queue(queue.type=\"Direct\")");
    let action = crate::action(&proxy.endpoint(), "linger=\"100\" action.resumeInterval=\"1\"");
    let mut sender = site.without_work_directory().sending("", &action).start();
    let mut messages = |count| {
        receiver.wait("the messages about HUPs", SOON, |receiver| {
            let lines = receiver.lines("out.log");
            (lines.iter().filter(|line| line.contains("HUPed")).count() == count).then_some(())
        });
    };
    sender.hup();
    messages(1);
    proxy.go_away();
    sender.hup();
    sender.wait_log(&["omrzmq[out]", "rsyslogd's main thread cannot wait"], SOON);
    proxy.come_back();
    messages(2);
    sender.hup();
    messages(3);
    end(&mut [&mut sender, &mut receiver]);
}

/// The engine was asked to give up, and the main thread's lines went into the spool: its session is
/// finished there, and what it says later goes on in another one.
#[test]
fn main_thread_goes_on_after_its_lines_went_by_the_spool_though_the_engine_may_give_up() {
    let endpoint = free_endpoint();
    let proxy = Proxy::before(&endpoint);
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let site = Site::new()
        .global("processInternalMessages=\"on\"")
        .with("main_queue(queue.type=\"Direct\")");
    let action = format!(
        "name=\"out\" endpoints=\"{}\" socktype=\"DEALER\" delivery=\"acked\" \
         sendtimeout=\"5000\" action.resumeRetryCount=\"0\"",
        proxy.endpoint()
    );
    let mut sender = site.sending("", &action).start();
    let hups = |lines: &[String]| lines.iter().filter(|line| line.contains("HUPed")).count();
    let arrive = |receiver: &mut harness::Rsyslogd, count| {
        receiver.wait("the messages about HUPs", SOON, |receiver| {
            (hups(&receiver.lines("out.log")) == count).then_some(())
        });
    };
    sender.hup();
    arrive(&mut receiver, 1);
    proxy.stall();
    sender.hup();
    sender.wait_stats("omrzmq", "out", "a line in the spool", |stats| stats["in_spool"] > 0);
    proxy.come_back();
    arrive(&mut receiver, 2);
    sender.wait_stats("omrzmq", "out", "an empty spool", |stats| stats["in_spool"] == 0);
    let began = Instant::now();
    sender.hup();
    arrive(&mut receiver, 3);
    assert!(began.elapsed() < secs(3), "the main thread waited for {:?}", began.elapsed());
    end(&mut [&mut sender, &mut receiver]);
}

/// A key that the receiver does not let in is a reason of its own to wait, until it is let in.
#[test]
fn wait_for_a_receiver_that_refuses_the_key_is_counted_as_such() {
    let endpoint = free_endpoint();
    let (own, server, other) = (Keys::new("own"), Keys::new("server"), Keys::new("other"));
    let mut receiver = curve_receiver_with(&endpoint, DIRECT, &server, &[&other], "").start();
    let mut sender = curve_sender(&endpoint, "linger=\"0\"", &own, &server).start();
    sender.feed(0..10);
    let counters = sender.wait_stats("omrzmq", "out", "a wait for its key", |stats| {
        stats["wait_refused_ms"] >= 1_000
    });
    assert!(counters["handshakes_refused"] > 0, "{counters:?}");
    own.write_public(&receiver.path("allowed"));
    let lines = receiver.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once();
    end(&mut [&mut sender, &mut receiver]);
}

/// So it is where impstats sets what it counted to 0 with each report: no refusal has to be new for that.
#[test]
fn wait_for_a_receiver_that_refuses_the_key_is_counted_as_such_though_counters_are_reset() {
    let endpoint = free_endpoint();
    let (own, server, other) = (Keys::new("own"), Keys::new("server"), Keys::new("other"));
    let _receiver = curve_receiver_with(&endpoint, DIRECT, &server, &[&other], "").start();
    let site = curve_sender(&endpoint, "linger=\"0\"", &own, &server).resetting_counters();
    let mut sender = site.start();
    sender.feed(0..10);
    let reports = sender.wait("a wait for its key, in four reports", secs(20), |sender| {
        let reports = sender.stats().history("omrzmq", "out").to_vec();
        let begun = reports.iter().position(|report| report["wait_refused_ms"] > 0)?;
        Some(reports[begun + 1..].to_vec()).filter(|reports| reports.len() >= 4)
    });
    for report in &reports {
        assert!(report["wait_refused_ms"] > 0, "{report:?}");
        assert_eq!(report["wait_absent_ms"], 0, "{report:?}");
    }
    sender.stop().clean();
}

/// A sender whose action may give up.
fn giving_up(endpoint: &str, more: &str) -> Site {
    let action = format!(
        "name=\"out\" endpoints=\"{endpoint}\" socktype=\"DEALER\" delivery=\"acked\" {more}"
    );
    Site::sender("", &action)
}

/// A suspended action is asked seldom, and over a long way the answer to its hello comes after it was
/// asked: it counts when it is asked the next time.
#[test]
fn suspended_action_is_ready_by_an_answer_that_came_long_before_it_is_asked() {
    let peer = Peer::new(zmq::ROUTER);
    let more = "sendtimeout=\"200\" action.resumeRetryCount=\"1000\" action.resumeInterval=\"9\"";
    let mut sender = giving_up(&peer.bind_free(), more).with(ONE_WORKER).start();
    sender.feed(0..10);
    let (mut taken, mut hello, mut way) = (Vec::new(), 0, BTreeMap::new());
    let began = Instant::now();
    while taken.len() < 10 {
        assert!(began.elapsed() < secs(60), "{} lines: {}", taken.len(), sender.log());
        // a second there and back
        while let Some(entry) = way.first_entry().filter(|entry| *entry.key() <= Instant::now()) {
            let (id, answer): (Vec<u8>, Vec<u8>) = entry.remove();
            assert!(peer.send(&[&id, &answer], SOON), "the sender is gone");
        }
        let Some(frames) = peer.receive(millis(20)) else { continue };
        let [id, frame] = <[Vec<u8>; 2]>::try_from(frames).expect("id and frame");
        let answer = match raw::said(&frame) {
            Said::Hello { number, .. } => {
                hello = number;
                raw::welcome_of(&frame).expect("a hello")
            }
            Said::Data { first, lines } => {
                taken.truncate(first as usize);
                taken.extend(lines);
                raw::ack(taken.len() as u64, hello)
            }
        };
        way.insert(Instant::now() + secs(1), (id, answer));
    }
    Oracle::judge(0..10, &taken).once_in_order();
    sender.stop().clean();
}

/// A receiver that answers hellos and settles nothing: what the engine has given up is with the module once,
/// and it takes nothing more before that is settled.
#[test]
fn lines_that_the_engine_gave_up_do_not_pile_up() {
    let peer = Peer::new(zmq::ROUTER);
    let more = "sendtimeout=\"2000\" action.resumeRetryCount=\"0\" action.resumeInterval=\"1\"";
    let mut sender = giving_up(&peer.bind_free(), more).with(ONE_WORKER).start();
    sender.feed(0..5);
    let (mut seen, mut hellos, mut hello, mut fed, mut way) =
        (BTreeMap::new(), 0, 0, 5, Vec::new());
    let began = Instant::now();
    // asked again every three seconds, as lines are in flight
    while hellos < 5 {
        assert!(began.elapsed() < secs(60), "{seen:?}: {}", sender.log());
        if !seen.is_empty() {
            sender.feed(fed..fed + 5);
            fed += 5;
        }
        let Some(frames) = peer.receive(millis(50)) else { continue };
        let [id, frame] = <[Vec<u8>; 2]>::try_from(frames).expect("id and frame");
        match raw::said(&frame) {
            Said::Hello { number, .. } => {
                (hello, hellos) = (number, hellos + 1);
                let welcome = raw::welcome_of(&frame).expect("a hello");
                assert!(peer.send(&[&id, &welcome], SOON), "the sender is gone");
            }
            Said::Data { first, lines } => seen.extend((first..).zip(lines)),
        }
        way = id;
    }
    // the five are one batch or two
    let first = seen.len();
    Oracle::judge(0..first, &seen.values().collect::<Vec<_>>()).once_in_order();
    assert!(first <= 5, "{seen:?}");
    // it is settled: lines that come now are taken
    while seen.len() == first {
        assert!(began.elapsed() < secs(90), "{seen:?}: {}", sender.log());
        assert!(peer.send(&[&way, &raw::ack(first as u64, hello)], SOON), "the sender is gone");
        sender.feed(fed..fed + 1);
        fed += 1;
        let Some(frames) = peer.receive(millis(50)) else { continue };
        match raw::said(&frames[1]) {
            Said::Hello { number, .. } => {
                hello = number;
                let welcome = raw::welcome_of(&frames[1]).expect("a hello");
                assert!(peer.send(&[&way, &welcome], SOON), "the sender is gone");
            }
            Said::Data { first, lines } => seen.extend((first..).zip(lines)),
        }
    }
    sender.stop().clean();
}

/// A stop while rsyslog has a batch back that is unsettled: it goes into the spool where the queue has the time,
/// and where it has not, rsyslogd neither spins nor fills its log.
#[test]
fn stop_of_a_suspended_action_keeps_its_lines() {
    for (queue, keeps) in [("queue.timeoutShutdown=\"10000\"", true), ("", false)] {
        let peer = Peer::new(zmq::ROUTER);
        let more = "sendtimeout=\"2000\" linger=\"500\" action.resumeRetryCount=\"1000\" \
                    action.resumeInterval=\"1\"";
        let endpoint = peer.bind_free();
        let queue = format!("main_queue(queue.workerThreads=\"1\" {queue})");
        let site = giving_up(&endpoint, more).with(&queue);
        let mut sender = site.start();
        sender.feed(0..50);
        let (began, mut came) = (Instant::now(), 0);
        while came == 0 || sender.stats().value("omrzmq", "out", "suspended") < Some(1) {
            assert!(began.elapsed() < secs(30), "{queue}: {}", sender.log());
            let Some(frames) = peer.receive(millis(50)) else { continue };
            match raw::said(&frames[1]) {
                Said::Hello { .. } => {
                    let welcome = raw::welcome_of(&frames[1]).expect("a hello");
                    assert!(peer.send(&[&frames[0], &welcome], SOON), "the sender is gone");
                }
                Said::Data { lines, .. } => came += lines.len(),
            }
        }
        sender.stop().clean().within(secs(8));
        assert!(sender.log().len() < 100_000, "{queue}: {} bytes in the log", sender.log().len());
        drop(peer);
        if !keeps {
            continue;
        }
        let mut receiver = receiver(&endpoint, DIRECT).start();
        let mut sender = site.start();
        sender.feed(50..60);
        receiver.wait("the last line", SOON, |receiver| {
            receiver.lines("out.log").iter().any(|line| number_of(line) == Some(59)).then_some(())
        });
        Oracle::judge(0..60, &receiver.lines("out.log")).once();
        end(&mut [&mut sender, &mut receiver]);
    }
}
