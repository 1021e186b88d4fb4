//! Properties of the codec and of both machines against anything that may come from the wire.

#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::collection::vec;
use proptest::prelude::*;
use rzmq_delivery::{
    Ack, Block, Codec, Data, ErrorCode, ErrorFrame, Event, FRAME_MIN, Frame, Hello, Key, Later,
    LaterReason, Limits, MARK_BYTES, Mark, PeerId, Reaction, Receiver, ReceiverLimits, Refused,
    RefusedReason, Sender, SenderOptions, SessionId, Welcome, decode, is_frame,
};
use std::time::Duration;

const SESSION: SessionId = SessionId([7; 16]);
const FIRST_HELLO: u32 = 0x0707_0708;

fn sender() -> Sender {
    let options = SenderOptions { software: "s".into(), name: "n".into(), compress: None };
    Sender::new(options, SESSION)
}

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bytes
}

/// Everything that may be transmitted now.
fn drain(sender: &mut Sender, now: Duration) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(frame) = sender.transmit(now) {
        frames.push(frame.to_vec());
        sender.transmitted(now);
        assert!(frames.len() < 10_000, "transmit has no end");
    }
    frames
}

prop_compose! {
    fn limits()(
        window in any::<u32>(),
        frame in FRAME_MIN..=u32::MAX,
        lines in 1..=u32::MAX,
        expansion in 1..=u32::MAX,
    ) -> Limits {
        Limits { window, frame, lines, expansion }
    }
}

prop_compose! {
    fn welcome()(
        number in any::<u32>(),
        session in any::<[u8; 16]>(),
        have in any::<u64>(),
        frame in any::<u64>(),
        crc in any::<u32>(),
        count in any::<u32>(),
        limits in limits(),
    ) -> Welcome {
        let session = SessionId(session);
        Welcome { version: 1, meaning: 1, number, session, have, frame, crc, count, limits }
    }
}

fn code() -> impl Strategy<Value = ErrorCode> {
    (1u16..20).prop_map(|number| {
        let frame = [&b"\0RZ\x01\x85\0\0\0"[..], &number.to_le_bytes(), &[0; 6]].concat();
        match decode(&frame) {
            Ok(Frame::Error(error)) => error.code,
            other => panic!("{other:?}"),
        }
    })
}

/// A frame as a receiver may send it, honest or not: numbers near those that matter.
fn from_receiver() -> impl Strategy<Value = Vec<u8>> {
    let near = prop_oneof![0u64..40, any::<u64>()];
    let hello = prop_oneof![FIRST_HELLO - 1..FIRST_HELLO + 6, any::<u32>()];
    prop_oneof![
        (welcome(), near.clone(), hello.clone(), any::<bool>()).prop_map(
            |(mut welcome, have, number, honest)| {
                (welcome.have, welcome.number, welcome.session) = (have, number, SESSION);
                if honest {
                    welcome.frame = have;
                }
                encoded(|out| welcome.encode("r", out))
            }
        ),
        (near.clone(), any::<u32>(), hello.clone()).prop_map(|(have, window, hello)| encoded(
            |out| Ack { have, window, hello }.encode(out)
        )),
        (vec((near.clone(), any::<u32>()), 0..50), hello.clone()).prop_map(|(lines, hello)| {
            let lines: Vec<_> = lines
                .into_iter()
                .map(|(number, bytes)| (number, RefusedReason::TooLong, bytes))
                .collect();
            encoded(|out| Refused::encode(hello, &lines, out))
        }),
        (near, any::<u32>(), hello.clone()).prop_map(|(have, milliseconds, hello)| {
            let reason = LaterReason::QueueError;
            encoded(|out| Later { have, milliseconds, reason, hello }.encode(out))
        }),
        (code(), hello).prop_map(|(code, hello)| encoded(|out| ErrorFrame {
            code,
            hello,
            text: "no"
        }
        .encode(out))),
        anything(),
    ]
}

