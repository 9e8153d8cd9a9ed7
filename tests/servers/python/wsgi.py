"""The application for gunicorn."""

import time

import routes


def app(environ, start_response):
    route, numbers = routes.read(environ["PATH_INFO"])
    if route == "stream":
        start_response("200 OK", [routes.MARK])
        return stream(*numbers)
    if route == "slow":
        time.sleep(numbers[0] / 1000)
    body = routes.REAL
    if route == "upload":
        body = routes.received(len(environ["wsgi.input"].read()))
    start_response("200 OK", [routes.MARK, ("content-length", str(len(body)))])
    return [body]


def stream(chunks, milliseconds):
    for pause in routes.pauses(chunks, milliseconds):
        time.sleep(pause)
        yield routes.CHUNK
