//! Everything that may happen between two daemons, in an order drawn from a seed (RZMQ_ACKED_SEED),
//! several senders at once. RZMQ_ACKED_ROUNDS makes it long.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::time::Instant;

use harness::ports::free_endpoint;
use harness::{Dice, Half, Oracle, Proxy, Rsyslogd, Site, millis, secs};

use crate::{
    CHUNK, DIRECT, Progress, by_id, doubled, feed_meanwhile, kill_and_start, lines, patience,
    receiver, rounds, sender, setting,
};

/// A sender behind a proxy of its own.
struct Source {
    site: Site,
    proxy: Proxy,
    daemon: Rsyslogd,
}

impl Source {
    fn start(endpoint: &str) -> Self {
        let proxy = Proxy::before(endpoint);
        let heartbeat = "heartbeativl=\"300\" heartbeattimeout=\"900\" heartbeatttl=\"900\"";
        let queue = "main_queue(queue.timeoutShutdown=\"10000\" queue.workerThreads=\"1\" \
                     queue.size=\"1000000\")";
        let site = sender(&proxy.endpoint(), heartbeat).with(queue);
        let daemon = site.start();
        Source { site, proxy, daemon }
    }
}

#[test]
fn anything_in_any_order_loses_nothing_and_ids_drop_what_kills_doubled() {
    const SENDERS: usize = 2;
    let fresh = RandomState::new().hash_one("seed") as usize % 1_000_000;
    let seed = setting("RZMQ_ACKED_SEED", fresh);
    println!("RZMQ_ACKED_SEED={seed}");
    let mut dice = Dice(seed as u64);
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sources: Vec<_> = (0..SENDERS).map(|_| Source::start(&endpoint)).collect();
    let (steps, total) = (4 * rounds(), lines());
    let mut progress = Progress::of(&site);
    let mut kills = 0;
    let mut fed = 0;
    for step in 0..steps {
        let end = total * (step + 1) / steps;
        let middle = (fed + end) / 2;
        // Each sender has a part of this step's lines.
        let mut feeding = vec![
            feed_meanwhile(&sources[0].daemon, fed..middle),
            feed_meanwhile(&sources[1].daemon, middle..end),
        ];
        progress.reaches(fed + (end - fed) / 8, patience(total));
        fed = end;
        let source = &mut sources[dice.roll(SENDERS)];
        let deed = dice.roll(9);
        println!("step {step}: deed {deed}");
        match deed {
            0 => {
                kill_and_start(&mut receiver, &site);
                kills += 1;
            }
            1 => {
                receiver.stop().clean();
                receiver = site.start();
            }
            2 => source.proxy.cut(),
            3 => source.proxy.half_close(Half::Receiver),
            4 => source.proxy.half_close(Half::Sender),
            5 => {
                source.proxy.stall();
                source.daemon.wait_stats("omrzmq", "out", "no connection", |stats| {
                    stats["connections"] == 0
                });
                source.proxy.come_back();
            }
            6 => {
                // What imptcp has not taken at a stop was never rsyslog's.
                feeding.drain(..).for_each(|thread| thread.join().expect("fed"));
                source.proxy.go_away();
                source.daemon.stop().clean();
                source.daemon = source.site.start();
                source.proxy.come_back();
            }
            7 => {
                feeding.drain(..).for_each(|thread| thread.join().expect("fed"));
                source.daemon.stop().clean();
                source.daemon = source.site.start();
            }
            _ => {
                receiver.hup();
                source.daemon.hup();
                source.proxy.delay(millis(5));
            }
        }
        feeding.into_iter().for_each(|thread| thread.join().expect("fed"));
    }
    crate::wait_for_all(&mut receiver, total);
    for source in &mut sources {
        source.daemon.end().clean().within(secs(5));
        assert!(source.site.spools().is_empty(), "a spool is left");
    }
    receiver.end().clean();
    let lines = receiver.lines("out.log");
    let oracle = Oracle::judge(0..total, &lines);
    oracle.nothing_lost();
    Oracle::judge(0..total, &by_id(&lines)).once();
    let twice = doubled(&oracle);
    let text = format!(
        "chaos {seed}: {total} lines, {steps} deeds, {kills} kills, {:.1} s: lost 0, doubled {twice}, \
         after dropping by id 0\n",
        since.elapsed().as_secs_f64()
    );
    let _ = std::io::stderr().write_all(text.as_bytes());
    assert!(twice <= CHUNK * kills * SENDERS, "{twice} doubled by {kills} kills");
}

