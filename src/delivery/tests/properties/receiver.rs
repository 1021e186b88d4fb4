//! The receiver against single things that a sender may do, honest or not.

use rzmq_delivery::{
    ErrorCode, Event, Key, LaterReason, PeerId, Reaction, Receiver, ReceiverLimits,
};
use std::time::Duration;

use crate::{at, drain, sender};

#[test]
fn the_same_number_with_other_content_is_an_error() {
    let mut receiver = Receiver::new("r", ReceiverLimits::default(), []);
    let (now, peer) = (at(1_700_000_000_000), PeerId(1));
    let mut say = |lines: &[&[u8]], take: u32| {
        let mut sender = sender();
        sender.offer(lines);
        let hello = drain(&mut sender, Duration::ZERO).remove(0);
        let Reaction::Reply(reply) = receiver.receive(now, peer, None, &hello) else {
            panic!("no welcome");
        };
        let event = sender.receive(Duration::ZERO, &reply);
        // It is sent although the welcome said that somebody else was here.
        let frame = sender.take_unsettled().remove(0).bytes;
        let code = match receiver.receive(now, peer, None, &frame) {
            Reaction::Lines(mut incoming) => {
                incoming.chunk(take).unwrap();
                receiver.accepted(now, &incoming, &[]).unwrap();
                None
            }
            Reaction::Wrong(code, ..) => Some(code),
            other => panic!("{other:?}"),
        };
        (event.unwrap(), code)
    };
    let lines: [&[u8]; 3] = [b"one", b"two", b"three"];
    assert_eq!(say(&lines, 2), (Event::Welcome, None));
    let (event, code) = say(&[b"one", b"two", b"four"], 2);
    assert!(matches!(event, Event::SessionLost(..)), "{event:?}");
    assert_eq!(code, Some(ErrorCode::Content));
}

#[test]
fn lines_of_another_key_are_not_taken_into_a_session() {
    let mut receiver = Receiver::new("r", ReceiverLimits::default(), []);
    let (now, peer) = (at(1_700_000_000_000), PeerId(1));
    let mut sender = sender();
    sender.offer(&[b"a line"]);
    let hello = drain(&mut sender, Duration::ZERO).remove(0);
    let frame = sender.take_unsettled().remove(0).bytes;
    // The same connection, as far as the driver can tell: a peer chooses its routing id itself.
    for (session, key, other) in [(1, Some(1), Some(2)), (2, Some(1), None), (3, None, Some(1))] {
        let (key, other) = (key.map(|key| Key([key; 32])), other.map(|key| Key([key; 32])));
        let mut hello = hello.clone();
        hello[16] = session;
        assert!(matches!(receiver.receive(now, peer, key, &hello), Reaction::Reply(_)));
        let reaction = receiver.receive(now, peer, other, &frame);
        assert!(matches!(reaction, Reaction::Wrong(ErrorCode::Key, ..)), "{reaction:?}");
        assert!(matches!(receiver.receive(now, peer, key, &hello), Reaction::Reply(_)));
        assert!(matches!(receiver.receive(now, peer, key, &frame), Reaction::Lines(_)));
    }
}

#[test]
fn a_connection_that_took_another_session_gets_no_answers_about_the_former() {
    let mut receiver = Receiver::new("r", ReceiverLimits::default(), []);
    let (now, peer) = (at(1_700_000_000_000), PeerId(1));
    let mut sender = sender();
    sender.offer(&[b"a line"]);
    let hello = drain(&mut sender, Duration::ZERO).remove(0);
    let frame = sender.take_unsettled().remove(0).bytes;
    assert!(matches!(receiver.receive(now, peer, None, &hello), Reaction::Reply(_)));
    let Reaction::Lines(mut incoming) = receiver.receive(now, peer, None, &frame) else {
        panic!("no lines");
    };
    let mut other = hello.clone();
    other[16] ^= 1;
    assert!(matches!(receiver.receive(now, peer, None, &other), Reaction::Reply(_)));
    // Its numbers are those of the former session: an acknowledgement would settle the new one's lines.
    assert!(!receiver.holds(&incoming));
    incoming.chunk(1).unwrap();
    assert!(receiver.accepted(now, &incoming, &[]).is_none());
    assert!(receiver.acknowledge(&incoming).is_none());
    assert!(receiver.later(&incoming, Duration::ZERO, LaterReason::Stopping).is_none());
}

#[test]
fn lines_of_two_frames_that_overlap_are_given_once() {
    let mut receiver = Receiver::new("r", ReceiverLimits::default(), []);
    let (now, peer) = (at(1_700_000_000_000), PeerId(1));
    let mut sender = sender();
    sender.offer(&[b"one", b"two"]);
    let hello = drain(&mut sender, Duration::ZERO).remove(0);
    let frame = sender.take_unsettled().remove(0).bytes;
    assert!(matches!(receiver.receive(now, peer, None, &hello), Reaction::Reply(_)));
    let mut take = || match receiver.receive(now, peer, None, &frame) {
        Reaction::Lines(incoming) => incoming,
        other => panic!("{other:?}"),
    };
    let (mut first, mut second) = (take(), take());
    first.chunk(1).unwrap();
    receiver.accepted(now, &first, &[]).unwrap();
    assert!(receiver.holds(&first) && !receiver.holds(&second));
    second.chunk(1).unwrap();
    assert!(receiver.accepted(now, &second, &[]).is_none());
    first.chunk(1).unwrap();
    assert_eq!(receiver.accepted(now, &first, &[]).unwrap().mark.have, 2);
}
