/**
 * A transcript as a file to take along, as `POST /v1/transcribe?format=` writes it. Corrected words are written as
 * they were corrected.
 *
 * @typedef {{word: string, start: number, end: number, confidence: number, corrected?: string}} Word
 * @typedef {{text: string, start: number, end: number, confidence: number, words: Word[], channel?: number}} Segment
 * @typedef {{title: string, duration: number, segments: Segment[], failed?: object[]}} Transcript
 */

import { docx } from "./docx.js";

const LINE_CHARACTERS = 42;
const CUE_LINES = 2;
const CUE_SECONDS = 7;
const PAUSE_SECONDS = 1;

/** Writers by the ending of the file. @type {Record<string, (transcript: Transcript) => string | Uint8Array>} */
export const FORMS = {
  txt: ({ segments }) => segments.map((segment) => `${textOf(segment)}\n`).join(""),
  srt: ({ segments }) => cues(segments, ","),
  vtt: ({ segments }) => `WEBVTT\n\n${cues(segments, ".")}`,
  md: ({ segments }) => segments.map((segment) => `**[${clock(segment.start)}]** ${textOf(segment)}\n\n`).join(""),
  json: (transcript) => `${JSON.stringify(fieldsOf(transcript))}\n`,
  docx: ({ title, segments }) => docx(title, segments.map((one) => ({ time: clock(one.start), text: textOf(one) }))),
};

/** Let the browser save a file. */
export function save(name, content) {
  const link = document.createElement("a");
  const type = typeof content === "string" ? "text/plain;charset=utf-8" : "application/octet-stream";
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** What a word says now. @param {Word} word */
export const wordText = (word) => word.corrected ?? word.word;

/** What a segment says now; the server's own text where nobody has changed it. @param {Segment} segment */
export function textOf({ text, words }) {
  if (!words.some(({ corrected }) => corrected !== undefined)) return text;
  return words.map(wordText).filter(Boolean).join(" ");
}

/** Seconds as 00:12:34, with a separator and milliseconds where one is given. */
export function clock(seconds, separator = "") {
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const all = separator ? Math.round(seconds * 1000) : Math.floor(seconds) * 1000;
  const whole = Math.floor(all / 1000);
  const text = `${two(whole / 3600)}:${two((whole / 60) % 60)}:${two(whole % 60)}`;
  return separator ? `${text}${separator}${String(all % 1000).padStart(3, "0")}` : text;
}

/** The server's own JSON. */
function fieldsOf({ duration, segments, failed }) {
  const told = segments.map((segment) => {
    const { start, end, confidence, channel, speaker } = segment;
    const words = segment.words.filter(wordText).map((word) => ({ ...word, word: wordText(word), corrected: undefined }));
    return { text: textOf(segment), start, end, confidence, words, channel, speaker };
  });
  const [text, words] = [told.map((one) => one.text).join(" "), told.flatMap((one) => one.words)];
  return { text, words, duration, segments: told, failed: failed?.length ? failed : undefined };
}

function cues(segments, separator) {
  const groups = segments.flatMap(({ words }) => {
    const found = [];
    for (const word of words.filter(wordText)) {
      const group = found.at(-1);
      if (group && !isFull(group, word)) group.push(word);
      else found.push([word]);
    }
    return found;
  });
  return groups
    .map((group, index) => {
      const [start, end] = [group[0].start, Math.max(group.at(-1).end, group[0].start)];
      const text = wrap(joined(group)).join("\n");
      const safe = separator === "." ? text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;") : text;
      return `${index + 1}\n${clock(start, separator)} --> ${clock(end, separator)}\n${safe}\n\n`;
    })
    .join("");
}

const joined = (group) => group.map(wordText).join(" ");

function isFull(group, word) {
  const text = joined(group);
  return (
    wrap(`${text} ${wordText(word)}`).length > CUE_LINES ||
    word.end - group[0].start > CUE_SECONDS ||
    word.start - group.at(-1).end > PAUSE_SECONDS ||
    (/[.?!…]$/.test(text) && [...text].length >= LINE_CHARACTERS)
  );
}

function wrap(text) {
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length && [...longer].length <= LINE_CHARACTERS) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
