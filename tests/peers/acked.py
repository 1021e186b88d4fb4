#!/usr/bin/env python3
"""A second implementation of acknowledged delivery, written from docs/protocol.md alone.

    acked.py send ENDPOINT --file LINES      sends the file's lines; prints how many are settled
    acked.py receive ENDPOINT --count N      binds; prints each line: id, head (JSON), text, by tabs
    acked.py vectors FILE                    checks docs/protocol-vectors.json against this codec
    acked.py hostile ENDPOINT KIND           breaks the protocol; prints the ERROR that answers it
                                             (KIND "all": every kind, "list": their names)

Python 3.11, its standard library and pyzmq. zstd blocks are read and made with the system's
libzstd.so.1 (ctypes); where that is missing, such frames are an error that says so.
"""

import argparse
import ctypes
import dataclasses
import functools
import json
import os
import struct
import sys
import time
import zlib

MAGIC = b"\x00RZ"
VERSION = 1
HEADER = 8

# error codes
NO_SESSION, NO_VERSION, OTHER_KEY, FENCED, MALFORMED, CONTENT, GAP, LIMIT, TOO_MANY = range(1, 10)

# limits of the page
FRAME_MAX = 16 << 20  # of a frame, and of its raw block
FRAME_MIN = 65_536  # the smallest "largest frame" a WELCOME may name
LINES_MAX = 4096
EXPANSION_MAX = 256
WINDOW = 4 << 20
CHUNK = 128
TEXT_MAX = 255
LATER_MAX = 60.0

RAW, ZSTD = 0, 1


class Broken(Exception):
    """A frame that breaks the protocol, with the code of the ERROR that answers it."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


# --- bytes -----------------------------------------------------------------------------------------


class Reader:
    """Takes numbers and bytes off a frame; every length is checked against what is there."""

    def __init__(self, frame, at=0):
        self.frame, self.at = frame, at

    def left(self):
        return len(self.frame) - self.at

    def bytes(self, count):
        if count > self.left():
            raise Broken(MALFORMED, f"{count} bytes wanted at {self.at}, {self.left()} there")
        self.at += count
        return self.frame[self.at - count : self.at]

    def numbers(self, layout):
        return struct.unpack("<" + layout, self.bytes(struct.calcsize("<" + layout)))


def header(kind):
    return MAGIC + bytes([VERSION, kind, 0, 0, 0])


def read_fields(data):
    """Optional fields as {tag: value}; of a tag that comes twice the last one counts."""
    reader, fields = Reader(data), {}
    while reader.left():
        tag, length = reader.numbers("HI")
        fields[tag] = bytes(reader.bytes(length))
    return fields


def write_text(tag, text):
    """An optional field, or nothing where there is no text."""
    value = cut_text(text.encode()).encode()
    return struct.pack("<HI", tag, len(value)) + value if value else b""


def cut_text(data):
    """As much of a text as counts: 255 bytes at most, and only up to the first that is not UTF-8."""
    data = data[:TEXT_MAX]
    try:
        return data.decode()
    except UnicodeDecodeError as why:
        return data[: why.start].decode()


# --- zstd ------------------------------------------------------------------------------------------


@functools.cache
def libzstd():
    library = ctypes.CDLL("libzstd.so.1")
    size, data = ctypes.c_size_t, ctypes.c_char_p
    library.ZSTD_isError.argtypes = [size]
    library.ZSTD_decompress.argtypes = [ctypes.c_void_p, size, data, size]
    library.ZSTD_compress.argtypes = [ctypes.c_void_p, size, data, size, ctypes.c_int]
    library.ZSTD_decompress.restype = library.ZSTD_compress.restype = size
    return library


def decompress(block, length):
    """The block's content, which must be `length` bytes; no more is ever allocated."""
    into = ctypes.create_string_buffer(max(length, 1))
    got = libzstd().ZSTD_decompress(into, length, bytes(block), len(block))
    if libzstd().ZSTD_isError(got) or got != length:
        raise Broken(MALFORMED, "the zstd block is broken or not as long as it says")
    return into.raw[:length]


def compress(raw, level=1):
    room = len(raw) + (len(raw) >> 8) + 1024
    into = ctypes.create_string_buffer(room)
    made = libzstd().ZSTD_compress(into, room, raw, len(raw), level)
    if libzstd().ZSTD_isError(made):
        raise OSError("libzstd cannot compress")
    return into.raw[:made]


# --- frames ----------------------------------------------------------------------------------------
# One class a type: KIND, `read` (from a Reader behind the header) and `write` (the whole frame).


