"""http.server with a thread for each connection, which waits in recv() for the next request: threads.py PORT"""

import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import routes


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 1024
    daemon_threads = True

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, *_):
        """A client that went away is no failure."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        route, numbers = routes.read(self.path)
        if route == "stream":
            return self.stream(*numbers)
        if route == "slow":
            time.sleep(numbers[0] / 1000)
        return self.answer(routes.REAL)

    def do_POST(self):
        length = int(self.headers["content-length"])
        self.answer(routes.received(len(self.rfile.read(length))))

    def answer(self, body):
        self.head("content-length", str(len(body)))
        self.wfile.write(body)

    def stream(self, chunks, milliseconds):
        self.head("transfer-encoding", "chunked")
        for pause in routes.pauses(chunks, milliseconds):
            time.sleep(pause)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(routes.CHUNK), routes.CHUNK))
        self.wfile.write(b"0\r\n\r\n")

    def head(self, *framing):
        self.send_response(200)
        for name, value in (routes.MARK, framing):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


def serve(handler):
    Server(("::", int(sys.argv[1])), handler).serve_forever()


if __name__ == "__main__":
    serve(Handler)
