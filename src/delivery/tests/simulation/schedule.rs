//! A schedule: the shape of a world and the faults that happen in it. All of it follows from the
//! seed; a failing schedule is made smaller by leaving faults out.

use rzmq_delivery::FRAME_TARGET;
use std::fmt;

/// splitmix64: small, seeded, the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound.max(1))) >> 64) as u64
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A connection ends; a suffix of both pipes is lost, what is left may be read late.
    Cut,
    /// A connection ends, and the sender notices only later: what it sends meanwhile is lost.
    HalfOpen,
    /// The transport takes nothing for a while.
    Stall,
    /// Frames of the receiver are lost on a living connection (a ROUTER drops them at its limit).
    LoseReplies,
    /// Frames of the receiver come twice.
    RepeatReplies,
    /// The receiver grants no window for some frames.
    ShutWindow,
    /// The receiver is killed, between messages or behind any step of a chunk.
    KillReceiver,
    /// The receiver stops cleanly, also in the middle of a frame.
    StopReceiver,
    /// The receiver is killed and its file of marks is gone.
    LoseMarks,
    /// The receiver is killed and one mark is torn.
    TearMark,
    /// Each chunk takes long.
    SlowReceiver,
    /// The receiver's queue answers errors.
    QueueError,
    /// The driver of the receiver forgets its connections.
    ForgetPeers,
    /// The receiver's wall clock jumps, either way.
    WallClock,
    /// The sender stops cleanly: what is unsettled is spooled.
    StopSender,
    /// The sender is killed: its queue offers again what was not answered.
    KillSender,
    /// The sender's clock jumps ahead.
    SenderClock,
    /// The sender stops and comes back with another key.
    NewKey,
    /// The sender turns to another receiver.
    SwitchReceiver,
    /// A second live sender with the same session.
    Clone,
    /// A stranger says hello with the sender's session and another key.
    Stranger,
    /// A stranger sends nonsense.
    Garbage,
}

pub(crate) const KINDS: [Kind; 22] = [
    Kind::Cut,
    Kind::HalfOpen,
    Kind::Stall,
    Kind::LoseReplies,
    Kind::RepeatReplies,
    Kind::ShutWindow,
    Kind::KillReceiver,
    Kind::StopReceiver,
    Kind::LoseMarks,
    Kind::TearMark,
    Kind::SlowReceiver,
    Kind::QueueError,
    Kind::ForgetPeers,
    Kind::WallClock,
    Kind::StopSender,
    Kind::KillSender,
    Kind::SenderClock,
    Kind::NewKey,
    Kind::SwitchReceiver,
    Kind::Clone,
    Kind::Stranger,
    Kind::Garbage,
];

/// A fault: when, what, whom it hits (modulo those there are), how hard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) at: u64,
    pub(crate) kind: Kind,
    pub(crate) target: u64,
    pub(crate) force: u64,
    pub(crate) last: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, kind, target, force, last } = self;
        write!(f, "{at:>6} ms  {kind:?} target {target} force {force} for {last} ms")
    }
}

/// What the world is like.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) senders: usize,
    pub(crate) receivers: usize,
    pub(crate) lines: u64,
    /// Lines of a batch, at most.
    pub(crate) batch: u64,
    pub(crate) chunk: u32,
    pub(crate) window: u32,
    pub(crate) frame_lines: u32,
    /// The longest line that receivers take.
    pub(crate) longest: usize,
    /// A few lines that fit into no frame.
    pub(crate) giants: bool,
    pub(crate) compress: bool,
    /// Bytes of lines that a frame aims at; few, so that there are such with more over a slow link.
    pub(crate) frame_target: usize,
    pub(crate) keys: bool,
    /// The receiver's driver takes turns between connections within a frame.
    pub(crate) takes_turns: bool,
    pub(crate) latency: u64,
    /// The longest pause between two batches.
    pub(crate) pause: u64,
    /// The longest that a chunk takes.
    pub(crate) pace: u64,
    /// Messages that a connection holds.
    pub(crate) high_water: usize,
    /// Clones exist; then marks are neither lost nor in doubt, no line is too long for any frame, and
    /// there is one receiver: nobody could tell whose line a number was.
    pub(crate) clones: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) shape: Shape,
    pub(crate) faults: Vec<Fault>,
}