@dataclasses.dataclass
class Hello:
    KIND = 0x01
    lowest: int
    highest: int
    hello: int
    session: bytes
    first: int
    next: int
    software: str = ""
    name: str = ""

    @classmethod
    def read(cls, reader):
        lowest, highest, _, hello, session, first, next_ = reader.numbers("BBHI16sQQ")
        if first > next_:
            raise Broken(MALFORMED, "first lies behind next")
        fields = read_fields(reader.bytes(reader.left()))
        texts = (cut_text(fields.get(tag, b"")) for tag in (1, 2))
        return cls(lowest, highest, hello, session, first, next_, *texts)

    def write(self):
        fixed = (self.lowest, self.highest, 0, self.hello, self.session, self.first, self.next)
        texts = write_text(1, self.software) + write_text(2, self.name)
        return header(self.KIND) + struct.pack("<BBHI16sQQ", *fixed) + texts

    def check(self):
        if not self.lowest <= VERSION <= self.highest:
            raise Broken(NO_VERSION, "version 1 is spoken here")


@dataclasses.dataclass
class Welcome:
    KIND = 0x81
    version: int
    meaning: int
    hello: int
    session: bytes
    have: int
    window: int
    frame_bytes: int
    frame_lines: int
    expansion: int
    frame: int
    crc: int
    lines: int
    software: str = ""

    LAYOUT = "BBHI16sQIIIIQII"

    @classmethod
    def read(cls, reader):
        version, meaning, _, *rest = reader.numbers(cls.LAYOUT)
        software = read_fields(reader.bytes(reader.left())).get(1, b"")
        welcome = cls(version, meaning, *rest, cut_text(software))
        if welcome.frame_bytes < FRAME_MIN or welcome.frame_lines < 1 or welcome.expansion < 1:
            raise Broken(MALFORMED, "a WELCOME with limits that nobody can keep")
        return welcome

    def write(self):
        fixed = [getattr(self, field.name) for field in dataclasses.fields(self)][:-1]
        fixed.insert(2, 0)
        return header(self.KIND) + struct.pack("<" + self.LAYOUT, *fixed) + write_text(1, self.software)


@dataclasses.dataclass
class Data:
    KIND = 0x02
    first: int
    count: int
    raw_bytes: int
    crc: int
    codec: int
    resend: bool
    block: bytes
    fields: bytes = b""  # optional fields, as they are; this version knows none

    @classmethod
    def read(cls, reader):
        first, count, raw_bytes, crc, codec, flags, fields = reader.numbers("QIIIBBH")
        fields = bytes(reader.bytes(fields))
        read_fields(fields)
        if count == 0 or first + count >= 1 << 64:
            raise Broken(MALFORMED, f"{count} lines from {first} on")
        if codec not in (RAW, ZSTD):
            raise Broken(MALFORMED, f"unknown codec {codec}")
        return cls(first, count, raw_bytes, crc, codec, bool(flags & 1), bytes(reader.bytes(reader.left())), fields)

    def write(self):
        fixed = (self.first, self.count, self.raw_bytes, self.crc, self.codec, self.resend, len(self.fields))
        return header(self.KIND) + struct.pack("<QIIIBBH", *fixed) + self.fields + self.block

    @classmethod
    def of(cls, first, lines, resend=False, codec=RAW):
        raw = raw_block(lines)
        block = compress(raw) if codec == ZSTD else raw
        return cls(first, len(lines), len(raw), zlib.crc32(raw), codec, resend, block)

    def check(self):
        """What can be said against it before its block is looked at."""
        size = HEADER + 24 + len(self.fields) + len(self.block)
        if size > FRAME_MAX or self.count > LINES_MAX or self.raw_bytes > FRAME_MAX:
            raise Broken(LIMIT, f"a frame of {size} bytes, {self.count} lines, {self.raw_bytes} raw")
        if self.raw_bytes > EXPANSION_MAX * len(self.block):
            raise Broken(LIMIT, f"{len(self.block)} bytes that become {self.raw_bytes}")

    def content(self):
        """The lines."""
        raw = decompress(self.block, self.raw_bytes) if self.codec == ZSTD else self.block
        if len(raw) != self.raw_bytes:
            raise Broken(MALFORMED, "the raw block is not as long as it says")
        if zlib.crc32(raw) != self.crc:
            raise Broken(MALFORMED, "the CRC is not the block's")
        return read_raw(raw, self.count)


@dataclasses.dataclass
class Ack:
    KIND = 0x82
    have: int
    window: int
    hello: int

    @classmethod
    def read(cls, reader):
        return cls(*reader.numbers("QII"))

    def write(self):
        return header(self.KIND) + struct.pack("<QII", self.have, self.window, self.hello)


@dataclasses.dataclass
class Refused:
    KIND = 0x83
    hello: int
    entries: list  # (number, reason, bytes of the line)

    @classmethod
    def read(cls, reader):
        count, hello = reader.numbers("II")
        if 16 * count > reader.left():
            raise Broken(MALFORMED, f"{count} entries said, {reader.left()} bytes there")
        rows = (reader.numbers("QHHI") for _ in range(count))
        return cls(hello, [(number, reason, size) for number, reason, _, size in rows])

    def write(self):
        rows = (struct.pack("<QHHI", number, reason, 0, size) for number, reason, size in self.entries)
        return header(self.KIND) + struct.pack("<II", len(self.entries), self.hello) + b"".join(rows)


