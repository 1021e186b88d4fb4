"""The few calls of libzmq that these scripts need, through ctypes: no package beyond libzmq5.

Owns nothing of its own; a socket belongs to the thread that opened it.
"""

import ctypes
import errno
import os
import re

# numbers from zmq.h, which are libzmq's ABI
PUB, SUB, PULL, PUSH = 1, 2, 7, 8
SUBSCRIBE, RCVMORE, LINGER, RCVTIMEO, SNDTIMEO, IMMEDIATE = 6, 13, 17, 27, 28, 39
CURVE_PUBLICKEY, CURVE_SECRETKEY, CURVE_SERVERKEY = 48, 49, 50
Z85_KEY = 40  # characters of a CURVE key in its text form
LARGEST_FRAME = 64 * 1024


class ZmqError(Exception):
    """What libzmq or a certificate had to complain about, as a sentence."""


def _load():
    try:
        library = ctypes.CDLL("libzmq.so.5", use_errno=True)
    except OSError as error:
        raise ZmqError(f"libzmq.so.5 can't be loaded ({error}): install package libzmq5") from error
    pointer, number, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    for name, result, arguments in [
        ("zmq_ctx_new", pointer, []),
        ("zmq_socket", pointer, [pointer, number]),
        ("zmq_connect", number, [pointer, ctypes.c_char_p]),
        ("zmq_setsockopt", number, [pointer, number, ctypes.c_char_p, size]),
        ("zmq_getsockopt", number, [pointer, number, pointer, pointer]),
        ("zmq_send", number, [pointer, ctypes.c_char_p, size, number]),
        ("zmq_recv", number, [pointer, pointer, size, number]),
        ("zmq_close", number, [pointer]),
        ("zmq_ctx_term", number, [pointer]),
        ("zmq_curve_keypair", number, [ctypes.c_char_p, ctypes.c_char_p]),
    ]:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


LIBZMQ = _load()


def new_keys():
    """A new CURVE pair: (public, secret) in Z85."""
    public = ctypes.create_string_buffer(Z85_KEY + 1)
    secret = ctypes.create_string_buffer(Z85_KEY + 1)
    if LIBZMQ.zmq_curve_keypair(public, secret) != 0:
        raise ZmqError("this libzmq was built without CURVE: use the distribution's libzmq5")
    return public.value.decode("ascii"), secret.value.decode("ascii")


def read_key(path, which):
    """The value of `which` ("public-key" or "secret-key") in a certificate file."""
    with open(path, encoding="utf-8") as file:
        found = re.search(rf'^\s*{which}\s*=\s*"(\S{{{Z85_KEY}}})"', file.read(), re.MULTILINE)
    if not found:
        raise ZmqError(f"{path} has no {which}")
    return found.group(1)


class Socket:
    """A connecting socket with a context of its own; CURVE when certificates are named."""

    def __init__(self, kind, endpoint, server=None, own=None, topics=()):
        self._context = LIBZMQ.zmq_ctx_new()
        self._socket = LIBZMQ.zmq_socket(self._context, kind)
        self._set(LINGER, 0)
        if kind == PUSH:
            # take nothing for a peer that isn't there; on a SUB it would hold subscriptions back
            self._set(IMMEDIATE, 1)
        if server:
            self._set(CURVE_SERVERKEY, read_key(server, "public-key"))
            self._set(CURVE_PUBLICKEY, read_key(own, "public-key"))
            self._set(CURVE_SECRETKEY, read_key(own, "secret-key"))
        for topic in topics:
            self._set(SUBSCRIBE, topic.encode())
        if LIBZMQ.zmq_connect(self._socket, endpoint.encode()) != 0:
            raise ZmqError(f"{endpoint}: {os.strerror(ctypes.get_errno())}")

    def _set(self, option, value):
        if isinstance(value, int):
            data = value.to_bytes(4, "little", signed=True)
        elif option in (CURVE_SERVERKEY, CURVE_PUBLICKEY, CURVE_SECRETKEY):
            data = value.encode("ascii") + b"\0"  # the text form is told by its length, NUL included
        else:
            data = value
        if LIBZMQ.zmq_setsockopt(self._socket, option, data, len(data)) != 0:
            raise ZmqError(f"libzmq refused socket option {option}: {os.strerror(ctypes.get_errno())}")

    def send(self, text, seconds):
        """False when nobody took it in that time."""
        self._set(SNDTIMEO, int(seconds * 1000))
        data = text.encode()
        if LIBZMQ.zmq_send(self._socket, data, len(data), 0) >= 0:
            return True
        return self._would_block("send")

    def receive(self, seconds):
        """The frames of one message; None when none came in that time."""
        self._set(RCVTIMEO, int(seconds * 1000))
        frames = []
        buffer = ctypes.create_string_buffer(LARGEST_FRAME)
        more = ctypes.c_int(1)
        size = ctypes.c_size_t(ctypes.sizeof(more))
        while more.value:
            length = LIBZMQ.zmq_recv(self._socket, buffer, LARGEST_FRAME, 0)
            if length < 0:
                self._would_block("receive")
                return None
            frames.append(buffer.raw[: min(length, LARGEST_FRAME)].decode("utf-8", "replace"))
            LIBZMQ.zmq_getsockopt(self._socket, RCVMORE, ctypes.byref(more), ctypes.byref(size))
        return frames

    @staticmethod
    def _would_block(what):
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            raise ZmqError(f"{what}: {os.strerror(number)}")
        return False

    def close(self):
        """Closes the socket and ends its context; what was not sent is dropped."""
        LIBZMQ.zmq_close(self._socket)
        LIBZMQ.zmq_ctx_term(self._context)
