//! Parsing lines as they come in, in the input's thread, where the core's parser would find just the same.
//!
//! The core parses a message in its queue's worker: it tries each parser in turn and copies what it finds
//! to and fro. For a line that is as rsyslog itself writes it ([`crate::forward`]), the input can set the
//! same members at once; all other lines keep NEEDS_PARSING and are the core's. The stamp is read by the
//! core's own function. It is the second member of a message that has no setter: its place is proven
//! first.
//!
//! What a message of a line becomes is the core's business, so [`EarlyParser::prove`] looks at what the
//! parsers of this rsyslogd and ruleset make of some lines, and answers nothing where that is other
//! than what is done here.

use crate::fault;
use crate::forward;
use crate::message::{Property, Ruleset};
use crate::rsyslogd::{Received, Rsyslogd};
use crate::sys;
use std::ffi::{CStr, c_int};
use std::mem::offset_of;
use std::ptr;

/// Lines that are looked at: each kind of stamp and tag, names short and long, and texts that another
/// parser or setting would treat in another way.
const SAMPLES: [&str; 8] = [
    "<13>2026-11-29T02:43:03.123456+01:00 web1 nginx: GET / 200",
    "<0>2024-02-29T23:59:59Z a b c",
    "<191>1999-12-31T00:00:00.5-12:30 a-name.that_is.longer-than-32.letters.example x[1]:y",
    "<46>2026-11-29T02:43:03.000001+00:00 10.0.0.1 a/tag/that.is-longer,than#32=letters@home[4711]: text",
    "<30>2026-11-29T02:43:03Z web1 last message repeated 3 times",
    "<30>2026-11-29T02:43:03+05:45 web1 app: 2026: [x] @cee: {\"a\": 1}  ",
    "<30>2026-11-29T02:43:03Z web1 %ASA-6-302013: Built outbound \\ #011 #012",
    "<78>2026-11-29T02:43:03Z 1 - -",
];

/// Bytes by which a message's two times lie behind where the header has them: none in 8.2302 to 8.2504, and
/// those of one more member in 8.2608 to 8.2610 (abi/known.tsv).
const SHIFTS: [usize; 2] = [0, 8];

/// Sets what the core's parser would set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EarlyParser {
    read_stamp: ReadStamp,
    times: Times,
}

/// Where a message's times are: bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    received: usize,
    reported: usize,
}

/// Reads an RFC 3339 stamp of a text of this length, and moves both behind it (runtime/datetime.h). It writes a
/// time of the release's; that this is as long as ours is known where the release tells the time
/// ([`Rsyslogd::time`]).
pub(crate) type ReadStamp =
    unsafe extern "C" fn(*mut sys::syslogTime, *mut *mut sys::uchar, *mut c_int) -> sys::rsRetVal;

/// The parts of the core that are needed for the proof as well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoreParsers {
    pub(crate) read_stamp: ReadStamp,
    /// Parses a message as its ruleset says.
    pub(crate) parse: unsafe extern "C" fn(*mut sys::smsg_t) -> sys::rsRetVal,
    /// The parsers that a message's ruleset names; null: it names none, and the default ones serve.
    pub(crate) of_ruleset:
        unsafe extern "C" fn(*mut sys::rsconf_t, *mut sys::smsg_t) -> *mut sys::parserList_t,
}

impl EarlyParser {
    /// For lines that go to this ruleset (`None`: the default one); `None` where they are the core's to
    /// parse: another parser is named there, or this release or its settings make something else of a line
    /// than is known here. To be asked once the configuration runs.
    pub(crate) fn prove(rsyslogd: &Rsyslogd, ruleset: Option<Ruleset>) -> Option<Self> {
        let core = rsyslogd.parsers()?;
        let received = rsyslogd.time()?;
        let from = Property::new(rsyslogd, "127.0.0.1")?;
        let times = Times::of(&received)?;
        let parser = Self { read_stamp: core.read_stamp, times };
        let as_the_core = SAMPLES.iter().all(|line| {
            let make = |line: &str| Sample::new(line.as_bytes(), &received, &from, ruleset);
            let (Some(theirs), Some(ours)) = (make(&fault::parsed_as(line)), make(line)) else {
                return false;
            };
            // SAFETY: both are messages of ours, complete but for what a parser sets; the times are where
            // they were found in a message that was made like them.
            unsafe {
                (core.of_ruleset)(rsyslogd.configuration(), theirs.0).is_null()
                    && (core.parse)(theirs.0) == sys::RS_RET_OK
                    && parser.parse(ours.0, line.as_bytes(), &received)
                    && Found::of(theirs.0, times) == Found::of(ours.0, times)
            }
        });
        as_the_core.then_some(parser)
    }

