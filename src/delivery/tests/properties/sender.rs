//! The sender against single things that a receiver, a cut or a damaged spool may do to it.

use rzmq_delivery::{
    Ack, Codec, Event, FRAME_MIN, FRAME_TARGET, Frame, Hello, Later, LaterReason, Limits, Refused,
    RefusedReason, Sender, SenderOptions, SpooledFrame, Welcome, decode,
};
use std::time::Duration;

use crate::{SESSION, at, drain, encoded, sender};

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
    let options = SenderOptions {
        software: String::new(),
        name: String::new(),
        compress: None,
        frame_target: FRAME_TARGET,
    };
    let mut third = Sender::resume(options, SESSION, 1);
    assert!(third.restore(frame));
    assert_eq!((third.settled(), third.next()), (1, 2));
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
fn a_receiver_that_asks_for_no_pause_is_not_greeted_twice_a_second() {
    let (mut waiting, welcome) = welcomed(&[b"a line"], Limits::default());
    let bytes = encoded(|out| welcome.encode("", out));
    assert_eq!(waiting.receive(at(1), &bytes), Ok(Event::Welcome));
    let (reason, hello) = (LaterReason::QueueError, welcome.number);
    let later = Later { have: 0, milliseconds: 0, reason, hello };
    let bytes = encoded(|out| later.encode(out));
    assert_eq!(waiting.receive(at(2), &bytes), Ok(Event::Later(reason)));
    assert!(drain(&mut waiting, at(999)).is_empty());
    assert_eq!(waiting.wake_at(), Some(at(1000)));
    let hello = drain(&mut waiting, at(1000)).remove(0);
    assert!(matches!(decode(&hello), Ok(Frame::Hello(_))));
}

/// Lines of a sender that knew no limits yet, every other one too long: a hello for each gap, and no pause.
#[test]
fn lines_that_fit_into_no_frame_hold_up_none_of_the_others() {
    let limits = Limits { frame: FRAME_MIN, ..Limits::default() };
    let giant = vec![b'x'; FRAME_MIN as usize];
    let lines: Vec<_> =
        (0..100).map(|number| if number % 2 == 0 { &giant[..] } else { b"a line" }).collect();
    let (mut sender, welcome) = welcomed(&lines, limits);
    let (mut have, mut taken, mut hellos) = (0, Vec::new(), 1);
    let mut answer = Some(encoded(|out| welcome.encode("", out)));
    while let Some(bytes) = answer.take() {
        sender.receive(at(1), &bytes).expect("a frame that makes sense");
        for frame in drain(&mut sender, at(1)) {
            answer = Some(match decode(&frame) {
                Ok(Frame::Data(data)) => {
                    assert_eq!(data.first, have, "no gap");
                    have += u64::from(data.count);
                    taken.extend(data.first..have);
                    let ack = Ack { have, window: 1 << 20, hello: welcome.number + hellos - 1 };
                    encoded(|out| ack.encode(out))
                }
                Ok(Frame::Hello(Hello { number, first, .. })) => {
                    (have, hellos) = (have.max(first), hellos + 1);
                    assert_eq!((number, hellos <= 51), (welcome.number + hellos - 1, true));
                    let welcome = Welcome { number, have, frame: have, ..welcome };
                    encoded(|out| welcome.encode("", out))
                }
                other => panic!("{other:?}"),
            });
        }
    }
    assert_eq!(taken, (0..100).filter(|number| number % 2 == 1).collect::<Vec<_>>());
    let refused: Vec<_> = sender.take_refused().iter().map(|line| line.number).collect();
    assert_eq!(refused, (0..100).filter(|number| number % 2 == 0).collect::<Vec<_>>());
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
    let options = SenderOptions {
        software: "s".into(),
        name: "n".into(),
        compress: Some(1),
        frame_target: FRAME_TARGET,
    };
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

/// A link over which so many bytes of lines get through before each connection is lost.
struct Narrow {
    bytes: usize,
    have: u64,
    taken: Vec<Vec<u8>>,
    losses: usize,
    largest: usize,
}

impl Narrow {
    /// One connection; the receiver answers each whole frame.
    fn connect(&mut self, sender: &mut Sender, limits: Limits) {
        let hello = drain(sender, Duration::ZERO).remove(0);
        let Ok(Frame::Hello(Hello { number, session, .. })) = decode(&hello) else {
            panic!("no hello")
        };
        let welcome = Welcome {
            version: 1,
            meaning: 1,
            number,
            session,
            have: self.have,
            frame: self.have,
            crc: 0,
            count: 0,
            limits,
        };
        let bytes = encoded(|out| welcome.encode("", out));
        assert_eq!(sender.receive(at(1), &bytes), Ok(Event::Welcome));
        let mut left = self.bytes;
        self.largest = 0;
        for frame in drain(sender, at(1)) {
            self.largest = self.largest.max(frame.len());
            let Some(rest) = left.checked_sub(frame.len()) else { break };
            left = rest;
            let Ok(Frame::Data(data)) = decode(&frame) else { panic!("no lines") };
            assert_eq!(data.first, self.have, "no gap");
            self.have += u64::from(data.count);
            let bytes = frame.clone();
            let spooled = SpooledFrame { session, first: data.first, count: data.count, bytes };
            self.taken.extend(spooled.lines());
            let ack = Ack { have: self.have, window: limits.window, hello: number };
            let bytes = encoded(|out| ack.encode(out));
            assert_eq!(sender.receive(at(2), &bytes), Ok(Event::Nothing));
        }
        sender.lost();
        self.losses += 1;
    }
}

#[test]
fn frames_shrink_until_a_slow_link_carries_one_and_grow_again() {
    let lines: Vec<_> = (0..12_000).map(|number| format!("{number:0200}").into_bytes()).collect();
    let texts: Vec<_> = lines.iter().map(Vec::as_slice).collect();
    for bytes in [300_000, 100_000, 30_000, 5_000] {
        let mut sender = sender();
        sender.offer(&texts);
        let (have, taken) = (0, Vec::new());
        let mut link = Narrow { bytes, have, taken, losses: 0, largest: 0 };
        while !sender.is_idle() && link.losses < 2_000 {
            link.connect(&mut sender, Limits::default());
        }
        assert!(link.taken == lines, "each line once and as it was over {bytes} bytes");
        // A wide link again: small frames show that all is well.
        (link.bytes, link.losses) = (usize::MAX, 0);
        while link.largest < 200_000 {
            assert!(link.losses < 20, "frames of {} bytes still", link.largest);
            sender.offer(&texts);
            link.connect(&mut sender, Limits::default());
        }
    }
}