impl Schedule {
    pub(crate) fn generate(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let clones = rng.one_in(4);
        let receivers = if clones || rng.one_in(2) { 1 } else { 2 };
        // Faults happen within this time; so does most of the traffic.
        let horizon = *pick(&mut rng, &[4_000, 16_000]);
        let senders = rng.between(2, 4);
        let batch = *pick(&mut rng, &[4, 12, 40]);
        let batches = 240 / senders * 2 / batch + 1;
        let shape = Shape {
            senders: senders as usize,
            receivers,
            lines: rng.between(200, 240),
            batch,
            pause: horizon * 2 / batches,
            pace: *pick(&mut rng, &[0, 5, 50]),
            chunk: *pick(&mut rng, &[1, 3, 8, 128]),
            window: *pick(&mut rng, &[1, 300, 1500, 4 << 20]),
            frame_lines: *pick(&mut rng, &[3, 8, 16, 4096]),
            longest: *pick(&mut rng, &[40, 60, 1 << 20]),
            giants: rng.one_in(40) && !clones,
            compress: rng.one_in(20),
            frame_target: *pick(&mut rng, &[256, 1024, FRAME_TARGET]),
            keys: !rng.one_in(5),
            takes_turns: rng.one_in(2),
            latency: *pick(&mut rng, &[2, 30, 400, 1500]),
            high_water: *pick(&mut rng, &[2, 8, 1000]),
            clones,
        };
        let count = rng.between(30, 45);
        let mut faults: Vec<_> = (0..count).map(|_| fault(&mut rng, &shape, horizon)).collect();
        faults.sort_by_key(|fault| fault.at);
        Self { seed, shape, faults }
    }

    /// The schedule without the faults `from..to`.
    pub(crate) fn without(&self, from: usize, to: usize) -> Self {
        let mut smaller = self.clone();
        smaller.faults.drain(from..to);
        smaller
    }
}

/// Leaves out what the failure does not need.
pub(crate) fn shrink(mut schedule: Schedule, fails: impl Fn(&Schedule) -> bool) -> Schedule {
    let mut step = schedule.faults.len().div_ceil(2);
    while step > 0 {
        let mut from = 0;
        let mut removed = false;
        while from < schedule.faults.len() {
            let to = (from + step).min(schedule.faults.len());
            let smaller = schedule.without(from, to);
            if fails(&smaller) {
                schedule = smaller;
                removed = true;
            } else {
                from += step;
            }
        }
        if !removed || step > schedule.faults.len() {
            step /= 2;
        }
    }
    schedule
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.below(of.len() as u64) as usize]
}

fn fault(rng: &mut Rng, shape: &Shape, horizon: u64) -> Fault {
    let kind = loop {
        let kind = *pick(rng, &KINDS);
        let seldom = matches!(kind, Kind::Clone | Kind::NewKey | Kind::LoseMarks);
        let with_clones = match kind {
            Kind::Clone => shape.clones,
            // A clone's lines under numbers of a chunk in doubt: no receiver can tell.
            Kind::KillReceiver | Kind::LoseMarks | Kind::TearMark => !shape.clones,
            Kind::NewKey | Kind::Stranger => shape.keys,
            Kind::SwitchReceiver => shape.receivers > 1,
            _ => true,
        };
        if with_clones && !(seldom && rng.one_in(2)) {
            break kind;
        }
    };
    let last = *pick(rng, &[20, 200, 1500, 4000]);
    Fault {
        at: rng.below(horizon),
        kind,
        target: rng.below(12),
        force: rng.below(24),
        last: rng.between(last / 4, last),
    }
}
