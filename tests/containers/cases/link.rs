//! Packages, encryption in both directions, and a link that is cut.

use crate::lab::{Lab, endpoint};
use crate::place::{Place, end, receiver, start};
use crate::verdict::{Verdict, all_arrive, judge};

/// Senders of all releases to a receiver of this one, acknowledged: CURVE, the sender is the client.
pub fn curve_acked(place: &Place) -> Verdict {
    let lab = Lab::new();
    let mut senders = place.senders(&lab, &endpoint("receiver-one"));
    let archive = receiver(&lab, "receiver-one", &place.suite, &senders.iter().collect::<Vec<_>>());
    start(&[&archive]);
    start(&senders.iter().collect::<Vec<_>>());
    for sender in &mut senders {
        sender.feed(5_000);
    }
    let senders: Vec<_> = senders.iter().collect();
    all_arrive(&[&archive], &senders);
    end(&senders);
    end(&[&archive]);
    judge(&[&archive], &senders).exact()
}