/// Bytes, most of them with the head of a frame.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), 0..200), any::<bool>()).prop_map(|(mut bytes, framed)| {
        if framed && bytes.len() > 4 {
            bytes[..4].copy_from_slice(b"\0RZ\x01");
            bytes[4] = [1, 2, 0x81, 0x82, 0x83, 0x84, 0x85, 0x41][bytes[4] as usize % 8];
        }
        bytes
    })
}

/// A DATA frame whose fields need not fit its block.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let small = prop_oneof![0u32..6, any::<u32>()];
    let lines = vec(vec(any::<u8>(), 0..20), 1..6);
    (lines, 0u64..12, small.clone(), small, 0u8..6).prop_map(|(lines, first, raw, crc, lie)| {
        let mut block = Vec::new();
        lines.iter().for_each(|line| block.extend_from_slice(&(line.len() as u32).to_le_bytes()));
        lines.iter().for_each(|line| block.extend_from_slice(line));
        let packed = zstd::bulk::compress(&block, 1).unwrap();
        let data = Data {
            first,
            count: if lie == 1 { raw.max(1) } else { lines.len() as u32 },
            raw: if lie == 2 { raw } else { block.len() as u32 },
            crc: if lie == 3 { crc } else { crc32fast::hash(&block) },
            codec: if lie == 4 { Codec::Zstd } else { Codec::Raw },
            resend: false,
            fields: &[],
            block: if lie >= 4 { &packed } else { &block },
        };
        encoded(|out| data.encode(out))
    })
}

fn from_sender() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => (0u64..12, 0u64..12, 0u8..2).prop_map(|(first, more, session)| {
            let session = SessionId([session; 16]);
            let hello = Hello {
                lowest: 1,
                highest: 1,
                number: 3,
                session,
                first,
                next: first + more,
                software: "s",
                name: "n",
            };
            encoded(|out| hello.encode(out))
        }),
        4 => data(),
        1 => anything(),
    ]
}

