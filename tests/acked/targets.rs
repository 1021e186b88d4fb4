//! Several endpoints: fail-over when the first dies or is cut off, back to it, and balance.

use std::io::Write;
use std::time::{Duration, Instant};

use harness::ports::free_endpoint;
use harness::{Keys, Oracle, Peer, Proxy, Rsyslogd, SOON, Site, Small, millis, secs, sums};

use crate::disk::queue_in;
use crate::stalls::blocked;
use crate::{
    DIRECT, Progress, by_id, curve_receiver, doubled, input, raw, receiver, receiving, sender,
    sessions,
};

/// Within which delivery goes on elsewhere.
const FAILOVER: Duration = secs(5);

/// Within which the first is used again once it is back.
const BACK: Duration = secs(15);

struct Two {
    sites: [Site; 2],
    first: Rsyslogd,
    second: Rsyslogd,
}

impl Two {
    fn start(one: &str, two: &str) -> Self {
        let sites = [receiver(one, DIRECT), receiver(two, DIRECT)];
        let [first, second] = [sites[0].start(), sites[1].start()];
        Two { sites, first, second }
    }

    fn lines(&self) -> Vec<String> {
        let mut all = self.first.lines("out.log");
        all.extend(self.second.lines("out.log"));
        all
    }

    /// Everything arrived somewhere, and an archive of both has it once. The answer is how many lines
    /// both have: those of the frames in doubt at the switch.
    #[track_caller]
    fn judge(&self, total: usize) -> usize {
        let all = self.lines();
        Oracle::judge(0..total, &all).nothing_lost();
        Oracle::judge(0..total, &by_id(&all)).once();
        doubled(&Oracle::judge(0..total, &all))
    }

    /// Waits for a line more at one of them, fed one by one; the answer is the next number.
    fn goes_on_at(&self, at: usize, sender: &Rsyslogd, mut next: usize, within: Duration) -> usize {
        let mut progress = Progress::of(&self.sites[at]);
        let before = progress.count();
        let began = Instant::now();
        while progress.count() == before {
            assert!(began.elapsed() < within, "delivery does not go on within {within:?}");
            sender.feed(next..next + 1);
            next += 1;
        }
        let text = format!("delivery goes on after {:.1} s\n", began.elapsed().as_secs_f64());
        let _ = std::io::stderr().write_all(text.as_bytes());
        next
    }

    /// Feeds lines one by one until the log says that the first is spoken to again; then a line goes
    /// there. The answer is the next number.
    fn goes_back(&self, sender: &mut Rsyslogd, first: &str, mut next: usize) -> usize {
        let began = Instant::now();
        let back = format!("going on with >{first}");
        while !sender.logged(&["omrzmq[out]", &back]) {
            assert!(began.elapsed() < BACK, "not back at the first within {BACK:?}");
            sender.feed(next..next + 1);
            next += 1;
        }
        self.goes_on_at(0, sender, next, FAILOVER)
    }

    #[track_caller]
    fn end(&mut self, sender: &mut Rsyslogd) {
        sums::end(&mut [sender, &mut self.first, &mut self.second]);
    }

    fn wait_total(&self, total: usize) {
        harness::wait_until("all lines at either", SOON, || {
            let all = self.lines();
            Oracle::judge(0..total, &all).lost.is_empty().then_some(())
        });
    }
}

/// Killed first, then cut off, then back: acceptance 4.
#[test]
fn second_receiver_takes_over_when_the_first_dies_and_gives_back_when_it_returns() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let mut pair = Two::start(&one, &two);
    let mut sender = sender(&format!("{one},{two}"), "").start();
    sender.feed(0..2_000);
    pair.first.wait_lines("out.log", 2_000, SOON);
    assert!(pair.second.lines("out.log").is_empty(), "the first in order is used");
    pair.first.kill9();
    let next = pair.goes_on_at(1, &sender, 2_000, FAILOVER);
    sender.wait_log(&["omrzmq[out]", &one, "going on with", &two], SOON);
    pair.first = pair.sites[0].start();
    let next = pair.goes_back(&mut sender, &one, next);
    sender.feed(next..next + 500);
    pair.wait_total(next + 500);
    pair.judge(next + 500);
    pair.end(&mut sender);
}

