// Node's http server: server.js PORT
"use strict";
const { createHash } = require("node:crypto");
const http = require("node:http");

const MARK = { "x-app": "real" };
// RFC 6455 section 1.3.
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const server = http.createServer(async (request, response) => {
  const [, route, ...numbers] = request.url.split("/");
  if (route === "stream") {
    const [chunks, milliseconds] = numbers.map(Number);
    response.writeHead(200, MARK);
    for (let chunk = 0; chunk < chunks; chunk += 1) {
      await pause(milliseconds);
      response.write("chunk\n");
    }
    return response.end();
  }
  if (route === "slow") await pause(Number(numbers[0]));
  let body = "real\n";
  if (route === "upload") {
    let length = 0;
    for await (const piece of request) length += piece.length;
    body = `received ${length}\n`;
  }
  response.writeHead(200, { ...MARK, "content-length": body.length }).end(body);
});

// The handshake, then an echo of bytes.
server.on("upgrade", (request, socket) => {
  const key = request.headers["sec-websocket-key"] + GUID;
  const accept = createHash("sha1").update(key).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nx-app: real\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
});

server.keepAliveTimeout = 600_000;
server.listen({ port: Number(process.argv[2]), host: "::", backlog: 1024 });
