//! Lines to an imrzmq, acknowledged: drives the sending state machine (src/delivery) over one DEALER.
//!
//! Nothing happens but in [`AckedSender::drive`] and [`AckedSender::finish`]: lines go out and
//! acknowledgements come in there. What is offered and not settled is held in memory; the caller bounds
//! it by [`AckedSender::unsettled`].
//!
//! Own threads and locks: none.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rzmq_delivery::{Event, Head, RefusedLine, SenderOptions, SessionId};
use rzmq_link::{
    Change, Context, Mode, Notice, Notices, Options, Received, Renewal, Sent, Socket, SocketSpec,
    SocketType, parse_endpoints,
};

use crate::address::needs_ipv6;
use crate::{ClientError, Credentials};

/// How long libzmq may take to be connected again.
const STAYS_AWAY: Duration = Duration::from_secs(3);

/// One session of acknowledged delivery.
pub struct AckedSender {
    sender: rzmq_delivery::Sender,
    socket: Socket,
    spec: SocketSpec,
    told: Arc<Told>,
    notices: Receiver<String>,
    context: Context,
    /// Connections that ended, as far as the state machine knows.
    ended: u64,
    /// Since when the connection is lost, while the socket is the one it was lost on.
    lost: Option<Instant>,
    clock: Instant,
    received: Received,
    offered: u64,
    settled: u64,
    refused: Vec<RefusedLine>,
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
    pub fn connect(
        endpoint: &str,
        credentials: &Credentials,
        name: &str,
    ) -> Result<AckedSender, ClientError> {
        let endpoints = parse_endpoints(endpoint, Mode::Connect)?;
        if endpoints.len() != 1 || endpoints[0].mode != Mode::Connect {
            return Err(ClientError::OneToCall(endpoint.to_owned()));
        }
        let ipv6 = endpoints.iter().any(needs_ipv6);
        let spec = SocketSpec {
            name: name.to_owned(),
            socket_type: SocketType::Dealer,
            endpoints,
            security: credentials.security()?,
            options: Options { ipv6, ..Options::default() },
            topics: Vec::new(),
        };
        let (told, notices) = channel();
        let told = Arc::new(Told(told));
        let context = Context::new(1)?;
        let socket = context.open(&spec, told.clone())?;
        let options = SenderOptions {
            software: concat!("rzlog ", env!("CARGO_PKG_VERSION")).into(),
            name: name.into(),
            compress: None,
        };
        Ok(AckedSender {
            sender: rzmq_delivery::Sender::new(options, new_session()),
            socket,
            spec,
            told,
            notices,
            context,
            ended: 0,
            lost: None,
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
        self.transmit()?;
        if !self.listen()? && !patience.is_zero() {
            let now = self.clock.elapsed();
            let wake = self.sender.wake_at().map_or(patience, |at| at.saturating_sub(now));
            self.socket.wait_message(patience.min(wake.max(Duration::from_millis(1))))?;
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

    /// The lines that the receiver has refused for good since the last call.
    pub fn take_refused(&mut self) -> Vec<RefusedLine> {
        std::mem::take(&mut self.refused)
    }

    /// What happened to the connection since the last call, as sentences.
    pub fn take_notices(&mut self) -> Vec<String> {
        self.notices.try_iter().collect()
    }

    fn keep_open(&mut self) -> Result<(), ClientError> {
        let ended = self.socket.connections_ended();
        if ended != self.ended {
            self.ended = ended;
            self.lost = Some(Instant::now());
            self.sender.lost();
        }
        // After a frame that is too long libzmq never calls that receiver again.
        let stays_away = self.socket.connections() == 0
            && self.lost.is_some_and(|since| since.elapsed() > STAYS_AWAY);
        if stays_away || self.socket.renewal() == Renewal::Reopen {
            self.socket = self.context.open(&self.spec, self.told.clone())?;
            (self.ended, self.lost) = (0, None);
            self.sender.lost();
        }
        Ok(())
    }

    fn transmit(&mut self) -> Result<(), ClientError> {
        let now = self.clock.elapsed();
        let before = self.sender.settled();
        while let Some(frame) = self.sender.transmit(now) {
            if self.socket.send(&[frame])? == Sent::Full {
                break;
            }
            self.sender.transmitted(now);
        }
        // a line that fits into no frame of this receiver is settled here
        self.note(before);
        Ok(())
    }

    fn listen(&mut self) -> Result<bool, ClientError> {
        let mut heard = false;
        while self.socket.receive(&mut self.received)? {
            heard = true;
            let before = self.sender.settled();
            let event = self.sender.receive(self.clock.elapsed(), self.received.body());
            self.note(before);
            match event {
                Ok(Event::Nothing | Event::Welcome) => {}
                Ok(Event::Later(reason)) => {
                    self.tell(format!("the receiver takes nothing now: {reason:?}"));
                }
                Ok(Event::Trouble(code, text)) => {
                    self.tell(format!("the receiver answers an error ({code:?}): {text}"));
                }
                Ok(Event::SessionLost(code, text)) => {
                    self.tell(format!(
                        "the session is lost ({code:?}): {text}. What is unsettled goes on in a new \
                         one, and may arrive twice"
                    ));
                    self.sender.renumber(new_session());
                }
                Err(doubt) => self.tell(doubt.to_string()),
            }
        }
        Ok(heard)
    }

    fn tell(&self, text: String) {
        // this sender holds the other end
        let _ = self.told.0.send(text);
    }

    fn note(&mut self, before: u64) {
        self.settled += self.sender.settled() - before;
        let refused = self.sender.take_refused();
        self.refused.extend(refused.into_iter().map(|mut line| {
            line.text = Head::split(&line.text).1.to_vec();
            line
        }));
    }
}

pub(crate) fn new_session() -> SessionId {
    let mut id = [0; 16];
    let mut filled = 0;
    while filled < id.len() {
        // An interrupted call is repeated; the system's generator does not fail otherwise.
        match rustix::rand::getrandom(&mut id[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(bytes) => filled += bytes,
            Err(_) => std::thread::yield_now(),
        }
    }
    SessionId(id)
}
