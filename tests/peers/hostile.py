#!/usr/bin/env python3
"""Attacks a ZeroMQ endpoint as somebody does who holds no key that it lets in.

    hostile.py KIND tcp://ADDRESS:PORT... [--server-key Z85] [--total N] [--at-once N] [--seconds S]
               [--call S] [--seed N] [--source ADDRESS] [--type DEALER] [--own=PUBLIC,SECRET]

Kinds that speak TCP alone:
    http, tls, random           what browsers, port scanners and chance say
    half-open                   connects, and says nothing
    slow-greeting               its greeting, byte by byte
    slow-handshake              a whole greeting, then a HELLO byte by byte
    mechanisms, versions        greetings with mechanisms and versions that are not the server's
    lengths                     frames before the handshake is over that claim to be huge
    huge-frames                 such frames of 16 MiB, and the bytes for them
    endless-frames              commands and messages without end, before the handshake is over
    flood                       connects and closes, as fast as it goes
Kinds that speak CURVE (with pyzmq), and need the server's public key:
    stranger                    one key that is not allowed, again and again
    keys                        a fresh key for each connection
    plaintext                   no CURVE (needs no key)
    wrong-server-key            another server's key
    not-a-pair                  a public key with a secret that is not its own (or --own)
    huge-metadata               a stranger's greeting and HELLO, then an INITIATE of 16 MiB
    stranger-flood              a stranger's whole handshake, then frames without end

Each connection is closed once the peer has closed it, or at the end. Without --seconds the end is when
--total connections have been made and closed by the peer, 15 s at most. Prints one line of what it did.
"""

import argparse
import collections
import errno
import random
import resource
import selectors
import socket
import struct
import time

PATIENCE = 15.0
BULK = 16 * 1024 * 1024
CHUNK = bytes(256 * 1024)
LINE = b"<13>2026-11-24T10:00:00.123456+00:00 mallory app: n=99999999 hostile"


def greeting(mechanism=b"CURVE", major=3, minor=0, as_server=0):
    head = b"\xff\0\0\0\0\0\0\0\1\x7f" + bytes((major, minor))
    return head + mechanism.ljust(20, b"\0") + bytes((as_server,)) + bytes(31)


def frame(flags, length):
    """The head of a frame: command 4, long 2, more 1."""
    return struct.pack(">BQ", flags | 2, length)


def bulk(length):
    while length > 0:
        part = CHUNK[: min(length, len(CHUNK))]
        length -= len(part)
        yield part


# What a connection says: bytes, and pauses in seconds between them.


def http(_):
    yield b"GET / HTTP/1.1\r\nHost: logs\r\nUser-Agent: scanner\r\n\r\n"


def tls(rng):
    hello = b"\3\3" + rng.randbytes(32) + b"\0\0\4\x13\1\x13\2\1\0\0\0"
    hello = b"\1" + len(hello).to_bytes(3, "big") + hello
    yield b"\x16\3\1" + len(hello).to_bytes(2, "big") + hello


def noise(rng):
    start = rng.choice((b"", b"\xff", greeting()[:10], greeting(), greeting() + b"\4\xc8\5HELLO"))
    yield start + rng.randbytes(rng.randrange(1, 4096))


def half_open(_):
    yield b""


def slow_greeting(_):
    for byte in greeting():
        yield bytes((byte,))
        yield 0.1


def slow_handshake(_):
    yield greeting()
    for byte in b"\4\xc8\5HELLO\1\0" + bytes(192):
        yield bytes((byte,))
        yield 0.1


def mechanisms(rng):
    yield greeting(rng.choice((b"NULL", b"PLAIN", b"GSSAPI", b"curve", b"X" * 20)))
    yield 0.05
    yield b"\4\x19\5READY\x0bSocket-Type\0\0\0\4PUSH"


def versions(rng):
    yield rng.choice(
        (
            b"\1\0\4\0text",  # ZMTP 1.0
            b"\xff\0\0\0\0\0\0\0\1\x7f\0\3\0\0",  # 1.0 that can do 2.0
            b"\xff\0\0\0\0\0\0\0\1\x7f\1\3\0\0",  # 2.0
            greeting(major=2),
            greeting(major=9, minor=9),
        )
    )


def lengths(rng):
    yield greeting()
    flags, length = rng.choice((0, 1, 4)), rng.choice((2**63, 2**64 - 1, 2**32, BULK, BULK + 1))
    yield frame(flags, length) + bytes(1000)


