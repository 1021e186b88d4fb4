//! How an input hands lines to rsyslog: properties, rulesets, batches.
//!
//! A [`Submitter`] belongs to one thread. Its batch goes to the queue at once (multiSubmitMsg2); a
//! line longer than `maxMessageSize` goes alone through submitMsg2, which alone applies the
//! administrator's oversize rule (truncate, split or accept).

use crate::early::EarlyParser;
use crate::ratelimit::{Limiter, RateLimit, RateLimitError};
use crate::rsyslogd::{Received, Rsyslogd};
use crate::strings::to_c;
use crate::sys;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

/// Lines that go to the queue at once. A batch has to be smaller than the queue's fullDelayMark (97
/// in the smallest queue that rsyslog takes without a warning): the core wakes the queue's worker
/// only when the whole batch is in, and until then waits at the mark for a worker that sleeps
/// (runtime/queue.c, seen on 8.2302).
const BATCH: usize = 64;
/// Messages that the core's rate limiter adds to a batch at most for one line: with
/// `$RepeatedMsgReduction` one that tells of repetitions before it.
const ADDED: usize = 2;

/// Back-pressure when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowControl {
    /// Wait until there is room: nothing is lost while rsyslogd runs.
    Full,
    /// Wait a little for each line.
    Light,
    /// Do not wait: lines are lost once the queue's own time-out is over.
    No,
}

impl FlowControl {
    fn code(self) -> sys::flowControl_t {
        match self {
            Self::Full => sys::eFLOWCTL_FULL_DELAY,
            Self::Light => sys::eFLOWCTL_LIGHT_DELAY,
            Self::No => sys::eFLOWCTL_NO_DELAY,
        }
    }
}

/// A text that many messages share: an input's name, a peer's address.
///
/// Each message counts itself at its property, and off when it is done, which is another thread's:
/// with one object for all, the two threads would pass its memory to and fro with each message. So
/// there are some of the same text, and batches take turns.
#[derive(Debug)]
pub struct Property {
    copies: [*mut sys::prop_t; COPIES],
    destruct: Option<unsafe extern "C" fn(*mut *mut sys::prop_t) -> sys::rsRetVal>,
}

/// Objects of a property's text.
const COPIES: usize = 16;

// SAFETY: a property does not change once it is made, and its reference count is atomic
// (runtime/prop.c).
unsafe impl Send for Property {}

impl Property {
    /// Makes a property; `None` when memory is short.
    pub fn new(rsyslogd: &Rsyslogd, text: &str) -> Option<Self> {
        let prop = rsyslogd.prop();
        let bytes = to_c(text);
        let length = c_int::try_from(bytes.as_bytes().len()).ok()?;
        let mut property = Self { copies: [ptr::null_mut(); COPIES], destruct: prop.Destruct };
        for copy in &mut property.copies {
            // SAFETY: the functions of the granted interface in the order its header asks for; the
            // text is copied.
            unsafe {
                if prop.Construct?(copy) != sys::RS_RET_OK || copy.is_null() {
                    return None;
                }
                prop.SetString?(*copy, bytes.as_ptr().cast(), length);
                prop.ConstructFinalize?(*copy);
            }
        }
        Some(property)
    }

    /// The object for this turn.
    pub(crate) fn as_ptr(&self, turn: usize) -> *mut sys::prop_t {
        self.copies[turn % COPIES]
    }
}

impl Drop for Property {
    fn drop(&mut self) {
        let Some(destruct) = self.destruct else { return };
        for copy in self.copies.iter_mut().filter(|copy| !copy.is_null()) {
            // SAFETY: gives back the one reference that `new` obtained.
            unsafe { destruct(copy) };
        }
    }
}

/// A ruleset that an input's lines go to.
#[derive(Debug, Clone, Copy)]
pub struct Ruleset(*mut sys::ruleset_t);

// SAFETY: rulesets live as long as the configuration and are not changed while inputs run; the
// pointer is only handed back to the core.
unsafe impl Send for Ruleset {}

impl Ruleset {
    /// Finds a ruleset of the configuration by its name.
    pub fn find(rsyslogd: &Rsyslogd, name: &str) -> Option<Self> {
        let mut ruleset = ptr::null_mut();
        let name = to_c(name);
        // SAFETY: exported by rsyslogd; the configuration is the one it handed us.
        let code = unsafe {
            sys::rulesetGetRuleset(
                rsyslogd.configuration(),
                &mut ruleset,
                name.as_ptr().cast_mut().cast(),
            )
        };
        (code == sys::RS_RET_OK && !ruleset.is_null()).then_some(Self(ruleset))
    }

    /// # Safety
    /// `message` is a message of the caller's own.
    pub(crate) unsafe fn set(self, message: *mut sys::smsg_t) {
        // SAFETY: exported by rsyslogd; the message keeps the pointer.
        unsafe { sys::MsgSetRuleset(message, self.0) };
    }
}

