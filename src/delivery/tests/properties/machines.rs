//! Both machines against a peer that says whatever it likes.

use proptest::collection::vec;
use proptest::prelude::*;
use rzmq_delivery::{
    ErrorFrame, Event, Frame, Key, PeerId, Reaction, Receiver, ReceiverLimits, SessionId, decode,
};
use std::time::Duration;

use crate::generators::{code, from_receiver, from_sender};
use crate::{at, drain, encoded, sender};

proptest! {
    #[test]
    fn no_receiver_can_confuse_a_sender(
        steps in vec((from_receiver(), 0u64..4000, 0usize..4, 0u8..8), 1..40),
    ) {
        let mut sender = sender();
        let mut now = 0;
        let (mut offered, mut session, mut moved) = (0u64, 1u8, 0u64);
        // What may be settled: the numbers behind the last frame that was sent.
        let mut sent = 0u64;
        for (frame, pause, lines, what) in steps {
            now += pause;
            let lines = vec![&b"a line"[..]; lines];
            sender.offer(&lines);
            offered += lines.len() as u64;
            for frame in drain(&mut sender, at(now)) {
                match decode(&frame) {
                    Ok(Frame::Data(data)) => sent = sent.max(data.first + u64::from(data.count)),
                    Ok(Frame::Hello(hello)) => prop_assert_eq!(hello.first, sender.settled()),
                    other => panic!("a sender sends {other:?}"),
                }
            }
            if what == 0 {
                sender.lost();
            }
            let before = sender.settled();
            let event = sender.receive(at(now), &frame);
            prop_assert!(sender.settled() >= before);
            prop_assert!(sender.settled() <= sent.max(before), "unsent lines are settled");
            let refused = sender.take_refused();
            prop_assert!(refused.iter().all(|refused| refused.number < sent));
            if matches!(event, Ok(Event::SessionLost(..))) {
                session += 1;
                moved += sender.renumber(SessionId([session; 16]));
                sent = 0;
            }
            // Every line is settled or kept.
            prop_assert_eq!(sender.next() + moved, offered);
            if let Some(wake) = sender.wake_at() {
                prop_assert!(wake <= at(now) + Duration::from_secs(61), "sleeps for too long");
            }
        }
        let kept: u32 = sender.take_unsettled().iter().map(|frame| frame.count).sum();
        prop_assert!(u64::from(kept) <= offered);
    }

    #[test]
    fn a_receiver_that_answers_only_errors_is_asked_once_a_second(code in code()) {
        let mut sender = sender();
        sender.offer(&[b"a line"]);
        let mut hellos = 0;
        for now in (0..60_000).step_by(10) {
            for frame in drain(&mut sender, at(now)) {
                let Ok(Frame::Hello(hello)) = decode(&frame) else { continue };
                hellos += 1;
                let frame = encoded(|out| ErrorFrame { code, hello: hello.number, text: "" }.encode(out));
                if let Ok(Event::SessionLost(..)) = sender.receive(at(now), &frame) {
                    sender.renumber(SessionId([hellos; 16]));
                }
            }
        }
        prop_assert!(hellos <= 61, "{hellos} hellos in a minute");
    }

    #[test]
    fn no_sender_can_confuse_a_receiver(
        steps in vec((from_sender(), 0u64..3, 0u8..2, 0u32..4), 1..60),
    ) {
        let mut limits = ReceiverLimits { sessions: 3, ..ReceiverLimits::default() };
        limits.frames.lines = 4;
        let mut receiver = Receiver::new("r", limits, []);
        let mut have = std::collections::HashMap::new();
        for (step, (bytes, peer, key, most)) in steps.iter().enumerate() {
            let now = Duration::from_secs(1_700_000_000 + step as u64);
            match receiver.receive(now, PeerId(*peer), Some(Key([*key; 32])), bytes) {
                Reaction::Lines(mut incoming) => {
                    prop_assert!(receiver.holds(&incoming));
                    let session = incoming.session;
                    while let Some((first, block)) = incoming.chunk((*most).max(1)) {
                        // In order, none twice, none left out.
                        let next = have.get(&session).copied().unwrap_or(first);
                        prop_assert_eq!(first, next);
                        let next = first + block.len() as u64;
                        let accepted = receiver.accepted(now, &incoming, &[]).unwrap();
                        prop_assert_eq!(accepted.mark.have, next);
                        have.insert(session, next);
                    }
                }
                Reaction::Reply(reply) => {
                    if let Ok(Frame::Welcome(welcome)) = decode(&reply) {
                        let before = have.insert(welcome.session, welcome.have);
                        prop_assert!(before.is_none_or(|before| before <= welcome.have));
                    }
                }
                Reaction::Wrong(..) | Reaction::Nothing => {}
            }
            prop_assert!(receiver.sessions() <= 3);
        }
    }
}