def huge_frames(rng):
    yield greeting()
    yield frame(rng.choice((0, 1, 4)), BULK - 1)
    yield from bulk(BULK - 2)


def endless_frames(rng):
    yield greeting()
    flags, size = rng.choice((0, 1, 4)), rng.choice((0, 200, 60_000))
    block = (frame(flags, size) + bytes(size)) * (len(CHUNK) // (size + 9))
    while True:
        yield block


def after_hello(_):
    yield frame(4, BULK - 1) + b"\x08INITIATE"
    yield from bulk(BULK - 20)


def after_initiate(_):
    while True:
        yield frame(0, BULK - 1)
        yield from bulk(BULK - 1)


RAW = {
    "http": http,
    "tls": tls,
    "random": noise,
    "half-open": half_open,
    "slow-greeting": slow_greeting,
    "slow-handshake": slow_handshake,
    "mechanisms": mechanisms,
    "versions": versions,
    "lengths": lengths,
    "huge-frames": huge_frames,
    "endless-frames": endless_frames,
}
# What a stranger says by itself before the rest is said in its place: greeting and HELLO are as long
# as this, whoever it is. INITIATE is the frame behind them.
BEFORE_INITIATE = 64 + 2 + 200
RELAYED = {"huge-metadata": after_hello, "stranger-flood": after_initiate}


class Count(collections.Counter):
    def __str__(self):
        return " ".join(f"{name}={self[name]}" for name in self.NAMES)

    NAMES = ("connections", "unreachable", "closed_by_peer", "bytes")


class Talk:
    """One connection: what is still to be said on it."""

    def __init__(self, sock, script):
        self.sock = sock
        self.script = script
        self.rest = memoryview(b"")
        self.due = 0.0

    def speak(self, now, count):
        """Says what goes; answers what it waits for."""
        while now >= self.due:
            if not self.rest:
                said = next(self.script, None)
                if said is None:
                    return selectors.EVENT_READ
                if isinstance(said, float):
                    self.due = now + said
                    break
                self.rest = memoryview(said)
                continue
            try:
                sent = self.sock.send(self.rest)
            except BlockingIOError:
                return selectors.EVENT_READ | selectors.EVENT_WRITE
            count["bytes"] += sent
            self.rest = self.rest[sent:]
        return selectors.EVENT_READ


class Attack:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.count = Count()
        self.end = time.monotonic() + (options.seconds or PATIENCE)

    def over(self):
        return time.monotonic() >= self.end

    def more(self):
        """Whether another connection is to be made; with --seconds their number does not matter."""
        options = self.options
        return not self.over() and (options.seconds or self.count["connections"] < options.total)

    def address(self):
        endpoint = self.options.endpoints[self.count["connections"] % len(self.options.endpoints)]
        host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
        return host.strip("[]"), int(port)

    def call(self):
        """A connection, once it is there; none if nobody listens."""
        try:
            source = (self.options.source, 0) if self.options.source else None
            sock = socket.create_connection(self.address(), self.options.call, source)
        except OSError as error:
            self.count["unreachable"] += 1
            if error.errno in (errno.EMFILE, errno.EADDRNOTAVAIL):
                time.sleep(0.05)
            return None
        finally:
            self.count["connections"] += 1
        sock.setblocking(False)
        return sock

    def raw(self, script, call):
        """Up to --at-once connections at a time that follow the script."""
        talks, ready = {}, selectors.DefaultSelector()

        def closed(talk, by_peer):
            ready.unregister(talk.sock)
            talk.sock.close()
            del talks[talk.sock]
            self.count["closed_by_peer"] += by_peer

        while self.more() or (talks and not self.over()):
            while self.more() and len(talks) < self.options.at_once:
                if sock := call():
                    talks[sock] = Talk(sock, script(self.random))
                    ready.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, talks[sock])
            events = ready.select(0.02)
            now = time.monotonic()
            waiting = [(talk, 0) for talk in talks.values() if 0 < talk.due <= now]
            for talk, event in [(key.data, event) for key, event in events] + waiting:
                if talk.sock not in talks:
                    continue
                try:
                    if event & selectors.EVENT_READ and not talk.sock.recv(65536):
                        closed(talk, True)
                        continue
                    ready.modify(talk.sock, talk.speak(now, self.count), talk)
                except OSError:
                    closed(talk, True)
        for talk in list(talks.values()):
            closed(talk, False)

    def flood(self):
        """Connects and closes; every other time with a reset."""
        while self.more():
            if sock := self.call():
                if self.count["connections"] % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    def behind_strangers(self, script):
        import zmq

        self.context, self.strangers = zmq.Context(), []
        self.raw(script, self.stranger_call)
        for end in self.strangers:
            end.close()
        self.context.term()

    def stranger_call(self):
        """A connection on which a stranger of pyzmq's has begun the handshake; the script goes on."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(5)
            port = server.getsockname()[1]
            stranger = self.curve(self.context, "stranger", f"tcp://127.0.0.1:{port}")
            near, _ = server.accept()
        far = self.call()
        if far is None:
            return None
        # the stranger must neither hang up nor call again before the connection has served
        self.strangers += (near, stranger)
        try:
            self.hand_over(near, far)
        except OSError:
            self.count["closed_by_peer"] += 1
            return None
        return far

    def hand_over(self, near, far):
        """Carries both ways until the stranger has said as much as it is to say by itself."""
        whole = self.options.kind == "stranger-flood"
        said, end = b"", None if whole else BEFORE_INITIATE
        with selectors.DefaultSelector() as ready:
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            while end is None or len(said) < end:
                for key, _ in ready.select(5):
                    if not (data := key.fileobj.recv(65536)):
                        raise ConnectionResetError
                    if key.fileobj is near:
                        said += data
                    key.data.sendall(data)
                if whole and len(said) > BEFORE_INITIATE + 2:
                    # a short frame says its length in its second byte
                    end = BEFORE_INITIATE + 2 + said[BEFORE_INITIATE + 1]

    def curve(self, context, kind, endpoint):
        """A socket of pyzmq's, with a line for the server to take."""
        import zmq

        peer = context.socket(getattr(zmq, self.options.type))
        peer.linger = 0
        peer.reconnect_ivl = 10
        peer.connect_timeout = int(self.options.call * 1000)
        if kind != "plaintext":
            public, secret = zmq.curve_keypair()
            server = self.options.server_key.encode()
            if kind == "wrong-server-key":
                server, _ = zmq.curve_keypair()
            if kind == "not-a-pair":
                _, secret = zmq.curve_keypair()
            if self.options.own:
                public, secret = (half.encode() for half in self.options.own)
            peer.curve_publickey, peer.curve_secretkey = public, secret
            peer.curve_serverkey = server
        source = f"{self.options.source}:0;" if self.options.source else ""
        peer.connect(endpoint.replace("tcp://", f"tcp://{source}") if source else endpoint)
        try:
            peer.send(LINE, zmq.DONTWAIT)
        except zmq.Again:
            pass
        self.count["bytes"] += len(LINE)
        return peer

    def peers(self, kind):
        """--at-once sockets that try again and again; with `keys` each gives way to a new one."""
        import zmq

        context = zmq.Context()
        context.max_sockets = max(self.options.at_once * 2, 1024)
        peers = collections.deque()
        own = self.options
        if kind == "stranger" and not own.own:
            own.own = [half.decode() for half in zmq.curve_keypair()]
        lasting = kind != "keys"
        while self.more():
            if len(peers) >= self.options.at_once:
                if lasting:
                    time.sleep(0.05)
                    if not own.seconds:
                        break
                    continue
                time.sleep(0.2 / self.options.at_once)
                peers.popleft().close()
            host, port = self.address()
            peers.append(self.curve(context, kind, f"tcp://{host}:{port}"))
            self.count["connections"] += 1
        # the last ones get the time for their handshake
        time.sleep(1.0)
        for peer in peers:
            peer.close()
        context.term()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = [*RAW, "flood", "stranger", "keys", "plaintext", "wrong-server-key", "not-a-pair", *RELAYED]
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("endpoints", nargs="+", metavar="ENDPOINT")
    parser.add_argument("--server-key", default="")
    parser.add_argument("--own", metavar="PUBLIC,SECRET", type=lambda text: text.split(","))
    parser.add_argument("--total", type=int, default=20, help="connections, without --seconds")
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--call", type=float, default=5.0, help="seconds until a call that is not answered is given up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--source", default="", help="address to call from")
    parser.add_argument("--type", default="DEALER")
    options = parser.parse_intermixed_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    attack = Attack(options)
    since = time.monotonic()
    if options.kind in RAW:
        attack.raw(RAW[options.kind], attack.call)
    elif options.kind == "flood":
        attack.flood()
    elif options.kind in RELAYED:
        attack.behind_strangers(RELAYED[options.kind])
    else:
        attack.peers(options.kind)
    print(f"{options.kind}: {attack.count} seconds={time.monotonic() - since:.1f}", flush=True)


main()
