// What an unmodified @deepgram/sdk hears of a file, and of the same as live audio: one JSON object.
//
//     node deepgram_listen.mjs http://127.0.0.1:9876 speech.wav speech.pcm FRAME_MS
//
// The samples are 16-bit of 16 kHz.

import { readFileSync } from "node:fs";
import { DeepgramClient } from "@deepgram/sdk";

const [url, file, samples, milliseconds] = process.argv.slice(2);
const live = url.replace("http", "ws");
const client = new DeepgramClient({
  apiKey: "any-key-will-do",
  environment: { base: url, production: live, agent: live, agentRest: url },
});
const wanted = { model: "nova-3", language: "ru", smart_format: true };
const whole = await client.listen.v1.media.transcribeFile(readFileSync(file), wanted);

const audio = readFileSync(samples);
const frame = 32 * Number(milliseconds);
const messages = [];
const connection = await client.listen.v1.connect({
  model: "nova-3",
  language: "ru",
  encoding: "linear16",
  sample_rate: 16000,
  interim_results: "true",
  punctuate: "true",
  vad_events: "true",
  utterance_end_ms: 1000,
});
connection.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
connection.on("message", (message) => {
  messages.push(message);
  if (message.type !== "Metadata") return;
  connection.close();
  const file = whole.results.channels.map((channel) => channel.alternatives[0].transcript);
  process.stdout.write(JSON.stringify({ file, messages }), () => process.exit(0));
});
connection.connect();
await connection.waitForOpen();
connection.sendKeepAlive({ type: "KeepAlive" });
for (let begin = 0; begin < audio.length; begin += frame) connection.sendMedia(audio.subarray(begin, begin + frame));
connection.sendCloseStream({ type: "CloseStream" });