/// Cut off without a word: heartbeats find it.
#[test]
fn second_receiver_takes_over_when_the_first_is_cut_off_and_gives_back_when_it_returns() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let proxy = Proxy::before(&one);
    let mut pair = Two::start(&one, &two);
    let mut sender = sender(&format!("{},{two}", proxy.endpoint()), "").start();
    sender.feed(0..2_000);
    pair.first.wait_lines("out.log", 2_000, SOON);
    proxy.stall();
    let next = pair.goes_on_at(1, &sender, 2_000, FAILOVER);
    sender.wait_log(&["omrzmq[out]", "going on with", &two], SOON);
    proxy.come_back();
    let next = pair.goes_back(&mut sender, &proxy.endpoint(), next);
    sender.feed(next..next + 500);
    pair.wait_total(next + 500);
    pair.judge(next + 500);
    pair.end(&mut sender);
}

/// Cut off under load: what was in doubt at the first may be at both, under one id.
#[test]
fn first_receiver_reset_under_load_loses_nothing_and_ids_drop_what_both_have() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let proxy = Proxy::before(&one);
    let mut pair = Two::start(&one, &two);
    let mut sender = sender(&format!("{},{two}", proxy.endpoint()), "").start();
    let total = 20_000;
    let feeding = crate::feed_meanwhile(&sender, 0..total);
    Progress::of(&pair.sites[0]).reaches(total / 8, SOON);
    proxy.go_away();
    feeding.join().expect("fed");
    pair.wait_total(total);
    let both = pair.judge(total);
    assert!(both <= 4_096, "{both} lines are at both receivers");
    pair.end(&mut sender);
}

#[test]
fn neither_receiver_there_at_the_start_nothing_is_lost() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let mut sender = sender(&format!("{one},{two}"), "").start();
    sender.feed(0..1_000);
    let mut pair = Two::start(&one, &two);
    pair.wait_total(1_000);
    Oracle::judge(0..1_000, &pair.lines()).once();
    pair.end(&mut sender);
}

#[test]
fn balance_uses_both_with_two_workers_and_one_takes_all_when_the_other_dies() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let mut pair = Two::start(&one, &two);
    let queue = "target.order=\"balance\" queue.type=\"LinkedList\" queue.size=\"100000\" \
                 queue.workerThreads=\"2\" queue.workerThreadMinimumMessages=\"100\" \
                 queue.timeoutShutdown=\"10000\"";
    let mut sender = sender(&format!("{one},{two}"), queue).start();
    sender.feed(0..20_000);
    pair.wait_total(20_000);
    let counts = [pair.first.lines("out.log").len(), pair.second.lines("out.log").len()];
    assert!(counts.iter().all(|count| *count > 0), "both are used: {counts:?}");
    assert_eq!(sessions(&pair.lines()).len(), 2, "a session a worker");
    Oracle::judge(0..20_000, &pair.lines()).once();
    pair.first.kill9();
    sender.feed(20_000..30_000);
    pair.wait_total(30_000);
    pair.judge(30_000);
    sums::end(&mut [&mut sender, &mut pair.second]);
}

/// A limited first receiver and a second one.
fn limited(one: &str, two: &str, limit: &str) -> Two {
    let first = receiving(DIRECT).with("module(load=\"imrzmq\")").with(&input(one, limit));
    let sites = [first, receiver(two, DIRECT)];
    let [first, second] = [sites[0].start(), sites[1].start()];
    Two { sites, first, second }
}

/// It asks to wait for longer than the patience with one that does not answer.
#[test]
fn receiver_that_takes_what_its_rate_allows_is_not_left() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let limit = "ratelimit.perpeer.interval=\"4\" ratelimit.perpeer.burst=\"400\"";
    let mut pair = limited(&one, &two, limit);
    let mut sender = sender(&format!("{one},{two}"), "").start();
    sender.feed(0..1_000);
    Oracle::judge(0..1_000, &pair.first.wait_lines("out.log", 1_000, secs(30))).once_in_order();
    pair.first.wait_stats("imrzmq", "in", "twice told to wait", |stats| {
        stats["delayed_ratelimit"] >= 2 && stats["submitted"] == 1_000
    });
    assert!(pair.second.lines("out.log").is_empty(), "nothing at the second");
    assert!(!sender.logged(&["going on with"]), "{}", sender.log());
    pair.end(&mut sender);
}

