// undici, a pool of one for each connection; lines as in python/loop.py: client.js URL CONNECTIONS PAUSE_MS
"use strict";
const { Pool } = require("undici");

const [url, connections, pause] = process.argv.slice(2);
const { origin, pathname } = new URL(url);
let stop = false;
process.stdin.on("end", () => (stop = true)).resume();

function outcome(statusCode, headers) {
  if (headers["x-httpfault"]) return "fault";
  return headers["x-app"] === "real" && statusCode === 200 ? "real" : `lost status ${statusCode}`;
}

async function ask(pool) {
  let begun = false;
  try {
    const { statusCode, headers, body } = await pool.request({ method: "GET", path: pathname });
    begun = true;
    await body.dump();
    return outcome(statusCode, headers);
  } catch (error) {
    if (begun) return `cut ${error.code} ${error.message}`;
    const closed = error.code === "UND_ERR_SOCKET" && error.message === "other side closed";
    return closed ? "closed" : `lost ${error.code} ${error.message}`;
  }
}

async function requests() {
  const pool = new Pool(origin, { connections: 1, pipelining: 1, headersTimeout: 10_000, bodyTimeout: 10_000 });
  while (!stop) {
    const line = await ask(pool);
    process.stdout.write(`${line}\n`);
    await new Promise((done) => setTimeout(done, Number(pause)));
  }
  await pool.destroy();
}

Promise.all(Array.from({ length: Number(connections) }, requests));
