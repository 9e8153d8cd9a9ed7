"""What every client of the test bed does: requests over connections that it keeps, a line for what became of each.

`real`, `fault`; `closed`: the connection ended in order before any byte of the answer; `cut`: within it;
`lost`: anything else, with the reason. The end of the standard input ends the client.
"""

import sys
import threading


def outcome(status, header):
    if header("x-httpfault"):
        return "fault"
    if header("x-app") == "real" and status == 200:
        return "real"
    return f"lost status {status}"


def run(connections, pause, make_ask):
    """`make_ask` gives a function that does one request and tells its outcome, for each connection its own."""
    stop = threading.Event()
    write = threading.Lock()

    def requests(ask):
        while not stop.is_set():
            line = ask()
            with write:
                print(line, flush=True)
            if pause:
                stop.wait(pause)

    threads = [threading.Thread(target=requests, args=[make_ask()]) for _ in range(connections)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