@dataclasses.dataclass
class Later:
    KIND = 0x84
    have: int
    milliseconds: int
    reason: int
    hello: int

    @classmethod
    def read(cls, reader):
        return cls(*reader.numbers("QIII"))

    def write(self):
        fixed = (self.have, self.milliseconds, self.reason, self.hello)
        return header(self.KIND) + struct.pack("<QIII", *fixed)


@dataclasses.dataclass
class Error:
    KIND = 0x85
    code: int
    hello: int
    text: str

    @classmethod
    def read(cls, reader):
        code, length, hello = reader.numbers("HHI")
        return cls(code, hello, cut_text(reader.bytes(length)))

    def write(self):
        text = cut_text(self.text.encode()).encode()
        return header(self.KIND) + struct.pack("<HHI", self.code, len(text), self.hello) + text


TO_RECEIVER = {kind.KIND: kind for kind in (Hello, Data)}
TO_SENDER = {kind.KIND: kind for kind in (Welcome, Ack, Refused, Later, Error)}


def decode(frame, kinds):
    """The frame as one of the classes above, None if it may be skipped; `Broken` if it is neither."""
    reader = Reader(frame)
    magic, version, kind = reader.numbers("3sBB3x")
    if magic != MAGIC:
        raise Broken(MALFORMED, "not a frame of this protocol")
    if version != VERSION:
        raise Broken(MALFORMED, f"a frame of version {version}")
    if kind in kinds:
        return kinds[kind].read(reader)
    if kind & 0x40:  # 0x40 to 0x7F, 0xC0 to 0xFF: an addition of a later version
        return None
    raise Broken(MALFORMED, f"a frame of type {kind:#04x} has no place here")


def raw_block(lines):
    return struct.pack(f"<{len(lines)}I", *map(len, lines)) + b"".join(lines)


def read_raw(raw, count):
    reader = Reader(raw)
    lengths = reader.numbers(f"{count}I")
    lines = [bytes(reader.bytes(length)) for length in lengths]
    if reader.left():
        raise Broken(MALFORMED, "bytes behind the last line")
    return lines


HEAD_TAGS = {1: "uuid", 2: "origin_id", 3: "origin_name", 4: "origin_address"}


def read_head(line):
    """What a line carries of older ids, by name, and its text. What is no head is text."""
    if not line.startswith(b"\0"):
        return {}, line
    reader, entries = Reader(line, 1), {}
    try:
        (length,) = reader.numbers("B")
        head = Reader(reader.bytes(length))
        while head.left():
            tag, size = head.numbers("BB")
            entries[tag] = bytes(head.bytes(size))
    except Broken:
        return {}, line
    texts = {name: entries[tag].decode(errors="ignore") for tag, name in HEAD_TAGS.items() if entries.get(tag)}
    return texts, line[reader.at :]


def write_head(texts, text):
    entries = ((tag, texts[name].encode()) for tag, name in HEAD_TAGS.items() if name in texts)
    head = b"".join(bytes([tag, len(value)]) + value for tag, value in entries)
    if not head and not text.startswith(b"\0"):
        return text
    return bytes([0, len(head)]) + head + text


# --- sockets ---------------------------------------------------------------------------------------


def note(text):
    print(f"acked.py: {text}", file=sys.stderr, flush=True)


def zmq_module():
    import zmq  # only where there is something to speak to: `vectors` needs the codec alone
    import zmq.auth
    import zmq.utils.monitor

    return zmq


def secure(socket, own, server):
    """CURVE from certificate files; a client when the server's is named, else a server (any key)."""
    if not own:
        return
    socket.curve_publickey, socket.curve_secretkey = zmq_module().auth.load_certificate(own)
    if server:
        socket.curve_serverkey, _ = zmq_module().auth.load_certificate(server)
    else:
        socket.curve_server = True


class Connection:
    """A DEALER that tells when its connection begins."""

    def __init__(self, endpoint, own=None, server=None):
        self.zmq = zmq_module()
        self.context = self.zmq.Context()
        self.socket = self.context.socket(self.zmq.DEALER)
        self.socket.immediate = True  # nothing waits for a connection that is not there
        self.socket.sndhwm = 0  # the protocol's window is the bound
        self.socket.linger = 0
        secure(self.socket, own, server)
        events = self.zmq.EVENT_HANDSHAKE_SUCCEEDED | self.zmq.EVENT_DISCONNECTED
        self.monitor = self.socket.get_monitor_socket(events)
        self.socket.connect(endpoint)
        self.poller = self.zmq.Poller()
        self.poller.register(self.socket, self.zmq.POLLIN)
        self.poller.register(self.monitor, self.zmq.POLLIN)

    def wait(self, seconds):
        """What is there within that time: (True/False for a connection begun/ended, or None; a frame or None)."""
        ready = dict(self.poller.poll(max(0, int(seconds * 1000) + 1)))
        begun = frame = None
        if self.monitor in ready:
            event = self.zmq.utils.monitor.recv_monitor_message(self.monitor)["event"]
            begun = event == self.zmq.EVENT_HANDSHAKE_SUCCEEDED
        elif self.socket in ready:
            frame = self.socket.recv()
        return begun, frame

    def send(self, frame):
        """False when there is no connection."""
        try:
            self.socket.send(frame, self.zmq.DONTWAIT)
        except self.zmq.Again:
            return False
        return True

    def close(self):
        self.context.destroy(linger=0)


