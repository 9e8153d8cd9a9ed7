"""What every server of the test bed answers: /, /slow/MS, /stream/CHUNKS/MS, and the length of what is sent to /upload."""

REAL = b"real\n"
MARK = ("x-app", "real")
CHUNK = b"chunk\n"


def read(path):
    """The route and its numbers."""
    route, *numbers = path.strip("/").split("/")
    return route, [int(number) for number in numbers]


def pauses(chunks, milliseconds):
    """Seconds before each chunk of a stream."""
    return [milliseconds / 1000] * chunks


def received(length):
    return b"received %d\n" % length
