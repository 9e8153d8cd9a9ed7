"""uvicorn on both families, which its command line cannot: uvicorn_server.py PORT"""

import socket
import sys

import uvicorn

from asgi import app

listener = socket.create_server(
    ("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
)
config = uvicorn.Config(app, http="httptools", ws="wsproto", timeout_keep_alive=600, log_level="error")
uvicorn.Server(config).run(sockets=[listener])
