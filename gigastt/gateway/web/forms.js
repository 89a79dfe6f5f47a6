/**
 * A transcript as a file to take along, as `POST /v1/transcribe?format=` writes it. Corrected words are written as
 * they were corrected, and speakers by the names they were given.
 *
 * @typedef {{word: string, start: number, end: number, confidence: number, corrected?: string, speaker?: number}} Word
 * @typedef {{text: string, start: number, end: number, confidence: number, words: Word[], channel?: number, speaker?: number}} Segment
 * @typedef {{title: string, duration: number, segments: Segment[], failed?: object[], names?: Record<number, string>}} Transcript
 */

import { docx } from "./docx.js";
import { secondsOf, speakerOf, titleOf, turnsOf } from "./speakers.js";

const LINE_CHARACTERS = 42;
const CUE_LINES = 2;
const CUE_SECONDS = 7;
const PAUSE_SECONDS = 1;

/** As plain text, a line for each turn. @param {Transcript} transcript */
export const plainText = (transcript) => linesOf(transcript).map(({ who, text }) => `${who && `${who}: `}${text}\n`).join("");

/** Writers by the ending of the file. @type {Record<string, (transcript: Transcript) => string | Uint8Array<ArrayBuffer>>} */
export const FORMS = {
  txt: plainText,
  srt: (transcript) => cues(transcript, ","),
  vtt: (transcript) => `WEBVTT\n\n${cues(transcript, ".")}`,
  md: (transcript) => linesOf(transcript).map(({ time, who, text }) => `**[${time}${who && ` ${who}`}]** ${text}\n\n`).join(""),
  json: (transcript) => `${JSON.stringify(fieldsOf(transcript))}\n`,
  docx: (transcript) => docx(transcript.title, linesOf(transcript)),
};

/** What is said in each turn, when, and by whom. @param {Transcript} transcript */
export const linesOf = ({ segments, names }) =>
  segments.flatMap(turnsOf).map((turn) => ({ time: clock(turn.start), who: titleOf(turn, names), text: textOf(turn) }));

/** Let the browser save a file. @param {string} name @param {string | Uint8Array<ArrayBuffer>} content */
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

/** Seconds as 00:12:34, with a separator and milliseconds where one is given. @param {number} seconds */
export function clock(seconds, separator = "") {
  const two = (/** @type {number} */ number) => String(Math.floor(number)).padStart(2, "0");
  const all = separator ? Math.round(seconds * 1000) : Math.floor(seconds) * 1000;
  const whole = Math.floor(all / 1000);
  const text = `${two(whole / 3600)}:${two((whole / 60) % 60)}:${two(whole % 60)}`;
  return separator ? `${text}${separator}${String(all % 1000).padStart(3, "0")}` : text;
}

/** The server's own JSON. @param {Transcript} transcript */
function fieldsOf({ duration, segments, failed, names = {} }) {
  const named = (/** @type {{speaker?: number, channel?: number}} */ one) => names[speakerOf(one) ?? -1];
  const told = segments.map((segment) => {
    const { start, end, confidence, channel, speaker } = segment;
    const words = segment.words.filter(wordText).map((word) => ({ ...word, word: wordText(word), corrected: undefined, speaker_name: named(word) }));
    return { text: textOf(segment), start, end, confidence, words, channel, speaker, speaker_name: named(segment) };
  });
  const [text, words] = [told.map((one) => one.text).join(" "), told.flatMap((one) => one.words)];
  const speakers = secondsOf(segments).map((one) => ({ ...one, speaker_name: named(one) }));
  return { text, words, duration, segments: told, speakers: speakers.length ? speakers : undefined, failed: failed?.length ? failed : undefined };
}

/** @param {Transcript} transcript @param {string} separator of milliseconds: "." for WebVTT, "," for SubRip */
function cues({ segments, names }, separator) {
  const escaped = (/** @type {string} */ text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const groups = segments.flatMap(turnsOf).flatMap((turn) => {
    /** @type {Word[][]} */
    const found = [];
    for (const word of turn.words.filter(wordText)) {
      const group = found.at(-1);
      if (group && !isFull(group, word)) group.push(word);
      else found.push([word]);
    }
    return found.map((group) => ({ group, who: titleOf(turn, names) }));
  });
  return groups
    .map(({ group, who }, index) => {
      const [start, end] = [group[0].start, Math.max(group[group.length - 1].end, group[0].start)];
      const inText = who && separator === "," ? `${who}: ` : "";
      const text = wrap(inText + joined(group)).join("\n");
      const told = separator === "." ? (who && `<v ${escaped(who)}>`) + escaped(text) : text;
      return `${index + 1}\n${clock(start, separator)} --> ${clock(end, separator)}\n${told}\n\n`;
    })
    .join("");
}

const joined = (/** @type {Word[]} */ group) => group.map(wordText).join(" ");

/** Whether a cue has no room for another word. @param {Word[]} group @param {Word} word */
function isFull(group, word) {
  const text = joined(group);
  return (
    wrap(`${text} ${wordText(word)}`).length > CUE_LINES ||
    word.end - group[0].start > CUE_SECONDS ||
    word.start - group[group.length - 1].end > PAUSE_SECONDS ||
    (/[.?!…]$/.test(text) && [...text].length >= LINE_CHARACTERS)
  );
}

/** Lines of a text. @param {string} text */
function wrap(text) {
  /** @type {string[]} */
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length && [...longer].length <= LINE_CHARACTERS) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