/// What a line brings with it.
#[derive(Debug, Clone, Copy)]
pub struct LineContext<'a> {
    /// The sender's address.
    pub from: &'a Property,
    /// Members of `$!rzmq`, each name once; empty = no such object.
    pub metadata: &'a [(&'static CStr, &'a str)],
}

/// The queue reported a failure: lines of the batch that was handed over may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "rsyslog's queue answered {code} to a batch of {lines} lines; it may not have taken them all."
)]
pub struct SubmitError {
    /// rsyslog's return code.
    pub code: i32,
    /// The size of the batch.
    pub lines: usize,
}

/// Gathers the lines of one input and submits them in batches.
#[derive(Debug)]
pub struct Submitter {
    input_name: Property,
    ruleset: Option<Ruleset>,
    flow: sys::flowControl_t,
    max_message_size: usize,
    limiter: Option<Limiter>,
    early: Option<EarlyParser>,
    parsed: u64,
    failed_at: Option<Instant>,
    pending: Vec<*mut sys::smsg_t>,
    /// When the first of these was received, and so all of them.
    received: Option<Received>,
    /// Batches so far.
    turn: usize,
    rsyslogd: Arc<Rsyslogd>,
}

// SAFETY: the pending messages belong to the submitter alone until they are handed over.
unsafe impl Send for Submitter {}

impl Submitter {
    /// For the input `instance` of `module`, whose name the lines get as their input's; `early`: lines
    /// may be parsed at once, where that is just what the core would do. To be made once the
    /// configuration runs.
    ///
    /// # Errors
    /// When memory is short, or the limiter cannot be made.
    pub fn new(
        rsyslogd: &Arc<Rsyslogd>,
        module: &str,
        instance: &str,
        ruleset: Option<Ruleset>,
        flow: FlowControl,
        limit: Option<&RateLimit>,
        early: bool,
    ) -> Result<Self, RateLimitError> {
        let limiter =
            limit.map(|limit| Limiter::new(rsyslogd, module, instance, limit)).transpose()?;
        Ok(Self {
            input_name: Property::new(rsyslogd, module).ok_or(RateLimitError::Memory)?,
            ruleset,
            flow: flow.code(),
            max_message_size: rsyslogd.max_message_size(),
            limiter,
            // The core's limiter asks a message for its program before anybody has parsed it, and the
            // message keeps the answer: it has to go there as it does with every input.
            early: (early && limit.is_none())
                .then(|| EarlyParser::prove(rsyslogd, ruleset))
                .flatten(),
            parsed: 0,
            failed_at: None,
            pending: Vec::with_capacity(BATCH + ADDED),
            received: rsyslogd.time(),
            turn: 0,
            rsyslogd: Arc::clone(rsyslogd),
        })
    }

    /// Takes one line; submits when the batch is full. Lines of a batch have one time of reception.
    /// Answers whether the line was taken: `false` means that the rate limit discarded it.
    ///
    /// May block for as long as the queue is full (flow control).
    pub fn add(&mut self, line: &[u8], context: LineContext<'_>) -> Result<bool, SubmitError> {
        if self.pending.is_empty() {
            self.received = self.rsyslogd.time();
            self.turn = self.turn.wrapping_add(1);
        }
        let Some(message) = self.message(line, context) else {
            return Err(SubmitError { code: sys::RS_RET_OUT_OF_MEMORY, lines: 1 });
        };
        let alone = self.goes_alone(line);
        // Whatever becomes of the batch before it, this line is handed over.
        let before = if alone { self.flush() } else { Ok(()) };
        let code = match &self.limiter {
            Some(limiter) => {
                let before = self.pending.len();
                let code = limiter.add(&mut self.pending, message);
                // One that tells of repetitions is the limiter's own, and the first of a batch says whose
                // queue it goes to (tools/rsyslogd.c, multiSubmitMsg2).
                for message in &self.pending[before..] {
                    // SAFETY: messages of the batch are ours.
                    unsafe { self.direct(*message) };
                }
                code
            }
            // SAFETY: the message is ours and handed over by this call.
            None if alone => unsafe { sys::submitMsg2(message) },
            None => {
                self.pending.push(message);
                sys::RS_RET_OK
            }
        };
        before?;
        if self.pending.len() >= BATCH {
            self.flush()?;
        }
        match code {
            sys::RS_RET_OK => Ok(true),
            sys::RS_RET_DISCARDMSG if self.limiter.is_some() => Ok(false),
            code => Err(SubmitError { code, lines: 1 }),
        }
    }

    /// Whether a line does not wait for a batch, as it is longer than `maxMessageSize`.
    pub fn goes_alone(&self, line: &[u8]) -> bool {
        line.len() > self.max_message_size
    }

