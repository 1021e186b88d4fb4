//! The codec: frames of docs/protocol.md to bytes and back. Holds no state, trusts no length.

use crate::codes::{ErrorCode, LaterReason, RefusedReason};
use std::fmt;

const MAGIC: [u8; 3] = *b"\0RZ";
/// The one version there is.
pub(crate) const VERSION: u8 = 1;
const HEAD: usize = 8;
/// Bytes of a DATA frame before its optional fields.
pub(crate) const DATA_HEAD: usize = 32;
const TEXT_MAX: usize = 255;
/// Every receiver takes frames of this many bytes.
pub const FRAME_MIN: u32 = 64 << 10;

const HELLO: u8 = 0x01;
const DATA: u8 = 0x02;
const WELCOME: u8 = 0x81;
const ACK: u8 = 0x82;
const REFUSED: u8 = 0x83;
const LATER: u8 = 0x84;
const ERROR: u8 = 0x85;

const TAG_SOFTWARE: u16 = 1;
const TAG_NAME: u16 = 2;

/// Whether a message is a frame of this protocol, and not a log line of a best-effort sender.
pub fn is_frame(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It does not begin as frames do.
    #[error("not a frame of this protocol")]
    NoFrame,
    /// A version that nobody knows yet.
    #[error("frame version {0}; 1 is known")]
    Version(u8),
    /// It ends before its fields do.
    #[error("the frame ends within its {0}")]
    Short(&'static str),
    /// A type that must be understood and is not.
    #[error("frame type {0:#04x} is unknown")]
    Type(u8),
    /// A field has a value it cannot have.
    #[error("{0} cannot be {1}")]
    Value(&'static str, u64),
}

/// A session: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Any frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Begins, or settles all doubt.
    Hello(Hello<'a>),
    /// Lines.
    Data(Data<'a>),
    /// Answers HELLO.
    Welcome(Welcome),
    /// What is settled.
    Ack(Ack),
    /// Lines that are never taken.
    Refused(Refused<'a>),
    /// Not now.
    Later(Later),
    /// The peer broke the protocol, or is not the one.
    Error(ErrorFrame<'a>),
    /// A frame of a later version that may be skipped.
    Skipped,
}

/// HELLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Lowest version.
    pub lowest: u8,
    /// Highest version.
    pub highest: u8,
    /// Number of this hello.
    pub number: u32,
    /// The session.
    pub session: SessionId,
    /// First line not known to be settled.
    pub first: u64,
    /// First number not given to a line.
    pub next: u64,
    /// Software and version.
    pub software: &'a str,
    /// The sender's name.
    pub name: &'a str,
}

/// WELCOME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// Version to speak.
    pub version: u8,
    /// What settled means; 1 = submitted.
    pub meaning: u8,
    /// Number of the hello it answers.
    pub number: u32,
    /// The session.
    pub session: SessionId,
    /// First line that is not settled.
    pub have: u64,
    /// First number of the frame that `have` lies in, or ends; `have` itself when that is not known.
    pub frame: u64,
    /// That frame's CRC.
    pub crc: u32,
    /// That frame's lines.
    pub count: u32,
    /// What the receiver takes.
    pub limits: Limits,
}

/// What a receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of DATA frames that may be unsettled.
    pub window: u32,
    /// Bytes of a frame.
    pub frame: u32,
    /// Lines of a frame.
    pub lines: u32,
    /// Largest raw block as a multiple of the compressed one.
    pub expansion: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { window: 4 << 20, frame: 16 << 20, lines: 4096, expansion: 256 }
    }
}

/// How a block travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As it is.
    Raw = 0,
    /// zstd.
    Zstd = 1,
}

impl Codec {
    fn of(number: u8) -> Option<Self> {
        [Self::Raw, Self::Zstd].into_iter().find(|codec| *codec as u8 == number)
    }
}

/// DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    /// Number of the first line.
    pub first: u64,
    /// Lines.
    pub count: u32,
    /// Bytes of the raw block.
    pub raw: u32,
    /// CRC-32 of the raw block.
    pub crc: u32,
    /// How the block travels.
    pub codec: Codec,
    /// The lines were sent before.
    pub resend: bool,
    /// Optional fields.
    pub fields: &'a [u8],
    /// The block as it travels.
    pub block: &'a [u8],
}

/// ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// First line that is not settled.
    pub have: u64,
    /// Bytes that may be unsettled.
    pub window: u32,
    /// Number of the hello that the connection was last welcomed with.
    pub hello: u32,
}

/// REFUSED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused<'a> {
    /// Number of the hello that the connection was last welcomed with.
    pub hello: u32,
    entries: &'a [u8],
}

/// LATER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Later {
    /// First line that is not settled.
    pub have: u64,
    /// How long to wait.
    pub milliseconds: u32,
    /// Why.
    pub reason: LaterReason,
    /// Number of the hello that the connection was last welcomed with.
    pub hello: u32,
}

