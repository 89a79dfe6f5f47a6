// Stream a WAV file to gigastt as a microphone would, and print what comes back.
//
//     node stream.mjs clip.wav [--url ws://127.0.0.1:9876/v1/ws] [--fast]
//
// A connection that is lost is made again, and no word is: the module client.js does that. Node 20.10 or newer; no
// packages. Needs 16-bit mono PCM at 8, 16, 24, 44.1 or 48 kHz.
// Partials go to standard error, finals to standard output.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

import { LiveSession } from "../../gigastt/gateway/web/client.js";

if (typeof WebSocket === "undefined") {
  // Node 20 and 21 have a WebSocket client behind a flag; from 22 on it is simply there.
  const flag = "--experimental-websocket";
  if (process.execArgv.includes(flag) || !process.allowedNodeEnvironmentFlags.has(flag)) {
    console.error(`expected Node 20.10 or newer, but this is ${process.version}`);
    process.exit(1);
  }
  const child = spawnSync(process.execPath, [flag, "--no-warnings", ...process.argv.slice(1)], { stdio: "inherit" });
  process.exit(child.status ?? 1);
}

const CHUNK_SECONDS = 0.1;

/**
 * Find the format and the samples of a PCM WAV file.
 * @param {string} path
 */
function readWav(path) {
  const file = readFileSync(path);
  if (file.toString("latin1", 0, 4) !== "RIFF" || file.toString("latin1", 8, 12) !== "WAVE") {
    throw new Error(`${path}: not a WAV file`);
  }
  let rate = 0;
  for (let at = 12; at + 8 <= file.length; ) {
    const kind = file.toString("latin1", at, at + 4);
    const size = file.readUInt32LE(at + 4);
    const body = at + 8;
    if (kind === "fmt ") {
      const [format, channels, bits] = [file.readUInt16LE(body), file.readUInt16LE(body + 2), file.readUInt16LE(body + 14)];
      if (format !== 1 || channels !== 1 || bits !== 16) throw new Error(`${path}: expected 16-bit mono PCM`);
      rate = file.readUInt32LE(body + 4);
    } else if (kind === "data") {
      return { rate, pcm: file.subarray(body, Math.min(body + size, file.length)) };
    }
    at = body + size + (size % 2);
  }
  throw new Error(`${path}: no samples`);
}

/**
 * Send the samples at the pace of speech (or at once), and stop.
 * @param {LiveSession} session
 * @param {{rate: number, pcm: Buffer}} wav
 * @param {boolean} fast
 */
async function sendAudio(session, { rate, pcm }, fast) {
  const bytes = 2 * Math.floor(rate * CHUNK_SECONDS);
  for (let at = 0; at < pcm.length; at += bytes) {
    while (!session.send(pcm.subarray(at, at + bytes)) && !session.isOver) await delay(100); // too far behind
    if (!fast) await delay(CHUNK_SECONDS * 1000);
  }
  session.stop();
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { url: { type: "string", default: "ws://127.0.0.1:9876/v1/ws" }, fast: { type: "boolean", default: false } },
});
if (positionals.length !== 1) {
  console.error("usage: node stream.mjs FILE.wav [--url URL] [--fast]");
  process.exit(2);
}
const wav = readWav(positionals[0]);
let good = true;

/** @param {any} message of the server */
function show(message) {
  if (message.type === "ready") {
    console.error(`${message.model} is ready`);
  } else if (message.type === "partial") {
    process.stderr.write(`\r… ${message.text}`);
  } else if (message.type === "final" && message.text) {
    process.stderr.write("\r");
    console.log(`[${message.start.toFixed(2)}–${message.end.toFixed(2)}] ${message.text}`);
  } else if (message.type === "error") {
    console.error(`\n${message.code}: ${message.message}`);
    good = false;
  }
}

const session = new LiveSession(values.url, {
  configure: { sample_rate: wav.rate },
  patienceSeconds: 5,
  onMessage: show,
  onState: (state, why) => {
    if (why) console.error(`\n${why.code}: ${why.message}`);
    else if (state === "lost") console.error("\nthe connection is lost");
  },
});
sendAudio(session, wav, values.fast);
process.exitCode = (await session.finished) === "done" && good ? 0 : 1;
