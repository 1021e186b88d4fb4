//! Which of several receivers is spoken to: left when it takes nothing, gone back to when it is back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rzmq_delivery::{
    Ack, Choice, FRAME_MIN, FRAME_TARGET, Frame, Later, LaterReason, Limits, Sender, SenderOptions,
    SessionId, Turn, Welcome, decode,
};
use std::time::Duration;

const SESSION: SessionId = SessionId([5; 16]);
/// A driver looks as often as this.
const STEP: Duration = Duration::from_millis(100);

/// A session with receivers `a`, `b`, …, and a clock.
struct Bench {
    choice: Choice,
    sender: Sender,
    now: Duration,
    up: Vec<bool>,
    limits: Limits,
    /// The number of the last hello, and how many there were.
    hello: u32,
    hellos: usize,
    turns: Vec<Turn>,
}

impl Bench {
    fn new(receivers: usize) -> Bench {
        let names = ["a", "b", "c"].into_iter().take(receivers).map(str::to_owned).collect();
        let options = SenderOptions {
            software: String::new(),
            name: String::new(),
            compress: None,
            frame_target: FRAME_TARGET,
        };
        Bench {
            choice: Choice::new(names, 0),
            sender: Sender::new(options, SESSION),
            now: Duration::from_secs(100),
            up: vec![true; receivers],
            limits: Limits::default(),
            hello: 0,
            hellos: 0,
            turns: Vec::new(),
        }
    }

