"""Stands in for Mattermost's incoming webhooks, Slack's, and Alertmanager's API, for the tests.

Each request is held to the documented form: what is wrong with it is in "problems". What a real
channel would do with mentions and links is done here, too: code is taken out of the text as these do,
and nobody may be paged by what is left.

Prints the base URL, then a JSON object for each request. Reads its orders from standard input, a line
each, and answers each with an empty line:
  200            take what comes (this is so from the start)
  403 WORD       answer so to what has this word in its text, and take all else
  400, 500, …    answer so, with the path of the request in the body, as a careless server would
  429 N          answer so, with Retry-After: N
  302            send it elsewhere, where nobody may go
  hang           answer nothing, and close

Two arguments, a certificate and its key, make it speak HTTPS.

Paths: /hooks/KEY (Mattermost), /services/A/B/C (Slack), /api/v2/alerts (Alertmanager).
"""

import json
import re
import ssl
import sys
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Mattermost: https://developers.mattermost.com/integrate/webhooks/incoming/
MATTERMOST = {
    "text", "channel", "username", "icon_url", "icon_emoji", "attachments", "type", "props", "priority",
}
MATTERMOST_LONGEST = 16_383
SLACK = {
    "text", "channel", "username", "icon_url", "icon_emoji", "attachments", "blocks", "mrkdwn",
    "unfurl_links", "unfurl_media", "thread_ts", "response_type",
}
SLACK_LONGEST = 40_000
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")

order = "200"
output = threading.Lock()


def without_code(text):
    """Fenced blocks, then spans: what is left is Markdown that people see and that pages them."""
    outside, fenced = [], False
    for line in text.split("\n"):
        if line.lstrip(" ").startswith("```"):
            fenced = not fenced
        elif not fenced:
            outside.append(line)
    problems = ["a block is never closed"] if fenced else []
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", "\n".join(outside)), problems


def chat(body, known, longest):
    if not isinstance(body, dict):
        return ["the body is no object"]
    problems = [f"{name} is not documented" for name in body if name not in known]
    text = body.get("text")
    if not isinstance(text, str) or not text.strip():
        return problems + ["there is no text"]
    if len(text) > longest:
        problems.append(f"{len(text)} characters")
    if any(ord(sign) < 32 and sign != "\n" for sign in text):
        problems.append("control characters")
    if known is MATTERMOST:
        # it understands Slack's way of writing before it looks for code
        for word in ("channel", "here", "all"):
            text = text.replace(f"<!{word}>", f"@{word}")
        text = re.sub(r"<([^<|>\n]+)\|([^|>\n]+)>", r"[\2](\1)", text)
        if text != body["text"]:
            problems.append(f"Mattermost makes something else of it: {text}")
    visible, found = without_code(text)
    problems += found
    if known is SLACK:
        if re.search(r"<[!@#]|<https?:", text):
            problems.append("it pages or links, for Slack")
        if re.search(r"[<>]|&(?!amp;|lt;|gt;)", text):
            problems.append("not escaped as Slack wants it")
    if re.search(r"@\w", visible) or re.search(r"@(channel|here|all|everyone)", text):
        problems.append(f"it pages somebody: {visible}")
    if re.search(r"https?://|www\.|\]\(", visible):
        problems.append(f"it has a link: {visible}")
    return problems


def alerts(body):
    if not isinstance(body, list):
        return ["the body is no list"]
    problems = []
    for alert in body:
        unknown = set(alert) - {"labels", "annotations", "startsAt", "endsAt", "generatorURL"}
        problems += [f"{name} is not documented" for name in unknown]
        labels = alert.get("labels", {})
        if not labels:
            problems.append("an alert without labels")
        for name, value in [*labels.items(), *alert.get("annotations", {}).items()]:
            if not LABEL.match(name) or not isinstance(value, str):
                problems.append(f"label {name!r}")
        starts, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
        if ends < starts:
            problems.append("it ends before it starts")
    return problems


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        raw = self.rfile.read(length)
        if len(raw) < length:
            # whoever sent it was killed: a real server takes no half of a message either
            self.close_connection = True
            return
        body, problems = None, []
        if self.headers.get("Content-Type", "").split(";")[0] != "application/json":
            problems.append("Content-Type is not application/json")
        try:
            body = json.loads(raw)
        except ValueError as error:
            problems.append(str(error))
        if self.path.startswith("/hooks/"):
            problems += chat(body, MATTERMOST, MATTERMOST_LONGEST)
        elif self.path.startswith("/services/"):
            problems += chat(body, SLACK, SLACK_LONGEST)
        elif self.path == "/api/v2/alerts":
            problems += alerts(body)
        else:
            problems.append(f"no such path: {self.path}")
        answer = order.split()
        if answer[0] == "403" and len(answer) == 2 and answer[1].encode() not in raw:
            answer = ["200"]
        told = {
            "path": self.path,
            "status": answer[0],
            "at": time.monotonic(),
            "body": body,
            "authorization": self.headers.get("Authorization"),
            "problems": problems,
        }
        with output:
            print(json.dumps(told), flush=True)
        if answer[0] == "hang":
            self.close_connection = True
            return
        status = int(answer[0])
        said = b"ok" if status == 200 else f"no, not {self.path}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(said)))
        if status == 429:
            self.send_header("Retry-After", answer[1])
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(said)

    def do_GET(self):
        with output:
            print(json.dumps({"path": self.path, "problems": ["a GET"]}), flush=True)

    def log_message(self, *_):
        pass


def main():
    global order
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    scheme = "http"
    if len(sys.argv) == 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"{scheme}://127.0.0.1:{server.server_port}", flush=True)
    for line in sys.stdin:
        order = line.strip()
        with output:
            print(flush=True)


if __name__ == "__main__":
    main()