/// ERROR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorFrame<'a> {
    /// Which.
    pub code: ErrorCode,
    /// Number of the hello that is refused, or that the connection was last welcomed with; 0 = none.
    pub hello: u32,
    /// A sentence.
    pub text: &'a str,
}

/// Reads a frame; what it answers borrows from `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Frame<'_>, WireError> {
    let mut reader = Reader { rest: bytes };
    if reader.take(3, "head").map_or(true, |magic| magic != MAGIC) {
        return Err(WireError::NoFrame);
    }
    let version = reader.u8("head")?;
    if version != VERSION {
        return Err(WireError::Version(version));
    }
    let kind = reader.u8("head")?;
    reader.take(3, "head")?;
    Ok(match kind {
        HELLO => Frame::Hello(hello(reader)?),
        DATA => Frame::Data(data(reader)?),
        WELCOME => Frame::Welcome(welcome(reader)?),
        ACK => Frame::Ack(Ack {
            have: reader.u64("ACK")?,
            window: reader.u32("ACK")?,
            hello: reader.u32("ACK")?,
        }),
        REFUSED => {
            let entries = reader.u32("REFUSED")? as usize;
            let hello = reader.u32("REFUSED")?;
            let bytes = entries.checked_mul(16).ok_or(WireError::Short("entries"))?;
            Frame::Refused(Refused { hello, entries: reader.take(bytes, "entries")? })
        }
        LATER => Frame::Later(Later {
            have: reader.u64("LATER")?,
            milliseconds: reader.u32("LATER")?,
            reason: LaterReason::of(reader.u32("LATER")?),
            hello: reader.u32("LATER")?,
        }),
        ERROR => {
            let code = ErrorCode::of(reader.u16("ERROR")?);
            let bytes = reader.u16("ERROR")?.into();
            let hello = reader.u32("ERROR")?;
            Frame::Error(ErrorFrame { code, hello, text: text(reader.take(bytes, "text")?) })
        }
        0x40..=0x7f | 0xc0..=0xff => Frame::Skipped,
        other => return Err(WireError::Type(other)),
    })
}

fn hello(mut reader: Reader<'_>) -> Result<Hello<'_>, WireError> {
    let (lowest, highest) = (reader.u8("HELLO")?, reader.u8("HELLO")?);
    reader.take(2, "HELLO")?;
    let number = reader.u32("HELLO")?;
    let session = reader.session("HELLO")?;
    let (first, next) = (reader.u64("HELLO")?, reader.u64("HELLO")?);
    if next < first {
        return Err(WireError::Value("next", next));
    }
    let (mut software, mut name) = ("", "");
    while let Some((tag, value)) = reader.field()? {
        match tag {
            TAG_SOFTWARE => software = text(value),
            TAG_NAME => name = text(value),
            _ => {}
        }
    }
    Ok(Hello { lowest, highest, number, session, first, next, software, name })
}

fn welcome(mut reader: Reader<'_>) -> Result<Welcome, WireError> {
    let (version, meaning) = (reader.u8("WELCOME")?, reader.u8("WELCOME")?);
    reader.take(2, "WELCOME")?;
    let welcome = Welcome {
        version,
        meaning,
        number: reader.u32("WELCOME")?,
        session: reader.session("WELCOME")?,
        have: reader.u64("WELCOME")?,
        limits: Limits {
            window: reader.u32("WELCOME")?,
            frame: reader.u32("WELCOME")?,
            lines: reader.u32("WELCOME")?,
            expansion: reader.u32("WELCOME")?,
        },
        frame: reader.u64("WELCOME")?,
        crc: reader.u32("WELCOME")?,
        count: reader.u32("WELCOME")?,
    };
    let Limits { frame, lines, expansion, .. } = welcome.limits;
    // Else it could have lines refused for their length that every receiver has to take.
    if frame < FRAME_MIN {
        return Err(WireError::Value("the largest frame", frame.into()));
    }
    if lines == 0 || expansion == 0 {
        return Err(WireError::Value("most lines, or the largest expansion,", 0));
    }
    while reader.field()?.is_some() {}
    Ok(welcome)
}

fn data(mut reader: Reader<'_>) -> Result<Data<'_>, WireError> {
    let first = reader.u64("DATA")?;
    let count = reader.u32("DATA")?;
    if count == 0 || first.checked_add(count.into()).is_none() {
        return Err(WireError::Value("lines", count.into()));
    }
    let (raw, crc) = (reader.u32("DATA")?, reader.u32("DATA")?);
    let codec = reader.u8("DATA")?;
    let codec = Codec::of(codec).ok_or(WireError::Value("codec", codec.into()))?;
    let resend = reader.u8("DATA")? & 1 != 0;
    let fields = reader.u16("DATA")?.into();
    let fields = reader.take(fields, "optional fields")?;
    let mut check = Reader { rest: fields };
    while check.field()?.is_some() {}
    Ok(Data { first, count, raw, crc, codec, resend, fields, block: reader.rest })
}

/// The text of a foreign field, as far as it is text and not too long.
fn text(bytes: &[u8]) -> &str {
    let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(why) => std::str::from_utf8(&bytes[..why.valid_up_to()]).unwrap_or(""),
    }
}

/// Reads fields off the front.
#[derive(Clone, Copy)]
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(WireError::Short(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WireError::Short(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        self.array(what).map(u16::from_le_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, WireError> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn session(&mut self, what: &'static str) -> Result<SessionId, WireError> {
        self.array(what).map(SessionId)
    }

    /// The next optional field; `None` at the end.
    fn field(&mut self) -> Result<Option<(u16, &'a [u8])>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.u16("optional fields")?;
        let bytes = self.u32("optional fields")? as usize;
        Ok(Some((tag, self.take(bytes, "optional fields")?)))
    }
}

fn head(kind: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, kind, 0, 0, 0]);
}

fn field(tag: u16, value: &str, out: &mut Vec<u8>) {
    let value = text(value.as_bytes()).as_bytes();
    if !value.is_empty() {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(value);
    }
}

impl Hello<'_> {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        head(HELLO, out);
        out.extend_from_slice(&[self.lowest, self.highest, 0, 0]);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.session.0);
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.next.to_le_bytes());
        field(TAG_SOFTWARE, self.software, out);
        field(TAG_NAME, self.name, out);
    }
}

