//! Links that carry little: a frame is whole before anybody loses patience, or becomes smaller.

use std::time::Instant;

use harness::ports::free_endpoint;
use harness::sums::end;
use harness::{Oracle, Proxy, secs};

use crate::{DIRECT, ONE_WORKER, by_id, receiver, sender};

/// Bytes a second. A frame of full size takes twelve seconds, and three without an answer are too many.
const RATE: u32 = 20_000;
const LINES: usize = 800;

#[test]
fn slow_links_to_two_receivers_get_smaller_frames_and_carry_all_lines() {
    let endpoints = [free_endpoint(), free_endpoint()];
    let proxies = endpoints.each_ref().map(|endpoint| Proxy::before(endpoint));
    proxies.iter().for_each(|proxy| proxy.slow(RATE));
    let mut receivers = endpoints.each_ref().map(|endpoint| receiver(endpoint, DIRECT).start());
    let both = format!("{},{}", proxies[0].endpoint(), proxies[1].endpoint());
    let mut sender = sender(&both, "").with(ONE_WORKER).start();
    let began = Instant::now();
    let text = |number| format!("{:x<160}", format!("{} ", harness::oracle::numbered(number)));
    sender.feeder().texts((0..LINES).map(text));
    harness::wait_until("all lines over slow links", secs(90), || {
        let counters = sender.stats().get("omrzmq", "out").cloned()?;
        (counters["sent"] >= LINES as i64).then_some(())
    });
    let took = format!("{LINES} lines at {RATE} bytes a second: {:?}\n", began.elapsed());
    let _ = std::io::Write::write_all(&mut std::io::stderr(), took.as_bytes());
    let all: Vec<_> = receivers.iter().flat_map(|receiver| receiver.lines("out.log")).collect();
    Oracle::judge(0..LINES, &by_id(&all)).once();
    let [one, two] = &mut receivers;
    end(&mut [&mut sender, one, two]);
}
