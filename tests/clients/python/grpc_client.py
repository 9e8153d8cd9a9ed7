"""grpcio, a channel for each connection: grpc_client.py HOST:PORT METHOD MESSAGE CONNECTIONS PAUSE_MS"""

import sys

import grpc

import loop


def make_ask(address, method, message):
    # A channel of its own is a connection of its own.
    channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
    streaming = method == "Stream"
    kind = channel.unary_stream if streaming else channel.unary_unary
    call = kind(f"/app.App/{method}")

    def ask():
        if streaming:
            running, received = call(message, timeout=10), 0
        try:
            if streaming:
                for _ in running:
                    received += 1
            else:
                _, running = call.with_call(message, timeout=10)
        except grpc.RpcError as error:
            return refused(error, streaming and received > 0)
        metadata = dict(running.trailing_metadata())
        return loop.outcome(200, metadata.get)

    return ask


def refused(error, begun):
    metadata = dict(error.trailing_metadata() or ()) | dict(error.initial_metadata() or ())
    # An answer of plain HTTP has no metadata; what it was is in the details.
    if "x-httpfault" in metadata or "status: 503" in (error.details() or ""):
        return "fault"
    return f"{'cut' if begun else 'lost'} {error.code().name} {error.details()}"


def main():
    address, method, message, connections, pause = sys.argv[1:]
    loop.run(int(connections), int(pause) / 1000, lambda: make_ask(address, method, message.encode()))


main()