# --- sender ----------------------------------------------------------------------------------------


class Sender:
    """Sends a list of lines. It keeps all of them, so that it can pack any rest anew at any time."""

    SILENCE = 3.0
    HELLO_GAP = 1.0
    HELLO_AGAIN = (1.0, 2.0, 4.0, 8.0)

    def __init__(self, connection, lines, session=None, start=0, batch=256, codec=RAW):
        self.connection, self.batch, self.codec = connection, batch, codec
        self.session = session or os.urandom(16)
        self.lines, self.start = lines, start  # `start` is the number of lines[0]
        self.have = start  # the first line not known to be settled
        self.at = start  # the next line to send on this connection
        # the end of what may have been sent in this session; of a named one, anything may
        self.sent = start + len(lines) if session else start
        self.settled = 0  # lines, over all sessions
        self.refused = []
        self.flying = []  # (end, bytes) of each frame sent and not settled
        self.hello = int.from_bytes(os.urandom(2), "little") + 1
        self.last_hello = -self.HELLO_GAP
        self.repeats = 0
        self.hello_due = None  # None: nobody to say it to, or no need
        self.answered = None  # the WELCOME in force
        self.window = 0
        self.heard = 0.0
        self.fenced = 1.0

    def end(self):
        return self.start + len(self.lines)

    def run(self, patience):
        """True once all is settled, False when nothing went forward for that long."""
        alive = time.monotonic()
        while self.have < self.end():
            now, before = time.monotonic(), self.settled
            if now - alive > patience:
                return False
            self.act(now)
            begun, frame = self.connection.wait(min(self.deadline(), alive + patience) - time.monotonic())
            now = time.monotonic()
            if begun is not None:
                self.answered, self.flying = None, []
                self.repeats, self.hello_due = 0, now if begun else None
            if frame is not None:
                self.receive(frame, now)
            if self.settled > before:
                alive, self.fenced = now, 1.0
        return True

    def deadline(self):
        waiting = self.answered and (self.flying or self.at < self.end())
        return min(
            float("inf") if self.hello_due is None else self.hello_due,
            self.heard + self.SILENCE if waiting else float("inf"),
        )

    def act(self, now):
        """Whatever is due: a hello, or lines as far as the window goes."""
        if now >= self.deadline():
            self.say_hello(now)
        while self.answered and self.at < self.end():
            data = self.pack()
            if data is None:
                return
            frame = data.write()
            used = sum(size for _, size in self.flying)
            if self.window == 0 or (self.flying and used + len(frame) > self.window):
                return
            if not self.flying:
                self.heard = now
            if not self.connection.send(frame):
                return
            self.at += data.count
            self.sent = max(self.sent, self.at)
            self.flying.append((self.at, len(frame)))

    def say_hello(self, now):
        self.hello = self.hello % 0xFFFF_FFFF + 1
        stand = (self.session, self.have, self.end())
        frame = Hello(VERSION, VERSION, self.hello, *stand, "acked.py", os.uname().nodename)
        self.answered, self.last_hello = None, now
        if self.connection.send(frame.write()):
            self.hello_due = now + self.HELLO_AGAIN[min(self.repeats, 3)]
            self.repeats += 1
        else:
            self.hello_due = None  # the connection's beginning says when

    def doubt(self, now, pause=0.0):
        """A hello as soon as it may be, or after a pause."""
        self.answered = None
        self.hello_due = max(now + pause, self.last_hello + self.HELLO_GAP)

    def pack(self):
        """The next frame within the receiver's limits; None after a line that fits into none."""
        limits = self.answered
        # lines sent before and new ones do not share a frame: the resend flag is about all of it
        stop = self.sent if self.at < self.sent else self.end()
        stop = min(stop, self.at + min(self.batch, limits.frame_lines, LINES_MAX))
        lines = self.lines[self.at - self.start : stop - self.start]
        while True:
            data = Data.of(self.at, lines, self.at < self.sent, self.codec)
            if data.codec == ZSTD and data.raw_bytes > limits.expansion * len(data.block):
                data = Data.of(self.at, lines, data.resend)
            if max(len(data.write()), data.raw_bytes) <= limits.frame_bytes:
                return data
            if len(lines) > 1:
                lines = lines[: len(lines) // 2]
                continue
            if self.have == self.at:  # the oldest: nobody will ever take it
                self.refused.append(self.at)
                note(f"line {self.at} fits into no frame of this receiver")
                self.settle(self.at + 1)
                self.doubt(time.monotonic())
            return None

    def settle(self, have):
        if have > self.have:
            self.settled += have - self.have
            self.have = have
        self.flying = [(end, size) for end, size in self.flying if end > self.have]

    def receive(self, frame, now):
        try:
            answer = decode(frame, TO_SENDER)
        except Broken as why:
            note(f"a frame of the receiver is broken: {why}")
            if self.answered:
                self.doubt(now, 1.0)
            return
        # what was read late is about an earlier hello
        late = answer is None or answer.hello != self.hello
        match answer:
            case Error(hello=0) if self.answered or answer.code != NO_SESSION:
                self.complain(answer, now)
            case _ if late:
                pass
            case Welcome():
                self.welcomed(answer, now)
            case Error():
                self.complain(answer, now)
            case _ if not self.answered:
                pass
            case Ack(have=have) | Later(have=have) if have > self.sent:
                note(f"the receiver settles lines up to {have}, only {self.sent} were sent")
                self.doubt(now, 1.0)
            case Ack():
                self.heard, self.window = now, answer.window
                self.settle(answer.have)
            case Refused():
                self.heard = now
                self.refused += [number for number, _, _ in answer.entries]
            case Later():
                self.settle(answer.have)
                self.doubt(now, min(answer.milliseconds / 1000, LATER_MAX))

    def welcomed(self, answer, now):
        if self.answered or answer.session != self.session:
            return
        if answer.version != VERSION:
            note(f"a WELCOME to version {answer.version}, which was not offered")
            return
        if answer.have > self.sent or not self.is_mine(answer):
            note("somebody else uses this session")
            self.renumber(now)
            return
        self.settle(answer.have)
        self.answered, self.window = answer, answer.window
        self.flying, self.at = [], self.have
        self.heard, self.hello_due, self.repeats = now, None, 0

    def is_mine(self, answer):
        """Whether the frame that `have` lies in or ends is made of lines that this sender has."""
        begin, end = answer.frame, answer.frame + answer.lines
        if answer.have <= self.have or begin >= answer.have or begin < self.start:
            return True  # nothing would be settled by it, or there is nothing to compare with
        if answer.have > end:
            return False
        lines = self.lines[begin - self.start : end - self.start]
        return len(lines) == answer.lines and zlib.crc32(raw_block(lines)) == answer.crc

    def renumber(self, now):
        self.lines = self.lines[self.have - self.start :]
        self.session = os.urandom(16)
        self.start = self.have = self.at = self.sent = 0
        self.flying = []
        self.doubt(now, 1.0)

    def complain(self, answer, now):
        note(f"ERROR {answer.code}: {answer.text}")
        if answer.code in (OTHER_KEY, CONTENT):
            self.renumber(now)
        elif answer.code == FENCED:
            self.doubt(now, self.fenced)
            self.fenced = min(self.fenced * 2, 60.0)
        else:
            pauses = {NO_SESSION: 0.0, GAP: 0.0, NO_VERSION: 10.0, TOO_MANY: 10.0}
            self.doubt(now, pauses.get(answer.code, 1.0))


# --- receiver --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Mark:
    """What is known of a session: all that has to outlive the process."""

    have: int
    frame: int
    crc: int = 0
    lines: int = 0
    key: str = ""


class Marks:
    """The marks of all sessions, in a JSON file that is replaced as a whole, or in memory alone."""

    def __init__(self, path=None):
        self.path, self.sessions = path, {}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.sessions = {name: Mark(**mark) for name, mark in json.load(file).items()}

    def write(self):
        if self.path:
            with open(self.path + ".new", "w", encoding="utf-8") as file:
                json.dump({name: dataclasses.asdict(mark) for name, mark in self.sessions.items()}, file)
            os.replace(self.path + ".new", self.path)


class Receiver:
    """Takes lines from any number of senders on one ROUTER and hands each to `accept(id, line)`."""

    def __init__(self, endpoint, accept, marks=None, own=None):
        self.zmq = zmq_module()
        self.context = self.zmq.Context()
        self.socket = self.context.socket(self.zmq.ROUTER)
        self.socket.linger = 1000  # the last acknowledgement
        secure(self.socket, own, None)
        self.socket.bind(endpoint)
        self.accept, self.marks = accept, Marks(marks)
        self.connections = {}  # routing id -> (session, number of its last hello); None: ignored
        self.owners = {}  # session -> routing id of the connection that said hello last

    def step(self, wanted):
        """Handles one message, takes no more than `wanted` lines of it, and says how many it took."""
        route, *parts = self.socket.recv_multipart(copy=False)
        route, frame = route.bytes, parts[-1].bytes
        if not frame.startswith(MAGIC):
            self.accept("-", frame)
            return 1
        try:
            return self.handle(route, self.key(parts[-1]), frame, wanted)
        except Broken as why:
            session, hello = self.connections.get(route) or (None, 0)
            if self.connections.get(route, ()) is not None:  # not ignored already
                self.send(route, Error(why.code, getattr(why, "hello", hello), str(why)))
            self.connections[route] = None
            if self.owners.get(session) == route:
                del self.owners[session]
            return 0

    def handle(self, route, key, frame, wanted):
        if self.connections.get(route, ()) is None and frame[4:5] != bytes([Hello.KIND]):
            return 0  # ignored until it says hello
        message = decode(frame, TO_RECEIVER)
        if isinstance(message, Hello):
            self.welcome(route, key, message)
        if isinstance(message, Data):
            return self.take(route, key, message, wanted)
        return 0

    def key(self, part):
        """Whose session it is: the user id that a ZAP authenticator gave; none, nobody's."""
        try:
            return part.get("User-Id")
        except self.zmq.ZMQError:
            return ""

    def welcome(self, route, key, hello):
        try:
            answer = self.greet(route, key, hello)
        except Broken as why:
            why.hello = hello.hello  # it is this hello that is refused
            raise
        self.send(route, answer)

    def greet(self, route, key, hello):
        hello.check()
        name = hello.session.hex()
        mark = self.marks.sessions.get(name)
        if mark and mark.key != key:
            raise Broken(OTHER_KEY, "the session belongs to another key")
        if mark is None or hello.first > mark.have:
            mark = self.marks.sessions[name] = Mark(hello.first, hello.first, key=key)
            self.marks.write()
        former = self.connections.get(route)
        if former and self.owners.get(former[0]) == route:
            del self.owners[former[0]]
        self.connections[route], self.owners[name] = (name, hello.hello), route
        limits = (WINDOW, FRAME_MAX, LINES_MAX, EXPANSION_MAX)
        known = (mark.frame, mark.crc, mark.lines)
        return Welcome(VERSION, 1, hello.hello, hello.session, mark.have, *limits, *known, "acked.py")

    def take(self, route, key, data, wanted):
        if not self.connections.get(route):
            raise Broken(NO_SESSION, "no session on this connection")
        name, hello = self.connections[route]
        if self.owners.get(name) != route:
            raise Broken(FENCED, "the session speaks from another connection now")
        mark = self.marks.sessions[name]
        if mark.key != key:
            raise Broken(OTHER_KEY, "the session belongs to another key")
        data.check()
        if data.first > mark.have:
            raise Broken(GAP, f"line {mark.have} is next, not {data.first}")
        end = data.first + data.count
        partly = data.first < mark.have < end and mark.frame < mark.have
        if partly and (data.first, data.crc) != (mark.frame, mark.crc):
            raise Broken(CONTENT, f"line {mark.have} lies in a frame of other content")
        lines = data.content() if mark.have < end else []
        taken = 0
        while mark.have < end and taken < wanted:
            count = min(CHUNK, end - mark.have, wanted - taken)
            for number in range(mark.have, mark.have + count):
                self.accept(f"{name}:{number}", lines[number - data.first])
            mark.have += count
            mark.frame, mark.crc, mark.lines = data.first, data.crc, len(lines)
            self.marks.write()
            taken += count
            self.send(route, Ack(mark.have, WINDOW, hello))
        if not taken:
            self.send(route, Ack(mark.have, WINDOW, hello))
        return taken

    def send(self, route, answer):
        self.socket.send_multipart([route, answer.write()])

    def close(self):
        self.socket.close()
        self.context.term()


# --- test vectors ----------------------------------------------------------------------------------


def vector_lines(items):
    """Lines of a vector: each in hex, or [how often, hex]."""
    lines = []
    for item in items:
        times, line = item if isinstance(item, list) else (1, item)
        lines += [bytes.fromhex(line)] * times
    return lines


def as_message(fields):
    """The frame that a vector's fields describe."""
    fields = dict(fields)
    kind = {kind.__name__.upper(): kind for kind in (*TO_RECEIVER.values(), *TO_SENDER.values())}[fields.pop("type")]
    if "session" in fields:
        fields["session"] = bytes.fromhex(fields["session"])
    if kind is Refused:
        fields["entries"] = [tuple(entry) for entry in fields["entries"]]
    if kind is Data:
        raw = raw_block(vector_lines(lines := fields.pop("lines")))
        block = bytes.fromhex(fields.pop("block")) if "block" in fields else raw
        codec = {"raw": RAW, "zstd": ZSTD}[fields.pop("codec")]
        count, fields["fields"] = len(vector_lines(lines)), bytes.fromhex(fields["fields"])
        return Data(count=count, raw_bytes=len(raw), crc=zlib.crc32(raw), codec=codec, block=block, **fields)
    return kind(**fields)


def check_frame(vector):
    frame = bytes.fromhex(vector["hex"])
    kinds = {"receiver": TO_RECEIVER, "sender": TO_SENDER}[vector["to"]]
    try:
        message = decode(frame, kinds)
        if isinstance(message, (Hello, Data)):
            message.check()
        content = message.content() if isinstance(message, Data) else None
    except Broken as why:
        if vector.get("error") != why.code:
            return f"error {why.code} ({why}), not {vector.get('error', 'a frame')}"
        return None
    if "error" in vector:
        return f"taken as {message}, not error {vector['error']}"
    if message is None:
        return None if vector["frame"] is None else "skipped, not read"
    if vector["frame"] is None:
        return f"taken as {message}, not skipped"
    if content is not None and content != vector_lines(vector["frame"]["lines"]):
        return "other lines"
    if message != (wanted := as_message(vector["frame"])):
        return f"{message}, not {wanted}"
    # what is skipped or ignored on the way in is not there on the way out
    written = bytes.fromhex(vector.get("written", vector["hex"]))
    if message.write() != written:
        return f"written as {message.write().hex()}"
    return None


def check_head(vector):
    line, text = bytes.fromhex(vector["hex"]), bytes.fromhex(vector["text"])
    if read_head(line) != (vector["head"], text):
        return f"read as {read_head(line)}"
    if (written := write_head(vector["head"], text).hex()) != vector.get("written", vector["hex"]):
        return f"written as {written}"
    return None


def vectors(path):
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    failed = 0
    for check, name in ((check_frame, "frames"), (check_head, "heads")):
        for vector in content[name]:
            if why := check(vector):
                failed += 1
                note(f"{name}, {vector['name']!r}: {why}")
    if not failed:
        print(f"{len(content['frames'])} frames and {len(content['heads'])} heads agree")
    return failed == 0


# --- hostile frames --------------------------------------------------------------------------------


def damaged(data, **fields):
    return dataclasses.replace(data, **fields).write()


def hostile_kinds():
    """Name -> (code of the ERROR that must come, whether a HELLO goes first, the frame).

    Code None: the frame must be skipped. The sessions are new, so `have` is 0."""
    session = os.urandom(16)
    hello, data = Hello(1, 1, 7, session, 0, 9), Data.of(0, [b"one", b"two"])
    zeros = compress(bytes(FRAME_MAX))
    return {
        "no-hello": (NO_SESSION, False, data.write()),
        "cut-header": (MALFORMED, False, MAGIC + b"\x01"),
        "frame-version": (MALFORMED, False, MAGIC + b"\x09" + hello.write()[4:]),
        "direction": (MALFORMED, True, Ack(1, 1, 1).write()),
        "unknown-type": (MALFORMED, True, header(0x3F)),
        "addition": (None, True, header(0x40) + b"from the future"),
        "hello-cut": (MALFORMED, False, hello.write()[:47]),
        "hello-order": (MALFORMED, False, damaged(hello, first=10)),
        "hello-field": (MALFORMED, False, hello.write() + struct.pack("<HI", 900, 0xFFFF_FFFF) + b"x"),
        "hello-tail": (MALFORMED, False, hello.write() + b"\x01\x00\x00"),
        "hello-versions": (NO_VERSION, False, damaged(hello, lowest=2, highest=9)),
        "data-cut": (MALFORMED, True, data.write()[:31]),
        "gap": (GAP, True, Data.of(5, [b"five"]).write()),
        "gap-far": (GAP, True, Data.of(0xFFFF_FFFF_FFFF_FFF0, [b"far"]).write()),
        "numbers": (MALFORMED, True, damaged(data, first=0xFFFF_FFFF_FFFF_FFFF)),
        "no-lines": (MALFORMED, True, damaged(data, count=0, raw_bytes=0, crc=0, block=b"")),
        "lines": (LIMIT, True, damaged(data, count=0xFFFF_FFFF)),
        "raw-bytes": (LIMIT, True, damaged(data, raw_bytes=0xFFFF_FFFF)),
        "raw-short": (MALFORMED, True, damaged(data, raw_bytes=data.raw_bytes + 1)),
        "lengths": (MALFORMED, True, lengths_beyond()),
        "tail": (MALFORMED, True, damaged(data, count=1)),
        "crc": (MALFORMED, True, damaged(data, crc=data.crc ^ 1)),
        "codec": (MALFORMED, True, damaged(data, codec=2)),
        "field": (MALFORMED, True, data.write()[:30] + b"\xff\xff" + data.block),
        "bomb": (LIMIT, True, damaged(data, codec=ZSTD, raw_bytes=FRAME_MAX, block=zeros)),
        "bomb-hidden": (MALFORMED, True, damaged(data, codec=ZSTD, raw_bytes=len(zeros) * 200, block=zeros)),
        "zstd-garbage": (MALFORMED, True, damaged(data, codec=ZSTD, block=os.urandom(200))),
    }


def lengths_beyond():
    """Two lines whose lengths add up to 4 GiB and 6 bytes, with a CRC that is right."""
    raw = struct.pack("<II", 0xFFFF_FFFF, 7) + b"onetwo"
    return Data(0, 2, len(raw), zlib.crc32(raw), RAW, 0, raw).write()


class Attack:
    """One connection that breaks the protocol once, and looks whether it may come back after it."""

    PATIENCE = 10.0

    def __init__(self, endpoint, own, server):
        self.connection = Connection(endpoint, own, server)

    def answer(self, *kinds):
        """The next answer of one of these classes."""
        end = time.monotonic() + self.PATIENCE
        while (now := time.monotonic()) < end:
            _, frame = self.connection.wait(end - now)
            if frame is not None and isinstance(message := decode(frame, TO_SENDER), kinds):
                return message
        raise SystemExit(f"acked.py: no {' or '.join(kind.__name__ for kind in kinds)} within {self.PATIENCE} s")

    def hello(self, number):
        self.connection.send(Hello(1, 1, number, os.urandom(16), 0, 9).write())

    def run(self, code, greets, frame):
        """The ERROR, None if it was skipped; the connection must be welcome again afterwards."""
        while not self.connection.wait(self.PATIENCE)[0]:
            pass
        if greets:
            self.hello(1)
            self.answer(Welcome)
        self.connection.send(frame)
        self.hello(2)  # after the frame: what answers it comes before the WELCOME
        got = self.answer(Error, Welcome)
        error = got if isinstance(got, Error) else None
        if error:
            got = self.answer(Welcome, Error)
        if not isinstance(got, Welcome) or got.hello != 2:
            raise SystemExit(f"acked.py: {got} instead of a WELCOME after the bad frame")
        return error


def hostile(endpoint, kind, own, server):
    kinds = hostile_kinds()
    if kind == "list":
        print("\n".join(kinds))
        return True
    good = True
    for name in kinds if kind == "all" else [kind]:
        attack = Attack(endpoint, own, server)
        error = attack.run(*kinds[name])
        attack.connection.close()
        told = f"ERROR {error.code} {error.text}" if error else "skipped"
        print(f"{name}: {told}", flush=True)
        if (error.code if error else None) != kinds[name][0]:
            note(f"{name}: ERROR {kinds[name][0]} was to come")
            good = False
    return good


# --- command line ----------------------------------------------------------------------------------


def send(task):
    with open(task.file, "rb") as file:
        lines = file.read().split(b"\n")
    if lines[-1] == b"":
        lines.pop()  # the end of the last line, not a line
    connection = Connection(task.endpoint, task.certificate, task.server)
    session = bytes.fromhex(task.session) if task.session else None
    sender = Sender(connection, lines, session, task.start, task.batch, ZSTD if task.zstd else RAW)
    done = sender.run(task.patience)
    print(sender.settled, flush=True)
    for number in sender.refused:
        note(f"refused: {number}")
    connection.close()
    return done


def receive(task):
    printed = 0

    def accept(name, line):
        nonlocal printed
        head, text = ({}, line) if name == "-" else read_head(line)
        print(f"{name}\t{json.dumps(head)}\t{text.decode(errors='backslashreplace')}")
        printed += 1

    receiver = Receiver(task.endpoint, accept, task.marks, task.certificate)
    print("ready", file=sys.stderr, flush=True)
    end = min(task.count, task.die_after_lines or task.count)
    while printed < end:
        receiver.step(end - printed)
        sys.stdout.flush()
    if task.die_after_lines and printed >= task.die_after_lines:
        os._exit(9)  # as if killed: what libzmq still held is lost, the marks are not
    receiver.close()
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    command = commands.add_parser("send")
    command.add_argument("endpoint")
    command.add_argument("--file", required=True, help="the lines")
    command.add_argument("--session", help="32 hexadecimal digits; else a new one")
    command.add_argument("--start", type=int, default=0, help="number of the file's first line")
    command.add_argument("--batch", type=int, default=256, help="lines in a frame")
    command.add_argument("--zstd", action="store_true", help="compress the blocks")
    command.add_argument("--patience", type=float, default=30, help="seconds without progress until it gives up")

    command = commands.add_parser("receive")
    command.add_argument("endpoint")
    command.add_argument("--count", type=int, required=True, help="lines to take")
    command.add_argument("--marks", help="file of what was taken; else it is forgotten at the end")
    command.add_argument("--die-after-lines", type=int, help="end at once after so many, unacknowledged or not")

    command = commands.add_parser("hostile")
    command.add_argument("endpoint")
    command.add_argument("kind")

    for speaking in ("send", "receive", "hostile"):
        commands.choices[speaking].add_argument("--certificate", help="CURVE: own certificate with its secret")
    for speaking in ("send", "hostile"):
        commands.choices[speaking].add_argument("--server", help="CURVE: the receiver's certificate")

    commands.add_parser("vectors").add_argument("file")

    task = parser.parse_args()
    match task.command:
        case "send":
            done = send(task)
        case "receive":
            done = receive(task)
        case "hostile":
            done = hostile(task.endpoint, task.kind, task.certificate, task.server)
        case "vectors":
            done = vectors(task.file)
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()