    /// What a driver does, for so long.
    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            let is_up = |place: usize| self.up[place];
            let back = self.choice.go_back(self.now, is_up, &mut self.sender);
            let turn = self.choice.choose(self.now, is_up, &mut self.sender);
            self.turns.extend(back.into_iter().chain(turn));
            if !self.up[self.choice.active()] {
                continue;
            }
            let settled = self.sender.settled();
            while let Some(frame) = self.sender.transmit(self.now) {
                if let Frame::Hello(hello) = decode(frame).unwrap() {
                    (self.hello, self.hellos) = (hello.number, self.hellos + 1);
                }
                self.sender.transmitted(self.now);
            }
            if self.sender.settled() > settled {
                self.choice.passed_over();
            }
        }
    }

    fn hears(&mut self, frame: &[u8]) {
        let before = self.sender.settled();
        let event = self.sender.receive(self.now, frame);
        let settled = self.sender.settled() > before;
        self.turns.extend(self.choice.note(self.now, &event, settled));
    }

    fn is_welcomed(&mut self) {
        let have = self.sender.settled();
        let (version, meaning, number, session) = (1, 1, self.hello, SESSION);
        let (crc, count, limits) = (0, 0, self.limits);
        let mut frame = Vec::new();
        Welcome { version, meaning, number, session, have, frame: have, crc, count, limits }
            .encode("", &mut frame);
        self.hears(&frame);
    }

    fn is_acknowledged(&mut self) {
        let (have, window, hello) = (self.sender.next(), Limits::default().window, self.hello);
        let mut frame = Vec::new();
        Ack { have, window, hello }.encode(&mut frame);
        self.hears(&frame);
    }

    fn is_told_later(&mut self, reason: LaterReason, milliseconds: u32) {
        let (have, hello) = (self.sender.settled(), self.hello);
        let mut frame = Vec::new();
        Later { have, milliseconds, reason, hello }.encode(&mut frame);
        self.hears(&frame);
    }

    fn offers(&mut self) {
        self.sender.offer(&[b"a line"]);
        self.passes(STEP);
    }

    /// The active one takes a line.
    fn takes(&mut self) {
        self.offers();
        if !self.sender.is_open() {
            self.is_welcomed();
            self.passes(STEP);
        }
        self.is_acknowledged();
        assert!(self.sender.is_idle());
    }

    fn told(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn news(text: &str) -> Vec<Turn> {
    vec![Turn::News(text.into())]
}

#[test]
fn one_that_is_gone_is_left_with_what_is_in_flight_and_gone_back_to_when_nothing_is() {
    let mut bench = Bench::new(2);
    bench.takes();
    bench.offers();
    bench.up[0] = false;
    bench.sender.lost();
    bench.choice.ended(0);
    bench.passes(seconds(1));
    assert_eq!((bench.choice.active(), bench.told()), (0, vec![]), "not at once");
    let hellos = bench.hellos;
    bench.passes(Duration::from_millis(1500));
    assert_eq!(bench.choice.active(), 1);
    assert_eq!(bench.told(), news("a is not connected; going on with b"));
    assert_eq!(bench.hellos, hellos + 1, "it is asked where the session stands");
    bench.is_welcomed();
    bench.passes(STEP);
    // it is back, and something is in flight
    bench.up[0] = true;
    bench.choice.ended(0);
    bench.passes(seconds(2));
    bench.offers();
    assert_eq!(bench.choice.active(), 1);
    bench.is_acknowledged();
    bench.passes(seconds(4));
    assert_eq!((bench.choice.active(), bench.told()), (1, vec![]), "not before five seconds");
    bench.passes(seconds(2));
    assert_eq!((bench.choice.active(), bench.told()), (0, news("a is back; going on with a")));
    assert!(!bench.sender.is_open(), "it has to answer first");
}

#[test]
fn one_that_answers_and_takes_none_is_left_and_one_that_is_held_by_its_rate_is_not() {
    let mut bench = Bench::new(2);
    bench.offers();
    for _ in 0..3 {
        bench.is_welcomed();
        bench.passes(STEP);
        bench.is_told_later(LaterReason::Rate, 5000);
        bench.passes(seconds(6));
    }
    assert_eq!((bench.choice.active(), bench.told()), (0, vec![]));
    bench.is_welcomed();
    bench.passes(STEP);
    bench.is_told_later(LaterReason::QueueError, 1000);
    bench.passes(seconds(3));
    assert_eq!(bench.choice.active(), 1);
    assert_eq!(bench.told(), news("a takes no lines (later: QueueError); going on with b"));
}

/// The line is refused by the sender, whose next hello is no sign of a receiver that takes nothing.
#[test]
fn one_whose_frames_are_too_short_for_a_line_is_not_left_for_it() {
    let mut bench = Bench::new(2);
    bench.limits.frame = FRAME_MIN;
    bench.sender.offer(&[&[b'x'; FRAME_MIN as usize], b"a line"]);
    bench.passes(STEP);
    bench.is_welcomed();
    bench.passes(STEP);
    assert_eq!((bench.sender.settled(), bench.hellos), (1, 2), "refused, and asked anew");
    bench.is_welcomed();
    // its queue is full, for less than the sender asks after
    bench.passes(Duration::from_millis(2500));
    assert_eq!((bench.choice.active(), bench.told()), (0, vec![]));
    bench.is_acknowledged();
    assert!(bench.sender.is_idle());
}

#[test]
fn where_none_takes_lines_they_are_tried_in_turn_and_that_is_told_as_what_it_is() {
    let mut bench = Bench::new(3);
    bench.offers();
    bench.passes(seconds(30));
    let told = bench.told();
    let (first, rest) = told.split_at(3);
    assert_eq!(first[0], Turn::News("a does not answer; going on with b".into()));
    assert!(first.iter().all(|turn| matches!(turn, Turn::News(_))), "{first:?}");
    assert!(rest.len() > 2 && rest.iter().all(|it| matches!(it, Turn::InVain(_))), "{rest:?}");
    bench.is_welcomed();
    bench.passes(STEP);
    bench.is_acknowledged();
    let name = ["a", "b", "c"][bench.choice.active()];
    assert_eq!(bench.told(), news(&format!("{name} takes lines again; going on with it")));
}

#[test]
fn nothing_is_held_against_one_while_there_is_nothing_to_do_and_one_alone_is_never_left() {
    let mut bench = Bench::new(2);
    bench.takes();
    // nobody asks meanwhile
    bench.now += seconds(60);
    bench.offers();
    assert_eq!((bench.choice.active(), bench.told()), (0, vec![]));
    let mut bench = Bench::new(1);
    bench.offers();
    bench.passes(seconds(30));
    assert_eq!((bench.choice.active(), bench.told()), (0, vec![]));
}

/// A suspended action is asked twice a minute, and for a moment.
#[test]
fn one_that_takes_nothing_is_left_by_who_is_asked_seldom_too() {
    for (is_up, asked) in [(true, 2), (false, 1)] {
        let mut bench = Bench::new(2);
        bench.takes();
        bench.offers();
        bench.up[0] = is_up;
        for _ in 0..asked {
            assert_eq!(bench.choice.active(), 0);
            bench.now += seconds(30);
            bench.passes(STEP);
        }
        assert_eq!(bench.choice.active(), 1, "{is_up}: {:?}", bench.told());
    }
}

/// Each would be left again and again before its answer comes, and only the answer to the latest hello counts.
#[test]
fn where_all_answer_slowly_one_of_them_gets_the_time_to() {
    const WAY: Duration = Duration::from_millis(2500);
    let mut bench = Bench::new(2);
    bench.offers();
    let mut answers = std::collections::VecDeque::from([(bench.now + WAY, 0, bench.hello)]);
    let end = bench.now + seconds(40);
    while !bench.sender.is_open() {
        assert!(bench.now < end, "none of them is waited for: {:?}", bench.told());
        let hellos = bench.hellos;
        bench.passes(STEP);
        if bench.hellos > hellos {
            answers.push_back((bench.now + WAY, bench.choice.active(), bench.hello));
        }
        let Some(&(_, from, number)) = answers.front().filter(|(at, ..)| *at <= bench.now) else {
            continue;
        };
        answers.pop_front();
        if from == bench.choice.active() {
            let latest = std::mem::replace(&mut bench.hello, number);
            bench.is_welcomed();
            bench.hello = latest;
        }
    }
}
