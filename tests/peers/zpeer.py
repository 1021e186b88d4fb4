"""A ZeroMQ peer on pyzmq, for the tests.

One argument, JSON:
  type       PUSH, PULL, PUB, SUB, DEALER, ROUTER
  bind       endpoints to bind
  connect    endpoints to connect to
  server     {"public": z85, "secret": z85}: be a CURVE server (any key is let in)
  client     {"public": z85, "secret": z85, "serverkey": z85}: be a CURVE client
  subscribe  topics
  send       messages to send, each a list of frames in hex; a PUB waits for a subscriber first
  count      messages to receive

Prints "ready" once it has bound or connected, then each message it receives: its frames in hex
("-" for an empty one), separated by spaces; "sent" after the last message is on its way.
"""

import json
import sys

import zmq

# A message that nobody takes must not keep the peer for ever.
PATIENCE_MS = 30_000


def make(task, context):
    kind = task["type"]
    # An XPUB is a PUB that tells when somebody subscribes.
    socket = context.socket(zmq.XPUB if kind == "PUB" else getattr(zmq, kind))
    socket.linger = PATIENCE_MS
    socket.sndtimeo = PATIENCE_MS
    socket.rcvtimeo = PATIENCE_MS
    if server := task.get("server"):
        socket.curve_server = True
        socket.curve_publickey = server["public"].encode()
        socket.curve_secretkey = server["secret"].encode()
    if client := task.get("client"):
        socket.curve_publickey = client["public"].encode()
        socket.curve_secretkey = client["secret"].encode()
        socket.curve_serverkey = client["serverkey"].encode()
    for topic in task.get("subscribe", []):
        socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
    for endpoint in task.get("bind", []):
        socket.bind(endpoint)
    for endpoint in task.get("connect", []):
        socket.connect(endpoint)
    return socket


def main():
    task = json.loads(sys.argv[1])
    context = zmq.Context()
    socket = make(task, context)
    print("ready", flush=True)
    if task["type"] == "PUB" and task.get("send"):
        socket.recv()
    for message in task.get("send", []):
        socket.send_multipart([bytes.fromhex(frame) for frame in message])
    for _ in range(task.get("count", 0)):
        frames = socket.recv_multipart()
        print(" ".join(frame.hex() or "-" for frame in frames), flush=True)
    if task.get("send"):
        socket.close()
        context.term()
        print("sent", flush=True)


main()
