//! Several endpoints: fail-over when the first dies or is cut off, back to it, and balance.

use std::io::Write;
use std::time::{Duration, Instant};

use harness::ports::free_endpoint;
use harness::{Oracle, Proxy, Rsyslogd, SOON, Site, secs};

use crate::{DIRECT, Progress, by_id, doubled, receiver, sender, sessions};

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
    sender.stop().clean();
    pair.first.stop().clean();
    pair.second.end().clean();
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
    sender.stop().clean();
    pair.first.stop().clean();
    pair.second.end().clean();
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
    sender.stop().clean();
    pair.first.stop().clean();
    pair.second.end().clean();
}

#[test]
fn neither_receiver_there_at_the_start_nothing_is_lost() {
    let (one, two) = (free_endpoint(), free_endpoint());
    let mut sender = sender(&format!("{one},{two}"), "").start();
    sender.feed(0..1_000);
    let mut pair = Two::start(&one, &two);
    pair.wait_total(1_000);
    Oracle::judge(0..1_000, &pair.lines()).once();
    sender.stop().clean();
    pair.first.stop().clean();
    pair.second.end().clean();
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
    sender.stop().clean();
    pair.second.end().clean();
}
