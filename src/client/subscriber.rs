//! Reads what publishers have: one SUB for each endpoint, so that a line's publisher is known.
//!
//! The publisher filters by the beginnings of topics. What happens to connections comes beside the
//! lines, as [`Event`]s: a publisher sends nothing to who is not there, so a lost connection is a gap. What a
//! publisher that numbers its messages dropped is one, too, and counted.
//!
//! Threads: the link's, which put events into a channel; reading is the caller's. Locks: none held
//! beyond that channel's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rzmq_link::{
    Change, Context, Gaps, Missed, Mode, Notice, Notices, Options, Received, Socket, SocketSpec,
    SocketType, parse_endpoints, wait_any,
};

use crate::address::needs_ipv6;
use crate::{ClientError, Credentials};

/// How often it is looked whether a socket is to be opened anew.
const RENEWAL: Duration = Duration::from_secs(1);
/// Lines that are missing are summed up for so long.
const SUM: Duration = Duration::from_secs(1);
/// A publisher's line is no longer, unless told otherwise: see [`Subscriber::with_longest`].
const LONGEST: u64 = 1 << 20;

/// A line as it came.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The endpoint it came from, as it was given.
    pub endpoint: &'a str,
    /// The topic, where it has a frame of its own.
    pub topic: Option<&'a [u8]>,
    /// The last frame.
    pub text: &'a [u8],
}

/// The same, to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedMessage {
    /// The endpoint it came from.
    pub endpoint: String,
    /// The topic, where it has a frame of its own.
    pub topic: Option<Vec<u8>>,
    /// The last frame.
    pub text: Vec<u8>,
}

impl Message<'_> {
    /// To keep.
    pub fn to_owned(&self) -> OwnedMessage {
        OwnedMessage {
            endpoint: self.endpoint.to_owned(),
            topic: self.topic.map(<[u8]>::to_vec),
            text: self.text.to_vec(),
        }
    }
}

/// What happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A publisher is there.
    Connected {
        /// The endpoint.
        endpoint: String,
    },
    /// It is gone; what it publishes until it is there again is missed.
    Lost {
        /// The endpoint.
        endpoint: String,
    },
    /// Lines of a publisher that numbers its messages (`pub.numbered`) did not come: dropped because they
    /// were not taken fast enough, or published while the connection was lost. What was dropped behind the
    /// last message of a topic shows when the next one comes.
    Missed {
        /// The endpoint.
        endpoint: String,
        /// What is missing since the last of these events, a second ago or more.
        missed: Missed,
    },
    /// Something else, as the link tells it.
    Notice(Notice),
}

/// What comes of publishers, one after the other: see [`Subscriber::iter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A line.
    Line(OwnedMessage),
    /// Something that happened to a connection.
    Event(Event),
}

/// Reads from publishers.
pub struct Subscriber {
    feeds: Vec<Feed>,
    context: Context,
    events: Receiver<Event>,
    received: Received,
    /// Whose turn it is.
    turn: usize,
    looked: Instant,
    /// Lines are missing, and when that was last told.
    has_missed: bool,
    told: Instant,
}

struct Feed {
    endpoint: String,
    socket: Socket,
    spec: SocketSpec,
    told: Arc<Told>,
    /// Outlives the socket: the publisher's numbers go on.
    gaps: Gaps,
}

struct Told {
    endpoint: String,
    events: Sender<Event>,
    /// A connection was lost, and the socket is still the one it was lost on.
    lost: AtomicBool,
}

impl Notices for Told {
    fn notice(&self, notice: &Notice) {
        // these two are told once a minute at most, and counted each time
        if !matches!(notice, Notice::Connected { .. } | Notice::Disconnected { .. }) {
            let _ = self.events.send(Event::Notice(notice.clone()));
        }
    }

    fn count(&self, change: Change) {
        let endpoint = || self.endpoint.clone();
        let event = match change {
            Change::Connected => Event::Connected { endpoint: endpoint() },
            Change::Disconnected => {
                self.lost.store(true, Ordering::Relaxed);
                Event::Lost { endpoint: endpoint() }
            }
            _ => return,
        };
        // nobody listens any more when the subscriber is being dropped
        let _ = self.events.send(event);
    }
}

impl Subscriber {
    /// Connects to a list of endpoints with commas between them, and subscribes to what begins with one
    /// of these topics; without any, to everything. Whether somebody is there shows in the events.
    pub fn connect(
        endpoints: &str,
        credentials: &Credentials,
        topics: &[String],
    ) -> Result<Subscriber, ClientError> {
        Subscriber::with_longest(endpoints, credentials, topics, LONGEST)
    }