    /// Whether lines that allow it are parsed at once.
    pub fn parses_early(&self) -> bool {
        self.early.is_some()
    }

    /// Lines that were parsed at once since the last time it was asked.
    pub fn take_parsed(&mut self) -> u64 {
        std::mem::take(&mut self.parsed)
    }

    /// Submits what is gathered.
    pub fn flush(&mut self) -> Result<(), SubmitError> {
        let lines = self.pending.len();
        if lines == 0 {
            return Ok(());
        }
        let mut batch = multi_submit(&mut self.pending);
        // SAFETY: the `nElem` messages are the core's from here on; they are forgotten below. At an error it
        // frees none that it did not take, and does not say which: these stay allocated.
        let code = unsafe { sys::multiSubmitMsg2(&mut batch) };
        self.pending.clear();
        self.failed_at = if code == sys::RS_RET_OK { None } else { Some(Instant::now()) };
        if code == sys::RS_RET_OK { Ok(()) } else { Err(SubmitError { code, lines }) }
    }

    /// When the queue answered an error, if it has taken no batch since. Who tries again does so with a single line:
    /// nobody frees those that it does not take.
    pub fn failed_at(&self) -> Option<Instant> {
        self.failed_at
    }

    /// Whether rsyslogd is being stopped. What is submitted after that finds its way as long as the
    /// queue is not full; into a full one nothing waits any more.
    pub fn is_stopping(&self) -> bool {
        self.rsyslogd.is_stopping()
    }

    fn message(&mut self, line: &[u8], context: LineContext<'_>) -> Option<*mut sys::smsg_t> {
        let mut message = ptr::null_mut();
        // SAFETY: exported by rsyslogd; the line is copied, the properties' reference counts are
        // raised by the setters. msgFlags was proven to be in place when the module was loaded.
        unsafe {
            let made = match &self.received {
                Some(Received { time, seconds }) => {
                    sys::msgConstructWithTime(&mut message, time, *seconds)
                }
                None => sys::msgConstruct(&mut message),
            };
            if made != sys::RS_RET_OK || message.is_null() {
                return None;
            }
            sys::MsgSetRawMsg(message, line.as_ptr().cast(), line.len());
            sys::MsgSetInputName(message, self.input_name.as_ptr(self.turn));
            self.direct(message);
            (*message).msgFlags = (sys::NEEDS_PARSING | sys::PARSE_HOSTNAME) as c_int;
            let from = context.from.as_ptr(self.turn);
            sys::MsgSetRcvFrom(message, from);
            sys::MsgSetRcvFromIP(message, from);
            if let (Some(parser), Some(received)) = (self.early, &self.received) {
                if line.len() <= self.max_message_size && parser.parse(message, line, received) {
                    self.parsed += 1;
                }
            }
        }
        if !context.metadata.is_empty() {
            add_metadata(message, context.metadata);
        }
        Some(message)
    }

    /// Says where a message goes, and how long it may wait there.
    ///
    /// # Safety
    /// The message is the caller's own.
    unsafe fn direct(&self, message: *mut sys::smsg_t) {
        // SAFETY: exported by rsyslogd; by this function's contract.
        unsafe {
            sys::MsgSetFlowControlType(message, self.flow);
            if let Some(ruleset) = self.ruleset {
                ruleset.set(message);
            }
        }
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        for message in &mut self.pending {
            // SAFETY: still ours; not used after this.
            unsafe { sys::msgDestruct(message) };
        }
    }
}

/// Sets `$!rzmq` of a message of ours.
fn add_metadata(message: *mut sys::smsg_t, members: &[(&'static CStr, &str)]) {
    const OPTIONS: u32 = sys::FJSON_OBJECT_ADD_KEY_IS_NEW | sys::FJSON_OBJECT_KEY_IS_CONSTANT;
    // SAFETY: libfastjson copies the texts. It keeps pointers to the names, which are part of this
    // module: rsyslogd unloads modules after its queues and their messages are gone. The object is
    // handed over to the message.
    unsafe {
        let object = sys::fjson_object_new_object();
        if object.is_null() {
            return;
        }
        for (name, text) in members {
            let length = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
            let value = sys::fjson_object_new_string_len(text.as_ptr().cast(), length);
            sys::fjson_object_object_add_ex(object, name.as_ptr(), value, OPTIONS);
        }
        sys::msgAddJSON(message, c"!rzmq".as_ptr().cast_mut().cast(), object, 0, 0);
    }
}

/// The batch as the core knows it, with more room than is ever used, so that the core submits it only
/// when asked to.
pub(crate) fn multi_submit(pending: &mut Vec<*mut sys::smsg_t>) -> sys::multi_submit_t {
    sys::multi_submit_t {
        maxElem: (BATCH + ADDED) as i16,
        nElem: pending.len() as i16,
        ppMsgs: pending.as_mut_ptr(),
    }
}
