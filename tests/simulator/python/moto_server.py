"""A moto server on a free loopback port. Prints one JSON line, `{"endpoint": ...}`; ends when its standard input does."""

import json
import sys
import urllib.request

from moto.server import ThreadedMotoServer


def keep_task_states(endpoint):
    """Without this every DescribeTasks moves the tasks on to their next status."""
    transition = {"progression": "manual", "times": 999}
    body = json.dumps({"model_name": "ecs::task", "transition": transition}).encode()
    url = endpoint + "/moto-api/state-manager/set-transition"
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, body, headers, method="POST"))


server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://{host}:{port}"
keep_task_states(endpoint)
print(json.dumps({"endpoint": endpoint}), flush=True)
sys.stdin.read()
server.stop()