impl Welcome {
    /// Appends the frame.
    pub fn encode(&self, software: &str, out: &mut Vec<u8>) {
        head(WELCOME, out);
        out.extend_from_slice(&[self.version, self.meaning, 0, 0]);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.session.0);
        out.extend_from_slice(&self.have.to_le_bytes());
        let Limits { window, frame, lines, expansion } = self.limits;
        for limit in [window, frame, lines, expansion] {
            out.extend_from_slice(&limit.to_le_bytes());
        }
        out.extend_from_slice(&self.frame.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        field(TAG_SOFTWARE, software, out);
    }
}

impl Data<'_> {
    /// Number of the first line behind it.
    pub(crate) fn end(&self) -> u64 {
        // Reading a frame has made sure that it fits.
        self.first + u64::from(self.count)
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        head(DATA, out);
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.raw.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.push(self.codec as u8);
        out.push(u8::from(self.resend));
        out.extend_from_slice(&(self.fields.len() as u16).to_le_bytes());
        out.extend_from_slice(self.fields);
        out.extend_from_slice(self.block);
    }

    /// Notes in an encoded frame that it was sent before.
    pub(crate) fn mark_resent(frame: &mut [u8]) {
        if let Some(flag) = frame.get_mut(HEAD + 21) {
            *flag = 1;
        }
    }
}

impl Ack {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        head(ACK, out);
        out.extend_from_slice(&self.have.to_le_bytes());
        out.extend_from_slice(&self.window.to_le_bytes());
        out.extend_from_slice(&self.hello.to_le_bytes());
    }
}

impl Refused<'_> {
    /// The lines: number, reason, bytes.
    pub fn lines(&self) -> impl Iterator<Item = (u64, RefusedReason, u32)> + '_ {
        self.entries.chunks_exact(16).filter_map(|entry| {
            let mut reader = Reader { rest: entry };
            let number = reader.u64("entry").ok()?;
            let reason = RefusedReason::of(reader.u16("entry").ok()?);
            reader.take(2, "entry").ok()?;
            Some((number, reason, reader.u32("entry").ok()?))
        })
    }

    /// Appends the frame for these lines.
    pub fn encode(hello: u32, lines: &[(u64, RefusedReason, u32)], out: &mut Vec<u8>) {
        head(REFUSED, out);
        out.extend_from_slice(&(lines.len() as u32).to_le_bytes());
        out.extend_from_slice(&hello.to_le_bytes());
        for (number, reason, bytes) in lines {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&reason.number().to_le_bytes());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&bytes.to_le_bytes());
        }
    }
}

impl Later {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        head(LATER, out);
        out.extend_from_slice(&self.have.to_le_bytes());
        out.extend_from_slice(&self.milliseconds.to_le_bytes());
        out.extend_from_slice(&self.reason.number().to_le_bytes());
        out.extend_from_slice(&self.hello.to_le_bytes());
    }
}

impl ErrorFrame<'_> {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        head(ERROR, out);
        let text = text(self.text.as_bytes()).as_bytes();
        out.extend_from_slice(&self.code.number().to_le_bytes());
        out.extend_from_slice(&(text.len() as u16).to_le_bytes());
        out.extend_from_slice(&self.hello.to_le_bytes());
        out.extend_from_slice(text);
    }
}
