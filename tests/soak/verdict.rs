//! What all of it came to.

use std::time::{Duration, Instant};

use harness::stats::Stats;
use harness::sums::{add_up, handed_over};

use crate::deeds::arrives;
use crate::growth::Thirds;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::place::Place;
use crate::samples::{Holdings, Samples, WHO};

/// What must not grow, and what counts as that.
const HELD: [(&str, Number, Grew); 3] = [
    ("descriptors", |it| it.descriptors, Thirds::count_grew),
    ("threads", |it| it.threads, Thirds::count_grew),
    ("KiB of memory", |it| it.memory, Thirds::memory_grew),
];
type Number = fn(&Holdings) -> u64;
type Grew = fn(&Thirds, Duration) -> bool;

/// Ends the load, waits for the last line, and says whether all is well; each finding is a line.
pub fn of(place: &mut Place, load: Load, mut samples: Samples, start: Instant) -> bool {
    let length = start.elapsed();
    arrives(place, &load);
    samples.take(start.elapsed(), place, &load);
    let (sender, visitor) = load.end();
    // The load has gone on while the sample was taken.
    harness::wait_until("the last lines", harness::secs(90), || {
        place.read();
        place.alive();
        let all =
            place.archived.has(sender) && place.partnered.has(sender) && place.visited.has(visitor);
        all.then_some(())
    });
    // Every counter of everybody, in a report that is newer than the last line.
    add_up(&mut [
        &mut place.sender.daemon,
        &mut place.receiver.daemon,
        &mut place.visitor.daemon,
        &mut place.partner.daemon,
    ]);
    place.read();

    println!(
        "soak: {:.1} min, {} deeds, {} lines",
        length.as_secs_f64() / 60.0,
        place.deeds,
        sender + visitor
    );
    let mut well = true;
    let mut finding = |good: bool, text: String| {
        println!("  {} {text}", if good { "ok     " } else { "WRONG  " });
        well &= good;
    };
    for (name, ledger, fed) in [
        ("archived", &place.archived, sender),
        ("partner", &place.partnered, sender),
        ("visitor", &place.visited, visitor),
    ] {
        finding(
            once(ledger, fed),
            format!("{name}: {fed} fed, {ledger}, lost {}", ledger.missing(fed)),
        );
    }
    let news = &place.published;
    finding(
        news.doubled + news.disordered + news.foreign == 0 && news.lines > 0,
        format!(
            "published: {sender} fed, {news}; cuts cost {} (best effort)",
            news.missing(sender)
        ),
    );
    for (name, counted, truth) in sums(place, sender, visitor) {
        finding(counted == truth as i64, format!("counter {name}: {counted}, in truth {truth}"));
    }
    for (who, name) in WHO.iter().enumerate() {
        for (what, value, grew) in HELD {
            match samples.thirds(who, value) {
                Some(thirds) => {
                    finding(!grew(&thirds, length), format!("{name}: {what} {thirds}"));
                }
                None => finding(false, format!("{name}: no sample of its {what}")),
            }
        }
        if let Some(slope) = samples.slope(who) {
            println!("  told    {name}: memory {slope:+.0} KiB an hour");
        }
    }
    // An orderly stop of everybody is part of it.
    for host in [&mut place.sender, &mut place.visitor, &mut place.receiver, &mut place.partner] {
        host.daemon.stop().clean();
    }
    well
}

fn once(ledger: &Ledger, fed: usize) -> bool {
    ledger.missing(fed) + ledger.doubled + ledger.disordered + ledger.foreign == 0
        && ledger.lines == fed
}

/// Counters of the two that stay, and what they must say.
fn sums(place: &Place, sender: usize, visitor: usize) -> Vec<(&'static str, i64, usize)> {
    let (out, into) = (place.sender.daemon.stats(), place.receiver.daemon.stats());
    let action = |name: &str| out.get("omrzmq", name).map_or(-1, handed_over);
    let counter =
        |stats: &Stats, name: &str| stats.value("imrzmq", name, "submitted").unwrap_or(-1);
    vec![
        ("omrzmq[archive] handed over", action("archive"), sender),
        ("omrzmq[partner] handed over", action("partner"), sender),
        ("imrzmq[in] submitted", counter(&into, "in"), sender + visitor),
        ("imrzmq[news] submitted", counter(&into, "news"), place.published.lines),
    ]
}