    /// As [`Subscriber::connect`]; a publisher that sends a frame of more bytes is cut off.
    pub fn with_longest(
        endpoints: &str,
        credentials: &Credentials,
        topics: &[String],
        longest: u64,
    ) -> Result<Subscriber, ClientError> {
        let security = credentials.security()?;
        let context = Context::new(1)?;
        let (sender, events) = channel();
        let mut feeds = Vec::new();
        for endpoint in parse_endpoints(endpoints, Mode::Connect)? {
            let told = Arc::new(Told {
                endpoint: endpoint.address.clone(),
                events: sender.clone(),
                lost: AtomicBool::new(false),
            });
            let spec = SocketSpec {
                name: "rzlog".into(),
                socket_type: SocketType::Sub,
                endpoints: vec![endpoint.clone()],
                security: Arc::clone(&security),
                options: Options {
                    ipv6: needs_ipv6(&endpoint),
                    linger: Duration::ZERO,
                    maxmsgsize: longest,
                    ..Options::default()
                },
                topics: topics.to_vec(),
            };
            let socket = context.open(&spec, told.clone())?;
            let gaps = Gaps::new();
            feeds.push(Feed { endpoint: endpoint.address, socket, spec, told, gaps });
        }
        let now = Instant::now();
        Ok(Subscriber {
            feeds,
            context,
            events,
            received: Received::new(),
            turn: 0,
            looked: now,
            has_missed: false,
            told: now,
        })
    }

    /// The next line. `None`: none came in this time, or a signal did.
    ///
    /// Who calls this asks for [`Subscriber::events`] now and then, too: they wait in memory until then.
    pub fn receive(&mut self, patience: Duration) -> Result<Option<Message<'_>>, ClientError> {
        if self.looked.elapsed() >= RENEWAL {
            self.renew()?;
        }
        let mut found = self.take()?;
        if found.is_none()
            && !patience.is_zero()
            && wait_any(self.feeds.iter().map(|feed| &feed.socket), patience)?
        {
            found = self.take()?;
        }
        Ok(found.map(|index| Message {
            endpoint: &self.feeds[index].endpoint,
            topic: self.received.topic(),
            text: self.received.body(),
        }))
    }

    /// The endpoints, as messages and events name them.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.feeds.iter().map(|feed| feed.endpoint.as_str())
    }

    /// The lines as they come, for ever, and what happened to the connections: lines that are missing, too.
    /// Waits for both.
    pub fn iter(&mut self) -> impl Iterator<Item = Result<Incoming, ClientError>> + '_ {
        let mut happened = VecDeque::new();
        std::iter::from_fn(move || {
            loop {
                happened.extend(self.events());
                if let Some(event) = happened.pop_front() {
                    return Some(Ok(Incoming::Event(event)));
                }
                match self.receive(SUM) {
                    Ok(Some(message)) => return Some(Ok(Incoming::Line(message.to_owned()))),
                    Ok(None) => {}
                    Err(error) => return Some(Err(error)),
                }
            }
        })
    }

    /// What happened to the connections since the last call, and what is missing, summed up for a second.
    pub fn events(&mut self) -> impl Iterator<Item = Event> + '_ {
        let due = self.has_missed && self.told.elapsed() >= SUM;
        let missed = if due { self.missed() } else { Vec::new() };
        self.events.try_iter().chain(missed)
    }

    /// The same, with all that is missing so far: for who reads no more.
    pub fn last_events(&mut self) -> impl Iterator<Item = Event> + '_ {
        let missed = self.missed();
        self.events.try_iter().chain(missed)
    }

    fn missed(&mut self) -> Vec<Event> {
        (self.has_missed, self.told) = (false, Instant::now());
        let feeds = self.feeds.iter_mut();
        let found = feeds.filter_map(|feed| {
            let missed = feed.gaps.take()?;
            Some(Event::Missed { endpoint: feed.endpoint.clone(), missed })
        });
        found.collect()
    }

    /// From whom a message was taken: each in turn.
    fn take(&mut self) -> Result<Option<usize>, ClientError> {
        for _ in 0..self.feeds.len() {
            let index = self.turn;
            self.turn = (index + 1) % self.feeds.len();
            let feed = &mut self.feeds[index];
            if feed.socket.receive(&mut self.received)? {
                if let (Some(topic), Some(number)) = (self.received.topic(), self.received.number())
                {
                    self.has_missed |= feed.gaps.note(topic, number) > 0;
                }
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Has publishers called again where keys have changed or who have turned us away for good, and opens
    /// sockets anew that do not come back. Not those that have unread lines.
    fn renew(&mut self) -> Result<(), ClientError> {
        self.looked = Instant::now();
        for feed in &mut self.feeds {
            if wait_any([&feed.socket], Duration::ZERO)? {
                continue;
            }
            let lost = feed.told.lost.swap(false, Ordering::Relaxed);
            let stays_away = lost && feed.socket.connections() == 0;
            feed.socket.call_again();
            if stays_away {
                feed.socket = self.context.open(&feed.spec, feed.told.clone())?;
            }
        }
        Ok(())
    }
}
