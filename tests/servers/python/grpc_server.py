"""A gRPC server whose messages are plain bytes: grpc_server.py PORT"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

import routes


def fast(request, context):
    context.set_trailing_metadata([routes.MARK])
    return routes.REAL


def slow(request, context):
    time.sleep(int(request) / 1000)
    return fast(request, context)


def stream(request, context):
    chunks, milliseconds = map(int, request.split())
    context.set_trailing_metadata([routes.MARK])
    for pause in routes.pauses(chunks, milliseconds):
        time.sleep(pause)
        yield routes.CHUNK


def main():
    server = grpc.server(ThreadPoolExecutor(64))
    methods = {
        "Fast": grpc.unary_unary_rpc_method_handler(fast),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("app.App", methods)])
    server.add_insecure_port(f"[::]:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


main()
