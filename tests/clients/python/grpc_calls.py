"""One gRPC call of each kind, and its status: grpc_calls.py HOST:PORT"""

import sys
import time

import grpc


def endless():
    while True:
        yield b"more"
        time.sleep(0.01)


def main():
    channel = grpc.insecure_channel(sys.argv[1])
    print("unary", status(lambda: channel.unary_unary("/app.App/Fast")(b"x", timeout=10)))
    print("missing", status(lambda: channel.unary_unary("/app.App/Missing")(b"x", timeout=10)))
    print("stream", status(lambda: list(channel.unary_stream("/app.App/Stream")(b"2 0", timeout=10))))
    # Only the server's answer ends this one.
    print("upload", status(lambda: channel.stream_unary("/app.App/Missing")(endless(), timeout=10)))


def status(call):
    try:
        call()
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"
    return "OK"


main()
