"""The application for uvicorn and hypercorn, with an echo over WebSocket."""

import asyncio

import routes

MARK = [tuple(word.encode() for word in routes.MARK)]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websocket(receive, send)
    else:
        await http(scope, receive, send)


async def lifespan(receive, send):
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def http(scope, receive, send):
    route, numbers = routes.read(scope["path"])
    if route == "stream":
        await send({"type": "http.response.start", "status": 200, "headers": MARK})
        for pause in routes.pauses(*numbers):
            await asyncio.sleep(pause)
            await send({"type": "http.response.body", "body": routes.CHUNK, "more_body": True})
        return await send({"type": "http.response.body", "body": b""})
    if route == "slow":
        await asyncio.sleep(numbers[0] / 1000)
    body = routes.REAL
    if route == "upload":
        body = routes.received(await length(receive))
    headers = MARK + [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def length(receive):
    received, more = 0, True
    while more:
        event = await receive()
        received += len(event.get("body", b""))
        more = event.get("more_body", False)
    return received


async def websocket(receive, send):
    await receive()
    await send({"type": "websocket.accept", "headers": MARK})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})