/// The same with a sender that has two receivers to choose from. What is in doubt at a change may be
/// at both, under one id.
#[test]
fn anything_in_any_order_with_two_receivers_loses_nothing_and_ids_drop_what_both_have() {
    let fresh = RandomState::new().hash_one("seed") as usize % 1_000_000;
    let seed = setting("RZMQ_ACKED_SEED", fresh);
    println!("RZMQ_ACKED_SEED={seed}");
    let mut dice = Dice(seed as u64);
    let since = Instant::now();
    let endpoints = [free_endpoint(), free_endpoint()];
    let proxies = [Proxy::before(&endpoints[0]), Proxy::before(&endpoints[1])];
    let sites = [receiver(&endpoints[0], DIRECT), receiver(&endpoints[1], DIRECT)];
    let mut receivers = [sites[0].start(), sites[1].start()];
    let both = format!("{},{}", proxies[0].endpoint(), proxies[1].endpoint());
    let queue = "main_queue(queue.timeoutShutdown=\"10000\" queue.workerThreads=\"1\" \
                 queue.size=\"1000000\")";
    let site = sender(&both, "").with(queue);
    let mut daemon = site.start();
    let (steps, total) = (4 * rounds(), lines());
    let mut progress = [Progress::of(&sites[0]), Progress::of(&sites[1])];
    let mut fed = 0;
    for step in 0..steps {
        let end = total * (step + 1) / steps;
        let feeding = feed_meanwhile(&daemon, fed..end);
        let part = fed + (end - fed) / 8;
        harness::wait_until("a part of the lines at either", patience(total), || {
            let count: usize = progress.iter_mut().map(|progress| progress.count()).sum();
            (count >= part).then_some(())
        });
        fed = end;
        let which = dice.roll(2);
        let deed = dice.roll(8);
        println!("step {step}: deed {deed} at {which}");
        match deed {
            0 => kill_and_start(&mut receivers[which], &sites[which]),
            1 => {
                receivers[which].stop().clean();
                receivers[which] = sites[which].start();
            }
            2 => proxies[which].cut(),
            3 => proxies[which].stall(),
            4 => proxies[which].go_away(),
            5 => proxies[which].delay(millis(5)),
            _ => {
                // What imptcp has not taken at a stop was never rsyslog's.
                feeding.join().expect("fed");
                daemon.stop().clean();
                daemon = site.start();
                proxies[which].come_back();
                continue;
            }
        }
        feeding.join().expect("fed");
        proxies[1 - which].come_back();
    }
    proxies.iter().for_each(Proxy::come_back);
    let all = |receivers: &[Rsyslogd; 2]| {
        let mut all = receivers[0].lines("out.log");
        all.extend(receivers[1].lines("out.log"));
        all
    };
    harness::wait_until("all lines at either", patience(total), || {
        Oracle::judge(0..total, &all(&receivers)).lost.is_empty().then_some(())
    });
    daemon.end().clean().within(secs(5));
    assert!(site.spools().is_empty(), "a spool is left");
    receivers.iter_mut().for_each(|receiver| {
        receiver.end().clean();
    });
    let lines = all(&receivers);
    Oracle::judge(0..total, &by_id(&lines)).once();
    let text = format!(
        "chaos with two receivers {seed}: {total} lines, {steps} deeds, {:.1} s: lost 0, doubled {}, \
         after dropping by id 0\n",
        since.elapsed().as_secs_f64(),
        doubled(&Oracle::judge(0..total, &lines))
    );
    let _ = std::io::stderr().write_all(text.as_bytes());
}
