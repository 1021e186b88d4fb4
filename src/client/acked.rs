//! Lines to an imrzmq, acknowledged: drives the sending state machine (src/delivery) over a DEALER for each
//! endpoint. One of them is spoken to (src/delivery/choice.rs says which); all are connected.
//!
//! Nothing happens but in [`AckedSender::drive`] and [`AckedSender::finish`]: lines go out and
//! acknowledgements come in there. What is offered and not settled is held in memory; the caller bounds
//! it by [`AckedSender::unsettled`].
//!
//! Own threads and locks: none.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rzmq_delivery::{
    COMPRESS_FAST, Choice, Event, FRAME_TARGET, Head, RefusedLine, SenderOptions, SessionId, Turn,
};
use rzmq_link::{
    Change, Context, LinkError, Mode, Notice, Notices, Options, Received, Sent, Socket, SocketSpec,
    SocketType, parse_endpoints, random,
};

use crate::address::needs_ipv6;
use crate::{ClientError, Credentials};

/// How long libzmq may take to be connected again.
const STAYS_AWAY: Duration = Duration::from_secs(3);
/// How often it is looked, while an answer is waited for, whether another endpoint has to take over.
const LOOK: Duration = Duration::from_millis(200);

/// One session of acknowledged delivery.
pub struct AckedSender {
    sender: rzmq_delivery::Sender,
    targets: Vec<Target>,
    choice: Choice,
    told: Arc<Told>,
    notices: Receiver<String>,
    context: Context,
    /// It was said that no endpoint takes lines, and none has since.
    in_vain: bool,
    /// A receiver has let us in: lines go to none before that.
    answered: bool,
    clock: Instant,
    received: Received,
    offered: u64,
    settled: u64,
    refused: Vec<RefusedLine>,
}

/// An endpoint with its socket.
struct Target {
    spec: SocketSpec,
    socket: Socket,
    /// Connections that ended, as far as the state machine knows.
    ended: u64,
    /// Since when the connection is lost, while the socket is the one it was lost on.
    lost: Option<Instant>,
    /// Another socket could not be opened: when that is tried again.
    again: Option<Instant>,
}

struct Told(Sender<String>);

impl Notices for Told {
    fn notice(&self, notice: &Notice) {
        if notice.is_trouble() {
            // nobody listens any more when the sender is being dropped
            let _ = self.0.send(notice.to_string());
        }
    }

    fn count(&self, _: Change) {}
}

impl AckedSender {
    /// Begins a session with the receiver at this endpoint, under a name for its people to know it by.
    /// Whether it is there shows later.
    ///
    /// Of several endpoints, with commas between them, the first that answers is spoken to; the next one
    /// takes over within five seconds of its taking none any more, and it is gone back to once it has been up for a
    /// while and nothing is unsettled. What was unsettled when an endpoint was left may be at both, under
    /// the same number of the same session.
    pub fn connect(
        endpoints: &str,
        credentials: &Credentials,
        name: &str,
    ) -> Result<AckedSender, ClientError> {
        Self::open(endpoints, credentials, name, None)
    }

    /// The same, and what is sent is packed with zstd, for slow links.
    pub fn connect_packing(
        endpoints: &str,
        credentials: &Credentials,
        name: &str,
    ) -> Result<AckedSender, ClientError> {
        Self::open(endpoints, credentials, name, Some(COMPRESS_FAST))
    }

