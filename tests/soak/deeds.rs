//! What goes wrong on the way, drawn from a seed. Each deed ends when all lines that were fed by then, and
//! one more, have arrived wherever they must.

use std::time::Instant;

use harness::{Dice, Half, millis, secs, wait_until};

use crate::junk;
use crate::load::Load;
use crate::place::Place;

/// How long all may take to be well again; a handshake and a reconnection are part of it.
const PATIENCE: std::time::Duration = secs(90);

/// Does one of them, and waits until all is well.
pub fn any(place: &mut Place, load: &Load, dice: &mut Dice, start: Instant) {
    let begun = start.elapsed();
    let what = match dice.roll(12) {
        0 => {
            place.archive.cut();
            place.news.cut();
            "cut"
        }
        1 => {
            place.archive.half_close(Half::Receiver);
            "half closed at the receiver"
        }
        2 => {
            place.archive.half_close(Half::Sender);
            "half closed at the sender"
        }
        3 => {
            place.archive.stall();
            std::thread::sleep(secs(5));
            place.archive.come_back();
            "stalled"
        }
        4 => {
            place.archive.go_away();
            std::thread::sleep(secs(3));
            place.archive.come_back();
            "away"
        }
        5 => {
            place.archive.delay(millis(5));
            std::thread::sleep(secs(5));
            place.archive.come_back();
            "delayed"
        }
        6 => {
            place.hup_sender();
            "HUP to the sender"
        }
        7 => {
            place.rotate_files();
            "HUP to the receiver"
        }
        8 => {
            load.leave_visitor();
            place.visitor.restart();
            load.visit(place);
            "visitor restarted"
        }
        9 => {
            place.partner.restart();
            "partner restarted"
        }
        10 => {
            place.change_list();
            let before = place.archive.accepted();
            place.replace_key();
            // Its endpoint is bound anew, and the sender comes back with the next certificate.
            wait_until("the receiver's new key", PATIENCE, || {
                (place.archive.accepted() > before).then_some(())
            });
            arrives(place, load);
            place.settle_key();
            "key replaced"
        }
        _ => junk::knock(place, dice.roll(1_000)),
    };
    arrives(place, load);
    let took = start.elapsed() - begun;
    println!("{:8.0} s  {what}; {:.1} s", begun.as_secs_f64(), took.as_secs_f64());
    place.deeds += 1;
}

/// Waits until what was fed by now, and the next line, is where it must be.
pub fn arrives(place: &mut Place, load: &Load) {
    let (sender, visitor) = (load.of_sender() + 1, load.of_visitor() + 1);
    wait_until("all lines fed by now, at both receivers", PATIENCE, || {
        place.read();
        place.alive();
        let there =
            place.archived.has(sender) && place.partnered.has(sender) && place.visited.has(visitor);
        there.then_some(())
    });
}