/// It answers, with an error and a pause of ten seconds: neither keeps the lines from the next.
#[test]
fn receiver_that_gives_no_session_is_left_and_its_pause_does_not_go_along() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let mut pair = limited(&one, &two, "maxsessions=\"1\"");
    let mut only = sender(&one, "").start();
    only.feed(0..10);
    pair.first.wait_lines("out.log", 10, SOON);
    let mut sender = sender(&format!("{one},{two}"), "").start();
    let began = Instant::now();
    sender.feed(10..1_000);
    sender
        .wait_log(&["omrzmq[out]", &one, "takes no lines (Sessions", "going on with", &two], SOON);
    pair.second.wait_lines("out.log", 990, SOON);
    assert!(began.elapsed() < FAILOVER, "after {:?}", began.elapsed());
    Oracle::judge(0..1_000, &pair.lines()).once();
    only.end().clean();
    pair.end(&mut sender);
}

/// A receiver whose queue answers errors is alive, and of no use; the one it is left for takes over.
#[test]
fn receiver_whose_queue_answers_errors_is_left() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let Some(disk) = Small::mount("fail-over from a full disk", 256) else { return };
    let sites = [queue_in(receiver(&one, DIRECT), disk.path(), &one, ""), receiver(&two, DIRECT)];
    let [first, second] = [sites[0].start(), sites[1].start()];
    let mut pair = Two { sites, first, second };
    disk.fill();
    let mut sender = sender(&format!("{one},{two}"), "").start();
    sender.feed(0..2_000);
    sender.wait_log(
        &["omrzmq[out]", &one, "takes no lines (later: QueueError)", "going on with", &two],
        SOON,
    );
    pair.second.wait("lines at the second", SOON, |second| {
        (!second.lines("out.log").is_empty()).then_some(())
    });
    sender.feed(2_000..3_000);
    pair.second.wait("the last line at the second", SOON, |second| {
        let lines = second.lines("out.log");
        Oracle::judge(2_000..3_000, &lines).lost.is_empty().then_some(())
    });
    sums::end(&mut [&mut sender, &mut pair.second]);
    pair.first.kill9();
}

/// It had asked to wait for its rate's sake; when the wait is over its queue is full, and it is silent.
#[test]
fn receiver_that_is_silent_after_a_pause_is_left() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let limit = "ratelimit.perpeer.interval=\"6\" ratelimit.perpeer.burst=\"200\"";
    let (stuck, _pipe) = blocked(&one, &free_endpoint(), limit);
    let mut first = stuck.start();
    let mut second = receiver(&two, DIRECT).start();
    let mut sender = sender(&format!("{one},{two}"), "").start();
    sender.feed(0..1_000);
    sender.wait_log(&["omrzmq[out]", "the receiver takes nothing now: Rate"], SOON);
    // Each within its own limit; together more than the queue and the program's pipe hold.
    let crowd: Vec<_> = (10..40)
        .map(|host| {
            let peer = Peer::new(zmq::DEALER);
            peer.connect(&one.replace("tcp://", &format!("tcp://127.0.0.{host}:0;")));
            peer.send_numbers(1_000_000..1_000_200);
            peer
        })
        .collect();
    sender.wait_log(&["omrzmq[out]", &one, "does not answer; going on with", &two], secs(20));
    second.wait("the last line at the second", SOON, |second| {
        let lines = second.lines("out.log");
        Oracle::judge(999..1_000, &lines).lost.is_empty().then_some(())
    });
    drop(crowd);
    sums::end(&mut [&mut sender, &mut second]);
    first.kill9();
}