proptest! {
    #[test]
    fn frames_come_back_as_they_went(
        hello in (any::<u32>(), any::<[u8; 16]>(), any::<u64>(), 0u64..1000),
        texts in ("[a-z ]{0,300}", "[äöü]{0,300}"),
        welcome in welcome(),
        numbers in (any::<u64>(), any::<u32>(), any::<u32>()),
        lines in vec((any::<u64>(), any::<u32>()), 0..100),
    ) {
        let (number, session, first, more) = hello;
        let hello = Hello {
            lowest: 1,
            highest: 9,
            number,
            session: SessionId(session),
            first,
            next: first.saturating_add(more),
            software: &texts.0,
            name: &texts.1,
        };
        let bytes = encoded(|out| hello.encode(out));
        prop_assert!(is_frame(&bytes));
        let Ok(Frame::Hello(back)) = decode(&bytes) else { panic!() };
        // Texts are cut at 255 bytes, between characters.
        prop_assert!(texts.0.starts_with(back.software) && texts.1.starts_with(back.name));
        prop_assert!(back.name.len() >= texts.1.len().min(254));
        prop_assert_eq!(Hello { software: "", name: "", ..back }, Hello { software: "", name: "", ..hello });

        let bytes = encoded(|out| welcome.encode(&texts.0, out));
        prop_assert_eq!(decode(&bytes), Ok(Frame::Welcome(welcome)));

        let (have, window, hello) = numbers;
        let ack = Ack { have, window, hello };
        let bytes = encoded(|out| ack.encode(out));
        prop_assert_eq!(decode(&bytes), Ok(Frame::Ack(ack)));

        let later = Later { have, milliseconds: window, reason: LaterReason::Stopping, hello };
        let bytes = encoded(|out| later.encode(out));
        prop_assert_eq!(decode(&bytes), Ok(Frame::Later(later)));

        let error = ErrorFrame { code: ErrorCode::Gap, hello, text: "a sentence" };
        let bytes = encoded(|out| error.encode(out));
        prop_assert_eq!(decode(&bytes), Ok(Frame::Error(error)));

        let lines: Vec<_> =
            lines.into_iter().map(|(n, bytes)| (n, RefusedReason::TooLong, bytes)).collect();
        let bytes = encoded(|out| Refused::encode(hello, &lines, out));
        let Ok(Frame::Refused(back)) = decode(&bytes) else { panic!() };
        prop_assert_eq!((back.hello, back.lines().collect::<Vec<_>>()), (hello, lines));
    }

    #[test]
    fn a_frame_cut_short_is_an_error_and_no_panic(frame in from_receiver(), other in from_sender()) {
        for frame in [frame, other] {
            for end in 0..frame.len() {
                let _ = decode(&frame[..end]);
            }
        }
    }

    #[test]
    fn a_block_is_its_lines(lines in vec(vec(any::<u8>(), 0..30), 0..20), split in 0usize..25) {
        let mut raw = Vec::new();
        lines.iter().for_each(|line| raw.extend_from_slice(&(line.len() as u32).to_le_bytes()));
        lines.iter().for_each(|line| raw.extend_from_slice(line));
        let mut block = Block::parse(&raw, lines.len() as u32).unwrap();
        prop_assert_eq!(block.len(), lines.len());
        let front = block.split(split);
        let back: Vec<_> = front.lines().chain(block.lines()).collect();
        prop_assert_eq!(front.len(), split.min(lines.len()));
        prop_assert_eq!(back, lines);
    }

    #[test]
    fn a_block_of_anything_is_read_within_its_bytes(raw in vec(any::<u8>(), 0..100), count: u32) {
        for count in [count, count % 30] {
            if let Ok(block) = Block::parse(&raw, count) {
                let bytes: usize = block.lines().map(<[u8]>::len).sum();
                prop_assert_eq!(bytes + 4 * block.len(), raw.len());
            }
        }
    }

    #[test]
    fn a_mark_comes_back_and_a_torn_one_does_not(
        session: [u8; 16], numbers: (u64, u64, u32, u32, u64), key: Option<[u8; 32]>,
        at in 0..MARK_BYTES, change in 1u8..,
    ) {
        let (have, frame, crc, count, heard) = numbers;
        let (session, key) = (SessionId(session), key.map(Key));
        let mark = Mark { slot: 3, session, have, frame, crc, count, key, heard };
        let mut bytes = mark.encode();
        prop_assert_eq!(Mark::decode(3, &bytes), Some(mark));
        bytes[at] ^= change;
        prop_assert_eq!(Mark::decode(3, &bytes), None);
    }

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

/// Says hello to a receiver for a session of this key; answers how it was refused.
fn hello_to(receiver: &mut Receiver, now: u64, session: u8, key: u8) -> Option<ErrorCode> {
    let options = SenderOptions { software: String::new(), name: String::new(), compress: None };
    let mut sender = Sender::new(options, SessionId([session; 16]));
    let hello = sender.transmit(Duration::ZERO).unwrap().to_vec();
    let now = Duration::from_secs(1_700_000_000 + now);
    match receiver.receive(now, PeerId(session.into()), Some(Key([key; 32])), &hello) {
        Reaction::Reply(_) => None,
        Reaction::Wrong(code, ..) => Some(code),
        other => panic!("{other:?}"),
    }
}

/// A key that keeps making sessions loses its own oldest one, and takes nobody else's place.
#[test]
fn sessions_of_one_key_are_limited() {
    let limits = ReceiverLimits { sessions: 10, sessions_of_key: 2, ..ReceiverLimits::default() };
    let mut receiver = Receiver::new("r", limits, []);
    let mut hello = |now, session, key| {
        let refused = hello_to(&mut receiver, now, session, key);
        (refused, receiver.sessions(), receiver.forgotten())
    };
    assert_eq!(hello(0, 1, 1), (None, 1, 0));
    assert_eq!(hello(1, 2, 1), (None, 2, 0));
    assert_eq!(hello(2, 3, 1), (Some(ErrorCode::Sessions), 2, 0));
    assert_eq!(hello(3, 4, 2), (None, 3, 0));
    assert_eq!(hello(4, 1, 1), (None, 3, 0), "one that is known is no more");
    // session 2 is the one not heard of for longest now, and for a minute
    assert_eq!(hello(61, 3, 1), (None, 3, 1));
    assert_eq!(hello(62, 1, 1), (None, 3, 1));
    assert_eq!(hello(63, 2, 1), (Some(ErrorCode::Sessions), 3, 1));
}

/// A key that asks for one session after the other takes no other key's turn.
#[test]
fn keys_at_their_limit_do_not_wait_for_each_other() {
    let limits = ReceiverLimits { sessions: 10, sessions_of_key: 2, ..ReceiverLimits::default() };
    let mut receiver = Receiver::new("r", limits, []);
    for (session, key) in [(1, 1), (2, 1), (3, 2), (4, 2)] {
        assert_eq!(hello_to(&mut receiver, 0, session, key), None);
    }
    assert_eq!(hello_to(&mut receiver, 100, 5, 1), None);
    assert_eq!(hello_to(&mut receiver, 100, 6, 1), Some(ErrorCode::Sessions));
    assert_eq!(hello_to(&mut receiver, 100, 7, 2), None);
}

/// Sessions that were heard of while the clock was ahead give way as others do.
#[test]
fn sessions_from_a_time_to_come_are_not_waited_for() {
    let limits = ReceiverLimits { sessions: 10, sessions_of_key: 2, ..ReceiverLimits::default() };
    let mut receiver = Receiver::new("r", limits, []);
    assert_eq!(hello_to(&mut receiver, 86_400, 1, 1), None);
    assert_eq!(hello_to(&mut receiver, 86_400, 2, 1), None);
    assert_eq!(hello_to(&mut receiver, 0, 3, 1), None);
    assert_eq!(hello_to(&mut receiver, 2, 4, 1), None, "the other one");
    assert_eq!(hello_to(&mut receiver, 4, 5, 1), Some(ErrorCode::Sessions));
}

/// Strangers who take each place that becomes free do not take the only one.
#[test]
fn of_a_full_table_a_share_gives_way_at_once() {
    let limits = ReceiverLimits { sessions: 128, ..ReceiverLimits::default() };
    let mark = |number: u8| Mark {
        slot: number.into(),
        session: SessionId([number; 16]),
        have: 1,
        frame: 0,
        crc: 0,
        count: 1,
        key: None,
        heard: 1_700_000_000 + u64::from(number),
    };
    let mut receiver = Receiver::new("r", limits, (0..128).map(mark));
    assert_eq!(hello_to(&mut receiver, 200, 128, 1), None);
    assert_eq!(hello_to(&mut receiver, 200, 129, 2), None);
    assert_eq!(hello_to(&mut receiver, 200, 130, 3), Some(ErrorCode::Sessions));
    assert_eq!(hello_to(&mut receiver, 201, 130, 3), None);
    assert_eq!((receiver.sessions(), receiver.forgotten()), (127, 4));
}

#[test]
fn a_full_table_of_sessions_gives_up_what_it_can() {
    let limits = ReceiverLimits {
        sessions: 2,
        forget_after: Duration::from_secs(1000),
        ..ReceiverLimits::default()
    };
    let mut receiver = Receiver::new("r", limits, []);
    let mut say = |now: u64, session: u8, with_line: bool| {
        let now = Duration::from_secs(1_700_000_000 + now);
        let mut sender = Sender::new(
            SenderOptions { software: String::new(), name: String::new(), compress: None },
            SessionId([session; 16]),
        );
        let hello = sender.transmit(Duration::ZERO).unwrap().to_vec();
        sender.transmitted(Duration::ZERO);
        let peer = PeerId(session.into());
        let reply = match receiver.receive(now, peer, None, &hello) {
            Reaction::Reply(reply) => reply,
            Reaction::Wrong(code, ..) => return Some(code),
            other => panic!("{other:?}"),
        };
        sender.receive(Duration::ZERO, &reply).unwrap();
        if with_line {
            sender.offer(&[b"a line"]);
            let frame = sender.transmit(Duration::ZERO).unwrap().to_vec();
            let Reaction::Lines(mut incoming) = receiver.receive(now, peer, None, &frame) else {
                panic!("no lines");
            };
            incoming.chunk(10).unwrap();
            receiver.accepted(now, &incoming, &[]).unwrap();
        }
        None
    };
    assert_eq!(say(0, 1, true), None);
    assert_eq!(say(0, 2, false), None);
    // Full: one has lines, one was heard of just now.
    assert_eq!(say(10, 3, false), Some(ErrorCode::Sessions));
    // One without lines is given up after a minute, before one with lines that is silent for longer.
    assert_eq!(say(70, 3, true), None);
    assert_eq!(say(71, 1, false), None, "it is known");
    // Both have lines: the one that is silent for longer gives way, after a minute.
    assert_eq!(say(100, 4, false), Some(ErrorCode::Sessions));
    assert_eq!(say(130, 4, true), None);
    assert_eq!(say(131, 1, false), None, "it is known");
    // Those that are silent for `forget_after` go at once.
    assert_eq!(say(1131, 5, false), None);
    assert_eq!(receiver.sessions(), 1);
    assert_eq!(receiver.forgotten(), 4);
}

#[test]
fn a_sender_whose_lines_are_spooled_falls_silent() {
    let mut sender = sender();
    sender.offer(&[b"a line"]);
    assert_eq!(sender.take_unsettled().len(), 1);
    sender.lost();
    sender.offer(&[b"another"]);
    assert!(drain(&mut sender, at(10_000)).is_empty());
    let spooled = sender.take_unsettled();
    assert_eq!((spooled.len(), spooled[0].first), (1, 1));
}

#[test]
fn a_spooled_frame_that_is_damaged_is_not_taken_back() {
    let mut first = sender();
    first.offer(&[b"a line", b"another"]);
    let frame = first.take_unsettled().remove(0);
    let mut damaged = frame.clone();
    *damaged.bytes.last_mut().unwrap() ^= 1;
    let mut second = sender();
    assert!(!second.restore(damaged));
    assert!(second.restore(frame.clone()));
    assert!(!second.restore(frame.clone()));
    // The first line was settled before.
    let options = SenderOptions { software: String::new(), name: String::new(), compress: None };
    let mut third = Sender::resume(options, SESSION, 1);
    assert!(third.restore(frame));
    assert_eq!((third.settled(), third.next()), (1, 2));
}

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

/// A sender that was welcomed at time 0, with the welcome.
fn welcomed(lines: &[&[u8]], limits: Limits) -> (Sender, Welcome) {
    welcomed_by(sender(), lines, limits)
}

fn welcomed_by(mut sender: Sender, lines: &[&[u8]], limits: Limits) -> (Sender, Welcome) {
    sender.offer(lines);
    let hello = drain(&mut sender, Duration::ZERO).remove(0);
    let Ok(Frame::Hello(hello)) = decode(&hello) else { panic!("no hello") };
    let Hello { number, session, .. } = hello;
    let welcome = Welcome {
        version: 1,
        meaning: 1,
        number,
        session,
        have: 0,
        frame: 0,
        crc: 0,
        count: 0,
        limits,
    };
    (sender, welcome)
}

#[test]
fn no_receiver_makes_a_sender_say_hello_twice_a_second() {
    let limits = Limits { frame: FRAME_MIN, ..Limits::default() };
    let giant = vec![b'x'; FRAME_MIN as usize];
    let (mut refusing, welcome) = welcomed(&[&giant, b"a line"], limits);
    let bytes = encoded(|out| welcome.encode("", out));
    assert_eq!(refusing.receive(at(1), &bytes), Ok(Event::Welcome));
    let (mut waiting, welcome) = welcomed(&[b"a line"], limits);
    let bytes = encoded(|out| welcome.encode("", out));
    assert_eq!(waiting.receive(at(1), &bytes), Ok(Event::Welcome));
    let (reason, hello) = (LaterReason::QueueError, welcome.number);
    let later = Later { have: 0, milliseconds: 0, reason, hello };
    let bytes = encoded(|out| later.encode(out));
    assert_eq!(waiting.receive(at(2), &bytes), Ok(Event::Later(reason)));
    for sender in [&mut refusing, &mut waiting] {
        assert!(drain(sender, at(999)).is_empty());
        assert_eq!(sender.wake_at(), Some(at(1000)));
        let hello = drain(sender, at(1000)).remove(0);
        assert!(matches!(decode(&hello), Ok(Frame::Hello(_))));
    }
    assert_eq!((refusing.settled(), refusing.take_refused().len()), (1, 1));
}

#[test]
fn a_welcome_in_a_version_that_was_not_offered_is_none() {
    let (mut sender, welcome) = welcomed(&[b"a line"], Limits::default());
    for (version, event) in [(0, Event::Nothing), (2, Event::Nothing), (1, Event::Welcome)] {
        let bytes = encoded(|out| Welcome { version, ..welcome }.encode("", out));
        assert_eq!(sender.receive(at(1), &bytes), Ok(event));
    }
}

#[test]
fn a_line_that_is_packed_too_well_for_a_receiver_travels_raw() {
    let line = vec![b'x'; 2_000];
    let options = SenderOptions { software: "s".into(), name: "n".into(), compress: Some(1) };
    let limits = Limits { expansion: 1, ..Limits::default() };
    let (mut sender, welcome) = welcomed_by(Sender::new(options, SESSION), &[&line], limits);
    let bytes = encoded(|out| welcome.encode("", out));
    assert_eq!(sender.receive(at(1), &bytes), Ok(Event::Welcome));
    let frames = drain(&mut sender, at(1));
    let Ok(Frame::Data(data)) = decode(&frames[0]) else { panic!("no lines: {frames:?}") };
    assert_eq!((data.codec, data.first, data.count), (Codec::Raw, 0, 1));
    assert_eq!(sender.take_refused(), []);
}

#[test]
fn a_refusal_counts_once_and_when_its_line_is_settled_by_the_receiver_that_said_it() {
    let (mut sender, welcome) = welcomed(&[&b"a line"[..]; 5], Limits::default());
    let mut hello = welcome.number;
    fn hears(sender: &mut Sender, bytes: &[u8]) -> Vec<u64> {
        sender.receive(at(1), bytes).expect("a frame that makes sense");
        drain(sender, at(1));
        sender.take_refused().iter().map(|line| line.number).collect()
    }
    let welcomes = |number, have| {
        encoded(|out| Welcome { number, have, frame: have, ..welcome }.encode("", out))
    };
    let refuses = |hello, numbers: &[u64]| {
        let lines: Vec<_> = numbers.iter().map(|it| (*it, RefusedReason::TooLong, 6)).collect();
        encoded(|out| Refused::encode(hello, &lines, out))
    };
    let takes = |hello, have| encoded(|out| Ack { have, window: 1 << 20, hello }.encode(out));
    assert_eq!(hears(&mut sender, &welcomes(hello, 0)), []);
    assert_eq!(hears(&mut sender, &refuses(hello, &[0, 1, 3])), []);
    assert_eq!(hears(&mut sender, &refuses(hello, &[0, 1])), [], "said again");
    assert_eq!(hears(&mut sender, &takes(hello, 1)), [0]);
    // a cut: the receiver has settled one more, and the others come to it again
    sender.lost();
    drain(&mut sender, at(1));
    hello += 1;
    assert_eq!(hears(&mut sender, &welcomes(hello, 2)), [1]);
    assert_eq!(hears(&mut sender, &takes(hello, 4)), [], "3 was taken after all");
    // another receiver has it already
    assert_eq!(hears(&mut sender, &refuses(hello, &[4])), []);
    sender.turned();
    drain(&mut sender, at(1));
    assert_eq!(hears(&mut sender, &welcomes(hello + 1, 5)), []);
    assert!(sender.is_idle());
}