    fn open(
        text: &str,
        credentials: &Credentials,
        name: &str,
        compress: Option<i32>,
    ) -> Result<AckedSender, ClientError> {
        let endpoints = parse_endpoints(text, Mode::Connect)?;
        if endpoints.is_empty() || endpoints.iter().any(|it| it.mode != Mode::Connect) {
            return Err(ClientError::ToCall(text.to_owned()));
        }
        let names: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
        let security = credentials.security()?;
        let (told, notices) = channel();
        let told = Arc::new(Told(told));
        let context = Context::new(1)?;
        let mut targets = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let mut options = Options { ipv6: needs_ipv6(&endpoint), ..Options::default() };
            if names.len() > 1 {
                options.notice_cuts_early();
            }
            let spec = SocketSpec {
                name: name.to_owned(),
                socket_type: SocketType::Dealer,
                endpoints: vec![endpoint],
                security: Arc::clone(&security),
                options,
                topics: Vec::new(),
            };
            let socket = context.open(&spec, told.clone())?;
            targets.push(Target { spec, socket, ended: 0, lost: None, again: None });
        }
        let options = SenderOptions {
            software: concat!("rzlog ", env!("CARGO_PKG_VERSION")).into(),
            name: name.into(),
            compress,
            frame_target: FRAME_TARGET,
        };
        Ok(AckedSender {
            sender: rzmq_delivery::Sender::new(options, SessionId(random())),
            targets,
            choice: Choice::new(names, 0),
            told,
            notices,
            context,
            in_vain: false,
            answered: false,
            clock: Instant::now(),
            received: Received::new(),
            offered: 0,
            settled: 0,
            refused: Vec::new(),
        })
    }

    /// Takes lines over. They are on their way only after [`AckedSender::drive`].
    pub fn offer(&mut self, lines: &[&[u8]]) {
        self.offered += lines.len() as u64;
        if lines.iter().all(|line| line.first() != Some(&0)) {
            return self.sender.offer(lines);
        }
        // A line that begins with a NUL byte travels behind an empty head.
        let with_heads: Vec<_> = lines
            .iter()
            .map(|line| {
                let mut bytes = Vec::with_capacity(line.len() + 2);
                Head::default().encode(line, &mut bytes);
                bytes
            })
            .collect();
        let lines: Vec<_> = with_heads.iter().map(Vec::as_slice).collect();
        self.sender.offer(&lines);
    }

    /// Sends what may be sent and takes the answers that are there; waits at most this long for one.
    /// A signal ends the wait.
    pub fn drive(&mut self, patience: Duration) -> Result<(), ClientError> {
        self.keep_open()?;
        // first what has come: it is no silence that an endpoint is left for
        let heard = self.listen()?;
        self.choose();
        self.transmit()?;
        if !self.listen()? && !heard && !patience.is_zero() {
            let now = self.clock.elapsed();
            let wake = self.sender.wake_at().map_or(patience, |at| at.saturating_sub(now));
            let patience = if self.choice.is_alone() { patience } else { patience.min(LOOK) };
            let active = &self.targets[self.choice.active()].socket;
            active.wait_message(patience.min(wake.max(Duration::from_millis(1))))?;
            self.listen()?;
            self.transmit()?;
        }
        Ok(())
    }

    /// Drives until everything is settled, at most this long; answers whether it is.
    pub fn finish(&mut self, patience: Duration) -> Result<bool, ClientError> {
        let until = Instant::now() + patience;
        while self.unsettled() > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.drive(left.min(Duration::from_millis(200)))?;
        }
        Ok(true)
    }

    /// Lines that are neither acknowledged nor refused yet.
    pub fn unsettled(&self) -> u64 {
        self.offered - self.settled
    }

    /// Lines that the receiver has taken, or refused for good.
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// The lines that the receiver has refused for good, and that were settled by it since the last call: each
    /// is one of [`AckedSender::settled`].
    pub fn take_refused(&mut self) -> Vec<RefusedLine> {
        std::mem::take(&mut self.refused)
    }

    /// Whether any receiver has let us in so far. Before that no line has left, so none can have arrived.
    pub fn was_answered(&self) -> bool {
        self.answered
    }

    /// What happened to the connection since the last call, as sentences.
    pub fn take_notices(&mut self) -> Vec<String> {
        self.notices.try_iter().collect()
    }

    /// A socket that cannot be opened again is an endpoint less; without any of them it is an error.
    fn keep_open(&mut self) -> Result<(), ClientError> {
        let mut failed = None;
        for (place, target) in self.targets.iter_mut().enumerate() {
            let mut in_doubt = target.has_ended();
            match target.keep_open(&self.context, &self.told) {
                Ok(is_new) => in_doubt |= is_new,
                Err(error) => {
                    if target.again.replace(Instant::now() + STAYS_AWAY).is_none() {
                        // this sender holds the other end
                        let _ = self.told.0.send(format!("{error}; it is tried again"));
                    }
                    failed = Some(error);
                }
            }
            if !in_doubt {
                continue;
            }
            self.choice.ended(place);
            if place == self.choice.active() {
                self.sender.lost();
            }
        }
        let all = self.targets.iter().all(|target| target.again.is_some());
        failed.filter(|_| all).map_or(Ok(()), Err)
    }

    /// Turns to another endpoint when it is time to.
    fn choose(&mut self) {
        let now = self.clock.elapsed();
        let is_up = |place: usize| self.targets[place].socket.connections() > 0;
        let back = self.choice.go_back(now, is_up, &mut self.sender);
        let turn = back.or_else(|| self.choice.choose(now, is_up, &mut self.sender));
        self.tell_turn(turn);
    }

    fn transmit(&mut self) -> Result<(), ClientError> {
        let now = self.clock.elapsed();
        let before = self.sender.settled();
        let socket = &self.targets[self.choice.active()].socket;
        while let Some(frame) = self.sender.transmit(now) {
            if socket.send(&[frame])? == Sent::Full {
                break;
            }
            self.sender.transmitted(now);
        }
        // a line that fits into no frame of this receiver is settled here
        if self.sender.settled() != before {
            self.choice.passed_over();
            self.note(before);
        }
        Ok(())
    }

    fn listen(&mut self) -> Result<bool, ClientError> {
        let mut heard = false;
        let active = self.choice.active();
        loop {
            match self.targets[active].socket.receive(&mut self.received) {
                Ok(true) => heard = true,
                Ok(false) => return Ok(heard),
                // no more of it may be read
                Err(why @ LinkError::ManyFrames) => {
                    self.tell(format!("{why}; the connection is made anew"));
                    // it may answer so each time
                    thread::sleep(LOOK);
                    self.targets[active].open_anew(&self.context, &self.told)?;
                    self.choice.ended(active);
                    self.sender.lost();
                    return Ok(heard);
                }
                Err(why) => return Err(why.into()),
            }
            let (now, before) = (self.clock.elapsed(), self.sender.settled());
            let event = self.sender.receive(now, self.received.body());
            let settled = self.sender.settled() > before;
            self.note(before);
            let turn = self.choice.note(now, &event, settled);
            self.tell_turn(turn);
            self.in_vain &= !settled;
            match &event {
                Ok(event) => {
                    if let Some(trouble) = event.sentence(None) {
                        self.tell(trouble);
                    }
                    self.answered |= *event == Event::Welcome;
                    if matches!(event, Event::SessionLost(..)) {
                        self.sender.renumber(SessionId(random()));
                    }
                }
                Err(doubt) => self.tell(doubt.to_string()),
            }
        }
    }

    fn tell_turn(&mut self, turn: Option<Turn>) {
        match turn {
            Some(Turn::News(text)) => self.tell(text),
            Some(Turn::InVain(text)) if !self.in_vain => {
                self.in_vain = true;
                self.tell(text);
            }
            Some(Turn::InVain(_)) | None => {}
        }
    }

    fn tell(&self, text: String) {
        // this sender holds the other end
        let _ = self.told.0.send(text);
    }

    fn note(&mut self, before: u64) {
        self.settled += self.sender.settled() - before;
        self.refused.extend(self.sender.take_refused().into_iter().map(|line| {
            let text = Head::split(&line.text).1.to_vec();
            RefusedLine { text, ..line }
        }));
    }
}

