// Transcribe a file with OpenAI's own library, with the time of every segment.
//
//     npm install openai
//     node transcribe.mjs speech.wav http://127.0.0.1:9876/v1

import { createReadStream } from "node:fs";
import OpenAI from "openai";

const [file, baseURL = "http://127.0.0.1:9876/v1", apiKey = "none"] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });

const { segments } = await client.audio.transcriptions.create({
  model: "gigastt",
  file: createReadStream(file),
  response_format: "verbose_json",
});
for (const { start, text } of segments) console.log(`${start.toFixed(2).padStart(8)} ${text}`);
