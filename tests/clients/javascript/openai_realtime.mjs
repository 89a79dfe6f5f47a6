// What an unmodified openai for Node hears of a Realtime session: one JSON object. It speaks over TLS only.
//
//     NODE_EXTRA_CA_CERTS=ca.pem node openai_realtime.mjs https://localhost:9443/v1 speech-24khz.pcm

import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const [url, file] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: "any-key-will-do" });
const audio = readFileSync(file);
const frame = 24000 * 2 * 0.1;

const connection = new OpenAIRealtimeWS({ model: "gpt-realtime" }, client);
const events = [];
connection.on("event", (event) => events.push(event));
connection.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
connection.on("session.created", () => {
  const source = { format: { type: "audio/pcm", rate: 24000 }, turn_detection: null };
  connection.send({ type: "session.update", session: { type: "transcription", audio: { input: source } } });
  for (let begin = 0; begin < audio.length; begin += frame)
    connection.send({
      type: "input_audio_buffer.append",
      audio: audio.subarray(begin, begin + frame).toString("base64"),
    });
  connection.send({ type: "input_audio_buffer.commit" });
});
connection.on("conversation.item.input_audio_transcription.completed", ({ transcript }) => {
  connection.close();
  const types = events.map((event) => event.type);
  process.stdout.write(JSON.stringify({ types, transcript }));
});
