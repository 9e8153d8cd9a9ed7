"""grpcio, a channel for each connection: grpc_client.py HOST:PORT METHOD MESSAGE CONNECTIONS PAUSE_MS

The method Mixed is Slow with that message, and Fast beside it on the same connection.
"""

import sys

import grpc

import loop


def open_channel(address):
    # A channel of its own is a connection of its own.
    return grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])


def make_ask(channel, method, message):
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
    methods = ["Slow", "Fast"] if method == "Mixed" else [method]
    channels = [open_channel(address) for _ in range(int(connections))]
    asks = iter([make_ask(channel, name, message.encode()) for channel in channels for name in methods])
    loop.run(len(channels) * len(methods), int(pause) / 1000, lambda: next(asks))


main()
