#!/usr/bin/env python3
"""As much of Elasticsearch as omelasticsearch asks for: takes bulk requests and writes them down.

    bulk.py PORT FILE    appends a line "ID<tab>DOCUMENT" to FILE for each document
"""

import http.server
import json
import sys


class Bulk(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # an answer in one piece: two would wait for each other's acknowledgement
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        self.answer({})

    def do_HEAD(self):
        self.answer({})

    def do_POST(self):
        lines = self.rfile.read(int(self.headers["Content-Length"])).decode().splitlines()
        items = []
        with open(sys.argv[2], "a", encoding="utf-8") as file:
            for action, document in zip(lines[::2], lines[1::2]):
                index = json.loads(action)["index"]
                json.loads(document)
                file.write(f"{index['_id']}\t{document}\n")
                items.append({"index": {"_index": index["_index"], "_id": index["_id"], "status": 201}})
        self.answer({"took": 1, "errors": False, "items": items})

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """Clients here are killed in the middle."""


Server(("127.0.0.1", int(sys.argv[1])), Bulk).serve_forever()