/// Kills the first of two receivers with these keys, and brings it back.
fn takes_over_and_gives_back(keys: [&Keys; 2], known_by: &dyn Fn(&std::path::Path) -> String) {
    let (one, two) = (free_endpoint(), free_endpoint());
    let own = Keys::new("sender");
    let sites = [
        curve_receiver(&one, DIRECT, keys[0], &[&own]),
        curve_receiver(&two, DIRECT, keys[1], &[&own]),
    ];
    let [first, second] = [sites[0].start(), sites[1].start()];
    let mut pair = Two { sites, first, second };
    let site = Site::new();
    let folder = site.path("keys");
    let module = format!(
        "authtype=\"CURVECLIENT\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        known_by(&folder),
        own.write(&folder).display()
    );
    let mut sender = site.sending(&module, &crate::action(&format!("{one},{two}"), "")).start();
    sender.feed(0..100);
    pair.first.wait_lines("out.log", 100, SOON);
    pair.first.kill9();
    let next = pair.goes_on_at(1, &sender, 100, FAILOVER);
    pair.first = pair.sites[0].start();
    let next = pair.goes_back(&mut sender, &one, next);
    pair.wait_total(next);
    pair.judge(next);
    pair.end(&mut sender);
}

#[test]
fn two_receivers_with_one_key_take_over_from_each_other() {
    let server = Keys::new("server");
    takes_over_and_gives_back([&server, &server], &|folder| {
        server.write_public(folder).display().to_string()
    });
}

#[test]
fn two_receivers_with_a_key_each_take_over_from_each_other() {
    let [one, two] = [Keys::new("one"), Keys::new("two")];
    takes_over_and_gives_back([&one, &two], &|folder| {
        let paths = [one.write_public(folder), two.write_public(folder)];
        format!("{},{}", paths[0].display(), paths[1].display())
    });
}

/// It welcomes each hello, and answers lines with what is no frame of the protocol.
#[test]
fn receiver_that_answers_nonsense_is_left() {
    let two = free_endpoint();
    let mut second = receiver(&two, DIRECT).start();
    let mad = Peer::new(zmq::ROUTER);
    let one = mad.bind_free();
    let mut sender = sender(&format!("{one},{two}"), "").start();
    sender.feed(0..100);
    let began = Instant::now();
    while second.lines("out.log").len() < 100 {
        assert!(began.elapsed() < secs(10), "not left: {}", sender.log());
        let Some(frames) = mad.receive(millis(50)) else { continue };
        let [id, frame] = &frames[..] else { panic!("{frames:?}") };
        let answer = raw::welcome_of(frame).unwrap_or_else(raw::unknown);
        assert!(mad.send(&[id, &answer], SOON), "the sender is gone");
    }
    let took = began.elapsed();
    sender.wait_log(&["omrzmq[out]", &one, "takes no lines", "going on with", &two], SOON);
    Oracle::judge(0..100, &second.lines("out.log")).once_in_order();
    assert!(took < FAILOVER, "after {took:?}");
    sums::end(&mut [&mut sender, &mut second]);
}

/// It welcomes each hello, and lines go nowhere. Which of two reasons it is left for depends on who looks
/// first.
#[test]
fn receiver_that_takes_no_line_is_left() {
    let two = free_endpoint();
    let mut second = receiver(&two, DIRECT).start();
    let deaf = Peer::new(zmq::ROUTER);
    let one = deaf.bind_free();
    let mut sender = sender(&format!("{one},{two}"), "").start();
    sender.feed(0..100);
    let began = Instant::now();
    while second.lines("out.log").len() < 100 {
        assert!(began.elapsed() < secs(10), "not left: {}", sender.log());
        let Some(frames) = deaf.receive(millis(50)) else { continue };
        let [id, frame] = &frames[..] else { panic!("{frames:?}") };
        if let Some(welcome) = raw::welcome_of(frame) {
            assert!(deaf.send(&[id, &welcome], SOON), "the sender is gone");
        }
    }
    let took = began.elapsed();
    // "does not answer", or "it answers, and takes none"
    sender.wait_log(&["omrzmq[out]", &one, "going on with", &two], SOON);
    Oracle::judge(0..100, &second.lines("out.log")).once_in_order();
    assert!(took < FAILOVER, "after {took:?}");
    sums::end(&mut [&mut sender, &mut second]);
}