impl Target {
    /// Whether a connection has ended since the last call: what went over it is in doubt.
    fn has_ended(&mut self) -> bool {
        let ended = self.socket.connections_ended();
        let is_new = ended != self.ended;
        if is_new {
            (self.ended, self.lost) = (ended, Some(Instant::now()));
        }
        is_new
    }

    /// Sees to its socket. Answers whether it is a new one.
    fn keep_open(&mut self, context: &Context, told: &Arc<Told>) -> Result<bool, ClientError> {
        // After a frame that is too long libzmq never calls that receiver again.
        let stays_away = self.socket.connections() == 0
            && self.lost.is_some_and(|since| since.elapsed() > STAYS_AWAY);
        self.socket.call_again();
        if !stays_away {
            self.again = None;
            return Ok(false);
        }
        if self.again.is_some_and(|at| Instant::now() < at) {
            return Ok(false);
        }
        self.open_anew(context, told)?;
        Ok(true)
    }

    fn open_anew(&mut self, context: &Context, told: &Arc<Told>) -> Result<(), ClientError> {
        self.socket = context.open(&self.spec, told.clone())?;
        (self.ended, self.lost, self.again) = (0, None, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_cannot_be_opened_again_ends_only_what_has_no_other() {
        let endpoint = |name: &str| format!("ipc:///nobody-is-here/{name}");
        let both = [endpoint("one"), endpoint("two")].join(",");
        let mut sender = AckedSender::connect(&both, &Credentials::Plaintext, "trial").unwrap();
        let too_long = endpoint(&"x".repeat(200));
        let breaks = |sender: &mut AckedSender, place: usize| {
            let target = &mut sender.targets[place];
            target.spec.endpoints[0].address.clone_from(&too_long);
            target.lost = Instant::now().checked_sub(2 * STAYS_AWAY);
        };
        breaks(&mut sender, 0);
        sender.drive(Duration::ZERO).unwrap();
        sender.drive(Duration::ZERO).unwrap();
        // beside what the link says of endpoints where nobody listens, as soon as it knows
        let mut told = sender.take_notices();
        told.retain(|line| line.contains("it is tried again"));
        assert!(matches!(told.as_slice(), [one] if one.contains("xxx")), "{told:?}");
        breaks(&mut sender, 1);
        assert!(sender.drive(Duration::ZERO).unwrap_err().to_string().contains("xxx"));
    }
}
