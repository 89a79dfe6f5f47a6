// What an unmodified openai for Node makes of the server: one JSON object, as openai_rest.py prints it.
//
//     node openai_rest.mjs http://127.0.0.1:9876/v1 clip.wav

import { createReadStream } from "node:fs";
import OpenAI from "openai";

const [url, clip] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: "any-key-will-do", maxRetries: 0 });

const transcribe = (options) =>
  client.audio.transcriptions.create({ file: createReadStream(clip), model: "gpt-4o-transcribe", ...options });

async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status, error.code, error.param];
  }
  return [];
}

const texts = {};
for (const form of ["json", "text", "srt", "vtt", "verbose_json"]) {
  const answer = await transcribe({ response_format: form, language: "ru" });
  texts[form] = typeof answer === "string" ? answer : answer.text;
}
const verbose = await transcribe({ response_format: "verbose_json", timestamp_granularities: ["word", "segment"] });
const probable = await transcribe({ include: ["logprobs"], chunking_strategy: "auto" });
const events = [];
for await (const event of await transcribe({ stream: true })) events.push(event);
const models = [];
for await (const model of client.models.list()) models.push(model.id);
const small = (text) => new File([text], "a.wav");

const found = {
  texts,
  words: verbose.words.map((word) => [word.word, word.start, word.end]),
  segments: verbose.segments,
  duration: verbose.duration,
  logprobs: probable.logprobs.map((one) => one.token).join(""),
  events: events.map((event) => event.type),
  streamed: events.slice(0, -1).map((event) => event.delta).join(""),
  done: events.at(-1).text,
  models,
  model: (await client.models.retrieve("whisper-1")).id,
  refusals: {
    language: await refusal(() => transcribe({ language: "en" })),
    translation: await refusal(() => client.audio.translations.create({ file: small("RIFF"), model: "whisper-1" })),
    model: await refusal(() => client.models.retrieve("none")),
    audio: await refusal(() => transcribe({ file: small("\0".repeat(1000)) })),
    address: await refusal(() => client.audio.speech.create({ input: "x", model: "y", voice: "z" })),
  },
};
process.stdout.write(JSON.stringify(found));