    /// Sets what a parser would set to the message of this line; `false`: nothing was done, it is the
    /// core's.
    ///
    /// # Safety
    /// The message is the caller's own, was made with this time of reception, has `line` for its raw
    /// message, and is of the layout that was proven.
    pub(crate) unsafe fn parse(
        self,
        message: *mut sys::smsg_t,
        line: &[u8],
        received: &Received,
    ) -> bool {
        let Some(parts) = forward::read(line) else { return false };
        let mut stamp = received.time;
        let mut text: *mut sys::uchar = line[parts.stamp.start..].as_ptr().cast_mut();
        let Ok(mut length) = c_int::try_from(parts.stamp.len()) else { return false };
        // SAFETY: the core's function reads no more than `length` bytes of the text and writes none.
        let code = unsafe { (self.read_stamp)(&mut stamp, &mut text, &mut length) };
        if code != sys::RS_RET_OK || length != 0 {
            return false;
        }
        let (hostname, tag) = (&line[parts.hostname], &line[parts.tag]);
        // SAFETY: exported setters, which copy what they are given; places are in a line whose length is
        // one that maxMessageSize allows, an int. msgFlags is where the header says, by this function's
        // contract, and tTIMESTAMP where it was found.
        unsafe {
            sys::msgSetPRI(message, parts.priority);
            sys::MsgSetAfterPRIOffs(message, parts.stamp.start as c_int);
            self.times.reported_of(message).write(stamp);
            sys::MsgSetHOSTNAME(message, hostname.as_ptr(), hostname.len() as c_int);
            sys::MsgSetTAG(message, tag.as_ptr(), tag.len());
            sys::MsgSetMSGoffs(message, parts.text as c_int);
            (*message).msgFlags = sys::PARSE_HOSTNAME as c_int;
        }
        true
    }
}

impl Times {
    /// Looks where a message made with this time of reception has it, twice.
    fn of(received: &Received) -> Option<Self> {
        let mut message = ptr::null_mut();
        // SAFETY: exported by rsyslogd; `message` is filled when it answers OK, and ours.
        let made =
            unsafe { sys::msgConstructWithTime(&mut message, &received.time, received.seconds) };
        if made != sys::RS_RET_OK || message.is_null() {
            return None;
        }
        let places = SHIFTS.map(|shift| Self {
            received: offset_of!(sys::smsg_t, tRcvdAt) + shift,
            reported: offset_of!(sys::smsg_t, tTIMESTAMP) + shift,
        });
        let mut found = places.into_iter().filter(|times| {
            // SAFETY: inside the message, which is larger (624 bytes and more) than this.
            let there = unsafe { times.read(message) };
            there == [received.time.parts; 2]
        });
        let times = found.next().filter(|_| found.next().is_none());
        // SAFETY: made above and handed to nobody.
        unsafe { sys::msgDestruct(&mut message) };
        times
    }

    /// # Safety
    /// `message` is a message of the caller's own.
    unsafe fn read(self, message: *const sys::smsg_t) -> [[u32; 6]; 2] {
        [self.received, self.reported].map(|place| {
            // SAFETY: inside the message, which is larger (624 bytes and more) than this.
            unsafe { message.byte_add(place).cast::<sys::syslogTime>().read_unaligned().parts }
        })
    }

    fn reported_of(self, message: *mut sys::smsg_t) -> *mut sys::syslogTime {
        message.wrapping_byte_add(self.reported).cast()
    }
}

/// A message for the proof.
struct Sample(*mut sys::smsg_t);

impl Sample {
    fn new(
        line: &[u8],
        received: &Received,
        from: &Property,
        ruleset: Option<Ruleset>,
    ) -> Option<Self> {
        let mut message = ptr::null_mut();
        // SAFETY: exported by rsyslogd; `message` is filled when it answers OK, and ours. What it is given
        // is copied or counted.
        unsafe {
            let made = sys::msgConstructWithTime(&mut message, &received.time, received.seconds);
            if made != sys::RS_RET_OK || message.is_null() {
                return None;
            }
            sys::MsgSetRawMsg(message, line.as_ptr().cast(), line.len());
            (*message).msgFlags = (sys::NEEDS_PARSING | sys::PARSE_HOSTNAME) as c_int;
            sys::MsgSetRcvFrom(message, from.as_ptr(0));
            sys::MsgSetRcvFromIP(message, from.as_ptr(0));
            if let Some(ruleset) = ruleset {
                ruleset.set(message);
            }
        }
        Some(Self(message))
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        // SAFETY: made by `new` and handed to nobody.
        unsafe { sys::msgDestruct(&mut self.0) };
    }
}

/// What a parser has found.
#[derive(PartialEq, Eq)]
struct Found {
    numbers: [c_int; 7],
    times: [[u32; 6]; 2],
    hostname: Vec<u8>,
    tag: Vec<u8>,
    text: Vec<u8>,
}

impl Found {
    /// # Safety
    /// `message` is a parsed message of ours.
    unsafe fn of(message: *mut sys::smsg_t, times: Times) -> Self {
        let (mut tag, mut length) = (ptr::null_mut(), 0);
        // SAFETY: exported getters; what they answer is NUL-terminated and belongs to the message. The
        // members lie inside it.
        unsafe {
            sys::getTAG(message, &mut tag, &mut length, 0);
            let text = |text: *const sys::uchar| {
                if text.is_null() {
                    Vec::new()
                } else {
                    CStr::from_ptr(text.cast()).to_bytes().to_vec()
                }
            };
            Self {
                numbers: [
                    (*message).iSeverity.into(),
                    (*message).iFacility.into(),
                    (*message).iProtocolVersion.into(),
                    (*message).bParseSuccess.into(),
                    (*message).offAfterPRI,
                    (*message).offMSG,
                    (*message).msgFlags,
                ],
                times: times.read(message),
                hostname: text(sys::getHOSTNAME(message).cast()),
                tag: text(tag),
                text: text(sys::getMSG(message)),
            }
        }
    }
}
