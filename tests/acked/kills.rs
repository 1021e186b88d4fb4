//! kill -9, of either side, under load.

use std::time::Instant;

use crate::{
    CHUNK, DIRECT, Figures, ONE_WORKER, Progress, action, disk_lines, feed_meanwhile, input,
    kill_and_start, lines, patience, receiver, receiving_as, rounds, sender, wait_for_all,
};
use harness::oracle::numbered;
use harness::ports::free_endpoint;
use harness::sums::end;
use harness::{Proxy, Rsyslogd, Site};

/// A sender's queue that survives a kill.
const DISK: &str = "queue.type=\"Disk\" queue.filename=\"q\" queue.checkpointInterval=\"1\" \
                    queue.size=\"1000000\" queue.timeoutEnqueue=\"60000\"";

/// Waits until the main queue, which is in memory, has handed over all that was fed.
fn wait_drained(sender: &mut Rsyslogd, fed: usize) {
    sender.wait("an empty main queue", patience(fed), |sender| {
        let stats = sender.stats();
        let main = stats.get("core.queue", "main Q")?;
        (main["size"] == 0 && main["enqueued"] >= fed as i64).then_some(())
    });
}

#[test]
fn receiver_killed_again_and_again_loses_nothing_and_ids_drop_the_doubles() {
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
        kill_and_start(&mut receiver, &site);
    }
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let case = format!("receiver killed {rounds} times");
    let lines = receiver.lines("out.log");
    let figures = Figures::of(&case, since, total, &lines);
    figures.once_by_id(CHUNK * rounds);
    figures.by_id.once_in_order();
}

/// What is in the disk queue survives. A batch that was delivered when the kill came is offered again
/// by the queue, in another session: only rsyslog's uuid tells. What the main queue holds in
/// memory is lost with it, so each kill waits until the disk queue has all that was fed.
#[test]
fn sender_killed_with_a_disk_queue_loses_nothing_of_it() {
    /// What the engine takes out of an action queue at once.
    const BATCH: usize = 128;
    let endpoint = free_endpoint();
    let site = receiving_as("%$!rzmq!uuid% %$!rzmq!resend% %msg%\\n", DIRECT)
        .with("module(load=\"imrzmq\")")
        .with(&input(&endpoint, ""));
    let proxy = Proxy::before(&endpoint);
    // A line keeps its uuid over the disk queue when it was asked for before.
    let sending = Site::new()
        .with("set $.u = $uuid;")
        .sending("", &action(&proxy.endpoint(), &format!("ids=\"uuid\" {DISK}")));
    let (rounds, total) = (rounds(), disk_lines());
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sending.start();
    let mut progress = Progress::of(&site);
    for round in 0..rounds {
        let (begin, end) = (total * round / rounds, total * (round + 1) / rounds);
        proxy.go_away();
        sender.feed(begin..end);
        wait_drained(&mut sender, end - begin);
        proxy.come_back();
        progress.reaches(begin + (end - begin) / 8, patience(total));
        sender.kill9();
        sender = sending.start();
        progress.reaches(end, patience(total));
    }
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let case = format!("sender killed {rounds} times with a Disk queue (id: uuid)");
    let figures = Figures::of(&case, since, total, &receiver.lines("out.log"));
    figures.once_by_id(BATCH * rounds);
}

/// Both at once: the disk queue and the marks each know their part.
#[test]
fn both_killed_at_once_lose_nothing_of_the_disk_queue() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let proxy = Proxy::before(&endpoint);
    let sending = sender(&proxy.endpoint(), DISK);
    let total = disk_lines();
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sending.start();
    proxy.go_away();
    sender.feed(0..total);
    wait_drained(&mut sender, total);
    proxy.come_back();
    Progress::of(&site).reaches(total / 8, patience(total));
    sender.kill9();
    kill_and_start(&mut receiver, &site);
    sender = sending.start();
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let figures = Figures::of("both killed", since, total, &receiver.lines("out.log"));
    figures.all.nothing_lost();
    assert!(figures.doubled() <= 2 * CHUNK, "{} doubled", figures.doubled());
}

/// A spool of a former stop is under way when the sender is killed: its lines keep their ids.
#[test]
fn sender_killed_while_it_sends_its_spool_doubles_nothing() {
    let endpoint = free_endpoint();
    let sending = sender(&endpoint, "").with(ONE_WORKER);
    let total = 20_000;
    let since = Instant::now();
    let mut sender = sending.start();
    let texts = (0..total).map(|number| format!("{} {}", numbered(number), "x".repeat(200)));
    sender.feeder().texts(texts);
    sender.end().clean();
    let site = receiver(&endpoint, DIRECT);
    let mut receiver = site.start();
    let mut progress = Progress::of(&site);
    for part in 1..4 {
        let mut sender = sending.start();
        progress.reaches(total * part / 8, patience(total));
        sender.kill9();
    }
    let mut sender = sending.start();
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    assert!(sending.spools().is_empty(), "spools are left: {:?}", sending.spools());
    let lines = receiver.lines("out.log");
    Figures::of("sender killed while it sends its spool", since, total, &lines).exact();
}
