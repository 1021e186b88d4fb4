//! The receiver's table of sessions: who finds room in it, and who gives way.

use rzmq_delivery::{
    ErrorCode, FRAME_TARGET, Key, Mark, PeerId, Reaction, Receiver, ReceiverLimits, Sender,
    SenderOptions, SessionId,
};
use std::time::Duration;

/// Says hello to a receiver for a session of this key; answers how it was refused.
fn hello_to(receiver: &mut Receiver, now: u64, session: u8, key: u8) -> Option<ErrorCode> {
    let options = SenderOptions {
        software: String::new(),
        name: String::new(),
        compress: None,
        frame_target: FRAME_TARGET,
    };
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
            SenderOptions {
                software: String::new(),
                name: String::new(),
                compress: None,
                frame_target: FRAME_TARGET,
            },
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
